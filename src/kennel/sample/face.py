"""Eyes, nose and mouth: what stays sharp, drawn over the coat at twice the size."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from kennel.sample.breeds import BLACK, RGB
from kennel.sample.dog import INK, Dog, mixed
from kennel.sample.fur import Float, closed_curve
from kennel.sample.painting import Layer, Light, Pose, cut_out

SCALE = 2
IRISES: tuple[RGB, ...] = ((74, 44, 24), (98, 60, 30), (54, 34, 22), (128, 84, 40))
NOSES: tuple[RGB, ...] = ((38, 34, 35), (52, 45, 45), (44, 36, 34), (92, 62, 54))
PINK: RGB = (222, 128, 128)


def draw_face(
    size: tuple[int, int], pose: Pose, dog: Dog, light: Light, rng: np.random.Generator
) -> Layer | None:
    """Eyes, nose and mouth.

    Args:    size: (W, H), pixels.
    Returns: the cut-out; None when the face lies outside the picture.
    """
    sheet = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(sheet)
    _mouth(draw, pose, dog, rng)
    gaze = (float(rng.uniform(-0.16, 0.16)), float(rng.uniform(-0.08, 0.12)))
    iris = IRISES[int(rng.integers(len(IRISES)))]
    sleepy = float(rng.uniform(0.8, 1.05)) if rng.random() < 0.85 else 0.55
    for side in (-1.0, 1.0):
        _eye(draw, pose, dog, side=side, gaze=gaze, iris=iris, sleepy=sleepy, light=light)
    _nose(draw, pose, dog, light, NOSES[int(rng.integers(len(NOSES)))])
    return cut_out(sheet)


def _eye(
    draw: ImageDraw.ImageDraw,
    pose: Pose,
    dog: Dog,
    *,
    side: float,
    gaze: tuple[float, float],
    iris: RGB,
    sleepy: float,
    light: Light,
) -> None:
    size, gap = dog.eye, dog.eye_gap
    narrow = float(np.clip(np.cos(pose.yaw - side * 0.35), 0.45, 1.0))
    middle = np.array([side * gap, -0.1, 0.42], np.float32)

    def shape(points: list[tuple[float, float]], grow: float = 1.0) -> list[float]:
        flat = np.array(points, np.float32) * size * grow
        spots = np.column_stack([side * flat[:, 0], flat[:, 1], np.zeros(len(points), np.float32)])
        return _flat(pose.place(closed_curve(spots + middle)))

    almond = [(-1.02, 0.24), (-0.5, -0.52 * sleepy), (0.12, -0.78 * sleepy), (0.74, -0.46 * sleepy),
              (1.1, -0.08), (0.66, 0.5), (0.0, 0.68), (-0.58, 0.52)]  # fmt: skip
    x, y = pose.spot(*middle.tolist())
    r = size * pose.radius
    draw.polygon(shape(almond, 1.24), fill=(*INK, 255))
    draw.polygon(shape(almond), fill=(*mixed(iris, INK, 0.55), 255))
    x, y = x + gaze[0] * r * pose.side, y + gaze[1] * r - 0.04 * r
    _disc(draw, (x, y), (0.66 * r * narrow, 0.64 * r * min(1.0, sleepy + 0.1)), (*iris, 255))
    _disc(
        draw,
        (x, y + 0.2 * r),
        (0.44 * r * narrow, 0.34 * r * sleepy),
        (*mixed(iris, (214, 160, 96), 0.4), 255),
    )
    _disc(draw, (x, y), (0.38 * r * narrow, 0.4 * r * sleepy), (16, 12, 12, 255))
    upper = [
        (-1.1, 0.2),
        (-0.5, -0.56 * sleepy),
        (0.12, -0.84 * sleepy),
        (0.76, -0.5 * sleepy),
        (1.2, -0.1),
    ]
    lid = np.array(upper, np.float32) * size * 1.06
    spots = np.column_stack([side * lid[:, 0], lid[:, 1], np.zeros(5, np.float32)]) + middle
    draw.line(
        _flat(pose.place(spots)),
        fill=(20, 16, 16, 255),
        width=max(2, round(0.26 * r * SCALE)),
        joint="curve",
    )
    glint_x, glint_y = x + 0.32 * r * light.towards[0] - 0.06 * r, y - 0.3 * r
    _disc(draw, (glint_x, glint_y), (0.2 * r, 0.2 * r), (250, 250, 248, 255))
    _disc(
        draw,
        (x - 0.26 * r * light.towards[0], y + 0.24 * r),
        (0.09 * r, 0.08 * r),
        (168, 150, 138, 255),
    )


def _nose(draw: ImageDraw.ImageDraw, pose: Pose, dog: Dog, light: Light, colour: RGB) -> None:
    tip = 0.46 + dog.muzzle_length
    wide, at = dog.nose, dog.muzzle_at - 0.6 * dog.muzzle_width * dog.muzzle_taper + 0.1

    def shape(points: list[tuple[float, float]]) -> list[float]:
        flat = np.array(points, np.float32) * wide
        spots = np.column_stack([flat[:, 0], at + flat[:, 1], np.full(len(points), tip)])
        return _flat(pose.place(closed_curve(spots.astype(np.float32))))

    right = [
        (0.0, -0.56),
        (0.5, -0.58),
        (0.92, -0.36),
        (1.0, -0.02),
        (0.72, 0.34),
        (0.3, 0.52),
        (0.0, 0.72),
    ]
    outline = right + [(-x, y) for x, y in right[-2:0:-1]]
    draw.polygon(shape(outline), fill=(*colour, 255))
    glow = mixed(colour, (190, 180, 178), 0.3)
    lean = 0.22 * light.towards[0] * pose.side
    draw.polygon(
        shape(
            [
                (-0.6 + lean, -0.3),
                (lean, -0.46),
                (0.6 + lean, -0.3),
                (0.4 + lean, -0.12),
                (-0.4 + lean, -0.12),
            ]
        ),
        fill=(*glow, 255),
    )
    draw.polygon(
        shape([(-0.26 + lean, -0.32), (lean, -0.4), (0.26 + lean, -0.32), (lean, -0.22)]),
        fill=(*mixed(glow, (240, 238, 238), 0.45), 255),
    )
    for side in (-1.0, 1.0):
        nostril = [(0.24, 0.1), (0.44, -0.06), (0.72, 0.0), (0.8, 0.16), (0.52, 0.26)]
        draw.polygon(shape([(side * x, y) for x, y in nostril]), fill=(12, 9, 9, 255))
    groove = np.array([(0, at + 0.3 * wide, tip), (0, at + 0.72 * wide, tip)], np.float32)
    draw.line(
        _flat(pose.place(groove)),
        fill=(14, 10, 10, 255), width=max(1, round(0.05 * wide * pose.radius * SCALE)),
    )  # fmt: skip


def _mouth(draw: ImageDraw.ImageDraw, pose: Pose, dog: Dog, rng: np.random.Generator) -> None:
    tip, r = dog.muzzle_width * dog.muzzle_taper, pose.radius
    reach, at = 0.4 + dog.muzzle_length, dog.muzzle_at
    top = at - 0.6 * tip + 0.1 + 0.7 * dog.nose
    split = at + 0.26 * tip + 0.1 * dog.flews + 0.04
    corner = split + 0.1 + 0.32 * dog.flews * tip
    half = [(0.0, split, reach), (0.34 * tip, split + 0.09 + 0.2 * dog.flews * tip, reach),
            (0.7 * tip, corner, reach - 0.08), (0.98 * tip, corner - 0.1, reach - 0.3)]  # fmt: skip
    right = np.array(half, np.float32)
    left = right * np.array([-1, 1, 1], np.float32)
    ink = (*mixed(dog.coat.muzzle or dog.coat.head, INK, 0.82), 255)
    if dog.mouth:
        _open_mouth(draw, pose, dog, np.concatenate([left[::-1], right[1:]]), rng)
    width = max(2, round(0.032 * r * SCALE))
    for line in (right, left):
        smooth = _open_curve(line)
        draw.line(_flat(pose.place(smooth)), fill=ink, width=width, joint="curve")
    philtrum = np.array([(0, top, reach + 0.05), (0, split, reach)], np.float32)
    draw.line(_flat(pose.place(philtrum)), fill=ink, width=width)


def _open_mouth(
    draw: ImageDraw.ImageDraw, pose: Pose, dog: Dog, lips: Float, rng: np.random.Generator
) -> None:
    tip, r = dog.muzzle_width * dog.muzzle_taper, pose.radius
    low = float(lips[:, 1].max())
    reach = float(lips[:, 2].max()) - 0.1
    deep = low + 0.12 + 0.2 * dog.mouth
    floor = np.array([(0.5 * tip, deep - 0.06, reach), (0.0, deep, reach),
                      (-0.5 * tip, deep - 0.06, reach)], np.float32)  # fmt: skip
    upper = _open_curve(lips)
    draw.polygon(_flat(pose.place(np.concatenate([upper, floor]))), fill=(70, 26, 30, 255))
    if rng.random() < 0.82:
        hang = deep + float(rng.uniform(-0.06, 0.3)) * dog.mouth
        aside = float(rng.uniform(-0.12, 0.12)) * tip
        wide = tip * float(rng.uniform(0.34, 0.48))
        tongue = np.array([(-wide, low - 0.02, reach), (wide, low - 0.02, reach),
                           (wide + aside, hang - 0.12, reach + 0.1),
                           (aside, hang + 0.03, reach + 0.12),
                           (-wide + aside, hang - 0.12, reach + 0.1)], np.float32)  # fmt: skip
        draw.polygon(_flat(pose.place(closed_curve(tongue))), fill=(*PINK, 255))
        crease = np.array([(0, low + 0.03, reach), (aside, hang - 0.08, reach + 0.12)], np.float32)
        draw.line(
            _flat(pose.place(crease)), fill=(*mixed(PINK, BLACK, 0.22), 255),
            width=max(2, round(0.035 * r * SCALE)),
        )  # fmt: skip


def _open_curve(points: Float) -> Float:
    """Float32[N, D] -> a smooth line from the first to the last point."""
    fine = np.linspace(0, len(points) - 1, 4 * len(points))
    at = np.arange(len(points))
    line = np.column_stack(
        [np.interp(fine, at, points[:, axis]) for axis in range(points.shape[1])]
    )
    kernel = np.array([0.25, 0.5, 0.25])
    for _ in range(3):
        line[1:-1] = sum(kernel[k] * line[k : len(line) - 2 + k] for k in range(3))
    return line.astype(np.float32)


def _flat(points: Float) -> list[float]:
    flat: list[float] = (points * SCALE).ravel().tolist()
    return flat


def _disc(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    half: tuple[float, float],
    colour: tuple[int, ...],
) -> None:
    (x, y), (wide, high) = centre, half
    box = (x - wide) * SCALE, (y - high) * SCALE, (x + wide) * SCALE, (y + high) * SCALE
    draw.ellipse(box, fill=colour)
