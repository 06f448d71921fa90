"""What a photo will cost, from its bytes alone: nothing is decoded and nothing is trusted.

Who answers photos in turn must know beforehand which of them would hold up the others. Each look
takes microseconds, whatever the bytes are; what looks unusual counts as slow.
"""

from __future__ import annotations

from kennel.errors import PhotoError

QUICK_PIXELS = 4_000_000  # of all that is decoded whole: some 60 ms of a core
QUICK_JPEG_PIXELS = 25_000_000  # decoded at 1/2 to 1/8, but for its entropy
QUICK_BYTES = 8 * 2**20
MOST_PIECES = 1500  # of a file, looked at one by one
MOST_SCANS = 100  # of a JPEG; cameras and encoders write at most some ten


def check_scans(data: bytes) -> None:
    """Refuses a JPEG whose scans go over the same pixels again and again: a few bytes each, and
    each as slow as all of the photo. FF DA stands nowhere else than before a scan.

    Source: T. Lane et al., "Two Issues with the JPEG Standard", libjpeg-turbo, 2017.

    Raises:
        PhotoError: more than MOST_SCANS.
    """
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > MOST_SCANS:
        raise PhotoError(
            f"the photo is a JPEG of {data.count(bytes((255, 218)))} scans; {MOST_SCANS} are read.",
            fix="save it again as an ordinary JPEG",
        )


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
        size = int.from_bytes(data[6:8], "little") * int.from_bytes(data[8:10], "little")
        return size <= QUICK_PIXELS and len(data) <= QUICK_BYTES // 16
    return True  # refused by its first bytes


def _quick_jpeg(data: bytes) -> bool:
    at = 2
    for _ in range(MOST_PIECES):
        if data[at : at + 1] != b"\xff" or len(data) < at + 9:
            return len(data) < QUICK_BYTES // 8  # damaged: as dear as its bytes
        marker = data[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            plain = marker in (0xC0, 0xC1)  # baseline; the others are decoded whole
            return width * height <= (QUICK_JPEG_PIXELS if plain else QUICK_PIXELS)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _quick_png(data: bytes) -> bool:
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    if width * height > QUICK_PIXELS:
        return False
    at = 8
    for _ in range(MOST_PIECES):
        if at + 8 > len(data):
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def _quick_webp(data: bytes) -> bool:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(data[i : i + 2], "little") & 0x3FFF for i in (26, 28))
    return width * height <= QUICK_PIXELS
