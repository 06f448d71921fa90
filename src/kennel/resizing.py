"""Resizing by Pillow's kernels, exactly: the same 8 bits on every machine.

Both passes are products with banded matrices, which is what processors do fastest. Floats carry
only whole numbers in them: weights are multiples of 2**-15 down the rows and of 2**-24 across, so
each sum of the first pass is a whole number below 2**24, which float32 holds, and of the second
below 2**53, which float64 holds. No order of adding, no library and no thread can then change a
bit, and what is rounded at the end, floor(x + 1/2), is rounded once.
docs/decisions/0002-one-preprocessing.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUPPORT = {"bilinear": 1, "bicubic": 2, "lanczos": 3}  # pixels of the smaller scale, either way

_DOWN_BITS, _ACROSS_BITS = 15, 24
_STRIP_PIXELS = 1 << 19  # of the photo at once: no memory comes new from the system for them
_ALONE = 1 << 18  # multiplications of one product: libraries start no threads for so few
_SLANT = 4  # a picture so much longer than what is asked for is shrunk along its length first

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of its picture


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a matrix of weights, and the only columns in which they are not zero.

    Rows are pixels asked for, from `at` on; columns those of the photo from `first` to `last`.
    """

    at: int
    first: int
    last: int
    weights: NDArray[np.floating[Any]]  # Float[rows, last - first], whole numbers

    @property
    def end(self) -> int:
        return self.at + len(self.weights)


def resize(image: Image.Image, size: tuple[int, int], box: Box, kernel: str) -> NDArray[np.uint8]:
    """Brings the part of a picture in `box` to `size`; pixels around the box count for its edges.

    Args:
        image: mode RGB.
        size: width and height asked for, in pixels.
        box: within the picture; its corners may lie between pixels.
        kernel: of `SUPPORT`; widened by the scale where that shrinks (antialiased).
    Returns: UInt8[size[1], size[0], 3].
    """
    left, top, right, bottom = box
    if (right - left) * size[1] > _SLANT * (bottom - top) * size[0]:
        # Rows first would keep all columns: of 60000 x 300 to 224 x 224 that is 224 x 60000.
        turned = image.transpose(Image.Transpose.TRANSPOSE)
        return resize(turned, size[::-1], (top, left, bottom, right), kernel).transpose(1, 0, 2)
    down = bands((top, bottom), size[1], image.height, kernel, _DOWN_BITS)
    across = bands((left, right), size[0], image.width, kernel, _ACROSS_BITS)
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    for strip in _strips(down, image.width):
        narrow = _down(image, strip, (across[0].first, across[-1].last))
        pixels[strip[0].at : strip[-1].end] = _across(narrow, across)
    return pixels


@lru_cache(maxsize=64)
def bands(
    span: tuple[float, float], size: int, limit: int, kernel: str, bits: int
) -> tuple[Band, ...]:
    """The matrix that brings a span of a line of `limit` pixels to `size` pixels.

    Args:
        bits: weights are multiples of 2**-bits, given times 2**bits; each row of them adds up to
            2**bits exactly, so that one colour stays one colour.
    Returns: Float32 where a sum of 8-bit pixels fits into that, else Float64.
    """
    low, high = span
    scale = (high - low) / size
    wide = max(1.0, scale)
    centres = low + (np.arange(size) + 0.5) * scale
    reach = SUPPORT[kernel] * wide
    first = np.maximum(np.floor(centres - reach + 0.5), 0).astype(np.intp)
    last = np.minimum(np.floor(centres + reach + 0.5), limit).astype(np.intp)
    taps = first[:, None] + np.arange((last - first).max())
    weights = _KERNELS[kernel]((taps + 0.5 - centres[:, None]) / wide)
    weights[taps >= last[:, None]] = 0
    upto = np.cumsum(weights, axis=1)
    # Sums are rounded, not weights: their errors cannot add up, and the last is 2**bits itself.
    whole = np.diff(np.floor(upto / upto[:, -1:] * 2.0**bits + 0.5), axis=1, prepend=0)
    dtype = np.float32 if bits <= _DOWN_BITS else np.float64
    tall = max(4, min(16, int(32 / scale)))  # neither many products nor many zeros in them
    found = []
    for at in range(0, size, tall):
        rows = range(at, min(at + tall, size))
        start, stop = int(first[at]), int(last[rows[-1]])
        matrix = np.zeros((len(rows), stop - start), dtype)
        for row, line in zip(rows, matrix, strict=True):
            line[first[row] - start : last[row] - start] = whole[row, : last[row] - first[row]]
        found.append(Band(at, start, stop, matrix))
    return tuple(found)


def _down(
    image: Image.Image, strip: Sequence[Band], columns: tuple[int, int]
) -> NDArray[np.float32]:
    """The first pass: Float32[3, rows of the strip, columns], times 2**_DOWN_BITS."""
    first, last = columns
    at, top = strip[0].at, strip[0].first
    part = image.crop((first, top, last, strip[-1].last))
    pixels = np.stack([np.asarray(channel) for channel in part.split()])
    narrow = np.empty((3, strip[-1].end - at, last - first), np.float32)
    for band in strip:
        rows = pixels[:, band.first - top : band.last - top].astype(np.float32)
        _multiply(band.weights, rows, narrow[:, band.at - at : band.end - at])
    return narrow


def _across(narrow: NDArray[np.float32], across: Sequence[Band]) -> NDArray[np.uint8]:
    """The second pass and the rounding: UInt8[rows, columns asked for, 3]."""
    rows, size, first = narrow.shape[1], across[-1].end, across[0].first
    columns = narrow.reshape(3 * rows, -1).astype(np.float64).T
    sums = np.empty((size, 3 * rows))
    for band in across:
        part = columns[band.first - first : band.last - first]
        _multiply(band.weights, part, sums[band.at : band.end])
    sums += 2.0 ** (_DOWN_BITS + _ACROSS_BITS - 1)
    sums *= 2.0 ** -(_DOWN_BITS + _ACROSS_BITS)
    whole = np.clip(sums, 0, 255, out=sums).astype(np.uint8)  # floors what is not below 0
    return whole.reshape(size, 3, rows).transpose(2, 0, 1)


def _strips(down: Sequence[Band], width: int) -> Iterator[Sequence[Band]]:
    """Bands whose rows of the photo are about _STRIP_PIXELS together; one band at least."""
    begin = 0
    for end in range(1, len(down) + 1):
        full = end == len(down) or (down[end].last - down[begin].first) * width > _STRIP_PIXELS
        if full:
            yield down[begin:end]
            begin = end


def _multiply(
    weights: NDArray[np.floating[Any]], rows: NDArray[Any], out: NDArray[np.floating[Any]]
) -> None:
    """weights @ rows, in products so small that each is one thread's: photos go side by side."""
    step = max(16, _ALONE // weights.size)
    for x in range(0, rows.shape[-1], step):
        np.matmul(weights, rows[..., x : x + step], out=out[..., x : x + step])


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = np.maximum(1 - np.abs(x), 0)
    return weight


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's cubic with a = -1/2, as Pillow has it."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    lobes: NDArray[np.float64] = np.sinc(x) * np.sinc(x / 3)
    return np.where(np.abs(x) < 3, lobes, 0.0)


_KERNELS = {"bilinear": _bilinear, "bicubic": _bicubic, "lanczos": _lanczos}
