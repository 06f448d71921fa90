"""A sheet to paint one dog on: colour, coverage and relief; and the light that falls on the relief.

H x W pixels of the picture; the relief is kept at half that size, since light varies slowly.
Lengths are pixels of the full picture. N points of an outline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kennel.sample.breeds import RGB
from kennel.sample.fur import Float, enlarged

FAR = -60.0  # height of what is not dog


@dataclass(frozen=True)
class Pose:
    """Where the head is and how it is turned.

    Attributes:
        centre: of the face, pixels.
        radius: pixels of one head radius.
        yaw, pitch, roll: radians; positive yaw looks right, positive pitch looks down.
        side: 1, or -1 for the mirror image.
    """

    centre: tuple[float, float]
    radius: float
    yaw: float
    pitch: float
    roll: float
    side: float

    def place(self, points: Float) -> Float:
        """Head coordinates (right, down, forward) to pixels: Float32[N, 3] -> Float32[N, 2]."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x = points[:, 0] * cos + points[:, 2] * sin
        forward = points[:, 2] * cos - points[:, 0] * sin
        y = points[:, 1] * math.cos(self.pitch) + forward * math.sin(self.pitch)
        sin, cos = math.sin(self.roll), math.cos(self.roll)
        placed = np.empty((len(points), 2), np.float32)
        placed[:, 0] = self.centre[0] + self.side * self.radius * (x * cos - y * sin)
        placed[:, 1] = self.centre[1] + self.radius * (x * sin + y * cos)
        return placed

    def spot(self, x: float, y: float, z: float) -> tuple[float, float]:
        """One point in head coordinates, in pixels."""
        at = self.place(np.array([[x, y, z]], np.float32))[0]
        return float(at[0]), float(at[1])


