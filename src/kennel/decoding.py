"""A photo's bytes -> an upright RGB picture, refused before decoding when it is too large.

The first bytes decide what a file is, never its name. What each kind of picture becomes stands in
`kennel.images`, which is where everybody reads photos from.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from kennel.errors import PhotoError

PHOTO_SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 100_000_000
_FULL_SIZE = "full_size"
MAX_SIDE = 65_535  # the longest a JPEG can be; a PNG one pixel wide could claim two billion rows


@dataclass(frozen=True)
class _Format:
    """Which class opens it, and how its files begin: at `start`, with one of `beginnings`."""

    module: str
    opener: str
    beginnings: tuple[bytes, ...]
    start: int = 0

    def begins(self, prefix: bytes) -> bool:
        return prefix[self.start :].startswith(self.beginnings)

    def load(self) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
        opener: Callable[[IO[bytes]], ImageFile.ImageFile]
        opener = getattr(importlib.import_module(self.module), self.opener)
        return opener


# Opened by class and not by Image.open: that warns by a limit of its own, and silencing it would
# change the warning filters of every thread. The first bytes decide, never the name of the file.
# A class is imported when its first file comes: who answers one JPEG waits for no other decoder.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_FORMATS = {
    "JPEG": _Format("PIL.JpegImagePlugin", "JpegImageFile", (b"\xff\xd8\xff",)),
    "PNG": _Format("PIL.PngImagePlugin", "PngImageFile", (b"\x89PNG\r\n\x1a\n",)),
    "WebP": _Format(
        "PIL.WebPImagePlugin", "WebPImageFile", (b"WEBPVP8 ", b"WEBPVP8L", b"WEBPVP8X"), 8
    ),
    "GIF": _Format("PIL.GifImagePlugin", "GifImageFile", (b"GIF87a", b"GIF89a")),
    "BMP": _Format("PIL.BmpImagePlugin", "BmpImageFile", (b"BM",)),
    "TIFF": _Format(
        "PIL.TiffImagePlugin", "TiffImageFile", (b"MM\0*", b"II*\0", b"MM\0+", b"II+\0")
    ),
    "HEIC": _Format(
        "pillow_heif", "HeifImageFile", tuple(b"ftyp" + brand for brand in _HEIF_BRANDS), 4
    ),
}
FORMATS = tuple(_FORMATS)


class NotAPhotoError(PhotoError):
    """The bytes are no picture of a kind that is read."""


class PhotoTooLargeError(PhotoError):
    """The header says more pixels than are allowed; nothing was decoded."""


def open_photo(
    source: Path | bytes,
    *,
    at_least: int | None = None,
    fill: tuple[int, int, int] = (128, 128, 128),
    max_pixels: int = MAX_PIXELS,
    formats: Collection[str] = FORMATS,
) -> Image.Image:
    """Opens a photo as it is meant to be seen: upright, RGB, decoded.

    Args:
        source: file, or the bytes of one.
        at_least: pixels that the short side must keep, >= 1; a JPEG may then come out at 1/2, 1/4
            or 1/8 of its size, which is faster. None: full size.
        fill: colour behind transparency, 0..255.
        max_pixels: width times height beyond which the photo is refused before it is decoded.
        formats: of FORMATS, those that are read.
    Raises:
        NotAPhotoError: no picture of a kind that is read.
        PhotoTooLargeError: too many pixels.
        PhotoError: missing, empty, cut off, damaged, or in a colour mode that has no one meaning.
    """
    name = "the photo" if isinstance(source, bytes) else str(source)
    with ExitStack() as stack:
        file = stack.enter_context(_open(source, name))
        opener = _recognise(file, name, formats)
        try:
            image = stack.enter_context(opener(file))
            _check_size(image.size, max_pixels, name)
            size = image.size
            _decode(image, at_least)
            orientation = _orientation(image)  # a PNG may say it after its pixels
            upright = _upright(_to_rgb(image, fill, name), orientation)
            # Only pixels travel on: EXIF would turn them twice, and transparency is used up.
            upright.info = {_FULL_SIZE: size[::-1] if orientation > 4 else size}
            return upright
        except PhotoError:
            raise
        # Whatever is raised, the file is at fault: on hostile bytes Pillow's decoders raise
        # OSError, SyntaxError, struct.error, IndexError, zlib.error, MemoryError and more.
        except Exception as error:
            raise PhotoError(
                f"{name} cannot be decoded: {_in_words(error)}.",
                fix="copy or save the photo again, or leave it out",
            ) from error


def full_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the photo that `open_photo` opened, upright, in pixels: it may have
    decoded it at a part of that.
    """
    width, height = image.info[_FULL_SIZE]
    return width, height


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


def _recognise(
    file: IO[bytes], name: str, formats: Collection[str]
) -> Callable[[IO[bytes]], ImageFile.ImageFile]:
    try:
        prefix = file.read(16)
        file.seek(0)
    except OSError as error:
        raise PhotoError(f"{name} cannot be read: {error}.", fix="copy the file again") from error
    if not prefix:
        raise PhotoError(f"{name} is empty.", fix="copy the photo again, or leave it out")
    for kind, known in _FORMATS.items():
        if kind in formats and known.begins(prefix):
            try:
                return known.load()
            except ModuleNotFoundError as error:
                raise NotAPhotoError(
                    f"{name} is a {kind} file, and {error.name} is not installed.",
                    fix="pip install 'kennel-ml[heic]', or save it as JPEG",
                ) from error
    *names, last = (kind for kind in FORMATS if kind in formats)
    raise NotAPhotoError(
        f"{name} is not a photo: its first bytes are not those of {', '.join(names)} or {last}.",
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
    if at_least is not None and image.format == "JPEG":
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
    tags = getattr(image, "tag_v2", {})  # of a TIFF
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
    return image


def _in_words(error: Exception) -> str:
    text = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "it is cut off, its data ends early"
    return f"its data is damaged ({text})"
