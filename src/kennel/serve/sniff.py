"""What a photo will cost, from its bytes alone: nothing is decoded and nothing is trusted.

Who answers photos in turn must know beforehand which of them would hold up the others: `quick` says
it within a millisecond, whatever the bytes are, and what looks unusual counts as slow. Files that
are built to take minutes are refused before they are opened, by `check`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kennel.errors import PhotoError

QUICK_PIXELS = 4_000_000  # of all that is decoded whole: some 60 ms of a core
QUICK_JPEG_PIXELS = 25_000_000  # decoded at 1/2 to 1/8, but for its entropy
QUICK_BYTES = 8 * 2**20
QUICK_SCANS = 12  # of a JPEG; cameras and encoders write at most some ten
QUICK_PIECES = 1500  # of a file, looked at one by one
QUICK_TEXTS = 8  # compressed pieces of a PNG, each up to a megabyte when inflated

MOST_SCANS = 100
MOST_SCANNED_PIXELS = 1_500_000_000  # pixels times scans of a JPEG: seconds of a core
MOST_PIECES = 20_000


def check(data: bytes) -> None:
    """Refuses what is built to be slow: a JPEG whose scans go over the same pixels again and again,
    a few bytes each, and files of countless pieces, on each of which Pillow spends its time.

    Source: T. Lane et al., "Two Issues with the JPEG Standard", libjpeg-turbo, 2017.

    Raises:
        PhotoError: more scans or pieces than are read.
    """
    if data[:2] == b"\xff\xd8":
        scans = _scans(data)
        segments = 0
        pixels = 0
        for segments, pixels, _ in _jpeg_segments(data):  # noqa: B007 - the last ones count
            if segments > QUICK_PIECES:
                raise _refused("segments before its picture", segments)
        if scans > MOST_SCANS or scans * pixels > MOST_SCANNED_PIXELS:
            raise _refused("scans", scans)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        profiles = 0
        for chunks, (kind, _, _) in enumerate(_png_chunks(data), 1):
            profiles += kind == b"iCCP"
            if chunks > MOST_PIECES:
                raise _refused("chunks", chunks)
            if profiles > 1:
                raise _refused("colour profiles", profiles)
    elif data[:3] == b"GIF" and _gif_pixels(data, most=MOST_PIECES) is None:
        raise _refused("blocks before its picture", MOST_PIECES)


def quick(data: bytes) -> bool:
    """Whether a photo is answered in some 100 ms, most of it."""
    if len(data) > QUICK_BYTES:
        return False
    if data[:2] == b"\xff\xd8":
        return _quick_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _quick_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _quick_webp(data)
    if data[:3] == b"GIF":
        pixels = _gif_pixels(data, most=QUICK_PIECES)
        return pixels is not None and pixels <= QUICK_PIXELS
    return data[4:8] != b"ftyp"  # HEIC; all others are refused by their first bytes


def _quick_jpeg(data: bytes) -> bool:
    for segments, pixels, plain in _jpeg_segments(data):
        if segments > QUICK_PIECES:
            return False
        if pixels:
            scans = max(1, _scans(data))
            most = QUICK_JPEG_PIXELS if plain else QUICK_PIXELS
            return pixels <= most and scans <= QUICK_SCANS
    return len(data) < 4096  # damaged: Pillow looks on, byte by byte, for what was not found here


def _scans(data: bytes) -> int:
    """FF DA stands nowhere else than before a scan, but for small pictures in what cameras note."""
    return data.count(b"\xff\xda")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Segments so far, the pixels that the last one claims (0 where it is not the frame's), and
    whether it is decoded at a fraction of its size; up to the first scan, or what is no segment.
    """
    at, segments = 2, 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        segments += 1
        if marker == 0xFF:  # a filling byte
            at += 1
            yield segments, 0, False
            continue
        if marker == 0xDA:
            return
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            # Baseline, with sides of which a half is whole: see kennel.decoding.
            plain = marker in (0xC0, 0xC1) and width % 2 == height % 2 == 0
            yield segments, width * height, plain
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield segments, 0, False


def _quick_png(data: bytes) -> bool:
    if data[12:16] != b"IHDR":
        return False
    texts = 0
    for chunks, (kind, at, _) in enumerate(_png_chunks(data), 1):
        if kind == b"IHDR":  # another one later would count instead
            width, height = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (8, 12))
            if width * height > QUICK_PIXELS:
                return False
        texts += kind in (b"zTXt", b"iTXt", b"iCCP")
        if chunks > QUICK_PIECES or texts > QUICK_TEXTS:
            return False
    return True


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of each."""
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, size
        at += 12 + size


def _quick_webp(data: bytes) -> bool:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    else:
        return False
    return width * height <= QUICK_PIXELS


def _gif_pixels(data: bytes, *, most: int) -> int | None:
    """Pixels of the screen with the first picture on it, which may be larger; None after `most`
    blocks, 0 where there is no picture.
    """
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (6, 8))
    flags = data[10] if len(data) > 10 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False  # of an extension: blocks of a size each, until an empty one
    for _ in range(most):
        if at >= len(data):
            return 0
        if inside:
            inside = data[at] > 0
            at += 1 + data[at]
        elif data[at] == ord("!"):
            inside = True
            at += 2
        elif data[at] == ord(","):
            x, y, w, h = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (1, 3, 5, 7))
            return max(width, x + w) * max(height, y + h)
        else:
            at += 1  # as Pillow does
    return None


def _refused(what: str, n: int) -> PhotoError:
    return PhotoError(
        f"the photo has {n} {what}: more than are read.",
        fix="save it again with an ordinary program",
    )
