"""Random changes of training photos: whole batches of 8-bit pixels, on the device that trains.

What happens to a photo depends on its own seed alone: not on the batch, the device or who read it.
Numbers are drawn on the processor; pixels are changed where they lie.

N photos, S x S pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kennel.learn import colour
from kennel.learn.resample import placed, resize_boxes

TRIES = 10  # at a random crop that fits into the photo, as in torchvision

GOLDEN = 0x9E3779B97F4A7C15  # of SplitMix64

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draw:
    """Random numbers for a batch, and what else an augmentation is told of it.

    Attributes:
        seeds: Int64[N], of the photos.
        sizes: Int64[N, 2], true width and height of the whole photos.
        size: S that the network sees.
        fill: colour of what lies outside a photo.
        stream: of numbers; each augmentation of a list has its own.
    """

    seeds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    size: int
    fill: tuple[int, int, int]
    stream: int = 0

    def uniform(self, count: int) -> Float64:  # Float64[N, count]
        """Numbers in [0, 1), always the same for a seed and a stream.

        Source: SplitMix64; G. Steele, D. Lea, C. Flood, OOPSLA 2014.
        """
        counters = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(self.stream << 32)
        with np.errstate(over="ignore"):
            state = _mixed(self.seeds.astype(np.uint64))[:, None] + counters * np.uint64(GOLDEN)
            bits = _mixed(state) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@runtime_checkable
class Augmentation(Protocol):
    """One random change. Your own may be named by `_target_` too."""

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        """UInt8[N, 3, S, S] -> UInt8[N, 3, S, S], by numbers from `draw` alone."""


def vary_all(augmentations: Sequence[Augmentation], photos: Tensor, draw: Draw) -> Tensor:
    """One after the other, each with a stream of its own.

    Args:
        photos: UInt8[N, 3, S, S].
        draw: its stream goes unused.
    Returns: UInt8[N, 3, size, size].
    """
    for stream, augmentation in enumerate(augmentations):
        photos = augmentation.vary(photos, replace(draw, stream=stream))
    return photos


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the photo, brought to the size that the network sees.

    Photos are then kept with more pixels than it sees (`data.room`). A part is drawn as torchvision
    does it: of the photo's true shape.

    Attributes:
        scale: smallest and largest share of the photo's area, in (0, 1].
        ratio: narrowest and widest width / height of the part.
    """

    scale: list[float] = field(default_factory=lambda: [0.08, 1.0])
    ratio: list[float] = field(default_factory=lambda: [3 / 4, 4 / 3])

    def __post_init__(self) -> None:
        _check_range("scale", self.scale, most=1.0)
        _check_range("ratio", self.ratio)

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        side = photos.shape[3]
        edges = np.rint(self.boxes(draw) * side).astype(np.int64)
        edges[:, :2] = np.minimum(edges[:, :2], side - 1)
        edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2] + 1)
        return resize_boxes(photos, edges, draw.size)

    def boxes(self, draw: Draw) -> Float64:  # Float64[N, 4]
        """Left, top, right, bottom of the parts, as shares of the photo's width and height."""
        shape = draw.sizes[:, :1] / draw.sizes[:, 1:]
        drawn = draw.uniform(2 * TRIES + 2)
        return random_boxes(drawn, shape, scale=self.scale, ratio=self.ratio)


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Left and right swapped, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_share("p", self.p)

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        return on_some(photos, draw.uniform(1)[:, 0] < self.p, lambda some, _: some.flip(3))


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation, each times a number from 1 - x to 1 + x."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check_share(name, getattr(self, name))

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        drawn = draw.uniform(3) * 2 - 1
        for column, (change, most) in enumerate(
            (
                (colour.brightness, self.brightness),
                (colour.contrast, self.contrast),
                (colour.saturation, self.saturation),
            )
        ):
            if most:
                photos = change(photos, amounts(1 + most * drawn[:, column], photos))
        return photos


