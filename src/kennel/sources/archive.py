"""What lies in an archive that somebody else made, read without trusting it.

zip and tar (plain, gzip, bzip2, xz), known by their first bytes. Nothing is written here. Links and
devices are named and never followed; a path that leads out refuses the whole archive; sizes are
counted as they are unpacked, not as they are claimed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from kennel.sources import FetchError

PIECE_BYTES = 1 << 18
HEADER_BYTES = 1 << 20  # a name of a tar may be as long as its writer likes; ours ends here
BLOCK_BYTES = 512  # of a tar
Parts = tuple[str, ...]


class DamagedError(FetchError):
    """It is no archive, or not a whole one."""


@dataclass(frozen=True)
class Limits:
    """What is unpacked at most.

    Attributes:
        files: entries of any kind.
        file_bytes: one file, unpacked.
        growth: all files, unpacked, by the archive's size: photos are compressed already.
        small_bytes: all files, unpacked, may always be this much.
        name_bytes: one folder's or file's name.
        depth: folders one within another.
    """

    files: int = 2_000_000
    file_bytes: int = 512 << 20
    growth: int = 20
    small_bytes: int = 256 << 20
    name_bytes: int = 240
    depth: int = 32

    def total_bytes(self, packed: int) -> int:
        return max(self.small_bytes, self.growth * packed)


@dataclass(frozen=True)
class Entry:
    """A file of an archive, or something that is none.

    Attributes:
        parts: its path: no part is empty, `.` or `..`.
        size: bytes, as the archive claims.
        regular: False for links, devices and the like.
        pieces: its bytes, read once and before the next entry is asked for.
    """

    parts: Parts
    size: int
    regular: bool
    pieces: Callable[[], Iterator[bytes]]


def read_archive(path: Path, limits: Limits) -> Iterator[Entry]:
    """The entries of an archive, folders left out.

    Raises:
        DamagedError: it is no archive, or cut off, or its own checksums do not match.
        FetchError: it leads out of its folder, is encrypted, or unpacks to more than `limits`.
    """
    with path.open("rb") as file:
        beginning = file.read(BLOCK_BYTES)
    if beginning[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _read_zip(path, limits)
    openers: dict[bytes, Any] = {
        b"\x1f\x8b": gzip.GzipFile,
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ\x00": lzma.LZMAFile,
    }
    for magic, opener in openers.items():
        if beginning.startswith(magic):
            return _read_tar(path, opener, limits)
    if _is_tar_header(beginning):
        return _read_tar(path, lambda path: path.open("rb"), limits)
    raise DamagedError(
        f"what came is no archive: it begins with {beginning[:24]!r}.",
        fix="name an address of a .zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz",
    )


def _is_tar_header(block: bytes) -> bool:
    # Old ones have no magic, but all have a checksum.
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _read_zip(path: Path, limits: Limits) -> Iterator[Entry]:
    with _damage(), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _refuse_count(len(infos), limits)
        total = sum(info.file_size for info in infos)
        if total > limits.total_bytes(path.stat().st_size):
            raise _too_large(path, limits)
        for info in infos:
            parts = _parts(info.filename, limits)
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not made on Unix
            if info.is_dir() or not parts:
                continue
            if info.flag_bits & 0x1:
                raise FetchError(
                    f"{info.filename[:200]!r} in the archive is encrypted.",
                    fix="unpack the archive yourself, and type kennel index FOLDER",
                )
            _refuse_size(info.filename, info.file_size, limits)
            regular = kind in (0, stat.S_IFREG)
            pieces = partial(_pieces, partial(archive.open, info))
            yield Entry(parts, info.file_size, regular, pieces)


def _read_tar(path: Path, opener: Callable[[Path], IO[bytes]], limits: Limits) -> Iterator[Entry]:
    with _damage(), opener(path) as unpacked:
        counted: Any = _Counted(unpacked, path, limits)
        # "r:" and not "r|": reads pass as they are asked for, so that a long one can be refused.
        with tarfile.open(fileobj=counted, mode="r:") as archive:
            count = 0
            while (member := archive.next()) is not None:
                count += 1
                _refuse_count(count, limits)
                archive.members = []  # type: ignore[attr-defined]  # or it remembers every one
                parts = _parts(member.name, limits)
                if member.isdir() or not parts:
                    continue
                _refuse_size(member.name, member.size, limits)
                regular = member.isreg() and not member.issparse()
                pieces = partial(_pieces, partial(archive.extractfile, member))
                yield Entry(parts, member.size, regular, pieces)
            # tarfile takes a header that is missing or damaged for the end, unless it is the first.
            if counted.last != bytes(BLOCK_BYTES):
                raise tarfile.ReadError("its end is missing")
        while counted.read(PIECE_BYTES):  # to the checksum at the end of what was compressed
            pass


class _Counted(io.RawIOBase):
    """An unpacked stream that ends in a refusal where it grows beyond its limit."""

    def __init__(self, stream: IO[bytes], path: Path, limits: Limits) -> None:
        super().__init__()
        self._stream, self._path, self._limits = stream, path, limits
        self._most = limits.total_bytes(path.stat().st_size)
        self.last = b""  # what was read last

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= HEADER_BYTES:
            raise FetchError(
                f"a name or header of {size:,} bytes stands in the archive.",
                fix="do not trust it; look at where it comes from",
            )
        if self._stream.tell() + size > self._most:
            raise _too_large(self._path, self._limits)
        self.last = self._stream.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _pieces(open_entry: Callable[[], IO[bytes] | None]) -> Iterator[bytes]:
    with _damage():
        file = open_entry()
        assert file is not None  # only regular files are read
        with file:
            while piece := file.read(PIECE_BYTES):
                yield piece


@contextmanager
def _damage() -> Iterator[None]:
    """What the libraries raise on damaged archives, in words."""
    try:
        yield
    except NotImplementedError as error:
        raise FetchError(
            f"the archive is compressed in a way that is not read: {error}.",
            fix="unpack it yourself, and type kennel index FOLDER",
        ) from error
    except (
        *(OSError, EOFError, ValueError, RuntimeError, struct.error, zlib.error),
        *(lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, OverflowError, IndexError),
    ) as error:
        raise DamagedError(
            f"the archive is damaged or cut off: {error or type(error).__name__}.",
            fix="fetch it again; if it stays so, tell those who publish it",
        ) from error


def _parts(name: str, limits: Limits) -> Parts:
    """A path's parts, or a refusal where they would lead out."""
    slashed = name.replace("\\", "/")  # as Windows writes them
    parts = tuple(part for part in slashed.split("/") if part not in ("", "."))
    if slashed.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", slashed):
        raise FetchError(
            f"the archive holds {name[:200]!r}, which would lie outside of its folder.",
            fix="do not trust it; look at where it comes from",
        )
    longest = max((len(part.encode(errors="surrogateescape")) for part in parts), default=0)
    if longest > limits.name_bytes or len(parts) > limits.depth:
        raise FetchError(
            f"the archive holds {name[:80]!r}...: {longest} bytes in a name, {len(parts)} parts; "
            f"at most {limits.name_bytes} and {limits.depth} are unpacked.",
            fix="unpack it yourself, and type kennel index FOLDER",
        )
    return parts


def _refuse_count(count: int, limits: Limits) -> None:
    if count > limits.files:
        raise FetchError(
            f"the archive holds more than {limits.files:,} entries.",
            fix="unpack it yourself, and type kennel index FOLDER",
        )


def _refuse_size(name: str, size: int, limits: Limits) -> None:
    if not 0 <= size <= limits.file_bytes:  # below 0 the next entry would be an earlier one
        raise FetchError(
            f"{name[:200]!r} in the archive has {size:,} bytes; at most {limits.file_bytes:,} "
            "are unpacked.",
            fix="unpack it yourself, and type kennel index FOLDER",
        )


def _too_large(path: Path, limits: Limits) -> FetchError:
    packed = path.stat().st_size
    return FetchError(
        f"the archive of {packed:,} bytes unpacks to more than {limits.total_bytes(packed):,}.",
        fix="do not trust it, as photos hardly compress; or unpack it yourself",
    )
