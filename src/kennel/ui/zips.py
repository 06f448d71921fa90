"""Photos in a zip that a stranger made: judged by its directory before anything is unpacked, and
unpacked one by one into memory. Nothing of it is written to disk, so no name can lead anywhere.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kennel.errors import KennelError, PhotoError
from kennel.images import PHOTO_SUFFIXES
from kennel.ui.answers import MOST_PHOTO_BYTES

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MOST_READ_BYTES = 4 << 20  # at once, so of the directory, too: some 40,000 names
MOST_ENTRIES = 10_000
MOST_UNPACKED_BYTES = 2 << 30
GROWTH = 20  # photos are compressed already: beyond this a zip is a bomb, ...
SMALL_BYTES = 64 << 20  # ... unless all of it is no more than this
KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for gigabytes to be unpacked
ENCRYPTED = 0x1
LEAVE_OUT = "leave it out of the zip"


class ZipError(KennelError):
    """A zip that is refused as a whole, before anything in it was unpacked."""


@dataclass(frozen=True)
class Named:
    """A photo that was dropped, and how to get at it.

    Attributes:
        name: as whoever dropped it calls it.
        load: its bytes. Raises PhotoError where it is refused.
    """

    name: str
    load: Callable[[], bytes]


@dataclass(frozen=True)
class Opened:
    """What a zip holds: its photos, and how many files in it are not even called one."""

    photos: tuple[Named, ...]
    others: int


def is_zip(path: Path) -> bool:
    """By its first bytes, never by its name."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def open_zip(path: Path, *, name: str, most_photos: int) -> Opened:
    """The photos of a zip; none is unpacked before its bytes are asked for.

    Args:
        path: of the zip; it must stay where it is until the last photo was loaded.
        name: what errors call it.
        most_photos: that it may hold.
    Raises:
        ZipError: it is damaged, or holds more than is read.
    """
    try:
        archive = zipfile.ZipFile(_Bounded(path))
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise ZipError(
            f"{name} is no whole zip: {str(error).rstrip('.')}.", fix="make the zip again"
        ) from error
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_ENTRIES:
        raise ZipError(
            f"{name} holds {len(entries):,} files; at most {MOST_ENTRIES:,} are looked at.",
            fix="make several smaller zips",
        )
    photos = [entry for entry in entries if _is_called(entry.filename, PHOTO_SUFFIXES)]
    if len(photos) > most_photos:
        raise ZipError(
            f"{name} holds {len(photos):,} photos; at most {most_photos:,} are answered at once.",
            fix="make several smaller zips, or use kennel predict on the folder",
        )
    packed, total = path.stat().st_size, sum(entry.file_size for entry in entries)
    if total > min(max(SMALL_BYTES, GROWTH * packed), MOST_UNPACKED_BYTES):
        raise ZipError(
            f"{name} has {packed:,} bytes and says it unpacks to {total:,}: photos do not.",
            fix="zip the photos as they are",
        )
    nested = [entry for entry in entries if _is_called(entry.filename, (".zip",))]
    listed = (
        [entry for entry in entries if entry in photos or entry in nested] if nested else photos
    )
    return Opened(
        photos=tuple(Named(e.filename, partial(_load, archive, e)) for e in listed),
        others=len(entries) - len(listed),
    )


def _load(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if reason := _refusal(entry):
        raise PhotoError(f"the photo {reason}.", fix=LEAVE_OUT)
    try:
        with archive.open(entry) as file:  # ends where the directory says, whatever follows
            return file.read(MOST_PHOTO_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise PhotoError(
            f"the photo cannot be unpacked: {str(error).rstrip('.')[:200]}.", fix=LEAVE_OUT
        ) from error


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where it was not made on Unix
    name = entry.filename.replace("\\", "/")
    if _is_called(name, (".zip",)):
        return "is a zip within a zip, which is not opened"
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        return "has a name that leads out of the zip"
    if kind not in (0, stat.S_IFREG):
        return "is a link, or something else that is no file"
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in KNOWN:
        return "is compressed in a way that is not read"
    if entry.file_size > MOST_PHOTO_BYTES:
        return f"has {entry.file_size:,} bytes; {MOST_PHOTO_BYTES:,} are read"
    return None


def _is_called(name: str, suffixes: tuple[str, ...]) -> bool:
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    # Besides what is hidden: "__MACOSX/._photo.jpg" is what a Mac notes about photo.jpg.
    return last.lower().endswith(suffixes) and not last.startswith(".")


class _Bounded(io.FileIO):
    """A file that gives no more at once than a zip of photos needs: zipfile reads a directory of
    any length whole, and keeps a thousand bytes for every name in it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = MOST_READ_BYTES + 1
        found = b"" if size > MOST_READ_BYTES + 1 else super().read(size) or b""
        if size > MOST_READ_BYTES + 1 or len(found) > MOST_READ_BYTES:
            raise ValueError(f"its directory is longer than {MOST_READ_BYTES:,} bytes")
        return found
