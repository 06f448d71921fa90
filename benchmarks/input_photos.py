"""Photos to measure loaders on: pictures of a real set, enlarged, with the grain of a camera.

An enlarged photo is smooth, and its JPEG small and quickly decoded. Noise of all octaves is added
until files are as large as a camera's: about 100 KB at 500 x 375, 3 to 4 MB at 4000 x 3000.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.images import open_photo

QUALITY = 92
GRAIN = {500: 8.5, 4000: 3.8}  # grey levels an octave, by the width


def draw(
    sources: Sequence[Path], folder: Path, *, size: tuple[int, int], pictures: int, photos: int
) -> float:
    """Writes `photos` files of that size, in two folders; gives their mean bytes.

    `pictures` of them differ in their pixels; the others repeat those under another JPEG comment,
    so that every file has bytes of its own.
    """
    width, height = size
    rng = np.random.default_rng(0)
    grain = _grain(width, height, rng)
    total = 0
    for number in range(pictures):
        source = sources[number * len(sources) // pictures]
        pixels = _enlarged(open_photo(source), size).astype(np.float32)
        shift = rng.integers(0, (height, width))
        pixels += np.roll(grain, tuple(shift), axis=(0, 1))[..., None]
        picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        label = folder / ("even", "odd")[number % 2]
        label.mkdir(parents=True, exist_ok=True)
        for again in range(number, photos, pictures):
            file = label / f"{again:05d}.jpg"
            if again == number:
                picture.save(file, quality=QUALITY)
                content = file.read_bytes()
            else:
                file.write_bytes(content[:2] + _comment(again) + content[2:])
            total += file.stat().st_size
    return total / photos


def _enlarged(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """UInt8[H, W, 3]; the middle of the photo, in the shape of the size."""
    width, height = size
    scale = min(picture.width / width, picture.height / height)
    wide, high = min(scale * width, picture.width), min(scale * height, picture.height)
    x, y = (picture.width - wide) / 2, (picture.height - high) / 2  # never below 0, as rounded
    box = (x, y, x + wide, y + high)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box))


def _grain(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Float32[H, W]: noise of five octaves, as strong in each."""
    grain = np.zeros((height, width), np.float32)
    for step in (1, 2, 4, 8, 16):
        coarse = rng.normal(0, GRAIN[width], (-(-height // step), -(-width // step)))
        grain += np.asarray(
            Image.fromarray(coarse.astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
    return grain


def _comment(number: int) -> bytes:
    text = f"file {number}".encode()
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
