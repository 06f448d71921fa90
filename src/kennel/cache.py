"""Rows that took work to make, kept on disk by the sha256 of the photo they were made from.

A shelf is a folder for rows of one kind; what the kind depends on names the folder and stands in
its `about.json`. Rows come in files of many (`*.rows`), each written under a temporary name
(`.*.part`) and renamed, so that a row is on the shelf whole or not at all. Who is killed loses the
file that he was writing; two who fill a shelf at once write the same files. All of it can be
deleted at any time.

    *.rows    N rows, one after the other, of any length each
              the table: N entries of ENTRY
              the tail: MAGIC, N as 8 bytes, CRC-32 of the table as 4, little-endian
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import shutil
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kennel.bundle import replacing, write_json
from kennel.errors import KennelError

log = logging.getLogger(__name__)

ABOUT_JSON = "about.json"
FEWEST_ROWS = 256  # of a file, where there are as many: what is lost when the process is killed
MOST_FILES = 64  # that one filling makes: each stays open while the shelf is read
ABANDONED_S = 3600.0  # since a temporary file was last written to: nobody writes it any more
MAGIC = b"KROWS\x00\x00\x01"
ENTRY = np.dtype([("sha256", "V32"), ("offset", "<u8"), ("length", "<u8"), ("crc32", "<u4")])
TAIL = struct.Struct("<8sQI")

Buffer = bytes | memoryview


class DamagedRowError(Exception):
    """A row whose bytes are not those that were written. Its file is gone from the shelf."""


class Shelf:
    """Rows of one kind, by the sha256 of their photos.

    Construction opens no file. A shelf can be used by several threads, and travels to another
    process as its name.

    Args:
        cache_dir: where shelves stand.
        kind: first word of the folder's name.
        about: everything that rows of this kind depend on but the photo; JSON.
    """

    def __init__(self, cache_dir: Path, kind: str, about: Mapping[str, Any]) -> None:
        text = json.dumps(about, sort_keys=True)
        self.folder = cache_dir / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.about = dict(about)
        self._files: dict[str, _RowsFile] = {}
        self._where: dict[bytes, tuple[_RowsFile, int]] | None = None
        self._written: list[Path] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_where": None, "_written": []}

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._rows()

    def missing(self, sha256s: Iterable[str]) -> list[str]:
        """Those that the shelf does not have, each once, in order."""
        rows = self._look()
        return [sha for sha in dict.fromkeys(sha256s) if bytes.fromhex(sha) not in rows]

    def length(self, sha256: str) -> int:
        """Bytes of a row. KeyError where the shelf does not have it."""
        file, index = self._rows()[bytes.fromhex(sha256)]
        return int(file.table["length"][index])

    def row(self, sha256: str) -> memoryview:
        """A row, read-only and mapped from its file; its CRC-32 is checked the first time.

        It stays readable when its file is removed meanwhile.

        Raises:
            KeyError: the shelf does not have it.
            DamagedRowError: a bit flipped. The shelf then no longer has this row, and its file is
                deleted: the next filling makes those rows again.
        """
        key = bytes.fromhex(sha256)
        file, index = self._rows()[key]
        row = file.row(index)
        if not file.checked[index]:
            if zlib.crc32(row) != file.table["crc32"][index]:
                self._rows().pop(key, None)
                _forget(file.path)
                raise DamagedRowError(f"a row of {file.path} is damaged")
            file.checked[index] = True
        return row

    def add(self, sha256s: Sequence[str], rows: Iterable[Buffer]) -> None:
        """Puts rows on the shelf, as one file, while they come.

        Args:
            sha256s: of the photos, each once.
            rows: as many, in the same order.
        Raises:
            KennelError: the file cannot be written, or the disk is full: what this shelf had been
                given before is then taken away again.
            whatever making a row raises; then nothing of this file is left.
        """
        digest = hashlib.sha256("".join(sha256s).encode()).hexdigest()[:16]
        path = self.folder / f"{digest}.rows"
        table = np.zeros(len(sha256s), ENTRY)
        coming = _Coming(rows)
        try:
            self._set_up()
            with replacing(path, "wb") as file:
                offset = 0
                for entry, sha, row in zip(table, sha256s, coming, strict=True):
                    content = memoryview(row).cast("B")
                    entry["sha256"] = np.void(bytes.fromhex(sha))
                    entry["offset"], entry["length"] = offset, len(content)
                    entry["crc32"] = zlib.crc32(content)
                    offset += file.write(content)
                file.write(table.tobytes())
                file.write(TAIL.pack(MAGIC, len(table), zlib.crc32(table.tobytes())))
        except OSError as error:
            if coming.failed:
                raise
            for written in self._written:
                _forget(written)
            raise KennelError(
                f"{self.folder} cannot be written: {error.strerror or error}.",
                fix="make room there (kennel clean), or keep the cache elsewhere: "
                "paths.cache_dir=DIR",
            ) from error
        self._written.append(path)
        if self._where is not None:
            self._files.pop(path.name, None)  # one of this name that was damaged
            self._take_in(path)

    def _set_up(self) -> None:
        if not (self.folder / ABOUT_JSON).is_file():
            write_json(self.folder / ABOUT_JSON, self.about)
        for part in self.folder.glob(".*.part"):
            with suppress(OSError):  # its writer was quicker, or it is somebody else's
                if time.time() - part.stat().st_mtime > ABANDONED_S:
                    part.unlink()

    def _rows(self) -> dict[bytes, tuple[_RowsFile, int]]:
        return self._look() if self._where is None else self._where

    def _look(self) -> dict[bytes, tuple[_RowsFile, int]]:
        """Where each row is, with the files that were added by now."""
        if self._where is None:
            self._where = {}
        for path in sorted(self.folder.glob("*.rows")):
            self._take_in(path)
        return self._where

    def _take_in(self, path: Path) -> None:
        assert self._where is not None
        if path.name in self._files:
            return
        try:
            file = _RowsFile.open(path)
        except FileNotFoundError:  # removed a moment ago
            return
        except OSError as error:  # too many open files, no permission: nothing is wrong with it
            log.warning("%s is not used: %s", path, error.strerror or error)
            return
        except ValueError as error:
            log.warning("%s is damaged (%s); its rows are made again", path, error)
            _forget(path)
            return
        self._files[path.name] = file
        for index, sha in enumerate(file.table["sha256"]):
            self._where.setdefault(sha.tobytes(), (file, index))


@dataclass(eq=False)
class _RowsFile:
    """A `*.rows` file, mapped. `checked`: Bool[N], whose CRC-32 was seen to be right."""

    path: Path
    content: memoryview
    table: NDArray[Any]
    checked: NDArray[np.bool_]

    @classmethod
    def open(cls, path: Path) -> _RowsFile:
        """Raises ValueError where the table is not one that was written."""
        with path.open("rb") as file:
            if path.stat().st_size < TAIL.size:
                raise ValueError("it is cut off")
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        magic, n, crc32 = TAIL.unpack(content[-TAIL.size :])
        end = len(content) - TAIL.size
        start = end - n * ENTRY.itemsize
        if magic != MAGIC or start < 0 or zlib.crc32(content[start:end]) != crc32:
            raise ValueError("its table is not whole")
        table = np.frombuffer(bytes(content[start:end]), ENTRY)
        if n and int((table["offset"] + table["length"]).max()) > start:
            raise ValueError("its table is not its own")
        return cls(path, content, table, np.zeros(n, np.bool_))

    def row(self, index: int) -> memoryview:
        start = int(self.table["offset"][index])
        return self.content[start : start + int(self.table["length"][index])]


def _forget(path: Path) -> None:
    with suppress(OSError):  # where nothing may be removed, its rows are not used all the same
        path.unlink()


class _Coming(Iterator[Buffer]):
    """Rows as they come, and whether making one of them failed: that is no fault of the disk."""

    def __init__(self, rows: Iterable[Buffer]) -> None:
        self._rows = iter(rows)
        self.failed = False

    def __next__(self) -> Buffer:
        try:
            return next(self._rows)
        except StopIteration:
            raise
        except BaseException:
            self.failed = True
            raise


def by_file(missing: Sequence[str]) -> Iterator[Sequence[str]]:
    """What is missing, in portions for `Shelf.add`: the same for everybody who misses the same."""
    size = max(FEWEST_ROWS, -(-len(missing) // MOST_FILES))
    for start in range(0, len(missing), size):
        yield missing[start : start + size]


def refuse_full_disk(cache_dir: Path, needed: int) -> None:
    """Raises KennelError where the disk has not `needed` bytes for the cache."""
    home = next(folder for folder in (cache_dir, *cache_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(home).free
    if needed > free:
        raise KennelError(
            f"the cache needs {needed / 2**30:.1f} GiB in {cache_dir}, and {free / 2**30:.1f} GiB "
            "are free there.",
            fix="kennel clean, another disk (paths.cache_dir=DIR), a smaller data.cache.max_gib, "
            "or none: data.cache=null",
        )
