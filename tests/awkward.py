"""Photos that preprocessings get wrong, drawn afresh and the same every time.

`awkward_photos(folder)` writes them all; every door of the house is sent the same ones.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

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
    """Writes the awkward photos into `folder` and returns them by name.

    All can be read; `broken_photos` are those that cannot.
    """
    return _written(folder, _plain() | _odd_modes() | _odd_sizes())


def broken_photos(folder: Path) -> dict[str, Path]:
    """Writes files that must be refused, and returns them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = _scene(96, 70)
    whole = {kind: _saved(scene, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")}
    photos = {f"cut_off.{kind.lower()}": data[: len(data) // 2] for kind, data in whole.items()}
    photos |= {f"header_only.{kind.lower()}": data[:16] for kind, data in whole.items()}
    photos["text.jpg"] = b"This is not a photo.\n" * 20
    photos["page.png"] = b"<!doctype html><title>404</title>"
    photos["empty.jpg"] = b""
    photos["zeros.jpg"] = bytes(4096)
    photos["damaged.png"] = whole["PNG"][:60] + bytes(200) + whole["PNG"][260:]
    photos["float.tif"] = _saved(Image.new("F", (5, 5), 0.5), "TIFF")
    photos["grey_32_deep.tif"] = _saved(Image.new("I", (5, 5), 1_000_000), "TIFF")
    photos["bomb.png"] = _png_header(12_000, 12_000)
    photos["long.png"] = _png_header(1, 90_000_000)
    photos["bomb.jpg"] = _with_jpeg_size(whole["JPEG"], 65_000, 65_000)
    photos["heic.heic"] = b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(100)
    (folder / "folder.jpg").mkdir(exist_ok=True)
    return _written(folder, photos) | {
        "folder.jpg": folder / "folder.jpg",
        "missing.jpg": folder / "missing.jpg",
    }


def _plain() -> dict[str, bytes]:
    """Every kind of file and every way up, 96 x 70 pixels when upright."""
    scene = _scene(96, 70)
    photos: dict[str, bytes] = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        stored = scene.transpose(STORED[orientation]) if orientation in STORED else scene
        photos[f"exif_{orientation}.jpg"] = _saved(stored, "JPEG", quality=95, exif=exif)
        photos[f"exif_{orientation}.png"] = _saved(stored, "PNG", exif=exif)
        tags = {ORIENTATION: orientation}
        photos[f"exif_{orientation}.tif"] = _saved(stored, "TIFF", tiffinfo=tags)
    photos["exif_damaged.jpg"] = _saved(scene, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1")
    photos["tiff_lzw.tif"] = _saved(scene, "TIFF", compression="tiff_lzw")
    photos["bmp.bmp"] = _saved(scene, "BMP")
    photos["webp.webp"] = _saved(scene, "WEBP", quality=90)
    photos["progressive.jpg"] = _saved(scene, "JPEG", progressive=True)
    photos["wrong_suffix.png"] = _saved(scene, "JPEG", quality=95)
    return photos


def _odd_modes() -> dict[str, bytes]:
    scene = _scene(96, 70)
    rgba = scene.copy()
    rgba.putalpha(_ramp(96, 70))
    palette = scene.quantize(64)
    deep = np.linspace(0, 65535, 80 * 60).reshape(60, 80).astype(np.uint16)
    photos: dict[str, bytes] = {}
    photos["grey.jpg"] = _saved(scene.convert("L"), "JPEG")
    photos["grey_alpha.png"] = _saved(rgba.convert("LA"), "PNG")
    photos["grey_clear_level.png"] = _saved(scene.convert("L"), "PNG", transparency=200)
    photos["bilevel.png"] = _saved(scene.convert("1"), "PNG")
    photos["grey_16.png"] = _saved(Image.fromarray(deep), "PNG")
    photos["grey_16.tif"] = _saved(Image.fromarray(deep), "TIFF")
    photos["grey_32.tif"] = _saved(Image.fromarray(deep.astype(np.int32)), "TIFF")
    photos["rgb_16.png"] = _png_of_16_bits(np.asarray(scene))

    photos["palette.png"] = _saved(palette, "PNG")
    photos["palette_one_clear.png"] = _saved(palette, "PNG", transparency=3)
    photos["palette_alpha.png"] = _saved(palette, "PNG", transparency=bytes(range(0, 256, 4)))
    photos["palette.gif"] = _saved(palette, "GIF")
    photos["palette_one_clear.gif"] = _saved(palette, "GIF", transparency=3)
    photos["alpha.png"] = _saved(rgba, "PNG")
    photos["alpha.webp"] = _saved(rgba, "WEBP", lossless=True)
    photos["clear_colour.png"] = _saved(
        Image.new("RGB", (20, 30), (9, 200, 30)), "PNG", transparency=(9, 200, 30)
    )

    later = [Image.new("RGB", scene.size, colour) for colour in ("red", "blue")]
    photos["animated.gif"] = _saved(scene, "GIF", save_all=True, append_images=later)
    photos["animated.webp"] = _saved(
        scene, "WEBP", save_all=True, append_images=later, lossless=True
    )

    cmyk = _saved(scene.convert("CMYK"), "JPEG", quality=95)
    photos["cmyk.tif"] = _saved(scene.convert("CMYK"), "TIFF")
    photos["cmyk_adobe.jpg"] = cmyk
    photos["ycck_adobe.jpg"] = _with_adobe_transform(cmyk, 2)
    return photos


def _odd_sizes() -> dict[str, bytes]:
    huge = _large_scene(3648, 2736)
    photos: dict[str, bytes] = {}
    photos["pixel.png"] = _saved(Image.new("RGB", (1, 1), (200, 100, 50)), "PNG")
    photos["sliver.png"] = _saved(_scene(2, 300), "PNG")
    photos["wide.png"] = _saved(_scene(20_000, 1), "PNG")
    photos["tall.png"] = _saved(_scene(1, 20_000), "PNG")
    photos["stripes.png"] = _saved(_stripes(300, 240), "PNG")
    photos["huge.jpg"] = _saved(huge, "JPEG", quality=90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photos["huge_turned.jpg"] = _saved(huge.crop((0, 0, 3640, 2736)), "JPEG", quality=90, exif=exif)
    return photos


def _written(folder: Path, photos: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in photos.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in photos}


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _scene(width: int, height: int) -> Image.Image:
    """Slopes of colour, a dark bar above, a bright one left, grain: no two ways up look alike."""
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y / height, x / width
    grain = np.random.default_rng(width * 7 + height).normal(0, 6, (height, width))
    pixels = np.stack([40 + 180 * x, 60 + 150 * y, 200 - 120 * x * y], axis=-1) + grain[..., None]
    pixels[y < 0.15] = (20, 30, 60)
    pixels[(x < 0.1) & (y > 0.2)] = (250, 240, 20)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _stripes(width: int, height: int) -> Image.Image:
    """Slanting black stripes on white: where filters overshoot, and 8-bit arithmetic clips."""
    y, x = np.mgrid[:height, :width]
    black = ((x + y) // 5 % 2 == 0) ^ (x * x + y * y < 100**2)
    return Image.fromarray(np.where(black[..., None], 0, 255).repeat(3, axis=2).astype(np.uint8))


def _large_scene(width: int, height: int) -> Image.Image:
    """The texture of a camera's photo: all octaves carry alike, the finest softened by the lens."""
    rng = np.random.default_rng(12)
    light = np.full((2, 2), 120, np.float32)
    for step in (
        512,
        256,
        128,
        64,
        32,
        16,
        8,
        4,
        1,
    ):  # an octave at a time: the waves before, and new ones
        grid = (-(-width // step), -(-height // step))
        light = np.asarray(Image.fromarray(light).resize(grid, Image.Resampling.BICUBIC))
        if step > 1:
            light = light + rng.normal(0, 12, light.shape).astype(np.float32)
    tint = rng.normal(0, 14, (9, 12, 3)).astype(np.float32)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        wash = Image.fromarray(np.ascontiguousarray(tint[..., channel]))
        wash = wash.resize((width, height), Image.Resampling.BICUBIC)
        pixels[..., channel] = np.clip(light + np.asarray(wash), 0, 255)
    return Image.fromarray(pixels)


def _ramp(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))


def _png_of_16_bits(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB PNG of 16 bits a channel; Pillow writes none."""
    deep = pixels.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and starts to be one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_adobe_transform(jpeg: bytes, transform: int) -> bytes:
    """The same JPEG with another colour transform in its Adobe segment: 0 CMYK, 2 YCCK."""
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]


def _with_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]
