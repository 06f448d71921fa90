"""The awkward photos that export knows, two of a camera's size, and files that are no photos.

`awkward_photos(folder)` writes them all; every door of the house is sent the same ones.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from kennel import awkward as drawn
from kennel.awkward import ORIENTATION, png_chunk, saved, scene, written


def awkward_photos(folder: Path) -> dict[str, Path]:
    """Writes the awkward photos into `folder` and returns them by name.

    All can be read; `broken_photos` are those that cannot.
    """
    return drawn.awkward_photos(folder) | written(folder, _huge())


def broken_photos(folder: Path) -> dict[str, Path]:
    """Writes files that must be refused, and returns them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = scene(96, 70)
    whole = {kind: saved(picture, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")}
    photos = {f"cut_off.{kind.lower()}": data[: len(data) // 2] for kind, data in whole.items()}
    photos |= {f"header_only.{kind.lower()}": data[:16] for kind, data in whole.items()}
    photos["text.jpg"] = b"This is not a photo.\n" * 20
    photos["page.png"] = b"<!doctype html><title>404</title>"
    photos["empty.jpg"] = b""
    photos["zeros.jpg"] = bytes(4096)
    photos["damaged.png"] = whole["PNG"][:60] + bytes(200) + whole["PNG"][260:]
    photos["float.tif"] = saved(Image.new("F", (5, 5), 0.5), "TIFF")
    photos["grey_32_deep.tif"] = saved(Image.new("I", (5, 5), 1_000_000), "TIFF")
    photos["bomb.png"] = _png_header(12_000, 12_000)
    photos["long.png"] = _png_header(1, 90_000_000)
    photos["bomb.jpg"] = _with_jpeg_size(whole["JPEG"], 65_000, 65_000)
    photos["heic.heic"] = b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(100)
    (folder / "folder.jpg").mkdir(exist_ok=True)
    return written(folder, photos) | {
        "folder.jpg": folder / "folder.jpg",
        "missing.jpg": folder / "missing.jpg",
    }


def _huge() -> dict[str, bytes]:
    huge = _large_scene(3648, 2736)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = huge.crop((0, 0, 3640, 2736))
    return {
        "huge.jpg": saved(huge, "JPEG", quality=90),
        "huge_turned.jpg": saved(turned, "JPEG", quality=90, exif=exif),
    }


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


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and starts to be one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows)


def _with_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]
