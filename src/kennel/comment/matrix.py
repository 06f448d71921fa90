"""What is taken for what: the whole matrix of few labels, the most confused pairs of many."""

from __future__ import annotations

import numpy as np

from kennel.comment.markup import folded, table, words
from kennel.comment.side import Side
from kennel.confusion import finding
from kennel.look import in_words

SPLITS = ("test", "validation")  # the first that was measured
MOST_LABELS = 16  # in a matrix that a comment has the width for
MOST_PAIRS = 25


def confusion(side: Side) -> str:
    """Folded; "" where it was not measured."""
    for split in SPLITS:
        measured = side.figures.get(split)
        if measured is not None and measured.confusion:
            counts = _square(measured.confusion, len(side.labels))
            break
    else:
        return ""
    if counts is None:
        return ""
    shown = [words(in_words(label)) for label in side.labels]
    if len(shown) <= MOST_LABELS:
        body = _whole(counts, shown)
        says = "Rows are the truth, columns the answer, numbered alike."
    else:
        body = _pairs(counts, shown)
        says = f"{len(shown)} labels: the pairs most often confused, by their share of the truth."
    said = f"**{_finding(counts, shown)}.** {says}"
    return folded(f"What is taken for what: {split}, n {int(counts.sum()):,}", f"{said}\n\n{body}")


def _square(rows: tuple[tuple[int, ...], ...], k: int) -> np.ndarray | None:
    """Int64[K, K]; None where a report has something else."""
    if len(rows) != k or any(len(row) != k for row in rows):
        return None
    if not all(0 <= n < 2**31 for row in rows for n in row):
        return None
    return np.array(rows, np.int64)


def _finding(counts: np.ndarray, shown: list[str]) -> str:
    # By numbers, so that no word of a label is read as anything by what makes a sentence of them.
    said = finding(counts, [f"\x00{at}\x00" for at in range(len(shown))])
    parts = said.split("\x00")
    return "".join(shown[int(part)] if at % 2 else part for at, part in enumerate(parts))


def _whole(counts: np.ndarray, shown: list[str]) -> str:
    k = len(shown)
    rows = []
    for at, label in enumerate(shown):
        cells = [str(n) if n else "" for n in counts[at].tolist()]
        cells[at] = f"**{cells[at]}**" if cells[at] else ""
        rows.append([f"{at + 1} {label}", *cells, f"{int(counts[at].sum()):,}"])
    head = ["truth", *(str(at + 1) for at in range(k)), "photos"]
    return table(head, rows, right=range(1, k + 2))


def _pairs(counts: np.ndarray, shown: list[str]) -> str:
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    share = wrong / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    places = sorted(
        np.argwhere(wrong).tolist(),
        key=lambda at: (-share[at[0], at[1]], -wrong[at[0], at[1]], at),
    )
    rows = [
        [
            shown[truth],
            shown[answer],
            f"{int(wrong[truth, answer])} of {int(counts[truth].sum())}",
            f"{100 * share[truth, answer]:.0f} %",
        ]
        for truth, answer in places[:MOST_PAIRS]
    ]
    body = table(["truth", "answer", "photos", "share"], rows, right=(2, 3))
    more = len(places) - len(rows)
    return f"{body}\n\n{more:,} more pairs are confused." if more else body
