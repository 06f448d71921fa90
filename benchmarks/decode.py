"""Photos a second from JPEG bytes to the model's input: ours beside plain Pillow.

    python benchmarks/decode.py

Run by hand on a quiet machine. The contestants take turns, so that a busy moment hits all alike;
simplejpeg joins where it is installed. All give Float32[3, 224, 224]. How far each lies from our
whole decode, in 255ths, stands beside its speed: the usual recipe rounds sizes and the crop's
corner to whole pixels, so its picture is shifted by up to half a pixel.
"""

from __future__ import annotations

import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.bundle import Preprocess
from kennel.images import fit, normalise, open_photo, read_photo

PREPROCESS = Preprocess(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SIZES = ((500, 375), (2000, 1500), (4000, 3000))
ROUNDS, ROUND_S = 7, 0.6

Reader = Callable[[bytes], NDArray[np.float32]]  # -> Float32[3, 224, 224]


def main() -> int:
    print(f"{_processor()}, {os.cpu_count()} cores, one used; Python {platform.python_version()}")
    print(", ".join(f"{name} {_version(name)}" for name in ("pillow", "numpy", "simplejpeg")))
    print(f"median of {ROUNDS} interleaved rounds\n")
    columns = f"{'photo':>11} {'KiB':>6}  {'reader':<22} {'photos/s':>9} {'ms':>7}"
    print(f"{columns}  furthest from ours, decoded whole")
    for width, height in SIZES:
        data = _photo(width, height)
        exact = normalise(fit(open_photo(data), PREPROCESS), PREPROCESS)
        for name, seconds, off in _race(data, exact):
            size = f"{width}x{height}"
            print(
                f"{size:>11} {len(data) / 1024:6.0f}  {name:<22} "
                f"{1 / seconds:9.1f} {seconds * 1e3:7.2f}  {off:.1f}/255"
            )
    return 0


def _race(data: bytes, exact: NDArray[np.float32]) -> list[tuple[str, float, float]]:
    readers = _readers()
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name, reader in readers.items():
            photos, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < ROUND_S:
                reader(data)
                photos += 1
            seconds[name].append(spent / photos)
    std = np.array(PREPROCESS.std)[:, None, None]
    return [
        (
            name,
            statistics.median(seconds[name]),
            float(np.abs((reader(data) - exact) * std).max() * 255),
        )
        for name, reader in readers.items()
    ]


def _readers() -> dict[str, Reader]:
    readers: dict[str, Reader] = {
        "Kennel": lambda data: read_photo(data, PREPROCESS),
        "Kennel, decoded whole": lambda data: normalise(
            fit(open_photo(data), PREPROCESS), PREPROCESS
        ),
        "Pillow": lambda data: _by_pillow(Image.open(io.BytesIO(data))),
        "Pillow, draft 2x": _by_draft,
    }
    if find_spec("simplejpeg"):
        readers["simplejpeg, 2x"] = _by_simplejpeg
    return readers


def _by_pillow(image: Image.Image) -> NDArray[np.float32]:
    """The usual recipe: 8-bit resize of the short side to 256, centre 224 x 224, mean and std."""
    image = image.convert("RGB")
    short = min(image.size)
    size = tuple(round(side * 256 / short) for side in image.size)
    image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    mean, std = (np.array(v, np.float32) for v in (PREPROCESS.mean, PREPROCESS.std))
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))


def _by_draft(data: bytes) -> NDArray[np.float32]:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (512, 512))
    return _by_pillow(image)


def _by_simplejpeg(data: bytes) -> NDArray[np.float32]:
    import simplejpeg  # type: ignore[import-not-found]

    return _by_pillow(Image.fromarray(simplejpeg.decode_jpeg(data, min_height=512, min_width=512)))


def _photo(width: int, height: int) -> bytes:
    """A JPEG with the texture of a camera's photo: all octaves alike, the finest softened."""
    rng = np.random.default_rng(12)
    light = np.full((2, 2), 120, np.float32)
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 1):
        grid = (-(-width // step), -(-height // step))
        light = np.asarray(Image.fromarray(light).resize(grid, Image.Resampling.BICUBIC))
        if step > 1:
            light = light + rng.normal(0, 12, light.shape).astype(np.float32)
    pixels = np.stack([light + tint for tint in (12, 0, -14)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
