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
                 scale when shrinking (antialiased), weights normalised at the edges; both passes
                 in float, rounded and clipped to 8 bits once, at the end.
    orientation  of EXIF (or XMP, where EXIF says nothing), all eight.
    alpha        laid over `fill`, rounded to 8 bits.
    grey, CMYK   16-bit grey is scaled and rounded to 8 bits, 16-bit colour keeps its upper 8, CMYK
                 becomes RGB as Pillow has it. ICC profiles are ignored: numbers count as sRGB.
    animations   the first frame.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin as Bmp
from PIL import ExifTags, Image, ImageFile
from PIL import GifImagePlugin as Gif
from PIL import JpegImagePlugin as Jpeg
from PIL import PngImagePlugin as Png
from PIL import TiffImagePlugin as Tiff
from PIL import WebPImagePlugin as WebP

from kennel.bundle import Preprocess
from kennel.errors import PhotoError

PHOTO_SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535  # the longest a JPEG can be; a PNG one pixel wide could claim two billion rows
DECODE_MARGIN = 5  # what 1/255 needs: docs/decisions/0002-one-preprocessing.md

# Opened by class and not by Image.open: that warns by a limit of its own, and silencing it would
# change the warning filters of every thread. The first bytes decide, never the name of the file.
_FORMATS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    "JPEG": Jpeg.JpegImageFile,
    "PNG": Png.PngImageFile,
    "WEBP": WebP.WebPImageFile,
    "GIF": Gif.GifImageFile,
    "BMP": Bmp.BmpImageFile,
    "TIFF": Tiff.TiffImageFile,
}
_FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP or TIFF"
_FILTERS = {
    "bilinear": (Image.Resampling.BILINEAR, 1),
    "bicubic": (Image.Resampling.BICUBIC, 2),
    "lanczos": (Image.Resampling.LANCZOS, 3),
}
_STRIP_PIXELS = 1 << 18  # of one channel in float: 1 MiB, stays in the second-level cache

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of its picture


class NotAPhotoError(PhotoError):
    """The bytes are no picture of a kind that is read."""


class PhotoTooLargeError(PhotoError):
    """The header says more pixels than are allowed; nothing was decoded."""


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


