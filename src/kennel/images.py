"""The one preprocessing of the house: a photo's bytes become the model's input, for every door.

H x W pixels of the input (both `preprocess.size`). NumPy and Pillow only. Three steps:

    open_photo   bytes -> upright RGB picture, refused before decoding when it is too large
    fit          picture -> UInt8[H, W, 3], by the resize rule
    normalise    UInt8 -> Float32[3, H, W]

Conventions, so that another program can do the same:

    pixels       pixel i covers [i, i + 1); a picture spans [0, width]. Rounding is floor(x + 1/2).
    crop         the short side becomes round(size / crop) pixels and the exact centre, size x size,
                 is kept; it may lie between pixels, and both axes have the same scale.
    letterbox    the long side becomes `size`, the other round(size * short / long), at least 1; of
                 two unequal bars of `fill` the right or lower is a pixel wider.
    squash       the whole photo becomes size x size.
    filter       Pillow's kernels (bilinear; bicubic, a = -0.5; lanczos, 3 lobes), widened by the
                 scale when shrinking (antialiased), weights normalised at the edges; rounded and
                 clipped to 8 bits once, at the end.
    orientation  of EXIF (or XMP, where EXIF says nothing), all eight.
    alpha        laid over `fill`, rounded to 8 bits.
    grey, CMYK   16-bit grey is scaled and rounded to 8 bits, 16-bit colour keeps its upper 8, CMYK
                 becomes RGB as Pillow has it. ICC profiles are ignored: numbers count as sRGB.
    animations   the first frame.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.bundle import Preprocess
from kennel.decoding import (
    MAX_PIXELS,
    PHOTO_SUFFIXES,
    NotAPhotoError,
    PhotoTooLargeError,
    full_size,
    open_photo,
)
from kennel.resizing import resize

__all__ = [
    "MAX_PIXELS",
    "PHOTO_SUFFIXES",
    "NotAPhotoError",
    "PhotoTooLargeError",
    "describe",
    "fit",
    "full_size",
    "kept_share",
    "normalise",
    "open_photo",
    "read_photo",
    "working_short_side",
]

DECODE_MARGIN = 5  # what 1/255 needs: docs/decisions/0002-one-preprocessing.md


def read_photo(source: Path | bytes, preprocess: Preprocess) -> NDArray[np.float32]:
    """A photo as the model's input: `normalise(fit(open_photo(...)))`.

    Within 1/255 (in units of 0..1, before mean and std) of the same resize in float64 on the
    awkward photos of the tests; what scaled decoding of a JPEG may cost stands in decisions/0002.

    Args:
        source: file, or the bytes of one.
        preprocess: the specification, from the bundle.
    Returns: Float32[3, H, W], C-contiguous.
    Raises:
        PhotoError: it cannot be read, or is refused; the message names the file.
    """
    at_least = working_short_side(preprocess)
    image = open_photo(source, at_least=at_least, fill=preprocess.fill)
    return normalise(fit(image, preprocess), preprocess)


def fit(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Brings a picture to the size of the model's input, by the resize rule.

    Args:
        image: mode RGB, as `open_photo` gives it.
    Returns: UInt8[H, W, 3].
    Raises:
        ValueError: another mode.
    """
    if image.mode != "RGB":
        raise ValueError(f"the picture's mode is {image.mode}; open_photo gives RGB")
    size, (width, height) = preprocess.size, image.size
    if preprocess.resize == "squash":
        return resize(image, (size, size), (0, 0, width, height), preprocess.filter)
    if preprocess.resize == "crop":
        side = min(width, height) * size / _resized_short_side(preprocess)
        x, y = (width - side) / 2, (height - side) / 2
        # Only what survives is resized: a photo of 20000 x 1 never becomes 5 million pixels wide.
        return resize(image, (size, size), (x, y, x + side, y + side), preprocess.filter)
    long = max(width, height)
    inner = max(1, _round(size * width / long)), max(1, _round(size * height / long))
    x, y = (size - inner[0]) // 2, (size - inner[1]) // 2
    pixels = np.full((size, size, 3), preprocess.fill, np.uint8)
    pixels[y : y + inner[1], x : x + inner[0]] = resize(
        image, inner, (0, 0, width, height), preprocess.filter
    )
    return pixels


def normalise(pixels: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """(pixel / 255 - mean) / std, channels first.

    A channel's 256 values are worked out in float64 and looked up: each is the nearest float32.

    Args:
        pixels: UInt8[..., H, W, 3].
    Returns: Float32[..., 3, H, W], C-contiguous.
    Raises:
        ValueError: another dtype or shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        found = f"{pixels.dtype}{list(pixels.shape)}"
        raise ValueError(f"pixels are {found}; UInt8[..., H, W, 3] is needed")
    mean, std = np.array(preprocess.mean)[:, None], np.array(preprocess.std)[:, None]
    values = ((np.arange(256) / 255 - mean) / std).astype(np.float32)  # Float32[3, 256]
    out = np.empty((*pixels.shape[:-3], 3, *pixels.shape[-3:-1]), np.float32)
    photos, places = pixels.reshape(-1, *pixels.shape[-3:]), out.reshape(-1, *out.shape[-3:])
    for photo, place in zip(photos, places, strict=True):  # one by one: it stays in the cache
        for channel in range(3):
            # mode="clip" for speed, "raise" would buffer; an 8-bit index cannot leave the table.
            np.take(values[channel], photo[..., channel], out=place[channel], mode="clip")
    return out


def working_short_side(preprocess: Preprocess) -> int:
    """`at_least` of `read_photo`: who opens photos himself passes it too, and gets equal pixels."""
    crop = preprocess.resize == "crop"
    return DECODE_MARGIN * (_resized_short_side(preprocess) if crop else preprocess.size)


def kept_share(width: int, height: int, preprocess: Preprocess) -> float:
    """Share of an upright photo's area that the model sees, 0..1; the crop cuts off the rest."""
    if preprocess.resize != "crop":
        return 1.0
    side = min(width, height) * preprocess.size / _resized_short_side(preprocess)
    return side * side / (width * height)


def describe(preprocess: Preprocess) -> str:
    """The specification in one line of words, for model cards."""
    size, fill = preprocess.size, "rgb({}, {}, {})".format(*preprocess.fill)
    kernel = f"({preprocess.filter}, antialiased)"
    rule = {
        "crop": f"short side to {_resized_short_side(preprocess)} {kernel}, centre {size} x {size}",
        "letterbox": f"whole photo into {size} x {size} {kernel} between bars of {fill}",
        "squash": f"bent to {size} x {size} {kernel}",
    }[preprocess.resize]
    mean, std = (
        ", ".join(f"{v:.4g}" for v in triple) for triple in (preprocess.mean, preprocess.std)
    )
    return (
        f"upright, RGB, transparency over {fill}, {rule}, "
        f"0..1, mean {mean}, std {std}, {preprocess.dtype} {preprocess.layout}"
    )


def _resized_short_side(preprocess: Preprocess) -> int:
    return max(preprocess.size, _round(preprocess.size / preprocess.crop))


def _round(value: float) -> int:
    return math.floor(value + 0.5)
