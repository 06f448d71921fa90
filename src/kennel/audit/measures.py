"""One pass over the files: what they are, how sharp, how light, what they give away.

N photos, S = kennel.copies.SIDE. What is kept of a photo is about a kilobyte; files of equal bytes
are decoded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.audit.reading import read_all
from kennel.audit.traces import Traces, read_traces
from kennel.copies import SIDE, sketch
from kennel.errors import PhotoError
from kennel.images import open_photo

LOOKED_AT = 224  # pixels of the short side at which sharpness is measured: as a model sees it


@dataclass(frozen=True, eq=False)
class Measures:
    """What the pass found, a row a photo in the order of `photos`.

    Attributes:
        sha256: of the bytes; "" where the file could not be opened.
        missing: why a file is not there, by row.
        unreadable: why a file cannot be decoded, by row.
        bytes: Int64[N].
        size: Int32[N, 2], width and height upright; 0 where it could not be decoded, as below.
        sharpness: Float32[N], variance of the Laplacian of the greys at LOOKED_AT.
        contrast: Float32[N], standard deviation of the channel that has most, 0..128.
        brightness: Float32[N], mean grey, 0..255.
        dark: UInt8[N], 95th percentile of grey: a photo is dark where it is low.
        light: UInt8[N], 5th percentile.
        place, serial: Bool[N], whether metadata has a GPS position, a serial number.
        sketches: UInt8[N, S, S].
    """

    sha256: list[str]
    missing: dict[int, str]
    unreadable: dict[int, str]
    bytes: NDArray[np.int64]
    size: NDArray[np.int32]
    sharpness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    brightness: NDArray[np.float32]
    dark: NDArray[np.uint8]
    light: NDArray[np.uint8]
    place: NDArray[np.bool_]
    serial: NDArray[np.bool_]
    sketches: NDArray[np.uint8]

    @property
    def readable(self) -> NDArray[np.bool_]:  # Bool[N]
        """Which photos could be decoded."""
        return np.asarray(self.size[:, 0] > 0)


def measure_photos(
    files: Sequence[Path], *, on_photo: Callable[[Path], None] | None = None
) -> Measures:
    """Reads every file once, in as many threads as there are cores. Raises for no photo.

    Args:
        on_photo: called with each file after it was read, in order.
    """
    n = len(files)
    measures = Measures(
        sha256=[""] * n,
        missing={},
        unreadable={},
        bytes=np.zeros(n, np.int64),
        size=np.zeros((n, 2), np.int32),
        sharpness=np.zeros(n, np.float32),
        contrast=np.zeros(n, np.float32),
        brightness=np.zeros(n, np.float32),
        dark=np.zeros(n, np.uint8),
        light=np.zeros(n, np.uint8),
        place=np.zeros(n, np.bool_),
        serial=np.zeros(n, np.bool_),
        sketches=np.zeros((n, SIDE, SIDE), np.uint8),
    )
    seen: dict[str, int] = {}  # sha256 -> the first row that has it

    def look(file: Path) -> _Read:
        return _look(file, known=seen)

    for at, (file, read) in enumerate(zip(files, read_all(look, files), strict=True)):
        measures.sha256[at] = read.sha256
        measures.bytes[at] = read.bytes
        if read.missing:
            measures.missing[at] = read.trouble
        elif read.trouble:
            measures.unreadable[at] = read.trouble
        elif read.seen is not None:
            seen.setdefault(read.sha256, at)
            _note(measures, at, read.seen)
        else:
            _copy(measures, at, seen[read.sha256])
        if on_photo:
            on_photo(file)
    return measures


@dataclass(frozen=True, eq=False)
class _Seen:
    traces: Traces
    sharpness: float
    contrast: float
    brightness: float
    dark: int
    light: int
    sketch: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Read:
    """One file. `seen` is None where it cannot be decoded, or where its bytes are known."""

    sha256: str = ""
    bytes: int = 0
    trouble: str = ""
    missing: bool = False
    seen: _Seen | None = None


def _look(file: Path, *, known: dict[str, int]) -> _Read:
    try:
        if not file.is_file():
            lost = file.is_symlink() and not file.exists()
            why = "it is a link to a file that is not there" if lost else "there is no such file"
            return _Read(trouble=why, missing=True)
        content = file.read_bytes()
    except OSError as error:
        return _Read(trouble=f"it cannot be opened: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in known:
        return _Read(sha256, len(content))
    try:
        seen = _see(content)
    except PhotoError as error:
        words = error.message.removeprefix("the photo ").rstrip(".")
        trouble = words.removeprefix("cannot be decoded: ")
        return _Read(sha256, len(content), trouble)
    return _Read(sha256, len(content), seen=seen)


def _see(content: bytes) -> _Seen:
    # At the same scale as `kennel index` reads it, so that both see the same copies.
    small = open_photo(content, at_least=SIDE)
    traces = read_traces(content)
    image = small
    if min(small.size) < min(LOOKED_AT, *traces.size):
        image = open_photo(content, at_least=LOOKED_AT)
    image = _shrunk(image)
    grey = image.convert("L")
    light, dark = (_percentile(grey, share) for share in (0.05, 0.95))
    levels = np.asarray(grey, np.float32)
    sharpness, brightness = _sharpness(levels), float(levels.mean())
    return _Seen(traces, sharpness, _contrast(image), brightness, dark, light, sketch(small))


def _shrunk(image: Image.Image) -> Image.Image:
    """With a short side of LOOKED_AT; a smaller one is left: made larger, it would look blurred."""
    scale = LOOKED_AT / min(image.size)
    if scale >= 1:
        return image
    # A strip that is a thousand times as long as wide tells no more than its middle.
    width, height = (min(side, 4 * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    size = max(1, round(width * scale)), max(1, round(height * scale))
    box = (left, top, left + width, top + height)
    return image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=3.0)


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian, as J. L. Pech-Pacheco et al., ICPR 2000, have it for autofocus."""
    if min(grey.shape) < 3:
        return float(grey.var())
    inner = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((inner - around).var())


def _contrast(image: Image.Image) -> float:
    """Standard deviation of the channel that has most; from the histogram, ten times as fast."""
    counts = np.array(image.histogram(), np.float64).reshape(3, 256)
    n, levels = image.width * image.height, np.arange(256)
    mean = counts @ levels / n
    return float(np.sqrt(np.maximum(counts @ levels**2 / n - mean**2, 0).max()))


def _percentile(grey: Image.Image, share: float) -> int:
    """The level that this share of the pixels does not exceed."""
    below = np.cumsum(grey.histogram())
    return int(np.searchsorted(below, share * below[-1]))


def _note(measures: Measures, at: int, seen: _Seen) -> None:
    measures.size[at] = seen.traces.size
    measures.place[at], measures.serial[at] = seen.traces.place, seen.traces.serial
    measures.sharpness[at], measures.contrast[at] = seen.sharpness, seen.contrast
    measures.brightness[at] = seen.brightness
    measures.dark[at], measures.light[at] = seen.dark, seen.light
    measures.sketches[at] = seen.sketch


def _copy(measures: Measures, at: int, first: int) -> None:
    for column in (
        measures.size,
        measures.place,
        measures.serial,
        measures.sharpness,
        measures.contrast,
        measures.brightness,
        measures.dark,
        measures.light,
        measures.sketches,
    ):
        column[at] = column[first]