@dataclass(frozen=True)
class RandomErasing:
    """A rectangle painted over, with probability p.

    Attributes:
        scale: smallest and largest share of the picture's area, in (0, 1].
        ratio: narrowest and widest width / height.
        value: of the paint, 0..255 a channel.

    Source: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
    """

    p: float = 0.5
    scale: list[float] = field(default_factory=lambda: [0.02, 0.33])
    ratio: list[float] = field(default_factory=lambda: [0.3, 3.3])
    value: list[int] = field(default_factory=lambda: [128, 128, 128])

    def __post_init__(self) -> None:
        _check_share("p", self.p)
        _check_range("scale", self.scale, most=1.0)
        _check_range("ratio", self.ratio)
        if len(self.value) != 3 or not all(0 <= v <= 255 for v in self.value):
            raise ValueError(f"value is {self.value}; it must be three numbers in 0..255")

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        drawn = draw.uniform(2 * TRIES + 3)
        square = np.ones((len(photos), 1))
        boxes = random_boxes(drawn[:, 1:], square, scale=self.scale, ratio=self.ratio)
        edges = placed((boxes * photos.shape[3]).astype(np.float32), photos)
        left, top, right, bottom = edges[:, :, None, None].unbind(1)
        at = torch.arange(photos.shape[3], device=photos.device) + 0.5
        inside = (at >= left) & (at < right) & (at[:, None] >= top) & (at[:, None] < bottom)
        hit = placed(drawn[:, 0] < self.p, photos)[:, None, None]
        paint = placed(np.array(self.value, np.uint8), photos)
        return torch.where((inside & hit)[:, None], paint[None, :, None, None], photos)


def random_boxes(
    drawn: Float64, shape: Float64, *, scale: Sequence[float], ratio: Sequence[float]
) -> Float64:  # Float64[N, 2 * TRIES + 2], Float64[N, 1] -> Float64[N, 4]
    """Left, top, right, bottom of random parts, as shares of a picture's width and height.

    Args:
        drawn: numbers in [0, 1).
        shape: width / height of the pictures.
        scale: smallest and largest share of the area.
        ratio: narrowest and widest width / height, both drawn evenly in the logarithm.
    """
    area = scale[0] + (scale[1] - scale[0]) * drawn[:, :TRIES]
    thin, wide = (math.log(r) for r in ratio)
    wanted = np.exp(thin + (wide - thin) * drawn[:, TRIES : 2 * TRIES])
    width, height = np.sqrt(area * wanted / shape), np.sqrt(area * shape / wanted)
    fits = (width <= 1) & (height <= 1)
    some, first = fits.any(1, keepdims=True), fits.argmax(1)[:, None]
    # None of the tries fits: the whole picture, but for what its shape has too much.
    nearest = np.clip(shape, ratio[0], ratio[1])
    width, height = (
        np.where(some, np.take_along_axis(tried, first, 1), np.minimum(whole, 1))
        for tried, whole in ((width, nearest / shape), (height, shape / nearest))
    )
    at = np.where(some, drawn[:, 2 * TRIES :], 0.5)
    left, top = at[:, :1] * (1 - width), at[:, 1:] * (1 - height)
    return np.concatenate([left, top, left + width, top + height], axis=1)


def on_some(photos: Tensor, chosen: Bool, change: Change) -> Tensor:
    """Changes the chosen photos (Bool[N]) and leaves the others.

    Args:
        change: called as change(those photos, which: Int64[M]).
    """
    which = np.flatnonzero(chosen)
    if not len(which):
        return photos
    index = placed(which, photos)
    return photos.index_copy(0, index, change(photos.index_select(0, index), which))


class Change(Protocol):
    def __call__(self, photos: Tensor, which: NDArray[np.int64], /) -> Tensor: ...


def amounts(drawn: Float64, photos: Tensor) -> Tensor:  # Float64[N] -> Float32[N]
    """Numbers that were drawn, where the photos are."""
    return placed(drawn.astype(np.float32), photos)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it must be in [0, 1]")


def _check_range(name: str, values: Sequence[float], *, most: float = math.inf) -> None:
    if len(values) != 2 or not 0 < values[0] <= values[1] <= most:
        bound = "" if most == math.inf else f" up to {most:g}"
        raise ValueError(
            f"{name} is {list(values)}; it must be two numbers above 0{bound}, the smaller first"
        )
