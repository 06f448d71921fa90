"""Whether some photos are answered worse than others: small ones, dark ones, those of one source.

N photos. NumPy only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from kennel.intervals import Interval, wilson

BINS = 4
LEAST_PHOTOS = 10  # of a source
MOST_SOURCES = 12


@dataclass(frozen=True)
class Slice:
    """Some of a split's photos. `low` and `high` bound their values, both included; None for a
    source, which has a name.
    """

    name: str
    low: float | None
    high: float | None
    n: int
    top1: float
    top1_interval: Interval


@dataclass(frozen=True)
class Slicing:
    """A split's photos cut by one property.

    Attributes:
        by: "brightness".
        unit: what its values count, or how photos were told apart.
        slices: from low to high, or by name.
        differ: whether two slices have intervals that do not touch.
    """

    by: str
    unit: str
    slices: tuple[Slice, ...]
    differ: bool


def by_value(name: str, unit: str, values: np.ndarray, right: np.ndarray) -> Slicing:
    """Quarters of the photos by a value; fewer where many photos have the same.

    Args:
        values: Float[N], N >= 1.
        right: Bool[N].
    """
    values = np.asarray(values, np.float64)
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="lower"))
    place = np.searchsorted(edges, values, side="left")  # equal values share a slice
    found = []
    for at in np.unique(place).tolist():
        inside = place == at
        low, high = float(values[inside].min()), float(values[inside].max())
        words = f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"
        found.append(_slice(words, right[inside], low, high))
    return _slicing(name, unit, found)


def by_source(paths: Sequence[str], truth: np.ndarray, right: np.ndarray) -> Slicing | None:
    """The photos by the beginning of their file names, up to the first underscore.

    Args:
        paths: of N photos, with forward slashes.
        truth: Int[N], their labels.
        right: Bool[N].
    Returns:
        None unless 2 to 12 beginnings have 10 photos each and one has more than one label: where
        a name's beginning is the label itself, it says nothing of a source.
    """
    names = np.array([_beginning(path) for path in paths])
    count = Counter(names.tolist())
    sources = sorted(name for name, n in count.items() if name and n >= LEAST_PHOTOS)
    if not 2 <= len(sources) <= MOST_SOURCES:
        return None
    if all(len(np.unique(truth[names == name])) == 1 for name in sources):
        return None
    found = [_slice(name, right[names == name]) for name in sources]
    rest = ~np.isin(names, sources)
    if rest.any():
        found.append(_slice("others", right[rest]))
    return _slicing("source", "file name up to the first _", found)


def _beginning(path: str) -> str:
    head, underscore, _ = PurePosixPath(path).name.partition("_")
    return head if underscore else ""


def _slice(
    name: str, right: np.ndarray, low: float | None = None, high: float | None = None
) -> Slice:
    n, hits = len(right), int(right.sum())
    return Slice(name, low, high, n, hits / n, wilson(hits, n))


def _slicing(by: str, unit: str, slices: list[Slice]) -> Slicing:
    lowest = min(each.top1_interval[1] for each in slices)
    highest = max(each.top1_interval[0] for each in slices)
    return Slicing(by, unit, tuple(slices), differ=lowest < highest)
