"""Answers as a folder of Parquet files, here or in a bucket: what several machines write at once,
and what a killed run goes on with.

    _kennel.json                    what was begun; who reads Parquet passes over an underscore
    answers-000007-9f86....parquet  the eighth file, and the sha256 of its photos' names
    _complete.json                  that all are there, and how many answers they have

A file appears whole and is never written again, so that it is all the memory that a run needs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from kennel.answers_table.formats import write_parquet
from kennel.answers_table.part import Begun
from kennel.answers_table.row import Row, rounded
from kennel.bucket import Address, address_of, is_address, keys_below, read_object, write_object
from kennel.errors import PhotoError, UsageError
from kennel.writing import replacing

BEGUN, COMPLETE = "_kennel.json", "_complete.json"
FILE = re.compile(r"answers-(\d{6,})-([0-9a-f]{16})\.parquet")
FEWEST, MOST = 64, 4096  # photos a file, unless it is said
FILES_A_WORKER = 8  # so that the last worker does not keep the others waiting


class Place(Protocol):
    """A folder, or something that can be used like one."""

    @property
    def address(self) -> str:
        """As a user names it."""

    def names(self) -> list[str]:
        """Names of the files directly in it."""

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """A file that appears whole or not at all."""


@dataclass(frozen=True)
class Folder:
    """A place on a disk."""

    path: Path

    @property
    def address(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        return [each.name for each in self.path.iterdir()] if self.path.is_dir() else []

    def read(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        with replacing(self.path / name, "wb") as file:
            file.write(content)


@dataclass(frozen=True)
class Prefix:
    """A place in a bucket."""

    prefix: Address

    @property
    def address(self) -> str:
        return str(self.prefix)

    def names(self) -> list[str]:
        start = self.prefix.folder
        return [key.removeprefix(start) for key in keys_below(self.prefix)]

    def read(self, name: str) -> bytes | None:
        try:
            return read_object(self._of(name))
        except PhotoError:
            return None

    def write(self, name: str, content: bytes) -> None:
        write_object(self._of(name), content)

    def _of(self, name: str) -> Address:
        return Address(self.prefix.bucket, self.prefix.folder + name)


def place_of(word: str) -> Place:
    """The place that a word of the command names.

    Raises:
        UsageError: it is a file, or no address.
    """
    if is_address(word):
        return Prefix(address_of(word))
    path = Path(word).absolute()
    if path.exists() and not path.is_dir():
        raise UsageError(
            f"{word} is a file, and answers become a folder of files.", fix="name a folder"
        )
    return Folder(path)


@dataclass(frozen=True)
class Share:
    """The photos of one file.

    Attributes:
        number: of the file, from 0.
        names: of the photos, in the order of the rows.
    """

    number: int
    names: tuple[str, ...]

    @property
    def file(self) -> str:
        """The file's name."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(name.encode(errors="surrogateescape") + b"\0")
        return f"answers-{self.number:06d}-{digest.hexdigest()[:16]}.parquet"


@dataclass(frozen=True)
class Written:
    """Figures of one file, or of several together: rows, those without an answer, those that are
    not known.
    """

    rows: int = 0
    failed: int = 0
    unknown: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.rows + other.rows, self.failed + other.failed, self.unknown + other.unknown
        )


def rows_a_file(photos: int, *, workers: int, batch: int) -> int:
    """How many photos a file has where nobody said it: a multiple of `batch`."""
    share = photos // max(workers * FILES_A_WORKER, 1)
    return min(max(share, FEWEST), MOST) // batch * batch


def begin(place: Place, begun: Begun, *, rows: int) -> None:
    """Begins answers in a place where none lie; `rows` photos a file."""
    document = {"kennel_answers": 1, **asdict(begun), "rows_a_file": rows}
    place.write(BEGUN, json.dumps(document, indent=2).encode() + b"\n")


def begun_with(place: Place, begun: Begun) -> int | None:
    """How many photos a file has in answers that an earlier run began; None where none did.

    Raises:
        UsageError: the answers are whole, were begun with other settings or another bundle, or
            something else lies there.
    """
    content = place.read(BEGUN)
    if content is None:
        if strange := sorted(name for name in place.names() if not name.startswith(".")):
            raise UsageError(
                f"{place.address} has {strange[0]} in it, which is no answer of kennel's.",
                fix="name a folder of their own for the answers",
            )
        return None
    if place.read(COMPLETE) is not None:
        raise UsageError(
            f"the answers in {place.address} are there already, and whole.",
            fix="name another folder",
        )
    try:
        found = json.loads(content)
        rows = int(found["rows_a_file"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{BEGUN} in {place.address} is not what kennel wrote: {error}.",
            fix="name another folder",
        ) from error
    for name, value in asdict(begun).items():
        if found.get(name) != value:
            raise UsageError(
                f"the answers in {place.address} were begun with {name} {found.get(name)}, "
                f"now it is {value}.",
                fix="go on as it was begun, or name another folder",
            )
    return rows


def shares(names: Iterator[str], *, rows: int) -> Iterator[Share]:
    """The photos of each file; only the last has fewer than `rows`."""
    number, some = 0, []
    for name in names:
        some.append(name)
        if len(some) == rows:
            yield Share(number, tuple(some))
            number, some = number + 1, []
    if some:
        yield Share(number, tuple(some))


def finished(place: Place) -> dict[int, str]:
    """Files that are there, by number."""
    found = ((FILE.fullmatch(name), name) for name in place.names())
    return {int(match[1]): name for match, name in found if match is not None}


def is_finished(share: Share, files: dict[int, str], place: Place) -> bool:
    """Whether the file of a share is among those.

    Raises:
        UsageError: the file of that number is of other photos.
    """
    there = files.get(share.number)
    if there is not None and there != share.file:
        raise UsageError(
            f"the answers in {place.address} were begun with other photos: {there} is not of the "
            f"{len(share.names):,} from {share.names[0]!r} on.",
            fix="go on with the same photos, or name another folder",
        )
    return there is not None


def write_share(place: Place, share: Share, rows: Sequence[Row]) -> Written:
    """Writes the file of a share."""
    figures = Written(
        len(rows),
        sum(row.error is not None for row in rows),
        sum(row.known is False for row in rows),
    )
    file = io.BytesIO()
    write_parquet(file, (rounded(row) for row in rows), 0)
    place.write(share.file, file.getvalue())
    return figures


def figures_of(place: Place, name: str) -> Written:
    """The figures of a file that an earlier run wrote."""
    from pyarrow import parquet  # whoever wrote it has it

    content = place.read(name)
    assert content is not None, f"{name} was there a moment ago"
    table = parquet.read_table(io.BytesIO(content), columns=["known", "error"])
    failed = table.num_rows - table["error"].null_count
    unknown = sum(known is False for known in table["known"].to_pylist())
    return Written(table.num_rows, failed, unknown)


def complete(place: Place, begun: Begun, written: Written, *, files: int) -> dict[str, Any]:
    """Says in the place that the answers are whole."""
    document = {
        "rows": written.rows,
        "errors": written.failed,
        "not_known": written.unknown,
        "files": files,
        "bundle": begun.bundle,
    }
    place.write(COMPLETE, json.dumps(document, indent=2).encode() + b"\n")
    return document
