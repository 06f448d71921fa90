"""The confusion matrix of a split for the page: cells that know their photos.

K labels; a confusion matrix is Int64[K, K], rows truth, columns answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from kennel import look
from kennel.confusion import ORDERED_ABOVE, order_by_similarity, shade
from kennel.report.answers import Answered

SHADES = 10
MOST_NAMED = 12  # photos of a cell
LARGEST_COUNTED = 40  # labels; in a larger matrix cells are too small for counts


@dataclass(frozen=True)
class Cell:
    """A cell with photos. `shade` is 1..SHADES by share of the row."""

    key: str
    n: int
    shade: int
    of: int
    truth: str
    answer: str


@dataclass(frozen=True)
class Matrix:
    """A split's matrix as rows of cells, None where no photo is."""

    split: str
    order: tuple[int, ...]
    rows: tuple[tuple[Cell | None, ...], ...]
    totals: tuple[int, ...]
    counted: bool


def matrix(split: str, counts: np.ndarray, labels: Sequence[str]) -> Matrix:
    """Rows and columns in label order, by similarity when there are more than twenty labels.

    Args:
        counts: Int64[K, K].
        labels: length K.
    """
    order = list(range(len(labels)))
    if len(order) > ORDERED_ABOVE:
        order = order_by_similarity(counts)
    totals = counts.sum(axis=1)

    def cell(truth: int, answer: int) -> Cell | None:
        n = int(counts[truth, answer])
        if not n:
            return None
        level = max(1, int(np.ceil(SHADES * n / totals[truth])))
        names = look.in_words(labels[truth]), look.in_words(labels[answer])
        return Cell(f"{split}.{truth}.{answer}", n, level, int(totals[truth]), *names)

    return Matrix(
        split,
        tuple(order),
        tuple(tuple(cell(truth, answer) for answer in order) for truth in order),
        tuple(int(totals[truth]) for truth in order),
        counted=len(order) <= LARGEST_COUNTED,
    )


def cells(split: str, answers: Sequence[Answered]) -> dict[str, list[Answered]]:
    """The photos of each cell, the surest answer first; at most MOST_NAMED of a cell."""
    found: dict[str, list[Answered]] = defaultdict(list)
    for each in answers:
        found[f"{split}.{each.truth}.{each.answer}"].append(each)
    return {
        key: sorted(some, key=lambda each: (-each.probability, each.path))[:MOST_NAMED]
        for key, some in found.items()
    }


def most_wanted(splits: Mapping[str, Sequence[Answered]]) -> Iterator[tuple[str, Answered]]:
    """Photos of all cells, keys with them, in the order in which the page makes room for them.

    Mistakes come before right answers, test before validation before train; then each cell gives
    one photo in turn.
    """
    order = {"test": 0, "validation": 1, "train": 2}
    all_cells: list[tuple[bool, int, str, list[Answered]]] = []
    for name, answers in splits.items():
        for key, some in cells(name, answers).items():
            all_cells.append((some[0].right, order[name], key, some))
    all_cells.sort(key=lambda each: each[:3])
    for right, split in product((False, True), range(3)):
        group = [(key, some) for *where, key, some in all_cells if where == [right, split]]
        for turn in range(MOST_NAMED):
            yield from ((key, some[turn]) for key, some in group if turn < len(some))


def shades() -> list[tuple[int, str, str, str, str]]:
    """Level, ground and words on light paper, ground and words on dark paper."""
    found = []
    for level in range(1, SHADES + 1):
        share = (level - 0.5) / SHADES
        light = shade(share)
        # One photo of many must stand out from an empty cell.
        accent = look.mix(look.ACCENT, look.DARK_INK, 0.25)
        dark = look.mix(look.DARK_PAPER, accent, 0.25 + 0.75 * share)
        found.append((level, light, look.text_on(light), dark, look.text_on(dark)))
    return found
