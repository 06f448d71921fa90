"""What a photo costs, seen from its bytes."""

from __future__ import annotations

import io
import os
import time
import zlib

import pytest
from PIL import Image

from kennel.errors import PhotoError
from kennel.serve.sniff import MOST_SCANS, check_scans, quick


def saved(kind: str, size: tuple[int, int] = (300, 200), **options: object) -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize(size).save(content, kind, **options)
    return content.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + checksum


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_ordinary_photo_is_quick(kind: str) -> None:
    assert quick(saved(kind))


@pytest.mark.parametrize(
    "photo",
    [
        saved("PNG", (2100, 2000)),
        saved("JPEG", (2100, 2000), progressive=True),
        saved("WEBP", (2100, 2000), lossless=True),
        saved("WEBP", (2100, 2000)),
        saved("GIF", (2100, 2000)),
    ],
    ids=["png", "progressive", "lossless webp", "webp", "gif"],
)
def test_four_megapixels_that_are_decoded_whole_are_slow(photo: bytes) -> None:
    assert not quick(photo)


def test_a_camera_s_jpeg_is_quick_and_one_of_fifty_megapixels_is_slow() -> None:
    assert quick(saved("JPEG", (4000, 3000)))
    assert not quick(saved("JPEG", (8000, 6200)))


def test_a_png_of_countless_chunks_is_slow() -> None:
    png = saved("PNG", (8, 8))
    many = png[:33] + chunk(b"tEXt", b"a\0b") * 5000 + png[33:]
    assert quick(png)
    assert not quick(many)


def test_a_jpeg_of_countless_segments_is_slow() -> None:
    jpeg = saved("JPEG", (8, 8))
    assert not quick(jpeg[:2] + b"\xff\xfe\x00\x03x" * 5000 + jpeg[2:])


def test_a_jpeg_of_countless_scans_is_refused_and_ordinary_ones_are_not() -> None:
    progressive = saved("JPEG", (300, 200), progressive=True)
    check_scans(progressive)
    check_scans(saved("PNG") + b"\xff\xda" * 200)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(PhotoError, match="scans"):
        check_scans(progressive[:-2] + scan * MOST_SCANS + progressive[-2:])


@pytest.mark.parametrize(
    "head",
    [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"GIF89a"],
)
def test_any_bytes_are_looked_at_in_no_time(head: bytes) -> None:
    for size in (0, 1, 100, 1_000_000):
        photo = head + os.urandom(size)
        began = time.process_time()
        assert quick(photo) in (True, False)
        assert time.process_time() - began < 0.05
