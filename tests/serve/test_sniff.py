"""What a photo costs, seen from its bytes."""

from __future__ import annotations

import io
import os
import time
import zlib

import pytest
from PIL import Image

from kennel.errors import PhotoError
from kennel.serve.sniff import MOST_SCANS, check, quick


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
    check(progressive)
    check(saved("PNG") + b"\xff\xda" * 200)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(PhotoError, match="scans"):
        check(progressive[:-2] + scan * MOST_SCANS + progressive[-2:])


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


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame says another size."""
    at = next(i for m in (b"\xff\xc0", b"\xff\xc2") if (i := jpeg.find(m)) > 0) + 5
    return jpeg[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 4 :]


def header(width: int, height: int) -> bytes:
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return chunk(b"IHDR", sides + bytes((8, 2, 0, 0, 0)))


def test_what_hides_its_size_is_slow() -> None:
    """Pillow believes the last header of a PNG, looks past bytes that belong to nothing in a JPEG,
    and makes the screen of a GIF as large as its picture.
    """
    png, jpeg, gif = saved("PNG", (8, 8)), saved("JPEG") + bytes(5000), saved("GIF", (3000, 3000))
    assert not quick(png[:33] + header(9000, 7000) + png[33:])
    assert not quick(png[:8] + chunk(b"tEXt", b"a\0" + bytes(30)) + png[8:])
    assert not quick(jpeg[:2] + b"\xff\x00" + jpeg[2:])
    assert not quick(gif[:6] + bytes((1, 0, 1, 0)) + gif[10:])


def test_a_jpeg_with_odd_sides_is_decoded_whole_and_slow() -> None:
    assert quick(claiming(saved("JPEG"), 4000, 3000))
    assert not quick(claiming(saved("JPEG"), 4001, 3001))


def test_a_jpeg_that_is_gone_over_again_is_slow() -> None:
    progressive = saved("JPEG", (300, 200), progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    assert quick(progressive)
    assert not quick(progressive[:-2] + scan * 20 + progressive[-2:])


def test_compressed_texts_of_a_png_are_slow_and_profiles_have_one_place() -> None:
    png, text = saved("PNG", (8, 8)), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))
    assert quick(png[:33] + text + png[33:])
    assert not quick(png[:33] + text * 20 + png[33:])
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6)))
    check(png[:33] + profile + png[33:])
    with pytest.raises(PhotoError, match="profiles"):
        check(png[:33] + profile * 2 + png[33:])


@pytest.mark.parametrize("block", [b"!\xfe\x01c\x00", b"!\xfe" + b"\xffc" + bytes(254)])
def test_a_gif_of_countless_comments_is_refused(block: bytes) -> None:
    gif = saved("GIF", (8, 8))
    at = gif.index(b"!") if b"!" in gif[:900] else gif.index(b",")
    check(gif[:at] + block * 100 + gif[at:])
    with pytest.raises(PhotoError, match="blocks"):
        check(gif[:at] + block * 30_000 + gif[at:])


def test_a_png_or_jpeg_of_countless_pieces_is_refused() -> None:
    png, jpeg = saved("PNG", (8, 8)), saved("JPEG", (8, 8))
    with pytest.raises(PhotoError, match="chunks"):
        check(png[:33] + chunk(b"tEXt", b"a\0b") * 30_000 + png[33:])
    with pytest.raises(PhotoError, match="segments"):
        check(jpeg[:2] + b"\xff\xfe\x00\x03x" * 5000 + jpeg[2:])


def test_many_scans_of_many_pixels_are_refused() -> None:
    progressive = claiming(saved("JPEG", progressive=True), 8000, 7000)
    check(progressive)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(PhotoError, match="scans"):
        check(progressive[:-2] + scan * 50 + progressive[-2:])
