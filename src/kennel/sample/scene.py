"""Where the dog sits: eleven backgrounds, a little out of focus.

Float32[3, H, W] each, colours 0..255. H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from kennel.sample.breeds import RGB
from kennel.sample.fur import Float, enlarged, noise

Shape = tuple[int, int]

WARM_WALLS: tuple[RGB, ...] = (
    (214, 200, 178), (196, 206, 204), (172, 186, 196), (206, 182, 164), (160, 170, 152),
    (222, 214, 204), (140, 120, 108), (110, 122, 136), (188, 160, 120), (96, 86, 84),
)  # fmt: skip
CUSHIONS: tuple[RGB, ...] = (
    (120, 84, 66), (92, 110, 126), (150, 142, 132), (134, 66, 60), (84, 98, 82), (186, 170, 146),
    (70, 66, 74), (170, 126, 84),
)  # fmt: skip


def draw_scene(shape: Shape, rng: np.random.Generator) -> Float:
    """One of the backgrounds, drawn at random: (H, W) -> Float32[3, H, W], 0..255."""
    return SCENES[int(rng.integers(len(SCENES)))](shape, rng)


def _grass(shape: Shape, rng: np.random.Generator) -> Float:
    far, near = _tinted((126, 150, 84), rng), _tinted((78, 116, 48), rng)
    ground = _gradient(shape, far, near)
    blades = noise(rng, (shape[0] // 4, shape[1]), 3.0)
    ground += enlarged(blades, shape) * _planes((12, 13, 7))
    ground += noise(rng, shape, 40.0) * 12.0
    if rng.random() < 0.5:
        trees = _gradient(shape, _tinted((62, 88, 60), rng), _tinted((88, 112, 70), rng))
        trees += noise(rng, shape, 16.0) * 16.0
        ground = _above(shape, rng, trees, ground, level=float(rng.uniform(0.2, 0.5)), soft=0.08)
    return ground


def _meadow(shape: Shape, rng: np.random.Generator) -> Float:
    field = _gradient(shape, _tinted((150, 168, 110), rng), _tinted((96, 128, 60), rng))
    field += noise(rng, shape, 26.0) * 14.0
    petals: tuple[RGB, ...] = ((236, 226, 190), (224, 180, 90), (206, 124, 140), (180, 150, 206))
    petal = petals[int(rng.integers(len(petals)))]
    return _discs(field, rng, count=26, size=(3.0, 9.0), colour=petal, strength=0.55, blur=1.6)


def _sofa(shape: Shape, rng: np.random.Generator) -> Float:
    width = shape[1]
    cloth = _tinted(CUSHIONS[int(rng.integers(len(CUSHIONS)))], rng)
    back = _gradient(shape, _scaled(cloth, 1.08), _scaled(cloth, 0.72))
    seams = int(rng.integers(1, 4))
    across = (np.arange(width, dtype=np.float32) / width + float(rng.random())) * seams
    bulge = np.abs(np.sin(across * np.pi)) ** 0.3
    back *= 0.68 + 0.34 * bulge
    back += noise(rng, shape, 2.0) * 3.5
    wall = _plain(shape, rng)
    return _above(shape, rng, wall, back, level=float(rng.uniform(0.06, 0.34)), soft=0.015)


def _sky(shape: Shape, rng: np.random.Generator) -> Float:
    high = _tinted((104, 152, 204), rng)
    low = _tinted((206, 218, 222), rng) if rng.random() < 0.7 else _tinted((238, 196, 150), rng)
    sky = _gradient(shape, high, low)
    clouds = np.clip(noise(rng, shape, 56.0) + 0.5 * noise(rng, shape, 20.0), 0.0, 2.0) * 0.42
    sky += (np.float32(246.0) - sky) * np.clip(clouds, 0, 0.85)
    hill = _gradient(shape, _tinted((104, 128, 110), rng), _tinted((92, 120, 62), rng))
    hill += noise(rng, shape, 14.0) * 9.0
    return _above(shape, rng, sky, hill, level=float(rng.uniform(0.55, 0.95)), soft=0.03, wave=0.08)


def _plain(shape: Shape, rng: np.random.Generator) -> Float:
    colour = _tinted(WARM_WALLS[int(rng.integers(len(WARM_WALLS)))], rng)
    wall = _gradient(shape, _scaled(colour, 1.06), _scaled(colour, 0.84))
    wall += noise(rng, shape, 60.0) * 6.0
    return wall


def _brick(shape: Shape, rng: np.random.Generator) -> Float:
    height, width = (
        (shape[0] + 1) // 2,
        (shape[1] + 1) // 2,
    )  # out of focus: half the size is enough
    high = float(rng.uniform(10, 15))
    wide = high * 2.4
    y = np.arange(height, dtype=np.float32)[:, None] / high
    row = np.floor(y).astype(np.int32)
    x = np.arange(width, dtype=np.float32)[None, :] / wide + 0.5 * (row % 2)
    column = np.floor(x).astype(np.int32)
    tones = rng.normal(1.0, 0.09, 512).astype(np.float32)[(row * 37 + column * 11) % 512]
    y, x = np.abs(y - row - 0.5), np.abs(x - column - 0.5)
    share = np.clip(np.minimum((0.5 - y) * high, (0.5 - x) * wide) / 1.5, 0, 1) * 0.75 + 0.25
    reds: tuple[RGB, ...] = ((158, 96, 76), (186, 168, 150), (126, 110, 104), (214, 204, 194))
    brick = _tinted(reds[int(rng.integers(len(reds)))], rng)
    grain = noise(rng, (height, width), 3.0) * 5.0
    return np.stack(
        [
            enlarged((mortar + (fired * tones - mortar) * share + grain).astype(np.float32), shape)
            for fired, mortar in zip(brick, (176, 168, 158), strict=True)
        ]
    )


def _bokeh(shape: Shape, rng: np.random.Generator) -> Float:
    tones: tuple[RGB, ...] = ((46, 58, 44), (58, 46, 40), (38, 46, 62), (82, 92, 60), (92, 70, 50))
    tone = _tinted(tones[int(rng.integers(len(tones)))], rng)
    night = _gradient(shape, _scaled(tone, 1.35), _scaled(tone, 0.75))
    lamps: tuple[RGB, ...] = ((250, 214, 150), (206, 226, 160), (240, 176, 120), (190, 210, 240))
    lamp = lamps[int(rng.integers(len(lamps)))]
    return _discs(night, rng, count=24, size=(9.0, 26.0), colour=lamp, strength=0.3, blur=2.0)


def _studio(shape: Shape, rng: np.random.Generator) -> Float:
    tones: tuple[RGB, ...] = (
        (120, 130, 140), (150, 120, 100), (104, 116, 104), (176, 172, 168), (140, 104, 110),
        (66, 72, 84),
    )  # fmt: skip
    tone = _planes(_tinted(tones[int(rng.integers(len(tones)))], rng))
    y = np.linspace(-1.0, 1.0, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, shape[1], dtype=np.float32)[None, :]
    glow = np.exp(-0.9 * ((x - float(rng.uniform(-0.5, 0.5))) ** 2 + (y + 0.2) ** 2))
    mottle = 1.0 + 0.06 * noise(rng, shape, 36.0)
    cloth: Float = tone * ((0.62 + 0.62 * glow) * mottle)
    return cloth


def _beach(shape: Shape, rng: np.random.Generator) -> Float:
    sea = _gradient(shape, _tinted((176, 206, 220), rng), _tinted((92, 142, 160), rng))
    sea += enlarged(noise(rng, (shape[0] // 2, shape[1] // 8), 2.0), shape) * 7.0
    sand = _gradient(shape, _tinted((222, 200, 160), rng), _tinted((196, 168, 124), rng))
    sand += noise(rng, shape, 2.0) * 4.0 + noise(rng, shape, 22.0) * 7.0
    return _above(shape, rng, sea, sand, level=float(rng.uniform(0.25, 0.6)), soft=0.02, wave=0.015)


def _snow(shape: Shape, rng: np.random.Generator) -> Float:
    wood = _gradient(shape, _tinted((150, 162, 176), rng), _tinted((112, 122, 128), rng))
    wood += noise(rng, shape, 12.0) * 10.0
    snow = _gradient(shape, (226, 232, 240), (206, 214, 228)) + noise(rng, shape, 30.0) * 6.0
    ground = _above(
        shape, rng, wood, snow, level=float(rng.uniform(0.2, 0.6)), soft=0.05, wave=0.03
    )
    return _discs(
        ground, rng, count=30, size=(1.2, 3.4), colour=(250, 250, 252), strength=0.8, blur=0.8
    )


def _plaid(shape: Shape, rng: np.random.Generator) -> Float:
    height, width = shape
    base = _planes(_tinted(CUSHIONS[int(rng.integers(len(CUSHIONS)))], rng))
    period, tilt = float(rng.uniform(46, 84)), float(rng.uniform(-0.3, 0.3))
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    along, across = (x + tilt * y) / period, (y - tilt * x) / period
    # A soft edge of about four pixels stands for the depth of field.
    stripes = sum(
        np.clip((0.32 - np.abs(at % 1.0 - 0.5)) * period / 4 + 0.5, 0, 1) for at in (along, across)
    )
    folds = 1.0 + 0.1 * noise(rng, shape, 64.0)
    rug: Float = base * ((1.08 - 0.2 * stripes) * folds)
    return rug.astype(np.float32)


SCENES: tuple[Callable[[Shape, np.random.Generator], Float], ...] = (
    _grass, _meadow, _sofa, _sky, _plain, _brick, _bokeh, _studio, _beach, _snow, _plaid,
)  # fmt: skip


def _tinted(colour: RGB, rng: np.random.Generator) -> RGB:
    red, green, blue = (
        np.clip(np.array(colour) * rng.normal(1.0, 0.05, 3), 4, 250).round().astype(int).tolist()
    )
    return red, green, blue


def _scaled(colour: RGB, gain: float) -> RGB:
    red, green, blue = (min(255, round(value * gain)) for value in colour)
    return red, green, blue


def _planes(colour: RGB) -> Float:
    """Float32[3, 1, 1]."""
    return np.array(colour, np.float32)[:, None, None]


def _gradient(shape: Shape, top: RGB, bottom: RGB) -> Float:
    share = np.linspace(0, 1, shape[0], dtype=np.float32)[None, :, None]
    rows = _planes(top) * (1 - share) + _planes(bottom) * share
    return np.repeat(rows, shape[1], axis=2)


def _above(
    shape: Shape,
    rng: np.random.Generator,
    upper: Float,
    lower: Float,
    *,
    level: float,
    soft: float,
    wave: float = 0.0,
) -> Float:
    """`upper` over `lower`, parted at `level` (0 top .. 1 bottom) by a soft, perhaps wavy line."""
    x = np.linspace(0, 1, shape[1], dtype=np.float32)
    turn, slope = float(rng.uniform(0, 6.3)), float(rng.uniform(-0.06, 0.06))
    line = level + slope * (x - 0.5) + wave * np.sin(x * 5.0 + turn)
    y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    share = np.clip((y - line[None, :]) / soft + 0.5, 0, 1).astype(np.float32)
    lower -= upper
    lower *= share
    lower += upper
    return lower


def _discs(
    ground: Float,
    rng: np.random.Generator,
    *,
    count: int,
    size: tuple[float, float],
    colour: RGB,
    strength: float,
    blur: float,
) -> Float:
    height, width = ground.shape[1:]
    sheet = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(sheet)
    for _ in range(count):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(*size)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.uniform(80, 255)))
    share = np.asarray(sheet.filter(ImageFilter.BoxBlur(blur)), np.float32) * (strength / 255)
    ground += (_planes(colour) - ground) * share
    return ground
