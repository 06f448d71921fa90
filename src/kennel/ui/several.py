"""Many photos at once: rows as they come, a table to look at, a CSV to take home."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

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
# What a spreadsheet takes for a formula (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


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
    """The columns of `kennel predict --json`, a line a photo. No cell can be taken for a formula:
    one that looks like it gets an apostrophe in front.
    """
    more = [f"{name}_{place}" for place in range(2, TOP + 1) for name in ("label", "probability")]
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["path", "label", "probability", "known", *more, "among", "bundle", "error"])
    for row in rows:
        if row.answer is None:
            table.writerow([_text(row.name), *[""] * (4 + len(more)), bundle_id, _text(row.error)])
            continue
        best = [each for pair in row.answer.top for each in (_text(pair[0]), pair[1])]
        best += [""] * (2 * TOP - len(best))
        among = row.answer.among
        table.writerow(
            [
                _text(row.name),
                *best[:2],
                "true" if row.answer.known else "false",
                *best[2:],
                "" if among is None else json.dumps(among, ensure_ascii=False),
                _text(bundle_id),
                "",
            ]
        )


def percent(probability: float) -> str:
    """With one decimal, as everywhere in Kennel."""
    return f"{100 * probability:.1f}\N{NO-BREAK SPACE}%"


def _text(text: str) -> str:
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
