"""What has been answered so far, kept so that a killed run goes on where it ended.

It lies in NAME.part beside the table, whatever the table's format: a line of JSON that says what
was begun, then one for each photo. Lines are written a batch at a time and go on from the end of a
whole batch: batches hold the same photos as if nobody had killed the run, and the model's answers
the same bits. The table itself is written from it at the end, and appears whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import kennel
from kennel.answers_table.formats import FORMATS
from kennel.answers_table.row import Row, six_digits
from kennel.bundle import Bundle
from kennel.errors import KennelError, RunError, UsageError
from kennel.hold import locking
from kennel.writing import replacing

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MARK = b'{"kennel_answers": 1, '  # how a part begins; the number is of its lines


@dataclass(frozen=True)
class Begun:
    """What a table is made with: the part of another is not gone on with.

    Attributes:
        bundle: its bundle_id.
        answers_sha256: of all in it that decides an answer.
        kennel: version.
        top: labels a row, >= 1.
        batch: photos a call of the model, >= 1.
    """

    bundle: str
    answers_sha256: str
    kennel: str
    top: int
    batch: int

    @classmethod
    def by(cls, bundle: Bundle, *, top: int, batch: int) -> Begun:
        """A table of a bundle's answers."""
        parts = (bundle.preprocess, bundle.calibration, bundle.rejection, bundle.conformal)
        deciding = {  # figures that are noted in it later do not
            "labels": bundle.labels,
            "files": {name: entry.sha256 for name, entry in bundle.files.items()},
            "parts": [None if part is None else asdict(part) for part in parts],
        }
        sha256 = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
        return cls(bundle.bundle_id, sha256, kennel.__version__, top, batch)


class Growing:
    """A table while it grows.

    Attributes:
        table: the file that it will be.
        rows: photos that have an answer, or an error.
        kept: those of them that an earlier run left.
        failed: those that have an error.
        unknown: those that are not known.
    """

    def __init__(self, table: Path, begun: Begun, part: FileIO) -> None:
        self.table, self._begun, self._part = table, begun, part
        self.rows = self.kept = self.failed = self.unknown = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Keeps the answers of a whole batch; only the last of all may be smaller.

        Raises:
            KennelError: the disk is full; what was kept before stays.
        """
        with self._room():
            _write(self._part, b"".join(map(_line, rows)))
        self.count(rows)

    def begin(self, end: int) -> None:
        """Takes the first `end` bytes of the part as what is kept, and drops the rest."""
        self.kept = self.rows
        self._part.truncate(end)
        self._part.seek(end)
        if not end:
            with self._room():
                _write(self._part, _head(self._begun))

    def finish(self) -> None:
        """Writes the table, and removes its part.

        Raises:
            KennelError: the disk is full; the answers are kept.
        """
        form = FORMATS[self.table.suffix]
        with self._room(), replacing(self.table, form.mode) as file:
            form.write(file, self._all(), self._begun.top)
        part_of(self.table).unlink()

    def count(self, rows: Sequence[Row]) -> None:
        """Adds rows that are kept to the figures."""
        self.rows += len(rows)
        self.failed += sum(row.error is not None for row in rows)
        self.unknown += sum(row.known is False for row in rows)

    def _all(self) -> Iterator[Row]:
        with part_of(self.table).open("rb") as file:
            file.readline()
            for line in islice(file, self.rows):
                yield Row.of(json.loads(line), bundle=self._begun.bundle)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise KennelError(
                f"no room is left for {self.table}: {error.strerror}. {self.rows:,} answers are "
                f"kept in {part_of(self.table)}.",
                fix="make room, then type the same again: it goes on after them",
            ) from error


def part_of(table: Path) -> Path:
    """Where the answers of a table lie until it is finished."""
    return table.with_name(f"{table.name}.part")


@contextmanager
def growing(
    table: Path, begun: Begun, names: Iterator[str], *, overwrite: bool = False
) -> Iterator[Growing]:
    """A table that is begun, or gone on with where its part lies there.

    Args:
        names: of the photos, in the order of the rows; those that have an answer are drawn from it.
        overwrite: whether a finished table gives way, once the new one is whole.
    Raises:
        UsageError: the table is there already, or its part was begun with other photos, settings
            or another bundle.
        KennelError: another process is at work on it, or the disk is full.
    """
    part = part_of(table)
    if table.is_dir() or (table.exists() and not overwrite):
        raise UsageError(
            f"{table} is {'a folder' if table.is_dir() else 'there already'}.",
            fix="name another file" if table.is_dir() else "name another file, or add --overwrite",
        )
    table.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        part.open("ab").close()
        try:
            stack.enter_context(locking(part))
        except RunError:
            raise KennelError(
                f"another process is at work on {table}.",
                fix="wait for it to end, or name another file",
            ) from None
        with part.open("rb") as file:
            # Killed between the table's rename and the part's removal: nothing to go on with.
            left = table.exists() and table.stat().st_mtime_ns >= part.stat().st_mtime_ns
            rows = Growing(table, begun, stack.enter_context(part.open("r+b", buffering=0)))
            end = 0 if left else _kept(file, rows, begun, names)
        rows.begin(end)
        try:
            yield rows
        finally:
            if not rows.rows:
                part.unlink(missing_ok=True)


def _kept(file: BinaryIO, rows: Growing, begun: Begun, names: Iterator[str]) -> int:
    """Counts what an earlier run left, and gives the place where its last whole batch ends."""
    head = file.readline()
    where = part_of(rows.table)
    if not head.startswith(_MARK[: len(head)]):
        raise UsageError(
            f"{where} is in the way: kennel predict did not write it.", fix="name another file"
        )
    if not head.endswith(b"\n"):
        return 0
    begun_with = json.loads(head)
    for key, now in asdict(begun).items():
        if begun_with[key] != now:
            raise UsageError(
                f"{where} was begun with {key.replace('_', ' ')} {begun_with[key]}; "
                f"now it is {now}.",
                fix=f"go on as it was begun, name another file, or give it up: rm {where}",
            )
    end = file.tell()
    while batch := _batch(file, begun):
        for place, row in enumerate(batch, rows.rows + 1):
            name = next(names, None)
            if name != row.path:
                other = "none" if name is None else repr(name)
                raise UsageError(
                    f"{where} was begun with other photos: number {place} was {row.path!r}, "
                    f"now it is {other}.",
                    fix=f"go on as it was begun, name another file, or give it up: rm {where}",
                )
        rows.count(batch)
        end = file.tell()
    return end


def _batch(file: BinaryIO, begun: Begun) -> list[Row]:
    """The next whole batch; empty where a killed run left less of it."""
    rows = []
    for line in islice(file, begun.batch):
        try:
            rows.append(Row.of(json.loads(line), bundle=begun.bundle))
        except (ValueError, KeyError, TypeError):
            return []
    return rows if len(rows) == begun.batch and line.endswith(b"\n") else []


def _head(begun: Begun) -> bytes:
    return _MARK + json.dumps(asdict(begun)).encode()[1:] + b"\n"


def _line(row: Row) -> bytes:
    top = tuple((label, six_digits(probability)) for label, probability in row.top)
    return json.dumps(replace(row, top=top).document()).encode() + b"\n"


def _write(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