class Painting:
    """Colour (RGB), coverage (L) and relief of what was painted so far."""

    def __init__(self, size: tuple[int, int], ground: RGB) -> None:
        self.size = size
        self.colour = Image.new("RGB", size, ground)
        self.coverage = Image.new("L", size, 0)
        height, width = (size[1] + 1) // 2, (size[0] + 1) // 2
        self.relief: Float = np.full((height, width), FAR, np.float32)
        self._y = np.arange(height, dtype=np.float32)[:, None] * 2 + 0.5
        self._x = np.arange(width, dtype=np.float32)[None, :] * 2 + 0.5

    def mask(self, *outlines: Float) -> Image.Image:
        """Coverage of closed outlines (Float32[N, 2]), drawn at twice the size and averaged."""
        whole = Image.new("L", self.size, 0)
        box = self._box(outlines, margin=1.0)
        sheet = Image.new("L", ((box[2] - box[0]) * 2, (box[3] - box[1]) * 2), 0)
        draw = ImageDraw.Draw(sheet)
        corner = np.array(box[:2], np.float32)
        for outline in outlines:
            draw.polygon(((outline - corner) * 2).ravel().tolist(), fill=255)
        whole.paste(sheet.reduce(2), box[:2])
        return whole

    def part(
        self,
        outline: Float,
        colour: RGB,
        *,
        base: float,
        rise: float,
        fray: Float | None = None,
    ) -> Image.Image:
        """Paints a part with a domed relief over its outline; returns its coverage.

        Args:
            outline: Float32[N, 2], pixels.
            base: height of its edge.
            rise: how much higher its middle is.
            fray: the outline with hair, painted instead of the plain one.
        """
        mask = self.mask(outline) if fray is None else self.mask(outline, fray)
        self.dye(colour, mask)
        self.coverage = ImageChops.lighter(self.coverage, mask)
        low, high = outline.min(0), outline.max(0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1.0)
        self.raise_to(self._dome(middle, half, base, rise), mask)
        return mask

    def dye(self, colour: RGB, mask: Image.Image) -> None:
        """Colours what the mask covers."""
        box = mask.getbbox()
        if box is not None:
            self.colour.paste(colour, box, mask.crop(box))

    def raise_to(self, height: Float, mask: Image.Image) -> None:
        """Sets the relief to `height` where the mask covers."""
        share = np.asarray(mask.reduce(2), np.float32) * (1 / 255)
        self.relief += (height - self.relief) * share

    def lift(self, centre: tuple[float, float], half: tuple[float, float], height: float) -> None:
        """Adds a soft bump, or a hollow where `height` is negative."""
        distance = self._distance(centre, half)
        self.relief += height * np.exp(-distance)

    def swell(
        self, centre: tuple[float, float], half: tuple[float, float], base: float, rise: float
    ) -> None:
        """Raises the relief to a dome wherever the dome is higher."""
        inside = self._distance(centre, half) < 1.0
        dome = self._dome(np.asarray(centre), np.asarray(half), base, rise)
        self.relief = np.where(inside, np.maximum(self.relief, dome), self.relief)

    def patch(
        self,
        outline: Float,
        colour: RGB,
        *,
        soft: float,
        strength: float = 1.0,
        within: Image.Image | None = None,
    ) -> None:
        """A patch of another colour with an edge `soft` pixels wide, kept inside `within`."""
        box = self._box((outline,), margin=1.7 * soft + 2)
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        local = outline - np.array(box[:2], np.float32)
        ImageDraw.Draw(mask).polygon(local.ravel().tolist(), fill=round(255 * strength))
        mask = mask.filter(ImageFilter.BoxBlur(soft)).filter(ImageFilter.BoxBlur(soft * 0.6))
        if within is not None:
            mask = ImageChops.multiply(mask, within.crop(box))
        self.colour.paste(colour, box, mask)

    def groove(self, points: Float, width: float, depth: float) -> None:
        """A fold along an open line (Float32[N, 2]): lower relief."""
        left, top, right, bottom = (v // 2 for v in self._box((points,), margin=2 * width + 2))
        line = Image.new("L", (right - left + 1, bottom - top + 1), 0)
        local = points * 0.5 - np.array([left, top], np.float32)
        ImageDraw.Draw(line).line(local.ravel().tolist(), fill=255, width=max(1, round(width / 2)))
        line = line.filter(ImageFilter.GaussianBlur(max(0.8, width / 4)))
        part = self.relief[top : bottom + 1, left : right + 1]
        part -= np.asarray(line, np.float32)[: part.shape[0], : part.shape[1]] * (depth / 255)

    def _box(self, outlines: tuple[Float, ...], *, margin: float) -> tuple[int, int, int, int]:
        """Whole pixels around the outlines, within the picture, never empty."""
        low = np.min([outline.min(0) for outline in outlines], axis=0) - margin
        high = np.max([outline.max(0) for outline in outlines], axis=0) + margin
        left, top = (int(np.clip(v, 0, side - 1)) for v, side in zip(low, self.size, strict=True))
        right, bottom = (
            int(np.clip(np.ceil(v), start + 1, side))
            for v, start, side in zip(high, (left, top), self.size, strict=True)
        )
        return left, top, right, bottom

    def _distance(self, centre: tuple[float, float], half: tuple[float, float]) -> Float:
        across = ((self._x - centre[0]) / half[0]) ** 2
        down = ((self._y - centre[1]) / half[1]) ** 2
        distance: Float = across + down
        return distance

    def _dome(self, middle: Float, half: Float, base: float, rise: float) -> Float:
        distance = self._distance(
            (float(middle[0]), float(middle[1])), (float(half[0]) * 1.12, float(half[1]) * 1.12)
        )
        dome: Float = base + rise * np.sqrt(np.maximum(1.0 - distance, 0.02))
        return dome


@dataclass(frozen=True)
class Light:
    """One lamp, and the light that is everywhere.

    Attributes:
        towards: unit vector to the lamp (right, down, towards the viewer).
        lamp, ambient: strength per channel.
    """

    towards: tuple[float, float, float]
    lamp: tuple[float, float, float]
    ambient: tuple[float, float, float]


def lit(relief: Float, light: Light, shape: tuple[int, int]) -> tuple[Float, Float]:
    """How bright each pixel is, and how much it shines.

    Args:    relief: Float32[H / 2, W / 2], pixels.   shape: (H, W).
    Returns: brightness Float32[3, H, W], 1 = colour as painted; shine Float32[H, W], 0..1.
    """
    height, width = relief.shape
    small = (max(2, width // 7), max(2, height // 7))
    around = Image.fromarray(relief).resize(small, Image.Resampling.BOX)
    hollow = relief - enlarged(np.asarray(around), (height, width))
    hollow = 1.0 + np.clip(hollow * 0.016, -0.3, 0.16)
    down, across = np.gradient(relief * 0.5)
    # Steps between parts are not cliffs: slopes are held near 1.5, or every outline would be black.
    gentle = 1.0 / np.sqrt(1.0 + 0.45 * (across * across + down * down))
    across *= gentle
    down *= gentle
    steep = 1.0 / np.sqrt(1.0 + across * across + down * down)
    towards = light.towards
    facing = (towards[2] - across * towards[0] - down * towards[1]) * steep
    # The half vector between lamp and viewer, for the shine of a coat.
    along = math.hypot(towards[0], towards[1], towards[2] + 1.0)
    half = towards[0] / along, towards[1] / along, (towards[2] + 1.0) / along
    shine = np.maximum((half[2] - across * half[0] - down * half[1]) * steep, 0.0)
    for _ in range(4):  # to the sixteenth power
        shine *= shine
    diffuse = enlarged(np.maximum(facing * 0.82 + 0.18, 0.0) * hollow, shape)
    everywhere = enlarged(hollow, shape)
    brightness = np.empty((3, *shape), np.float32)
    for channel in range(3):
        np.multiply(diffuse, np.float32(light.lamp[channel]), out=brightness[channel])
        brightness[channel] += everywhere * np.float32(light.ambient[channel])
    return brightness, enlarged(shine, shape)


@dataclass(frozen=True)
class Layer:
    """A cut-out to lay over the picture.

    Attributes:
        colour: Float32[3, h, w], 0..255, already multiplied by the coverage.
        cover: Float32[h, w], 0..1.
        left, top: where it goes, pixels.
    """

    colour: Float
    cover: Float
    left: int
    top: int


def cut_out(sheet: Image.Image, *, blur: float = 0.0) -> Layer | None:
    """The painted part of a transparent RGBA sheet of twice the size; None when it is empty.

    What is painted must be opaque: averaging then leaves colours multiplied by their coverage.

    Args:
        blur: radius, pixels of the small picture.
    """
    box = sheet.getbbox()
    if box is None:
        return None
    margin = 2 * round(2 * blur + 1)
    left, top = (max(0, (v - margin) // 2 * 2) for v in box[:2])
    right, bottom = (
        min(side, (v + margin + 1) // 2 * 2) for v, side in zip(box[2:], sheet.size, strict=True)
    )
    # Channel by channel: Pillow averages RGBA unmultiplied, which would leave bright rims.
    planes = [plane.reduce(2) for plane in sheet.crop((left, top, right, bottom)).split()]
    if blur > 0:
        planes = [plane.filter(ImageFilter.BoxBlur(blur)) for plane in planes]
    red, green, blue, cover = (np.asarray(plane, np.float32) for plane in planes)
    return Layer(np.stack([red, green, blue]), cover * np.float32(1 / 255), left // 2, top // 2)