def open_photo(
    source: Path | bytes,
    *,
    at_least: int | None = None,
    fill: tuple[int, int, int] = (128, 128, 128),
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Opens a photo as it is meant to be seen: upright, RGB, decoded.

    Args:
        source: file, or the bytes of one.
        at_least: pixels that the short side must keep, >= 1; a JPEG may then come out at 1/2, 1/4
            or 1/8 of its size, which is faster. None: full size.
        fill: colour behind transparency, 0..255.
        max_pixels: width times height beyond which the photo is refused before it is decoded.
    Raises:
        NotAPhotoError: no picture of a kind that is read.
        PhotoTooLargeError: too many pixels.
        PhotoError: missing, empty, cut off, damaged, or in a colour mode that has no one meaning.
    """
    name = "the photo" if isinstance(source, bytes) else str(source)
    with ExitStack() as stack:
        file = stack.enter_context(_open(source, name))
        opener = _recognise(file, name)
        try:
            image = stack.enter_context(opener(file))
            _check_size(image.size, max_pixels, name)
            _decode(image, at_least)
            return _upright(_to_rgb(image, fill, name), _orientation(image))
        except PhotoError:
            raise
        # Whatever is raised, the file is at fault: on hostile bytes Pillow's decoders raise
        # OSError, SyntaxError, struct.error, IndexError, zlib.error, MemoryError and more.
        except Exception as error:
            raise PhotoError(
                f"{name} cannot be decoded: {_in_words(error)}.",
                fix="copy or save the photo again, or leave it out",
            ) from error


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
        return _resize(image, (size, size), (0, 0, width, height), preprocess)
    if preprocess.resize == "crop":
        side = min(width, height) * size / _resized_short_side(preprocess)
        x, y = (width - side) / 2, (height - side) / 2
        # Only what survives is resized: a photo of 20000 x 1 never becomes 5 million pixels wide.
        return _resize(image, (size, size), (x, y, x + side, y + side), preprocess)
    long = max(width, height)
    inner = max(1, _round(size * width / long)), max(1, _round(size * height / long))
    x, y = (size - inner[0]) // 2, (size - inner[1]) // 2
    pixels = np.full((size, size, 3), preprocess.fill, np.uint8)
    pixels[y : y + inner[1], x : x + inner[0]] = _resize(
        image, inner, (0, 0, width, height), preprocess
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


def _open(source: Path | bytes, name: str) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist.", fix="check the path") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{name} is a folder, not a photo.", fix="name a file in it") from error
    except (OSError, ValueError) as error:
        raise PhotoError(
            f"{name} cannot be opened: {error}.", fix="check the path and its permissions"
        ) from error


def _recognise(file: IO[bytes], name: str) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
    try:
        prefix = file.read(16)
        file.seek(0)
    except OSError as error:
        raise PhotoError(f"{name} cannot be read: {error}.", fix="copy the file again") from error
    if not prefix:
        raise PhotoError(f"{name} is empty.", fix="copy the photo again, or leave it out")
    for kind, opener in _FORMATS.items():
        accepts = Image.OPEN[kind][1]
        if accepts is None or accepts(prefix) is True:
            return opener
    raise NotAPhotoError(
        f"{name} is not a photo: its first bytes are not those of {_FORMAT_NAMES}.",
        fix="save it as JPEG or PNG, or leave it out",
    )


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise PhotoError(f"{name} has no pixels: {width} x {height}.", fix="leave it out")
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise PhotoTooLargeError(
            f"{name} is {width} x {height} pixels; at most {max_pixels / 1e6:g} million, "
            f"and {MAX_SIDE} a side, are read.",
            fix="make it smaller first; 4000 pixels on the long side are plenty",
        )


def _decode(image: ImageFile.ImageFile, at_least: int | None) -> None:
    """Decodes in place; a JPEG at the smallest scale that keeps `at_least` on the short side."""
    if at_least is not None and isinstance(image, Jpeg.JpegImageFile):
        width, height = image.size
        scale = 1
        # Only scales that divide both sides, as they do those of cameras: otherwise the last column
        # would be part photo, part padding (1.7/255 off at that edge).
        while (
            scale < 8
            and min(width, height) >= 2 * scale * at_least
            and width % (2 * scale) == height % (2 * scale) == 0
        ):
            scale *= 2
        if scale > 1:
            image.draft(image.mode, (width // scale, height // scale))
    image.load()


def _orientation(image: ImageFile.ImageFile) -> int:
    # Damaged EXIF is common and says nothing about the pixels.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _to_rgb(image: Image.Image, fill: tuple[int, int, int], name: str) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        return _grey_to_8_bits(image, fill, name)
    if image.mode == "F":
        raise PhotoError(
            f"{name} holds fractions (32-bit float), whose black and white are not known.",
            fix="save it with 8 or 16 bits a channel",
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    # By way of RGBA: transparency may be a channel, a colour, a palette index or a byte a colour.
    rgba = image.convert("RGBA")
    rgb = Image.new("RGB", rgba.size, fill)
    rgb.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return rgb


def _grey_to_8_bits(image: Image.Image, fill: tuple[int, int, int], name: str) -> Image.Image:
    values = np.asarray(image)  # UInt16[h, w], or Int32[h, w]
    tags = image.tag_v2 if isinstance(image, Tiff.TiffImageFile) else {}
    bits = tags.get(258, (16,))[0] if image.mode != "I" else 16  # a TIFF may use 12 of the 16
    white = (1 << bits) - 1
    if values.min() < 0 or values.max() > white:
        raise PhotoError(
            f"{name} has grey levels from {values.min()} to {values.max()}; 0 to {white} are read.",
            fix="save it with 8 or 16 bits a channel",
        )
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        rgb[values == clear] = fill
    return Image.fromarray(rgb)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    if method is not None:
        image = image.transpose(method)
    # Only pixels travel on: EXIF would turn them twice, and transparency is used up.
    image.info = {}
    return image


def _resize(
    image: Image.Image, size: tuple[int, int], box: Box, preprocess: Preprocess
) -> NDArray[np.uint8]:
    """Resizes the part of the picture in `box` to UInt8[size[1], size[0], 3].

    In float, because Pillow's 8-bit resize rounds and clips between its two passes: 22/255 off on
    slanting black stripes. In strips, so that a large photo's float copy never exists whole.
    """
    left, top, right, bottom = box
    if right - left < size[0] and bottom - top > size[1]:
        # Between the passes 1 x 60000 would be 224 x 60000: shrink the long side first.
        turned = image.transpose(Image.Transpose.TRANSPOSE)
        turned_box = (top, left, bottom, right)
        return _resize(turned, size[::-1], turned_box, preprocess).transpose(1, 0, 2)
    kernel, support = _FILTERS[preprocess.filter]
    first_x, last_x = _reach(left, right, size[0], support, image.width)
    first_y, last_y = _reach(top, bottom, size[1], support, image.height)
    rows = max(1, _STRIP_PIXELS // (last_x - first_x))
    across = (max(0.0, left - first_x), min(right, last_x) - first_x)
    narrow = np.empty((3, last_y - first_y, size[0]), np.float32)
    for y in range(first_y, last_y, rows):
        strip = image.crop((first_x, y, last_x, min(y + rows, last_y)))
        box_x = (across[0], 0, across[1], strip.height)
        for channel, band in enumerate(strip.split()):
            part = band.convert("F").resize((size[0], strip.height), kernel, box_x)
            narrow[channel, y - first_y : y - first_y + strip.height] = np.asarray(part)
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    box_y = (0, max(0.0, top - first_y), size[0], min(bottom, last_y) - first_y)
    for channel in range(3):
        band = Image.fromarray(narrow[channel]).resize(size, kernel, box_y)
        pixels[..., channel] = np.clip(np.floor(np.asarray(band) + 0.5), 0, 255)
    return pixels


def _reach(low: float, high: float, size: int, support: int, limit: int) -> tuple[int, int]:
    """First pixel, and the one after the last, that the filter needs to bring low..high to size."""
    reach = support * max(1.0, (high - low) / size) + 1
    return max(0, math.floor(low - reach)), min(limit, math.ceil(high + reach))


def _resized_short_side(preprocess: Preprocess) -> int:
    return max(preprocess.size, _round(preprocess.size / preprocess.crop))


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _in_words(error: Exception) -> str:
    text = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "it is cut off, its data ends early"
    return f"its data is damaged ({text})"
