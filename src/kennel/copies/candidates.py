"""Pairs of photos that may show one picture: low frequencies beside each other, block by block.

N photos, F low frequencies, S = SIDE.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kennel.copies.sketches import SIDE, WINDOWS, Floats, Window, between, centres

CANDIDATE = 0.74  # least cosine of two descriptions
BEST = 8  # candidates that are kept of a photo

_FREQUENCIES = 8  # a side
_ROWS, _COLUMNS = 1024, 8192  # worked on at once: some 100 MB
_CROWDED = 64 * _ROWS  # pairs of a block beyond which they are sifted before more are looked for

PAIR = np.dtype(
    [
        ("whole", np.int64),
        ("part", np.int64),
        ("window", np.int8),
        ("mirrored", np.bool_),
        ("cosine", np.float32),
    ]
)


def candidate_pairs(
    sketches: NDArray[np.uint8], shows: NDArray[np.bool_], say: Callable[[float], None]
) -> NDArray[np.void]:
    """Pairs worth a second look, `PAIR`s: at most BEST for each photo as a whole, each once.

    Args:
        shows: Bool[N]; the others are in no pair.
    """
    n = len(sketches)
    none = np.zeros((0, len(_MIRROR)), np.float32)
    parts = parts_of(sketches, _COLUMNS)
    whole = np.concatenate([none, *(_describe(part, WINDOWS[0]) for part in parts)])
    whole[~shows] = 0  # as like to nothing as to another
    # All rows beside a block of columns before the next block: its windows are described once.
    kept = [np.zeros(0, PAIR) for _ in range(0, n, _ROWS)]
    least = np.full(n, CANDIDATE, np.float32)
    for column in range(0, n, _COLUMNS):
        block = sketches[column : column + _COLUMNS]
        shown = shows[column : column + _COLUMNS]
        windows = [_describe(block, window).T * shown for window in WINDOWS]
        for place, row in enumerate(range(0, n, _ROWS)):
            rows = whole[row : row + _ROWS]
            found = [kept[place]]
            for mirrored, these in ((False, rows), (True, rows * _MIRROR)):
                for window, those in enumerate(windows):
                    cosine = np.asarray(these @ those, np.float32)
                    pairs = _pairs(cosine, least[row : row + _ROWS])
                    pairs["whole"] += row
                    pairs["part"] += column
                    pairs["window"], pairs["mirrored"] = window, mirrored
                    found.append(pairs[pairs["whole"] != pairs["part"]])
                    if sum(map(len, found)) > _CROWDED:  # look-alikes by the thousand
                        found = [_few_best(np.concatenate(found))]
                        _raise_least(least, found[0])
            kept[place] = _few_best(np.concatenate(found))
            _raise_least(least, kept[place])
        say(0.5 * (column + len(block)) / n)
    return _once(np.concatenate([np.zeros(0, PAIR), *kept]))


def _once(pairs: NDArray[np.void]) -> NDArray[np.void]:
    """Of a pair that stands there both ways round, the better one."""
    low, high = np.minimum(pairs["whole"], pairs["part"]), np.maximum(pairs["whole"], pairs["part"])
    order = np.lexsort((-pairs["cosine"], high, low))
    new = np.ones(len(pairs), bool)
    new[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    once: NDArray[np.void] = pairs[order[new]]
    return once


def _pairs(cosine: Floats, least: Floats) -> NDArray[np.void]:
    """Places in a block, Float32[rows, columns], that have at least their row's least cosine."""
    places = np.flatnonzero(cosine >= least[:, None])
    pairs = np.zeros(len(places), PAIR)
    pairs["whole"], pairs["part"] = np.divmod(places, cosine.shape[1])
    pairs["cosine"] = cosine.ravel()[places]
    return pairs


def _few_best(pairs: NDArray[np.void]) -> NDArray[np.void]:
    """The best window of each pair, and of each whole the BEST pairs."""
    best = np.lexsort((-pairs["cosine"], pairs["part"], pairs["whole"]))
    pairs = pairs[best]
    new = np.ones(len(pairs), bool)
    new[1:] = (np.diff(pairs["whole"]) != 0) | (np.diff(pairs["part"]) != 0)
    pairs = pairs[new]
    pairs = pairs[np.lexsort((-pairs["cosine"], pairs["whole"]))]
    start = np.searchsorted(pairs["whole"], pairs["whole"])
    few: NDArray[np.void] = pairs[np.arange(len(pairs)) - start < BEST]
    return few


def _raise_least(least: Floats, pairs: NDArray[np.void]) -> None:
    """Who has his BEST takes only better ones from now on."""
    wholes, start, number = np.unique(pairs["whole"], return_index=True, return_counts=True)
    full = number == BEST
    least[wholes[full]] = pairs["cosine"][start[full] + BEST - 1]


_AXIS = np.arange(_FREQUENCIES, dtype=np.float32)
_FREQUENCY = np.hypot(_AXIS[:, None], _AXIS)
_KEPT = (_FREQUENCY > 0) & (_FREQUENCY < _FREQUENCIES)
# What a mirror does to a description: waves that are odd from left to right change sign.
_MIRROR = np.where(np.broadcast_to(_AXIS % 2, _KEPT.shape)[_KEPT], -1, 1).astype(np.float32)


def _describe(sketches: NDArray[np.uint8], window: Window) -> Floats:
    """Low frequencies of a window of each sketch, without the mean: Float32[N, F], of unit length.

    Weighted by frequency: in photos the amplitude falls with it, and all should count alike.
    """
    across, down = _cosines(*window[:2]), _cosines(*window[2:])
    values = (down @ sketches.astype(np.float32) @ across.T * _FREQUENCY)[:, _KEPT]
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-6), np.float32)


def _cosines(low: float, high: float) -> Floats:
    """Float32[F, S]: samples the window linearly and takes its discrete cosine transform."""
    samples = between((low + (high - low) * centres(SIDE))[None])[0]
    return np.asarray(np.cos(np.pi * _AXIS[:, None] * centres(SIDE)) @ samples, np.float32)


def parts_of(sketches: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    """The sketches, so many at a time."""
    return [sketches[at : at + size] for at in range(0, len(sketches), size)]
