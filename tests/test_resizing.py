"""The resize: the same bits in any order of adding, near Pillow's own in float, small in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from kennel import resizing
from kennel.resizing import SUPPORT, bands, resize

PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
kernels = st.sampled_from(sorted(SUPPORT))


@st.composite
def lines(draw: st.DrawFn) -> tuple[tuple[float, float], int, int]:
    """A span of a line of pixels, how many it becomes, and the line's length."""
    limit = draw(st.integers(1, 3000))
    low = draw(st.floats(0, limit * 0.9))
    high = draw(st.floats(low + limit * 0.05, limit)) if low + limit * 0.05 < limit else limit
    return (low, float(high)), draw(st.integers(1, 400)), limit


@given(lines(), kernels)
@settings(max_examples=150, deadline=None)
def test_each_row_of_weights_adds_up_to_one_and_no_sum_leaves_what_its_float_holds(
    line: tuple[tuple[float, float], int, int], kernel: str
) -> None:
    for bits, dtype, holds, pixel in ((15, np.float32, 24, 255), (24, np.float64, 53, 2**24)):
        for band in bands(*line, kernel, bits):
            weights = band.weights
            assert weights.dtype == dtype
            assert np.array_equal(weights, np.floor(weights))
            assert np.array_equal(weights.sum(axis=1), np.full(len(weights), 2.0**bits))
            assert float(np.abs(weights).sum(axis=1).max()) * pixel <= 2**holds
            assert 0 <= band.first < band.last <= line[2]


@pytest.mark.parametrize("kernel", sorted(SUPPORT))
@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        ((90, 130), (40, 40), (20.0, 0.0, 110.0, 90.0)),
        ((611, 407), (64, 48), (3.25, 7.5, 401.75, 600.1)),
        ((17, 9), (50, 31), (0.0, 0.0, 9.0, 17.0)),
        ((6, 700), (24, 24), (0.0, 0.0, 700.0, 6.0)),
        ((900, 4), (24, 24), (0.0, 0.0, 4.0, 900.0)),
    ],
)
def test_floats_give_what_whole_numbers_give(
    shape: tuple[int, int], size: tuple[int, int], box: resizing.Box, kernel: str
) -> None:
    """In whole numbers an order of adding cannot matter: no machine has another answer."""
    pixels = np.random.default_rng(1).integers(0, 2, (*shape, 3), np.uint8) * 255
    ours = resize(Image.fromarray(pixels), size, box, kernel)
    np.testing.assert_array_equal(ours, _in_whole_numbers(pixels, size, box, kernel))


def test_a_large_photo_in_strips_gives_what_it_gives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = _noise(320, 210)
    whole = resize(image, (50, 40), (0, 0, 320, 210), "bicubic")
    monkeypatch.setattr(resizing, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(resizing, "_ALONE", 1)
    np.testing.assert_array_equal(resize(image, (50, 40), (0, 0, 320, 210), "bicubic"), whole)


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.6, 1), st.floats(0.6, 1)),
    kernels,
)
@settings(max_examples=120, deadline=None)
def test_pillows_float_resize_is_met_wherever_its_box_lies(
    shape: tuple[int, int],
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    kernel: str,
) -> None:
    width, height = shape
    box = (part[0] * width, part[1] * height, part[2] * width, part[3] * height)
    image = _noise(width, height)
    ours = resize(image, size, box, kernel).astype(float)
    theirs = [
        np.asarray(channel.convert("F").resize(size, PILLOW[kernel], box))
        for channel in image.split()
    ]
    assert np.abs(ours - np.clip(np.stack(theirs, -1), 0, 255)).max() < 0.6  # 0.5 is the rounding


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize("shape", [(65_000, 300), (300, 65_000), (9000, 3000)])
def test_memory_is_a_part_of_the_photos(shape: tuple[int, int]) -> None:
    image = Image.new("RGB", shape)
    resize(image, (224, 224), (0, 0, *shape), "lanczos")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _peak_mib()
    resize(image, (224, 224), (0, 0, *shape), "lanczos")
    assert _peak_mib() - before < 1.5 * shape[0] * shape[1] * 4 / 2**20


def test_one_colour_stays_that_colour_at_every_edge() -> None:
    for kernel in SUPPORT:
        image = Image.new("RGB", (301, 77), (255, 127, 1))
        ours = resize(image, (33, 50), (1.5, 0.25, 300.75, 76.5), kernel)
        assert np.array_equal(np.unique(ours.reshape(-1, 3), axis=0), [[255, 127, 1]])


def _in_whole_numbers(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: resizing.Box, kernel: str
) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    height, width, _ = pixels.shape
    if (right - left) * size[1] > 4 * (bottom - top) * size[0]:
        turned = _in_whole_numbers(
            pixels.transpose(1, 0, 2), size[::-1], (top, left, bottom, right), kernel
        )
        return turned.transpose(1, 0, 2)
    down = _matrix((top, bottom), size[1], height, kernel, 15)
    across = _matrix((left, right), size[0], width, kernel, 24)
    sums = np.einsum("yh,hwc->ywc", down, pixels.astype(np.int64))
    sums = np.einsum("xw,ywc->yxc", across, sums)
    return np.clip((sums + 2**38) >> 39, 0, 255).astype(np.uint8)


def _matrix(
    span: tuple[float, float], size: int, limit: int, kernel: str, bits: int
) -> NDArray[np.int64]:
    matrix = np.zeros((size, limit), np.int64)
    for band in bands(span, size, limit, kernel, bits):
        matrix[band.at : band.end, band.first : band.last] = band.weights
    return matrix


def _noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    )


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
