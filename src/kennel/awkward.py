"""Photos that preprocessings get wrong, drawn afresh and the same every time. NumPy and Pillow.

Every way up, every colour mode, transparency, animations, slivers: export compares on them what
each format answers, and the tests send the same ones through every door.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112
# How a camera held that way stores an upright scene: the opposite of what a viewer must do.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def awkward_photos(folder: Path) -> dict[str, Path]:
    """Writes the awkward photos into `folder` and returns them by name. All can be read."""
    return written(folder, _plain() | _odd_modes() | _odd_sizes())


def written(folder: Path, photos: dict[str, bytes]) -> dict[str, Path]:
    """Writes files into `folder`, which is made, and returns them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in photos.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in photos}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a picture as a file of Pillow's `kind`, such as "JPEG"."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(width: int, height: int) -> Image.Image:
    """Slopes of colour, a dark bar above, a bright one left, grain: no two ways up look alike."""
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y / height, x / width
    grain = np.random.default_rng(width * 7 + height).normal(0, 6, (height, width))
    pixels = np.stack([40 + 180 * x, 60 + 150 * y, 200 - 120 * x * y], axis=-1) + grain[..., None]
    pixels[y < 0.15] = (20, 30, 60)
    pixels[(x < 0.1) & (y > 0.2)] = (250, 240, 20)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _plain() -> dict[str, bytes]:
    """Every kind of file and every way up, 96 x 70 pixels when upright."""
    picture = scene(96, 70)
    photos: dict[str, bytes] = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = picture.transpose(STORED[orientation]) if orientation in STORED else picture
        photos[f"exif_{orientation}.jpg"] = saved(stored, "JPEG", quality=95, exif=exif)
        photos[f"exif_{orientation}.png"] = saved(stored, "PNG", exif=exif)
        tags = {ORIENTATION: orientation}
        photos[f"exif_{orientation}.tif"] = saved(stored, "TIFF", tiffinfo=tags)
    photos["exif_damaged.jpg"] = saved(picture, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1")
    photos["tiff_lzw.tif"] = saved(picture, "TIFF", compression="tiff_lzw")
    photos["bmp.bmp"] = saved(picture, "BMP")
    photos["webp.webp"] = saved(picture, "WEBP", quality=90)
    photos["progressive.jpg"] = saved(picture, "JPEG", progressive=True)
    photos["wrong_suffix.png"] = saved(picture, "JPEG", quality=95)
    return photos


def _odd_modes() -> dict[str, bytes]:
    picture = scene(96, 70)
    rgba = picture.copy()
    rgba.putalpha(_ramp(96, 70))
    palette = picture.quantize(64)
    deep = np.linspace(0, 65535, 80 * 60).reshape(60, 80).astype(np.uint16)
    photos: dict[str, bytes] = {}
    photos["grey.jpg"] = saved(picture.convert("L"), "JPEG")
    photos["grey_alpha.png"] = saved(rgba.convert("LA"), "PNG")
    photos["grey_clear_level.png"] = saved(picture.convert("L"), "PNG", transparency=200)
    photos["bilevel.png"] = saved(picture.convert("1"), "PNG")
    photos["grey_16.png"] = saved(Image.fromarray(deep), "PNG")
    photos["grey_16.tif"] = saved(Image.fromarray(deep), "TIFF")
    photos["grey_32.tif"] = saved(Image.fromarray(deep.astype(np.int32)), "TIFF")
    photos["rgb_16.png"] = _png_of_16_bits(np.asarray(picture))

    photos["palette.png"] = saved(palette, "PNG")
    photos["palette_one_clear.png"] = saved(palette, "PNG", transparency=3)
    photos["palette_alpha.png"] = saved(palette, "PNG", transparency=bytes(range(0, 256, 4)))
    photos["palette.gif"] = saved(palette, "GIF")
    photos["palette_one_clear.gif"] = saved(palette, "GIF", transparency=3)
    photos["alpha.png"] = saved(rgba, "PNG")
    photos["alpha.webp"] = saved(rgba, "WEBP", lossless=True)
    photos["clear_colour.png"] = saved(
        Image.new("RGB", (20, 30), (9, 200, 30)), "PNG", transparency=(9, 200, 30)
    )

    later = [Image.new("RGB", picture.size, colour) for colour in ("red", "blue")]
    photos["animated.gif"] = saved(picture, "GIF", save_all=True, append_images=later)
    photos["animated.webp"] = saved(
        picture, "WEBP", save_all=True, append_images=later, lossless=True
    )

    cmyk = saved(picture.convert("CMYK"), "JPEG", quality=95)
    photos["cmyk.tif"] = saved(picture.convert("CMYK"), "TIFF")
    photos["cmyk_adobe.jpg"] = cmyk
    photos["ycck_adobe.jpg"] = _with_adobe_transform(cmyk, 2)
    return photos


def _odd_sizes() -> dict[str, bytes]:
    photos: dict[str, bytes] = {}
    photos["pixel.png"] = saved(Image.new("RGB", (1, 1), (200, 100, 50)), "PNG")
    photos["sliver.png"] = saved(scene(2, 300), "PNG")
    photos["wide.png"] = saved(scene(20_000, 1), "PNG")
    photos["tall.png"] = saved(scene(1, 20_000), "PNG")
    photos["stripes.png"] = saved(_stripes(300, 240), "PNG")
    return photos


def _stripes(width: int, height: int) -> Image.Image:
    """Slanting black stripes on white: where filters overshoot, and 8-bit arithmetic clips."""
    y, x = np.mgrid[:height, :width]
    black = ((x + y) // 5 % 2 == 0) ^ (x * x + y * y < 100**2)
    return Image.fromarray(np.where(black[..., None], 0, 255).repeat(3, axis=2).astype(np.uint8))


def _ramp(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))


def _png_of_16_bits(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB PNG of 16 bits a channel; Pillow writes none."""
    deep = pixels.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = (
        png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _with_adobe_transform(jpeg: bytes, transform: int) -> bytes:
    """The same JPEG with another colour transform in its Adobe segment: 0 CMYK, 2 YCCK."""
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]
