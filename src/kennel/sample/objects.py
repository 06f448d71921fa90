"""What comes between camera and dog: a ball, a hand, a fence, leaves, a stick, a blanket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from kennel.sample.breeds import RGB
from kennel.sample.fur import closed_curve
from kennel.sample.painting import Layer, Pose, cut_out

SCALE = 2


def draw_object(size: tuple[int, int], pose: Pose, rng: np.random.Generator) -> Layer | None:
    """One object in front of the dog, covering a part of it.

    Args:    size: (W, H), pixels.   pose: of the head, which the object is near.
    Returns: the cut-out; None when the object fell outside the picture.
    """
    sheet = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE), (0, 0, 0, 0))
    blur = OBJECTS[int(rng.integers(len(OBJECTS)))](sheet, pose, rng)
    return cut_out(sheet, blur=blur)


def _ball(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    colours: tuple[RGB, ...] = ((196, 204, 72), (208, 78, 62), (74, 126, 186), (226, 150, 60))
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    r = pose.radius * float(rng.uniform(0.3, 0.46)) * SCALE
    x, y = pose.spot(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.95, 1.7)), 0.6)
    side = max(4, round(2 * r))
    grid = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    across, down = np.meshgrid(grid, grid)
    inside = across**2 + down**2
    lift = np.sqrt(np.maximum(1 - inside, 0))
    light = 0.45 + 0.62 * np.clip(0.7 * lift - 0.35 * across - 0.5 * down, 0, 1)
    seam = np.abs(np.hypot(across - 0.75, down - 0.5) - 0.8) < 0.055
    pixels = np.where(seam[..., None], np.float32(236.0), colour) * light[..., None]
    pixels += (rng.standard_normal((side, side), dtype=np.float32) * 7)[..., None]
    ball = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    cover = np.clip((1.0 - np.sqrt(inside)) * r * 0.7, 0, 1) * 255
    mask = Image.fromarray(cover.astype(np.uint8))
    sheet.paste(ball, (round(x * SCALE - r), round(y * SCALE - r)), mask)
    return 0.0


def _hand(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    """Fingers of a hand that strokes the head or holds the chin, from the edge of the picture."""
    skins: tuple[RGB, ...] = ((226, 182, 156), (188, 134, 102), (132, 88, 64), (240, 202, 178))
    skin = skins[int(rng.integers(len(skins)))]
    side = 1.0 if rng.random() < 0.5 else -1.0
    if rng.random() < 0.5:
        goal, turn = pose.spot(side * 0.45, -0.72, 0.2), float(rng.uniform(0.3, 0.8))
    else:
        goal, turn = pose.spot(side * 0.62, 0.98, 0.2), float(rng.uniform(-0.8, -0.2))
    direction = np.array([-np.cos(turn) * side * pose.side, np.sin(turn)])
    across = np.array([-direction[1], direction[0]])
    r, draw = pose.radius * SCALE, ImageDraw.Draw(sheet)
    palm = np.array(goal) * SCALE - direction * 0.62 * r
    dark = (*(round(v * 0.78) for v in skin), 255)
    for layer, grow in ((dark, 1.16), ((*skin, 255), 1.0)):
        _bar(draw, palm - direction * 3.4 * r, palm - direction * 0.2 * r, 0.29 * r * grow, layer)
        _bar(draw, palm - direction * 0.3 * r, palm + direction * 0.06 * r, 0.36 * r * grow, layer)
    for k, reach in enumerate((0.44, 0.62, 0.66, 0.54)):
        root = palm + across * (k - 1.5) * 0.18 * r
        tip = root + direction * reach * r + across * (k - 1.5) * 0.03 * r
        _bar(draw, root, tip, 0.105 * r, dark)
        _bar(draw, root, tip, 0.085 * r, (*skin, 255))
        nail = tuple(round(v + (248 - v) * 0.4) for v in skin)
        _bar(draw, tip, tip + direction * 0.02 * r, 0.05 * r, (*nail, 255))
    return 0.5


def _fence(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    """Wooden slats or wire close to the camera."""
    width, height = sheet.size
    draw = ImageDraw.Draw(sheet)
    if rng.random() < 0.5:
        gap, thick = pose.radius * SCALE * float(rng.uniform(1.3, 1.9)), float(rng.uniform(16, 30))
        woods: tuple[RGB, ...] = ((150, 116, 84), (206, 200, 190), (110, 88, 70))
        wood = woods[int(rng.integers(len(woods)))]
        at, lean = -float(rng.random()) * gap, float(rng.uniform(-12, 12))
        while at < width + gap:
            slat = (at, 0, at + thick, 0, at + thick + lean, height, at + lean, height)
            draw.polygon(slat, fill=(*wood, 255))
            light = tuple(min(255, round(v * 1.14)) for v in wood)
            draw.line((at + 3, 0, at + lean + 3, height), fill=(*light, 255), width=4)
            at += gap
        return 1.6
    gap, wire = pose.radius * SCALE * float(rng.uniform(0.75, 1.1)), (118, 122, 124, 255)
    start = -height - float(rng.random()) * gap
    while start < width + height:
        draw.line((start, 0, start + height, height), fill=wire, width=5)
        draw.line((start + height, 0, start, height), fill=wire, width=5)
        start += gap
    return 1.2


def _leaves(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    draw, r = ImageDraw.Draw(sheet), pose.radius * SCALE
    greens: tuple[RGB, ...] = ((92, 128, 62), (122, 148, 74), (188, 120, 58), (150, 80, 52))
    green = greens[int(rng.integers(len(greens)))]
    corner = np.array(
        [pose.spot(float(rng.choice([-1.2, 1.2])), float(rng.uniform(-0.9, 1.3)), 0.0)]
    )
    for _ in range(int(rng.integers(4, 10))):
        middle = corner[0] * SCALE + rng.normal(0, 0.42, 2) * r
        turn, long = float(rng.uniform(0, 6.3)), r * float(rng.uniform(0.22, 0.42))
        axis = np.array([np.cos(turn), np.sin(turn)])
        cross = np.array([-axis[1], axis[0]])
        points = np.array([middle - axis * long, middle - axis * 0.3 * long + cross * 0.36 * long,
                           middle + axis * 0.5 * long + cross * 0.26 * long, middle + axis * long,
                           middle + axis * 0.4 * long - cross * 0.3 * long,
                           middle - axis * 0.4 * long - cross * 0.32 * long],
                          np.float32)  # fmt: skip
        tone = tuple(int(np.clip(v * rng.uniform(0.75, 1.2), 0, 255)) for v in green)
        draw.polygon(closed_curve(points).ravel().tolist(), fill=(*tone, 255))
        vein = tuple(round(v * 0.8) for v in tone)
        draw.line((*(middle - axis * long), *(middle + axis * long)), fill=(*vein, 255), width=2)
    return float(rng.uniform(0.4, 2.2))


def _stick(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    """A stick held across the mouth."""
    draw, r = ImageDraw.Draw(sheet), pose.radius * SCALE
    middle = np.array(pose.spot(0.0, float(rng.uniform(0.74, 0.9)), 0.8)) * SCALE
    turn = pose.roll * pose.side + float(rng.uniform(-0.22, 0.22))
    axis = np.array([np.cos(turn), np.sin(turn)]) * r * float(rng.uniform(1.0, 1.7))
    thick = r * float(rng.uniform(0.055, 0.1))
    _bar(draw, middle - axis, middle + axis, thick, (84, 62, 44, 255))
    shift = np.array([0.0, -thick * 0.4])
    _bar(draw, middle - axis + shift, middle + axis + shift, thick * 0.4, (138, 106, 76, 255))
    return 0.4


def _blanket(sheet: Image.Image, pose: Pose, rng: np.random.Generator) -> float:
    """The edge of a blanket over one side or the bottom."""
    width, height = sheet.size
    draw, r = ImageDraw.Draw(sheet), pose.radius * SCALE
    cloths: tuple[RGB, ...] = ((196, 190, 180), (128, 146, 162), (176, 112, 98), (112, 126, 104))
    cloth = cloths[int(rng.integers(len(cloths)))]
    x, y = (v * SCALE for v in pose.spot(0.0, float(rng.uniform(0.95, 1.4)), 0.3))
    slope = float(rng.uniform(-0.5, 0.5))
    edge = np.linspace(-0.1 * width, 1.1 * width, 24)
    line = y + slope * (edge - x) + np.sin(edge / r * 2.2 + float(rng.uniform(0, 6))) * 0.07 * r
    for fold in range(5):
        tone = tuple(round(v * (1.0 - 0.08 * (fold % 2) - 0.04 * fold)) for v in cloth)
        top = line + fold * 0.26 * r * (1 + 0.2 * np.sin(edge / r + fold))
        points = np.column_stack([edge, top]).ravel().tolist()
        draw.polygon(
            [*points, 1.1 * width, height + 4, -0.1 * width, height + 4], fill=(*tone, 255)
        )
    return 0.8


OBJECTS: tuple[Callable[[Image.Image, Pose, np.random.Generator], float], ...] = (
    _ball, _hand, _fence, _leaves, _stick, _blanket,
)  # fmt: skip


def _bar(
    draw: ImageDraw.ImageDraw,
    start: np.ndarray,
    end: np.ndarray,
    half: float,
    colour: tuple[int, ...],
) -> None:
    """A thick line with round ends."""
    draw.line((*start.tolist(), *end.tolist()), fill=colour, width=max(1, round(2 * half)))
    for x, y in (start.tolist(), end.tolist()):
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
