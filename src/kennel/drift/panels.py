"""What is drawn of a figure: shares of photos between edges, then and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kennel.drift.comparison import Comparison, Row
from kennel.drift.words import changed_most, direction, number
from kennel.look import in_words
from kennel.sketch import KNOWN, LABELS

MOST_LABELS = 12  # those whose share changed most
TITLES = {
    "megapixels": "Megapixels",
    "aspect": "Width to height",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "saturation": "Saturation",
    "confidence": "Confidence",
    "score": "Familiarity",
    KNOWN: "Known",
    LABELS: "Labels answered",
}


@dataclass(frozen=True)
class Panel:
    """Bars of one figure.

    Attributes:
        title: the figure, and where it went if it drifted.
        was, seen: share of photos in each bar, 0..1.
        ticks: place in bars from the left, and words.
        each: what each bar counts, in words.
        drifted: as the row has it.
        row: the figure's row.
    """

    title: str
    was: tuple[float, ...]
    seen: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    each: tuple[str, ...]
    drifted: bool
    row: Row


def panels(comparison: Comparison) -> list[Panel]:
    """In the order of the rows: the worst first."""
    return [_panel(comparison, row) for row in comparison.rows]


def _panel(comparison: Comparison, row: Row) -> Panel:
    reference, seen = comparison.reference, comparison.sketch
    name = TITLES.get(row.figure, row.figure.replace("feature_", "Features "))
    title = f"{name}: {direction(row)}" if row.drifted else name
    if row.figure == LABELS:
        labels = changed_most(reference.labels, seen.labels)[:MOST_LABELS]
        labels = [label for label in reference.labels if label in labels]
        was = [reference.labels[label] for label in labels]
        now = [seen.labels[label] for label in labels]
        each = [in_words(label) for label in labels]
        ticks = [(at + 0.5, words) for at, words in enumerate(each)]
    elif row.figure == KNOWN:
        was, now = list(reference.counts[KNOWN]), list(seen.counts[KNOWN])
        each = ["not known", "known"]
        ticks = [(0.5, each[0]), (1.5, each[1])]
    else:
        words, was, now = _told_apart(
            reference.edges[row.figure], reference.counts[row.figure], seen.counts[row.figure]
        )
        ends = pairwise(words)
        each = [f"under {words[0]}", *(f"{a} to {b}" for a, b in ends), f"from {words[-1]}"]
        shown = sorted({0, len(words) // 2, len(words) - 1})
        ticks = [(at + 1.0, words[at]) for at in shown]
    return Panel(
        title,
        tuple(count / reference.n for count in was),
        tuple(count / max(seen.n, 1) for count in now),
        tuple(ticks),
        tuple(each),
        bool(row.drifted),
        row,
    )


def _told_apart(
    edges: Sequence[float], was: Sequence[int], seen: Sequence[int]
) -> tuple[list[str], list[int], list[int]]:
    """Edges in words, without those that read alike, and the counts between them."""
    words, before, now = [number(edges[0])], [was[0], 0], [seen[0], 0]
    for at, edge in enumerate(edges):
        if number(edge) != words[-1]:
            words.append(number(edge))
            before.append(0)
            now.append(0)
        before[-1] += was[at + 1]
        now[-1] += seen[at + 1]
    return words, before, now
