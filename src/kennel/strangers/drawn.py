"""Pictures that are no photos of anything: noise, screenshots and line drawings, drawn by a seed.

They need no folder, so that every report has some strangers. The same seed gives the same pixels
with one version of NumPy and Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PER_KIND = 100
SIDES = (240, 480)  # pixels, least and most

_TEXT = (
    "file edit view help open save close search settings account report invoice total date name "
    "address meeting monday tuesday project draft sent inbox reply forward delete archive page "
    "table row column value price order number status done waiting the of and to in is for on with"
)
_WORDS = _TEXT.split()
_Rng = np.random.Generator
_Colour = tuple[int, int, int]


def draw_strangers(kind: str, *, n: int = PER_KIND, seed: int = 0) -> Iterator[Image.Image]:
    """Pictures of one kind, mode RGB, one by one.

    Args:
        kind: a key of KINDS.
        n: how many; the first ones are the same for a larger n.
        seed: >= 0.
    Raises:
        KeyError: no such kind.
    """
    draw, number = KINDS[kind], list(KINDS).index(kind)
    for at in range(n):
        yield draw(np.random.default_rng([seed, number, at]))


def _noise(rng: _Rng) -> Image.Image:
    """Independent pixels, or coarse blots; coloured or grey."""
    width, height = _size(rng)
    grain = int(rng.choice([1, 1, 2, 8, 32]))
    shape = max(2, height // grain), max(2, width // grain), int(rng.choice([1, 3]))
    values = rng.random(shape) if rng.random() < 0.5 else rng.normal(0.5, 0.2, shape)
    pixels = np.repeat(np.clip(255 * values, 0, 255).astype(np.uint8), 3 // shape[2], axis=2)
    how = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return Image.fromarray(pixels).resize((width, height), how)


def _screenshot(rng: _Rng) -> Image.Image:
    """Windows with a title bar, lines of words, buttons; light or dark."""
    width, height = _size(rng)
    dark = rng.random() < 0.4
    picture = Image.new(
        "RGB", (width, height), _tint(rng, 20, 60) if dark else _tint(rng, 150, 230)
    )
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 4))):
        wide, high = int(width * rng.uniform(0.5, 0.95)), int(height * rng.uniform(0.5, 0.95))
        left, top = int(rng.integers(0, width - wide)), int(rng.integers(0, height - high))
        paper, ink = (_tint(rng, 25, 50), _tint(rng, 190, 240))
        if not dark:
            paper, ink = _tint(rng, 240, 255), _tint(rng, 10, 70)
        bar = int(rng.integers(16, 26))
        draw.rectangle((left, top, left + wide, top + high), paper, outline=_tint(rng, 90, 160))
        draw.rectangle((left, top, left + wide, top + bar), _tint(rng, 40, 200))
        size = int(rng.integers(9, 16))
        font = ImageFont.load_default(size)
        draw.text((left + 8, top + 3), _sentence(rng, 3), ink, font=font)
        y = top + bar + 6
        while y + size < top + high - 4:
            if rng.random() < 0.12:  # a button
                draw.rectangle((left + 10, y, left + 90, y + size + 4), _tint(rng, 60, 210))
            elif rng.random() < 0.9:
                words = _sentence(rng, int(rng.integers(2, 9)))
                room = max(8, wide - 16)
                while words and draw.textlength(words, font) > room:
                    words = words.rpartition(" ")[0]
                draw.text((left + 8, y), words, ink, font=font)
            y += size + int(rng.integers(3, 8))
    return picture


def _drawing(rng: _Rng) -> Image.Image:
    """A few strokes, rings, boxes and stars with a pen of one or two colours on plain paper."""
    width, height = _size(rng)
    picture = Image.new("RGB", (width, height), _tint(rng, 225, 255))
    draw = ImageDraw.Draw(picture)
    pens = [_tint(rng, 0, 60), _tint(rng, 0, 200)]
    pen = int(rng.integers(2, 6))
    for _ in range(int(rng.integers(3, 12))):
        colour = pens[int(rng.integers(0, 2))]
        x, y = float(rng.uniform(0.1, 0.9) * width), float(rng.uniform(0.1, 0.9) * height)
        r = float(rng.uniform(0.05, 0.3) * min(width, height))
        shape = int(rng.integers(0, 4))
        if shape == 0:
            draw.ellipse((x - r, y - r * 0.8, x + r, y + r * 0.8), outline=colour, width=pen)
        elif shape == 1:
            draw.rectangle((x - r, y - r, x + r, y + r), outline=colour, width=pen)
        elif shape == 2:
            points = _star(x, y, r, corners=int(rng.integers(3, 8)), turned=float(rng.random()))
            draw.line([*points, points[0]], colour, pen, joint="curve")
        else:
            steps = np.cumsum(rng.normal(0, r / 3, (12, 2)), axis=0) + np.array([x, y])
            draw.line([(float(a), float(b)) for a, b in steps], colour, pen, joint="curve")
    return picture


# Name -> how one is drawn. A new kind goes to the end: its number is part of the seed.
KINDS: dict[str, Callable[[_Rng], Image.Image]] = {
    "noise": _noise,
    "screenshots": _screenshot,
    "line drawings": _drawing,
}


def _size(rng: _Rng) -> tuple[int, int]:
    width, height = rng.integers(SIDES[0], SIDES[1] + 1, 2).tolist()
    return width, height


def _tint(rng: _Rng, low: int, high: int) -> _Colour:
    red, green, blue = rng.integers(low, high + 1, 3).tolist()
    return red, green, blue


def _sentence(rng: _Rng, words: int) -> str:
    return " ".join(_WORDS[at] for at in rng.integers(0, len(_WORDS), words).tolist())


def _star(
    x: float, y: float, r: float, *, corners: int, turned: float
) -> list[tuple[float, float]]:
    angles = [2 * math.pi * (turned + at / (2 * corners)) for at in range(2 * corners)]
    reach = [r if at % 2 else r / 2 for at in range(2 * corners)]
    return [(x + d * math.cos(a), y + d * math.sin(a)) for d, a in zip(reach, angles, strict=True)]
