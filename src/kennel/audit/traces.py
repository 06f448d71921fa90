"""What a photo's metadata gives away: where it was taken, and with which camera. And its size.

EXIF in JPEG, PNG, WebP and TIFF; XMP wherever it lies unpacked in the file; of makers' notes those
that Pillow takes apart (Fujifilm). Only whether something is there is told, never what it is: a
report must not spread what it warns of.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_TURNED = (5, 6, 7, 8)  # orientations that swap width and height
_LATITUDE, _LONGITUDE = 2, 4
_CAMERA_SERIAL_DNG = 0xC62F
_FUJIFILM_SERIAL = 0x0010
_XMP = re.compile(rb"<x:xmpmeta.{0,1000000}?</x:xmpmeta>", re.DOTALL)
_SET = rb"\s*(?:=\s*[\"']\s*[^\"'\s]|>\s*[^<\s])"  # an attribute or an element that is not empty
_XMP_PLACE = re.compile(rb"exif:GPS(?:Latitude|Longitude)" + _SET)
_XMP_SERIAL = re.compile(
    rb"(?:aux|exifEX|exif):(?:(?:Body|Lens|Camera)?SerialNumber)\s*(?:=\s*[\"']|>)\s*([^\"'<]*)"
)


@dataclass(frozen=True)
class Traces:
    """size: width and height in pixels, upright.   place: carries a GPS position.   serial: carries
    a serial number of the camera or the lens.
    """

    size: tuple[int, int]
    place: bool
    serial: bool


def read_traces(content: bytes) -> Traces:
    """Reads the head of a photo that `kennel.images.open_photo` could read; decodes nothing.

    Damaged metadata counts as none: it is common, and no program would find anything in it.
    """
    image = _head(content)
    exif = _exif(image, content)
    xmp = b"".join(_XMP.findall(content)) if b"<x:xmpmeta" in content else b""
    place = bool(_XMP_PLACE.search(xmp)) or _has_place(exif)
    serial = any(map(_says, _XMP_SERIAL.findall(xmp))) or _has_serial(exif)
    width, height = image.size
    # Of a TIFF, Pillow says the upright size itself.
    turned = exif is not None and exif.get(ExifTags.Base.Orientation) in _TURNED
    turned = turned and image.format != "TIFF"
    return Traces((height, width) if turned else (width, height), place, serial)


def _head(content: bytes) -> ImageFile.ImageFile:
    # By the registry and not Image.open, which warns by a limit of its own. Elsewhere a decoder is
    # loaded when its first photo comes: of photos that are all PNG, none for JPEG ever is.
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is None or accepts(content[:16]) is True:
            return factory(io.BytesIO(content), "")
    raise ValueError("the bytes are no photo")


def _exif(image: ImageFile.ImageFile, content: bytes) -> Image.Exif | None:
    # Asked for the EXIF of a PNG that has none, Pillow decodes it all: it might stand at the end.
    if image.format == "PNG" and b"eXIf" not in content and b"Raw profile type" not in content:
        return None
    try:
        return image.getexif()
    except Exception:
        return None


def _ifd(exif: Image.Exif | None, tag: int) -> dict[int, Any]:
    try:
        return {} if exif is None else dict(exif.get_ifd(tag))
    except Exception:
        return {}


def _has_place(exif: Image.Exif | None) -> bool:
    # Many cameras write the directory without a position.
    gps = _ifd(exif, ExifTags.IFD.GPSInfo)
    return all(_is_angle(gps.get(tag)) for tag in (_LATITUDE, _LONGITUDE))


def _is_angle(value: Any) -> bool:
    try:
        return len(value) > 0 and all(float(part) == float(part) for part in value)
    except Exception:
        return False


def _has_serial(exif: Image.Exif | None) -> bool:
    inner = _ifd(exif, ExifTags.IFD.Exif)
    tags = (ExifTags.Base.BodySerialNumber, ExifTags.Base.LensSerialNumber)
    values = [inner.get(tag) for tag in tags]
    if exif is not None:
        values.append(exif.get(_CAMERA_SERIAL_DNG))
    # Pillow takes a maker's note apart only where it knows the maker, and else gives none.
    values.append(_ifd(exif, ExifTags.IFD.MakerNote).get(_FUJIFILM_SERIAL))
    return any(map(_says, values))


def _says(value: Any) -> bool:
    """Whether a serial number is one: cameras without one write zeros or blanks."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, tuple):
        value = "".join(map(str, value))
    return value is not None and bool(str(value).strip("\0 0-."))
