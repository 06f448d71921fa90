"""Many photos at once: rows as they come, a table to look at, a CSV to take home."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from kennel.answers_table import Row as Line
from kennel.answers_table import formats
from kennel.errors import PhotoError
from kennel.evaluate import classify_all
from kennel.images import read_photo
from kennel.infer import Answer
from kennel.look import in_words
from kennel.machine import usable_cores
from kennel.ui.answers import Answers
from kennel.ui.zips import Named

BATCH = 8
TOP = 3
HEADERS = ["Photo", "Answer", "Probability", "Next"]


@dataclass(frozen=True)
class Row:
    """One photo: its answer, or in words why there is none."""

    name: str
    answer: Answer | None
    error: str = ""


def rows_of(ask: Answers, photos: Iterable[Named]) -> Iterator[Row]:
    """A row a photo, in the order given, as they are answered. No more than a few photos are in
    memory at a time.
    """
    answered = classify_all(
        ask.classifier,
        photos,
        lambda photo: read_photo(photo.load(), ask.bundle.preprocess),
        batch_size=BATCH,
        threads=usable_cores(),
    )
    for photo, outputs in answered:
        if isinstance(outputs, PhotoError):
            yield Row(photo.name, None, outputs.message)
        else:
            yield Row(photo.name, ask.classifier.answer(outputs, top=TOP))


def cells(row: Row) -> list[str]:
    """A row of the table, under HEADERS."""
    if row.answer is None:
        return [row.name, f"not read: {row.error}", "", ""]
    (label, probability), *rest = row.answer.top
    after = ", ".join(f"{in_words(other)} {percent(chance)}" for other, chance in rest)
    if not row.answer.known:
        return [row.name, f"not one I know (nearest: {in_words(label)})", "", after]
    return [row.name, in_words(label), percent(probability), after]


def write_csv(file: IO[str], rows: Iterable[Row], *, bundle_id: str) -> None:
    """The table that `kennel predict` writes: the same columns, and no cell that is a formula."""
    formats.write_csv(file, (_line(row, bundle_id) for row in rows), TOP)


def percent(probability: float) -> str:
    """With one decimal, as everywhere in Kennel."""
    return f"{100 * probability:.1f}\N{NO-BREAK SPACE}%"


def _line(row: Row, bundle_id: str) -> Line:
    said = row.answer
    if said is None:
        return Line(row.name, bundle_id, error=row.error)
    return Line(row.name, bundle_id, top=said.top, known=said.known, among=said.among)
