"""How well a score tells photos of known labels from strangers. NumPy only.

N known photos, M strangers, B resamples of which b are in memory at a time; higher scores are more
known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kennel.intervals import CHUNK, RESAMPLES, Interval, percentiles, wilson

KEPT = 0.95  # share of the known photos that FPR95 keeps


@dataclass(frozen=True)
class Separation:
    """A score on known photos and on strangers.

    Attributes:
        auroc: probability that a known photo scores above a stranger, ties counting half.
        fpr95: share of strangers that score at least as high as 95 % of the known photos.
        threshold: under which a photo is refused.
        refused: share of strangers under it.
        known_refused: share of the known photos under it.
    """

    auroc: float
    auroc_interval: Interval
    fpr95: float
    fpr95_interval: Interval
    threshold: float
    refused: float
    refused_interval: Interval
    known_refused: float
    known_refused_interval: Interval


def separate(
    known: np.ndarray,
    strangers: np.ndarray,
    threshold: float,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Separation:
    """AUROC, FPR95 and refused shares, with their intervals.

    The bootstrap draws known photos and strangers each among themselves.

    Args:
        known: Float[N] scores, higher is more known, N >= 1.
        strangers: Float[M] scores, M >= 1.
        threshold: a photo is refused where score < threshold.
        seed: of the bootstrap.
    Raises:
        ValueError: as `auroc`.
    """
    known, strangers = _checked(known, strangers)
    area, taken = auroc(known, strangers), fpr95(known, strangers)
    n, m = len(known), len(strangers)
    values, place = np.unique(np.concatenate([known, strangers]), return_inverse=True)
    mine, theirs = place[:n], place[n:]  # Int64[N], Int64[M]: ranks among the U values
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // (n + m))
    drawn = []
    for start in range(0, resamples, step):
        b = min(step, resamples - start)
        rows = mine[rng.integers(0, n, (b, n))], theirs[rng.integers(0, m, (b, m))]
        drawn.append(_figures(*rows, len(values)))
    aurocs, fprs = (np.concatenate(column) for column in zip(*drawn, strict=True))
    refused, lost = int((strangers < threshold).sum()), int((known < threshold).sum())
    return Separation(
        auroc=area,
        auroc_interval=percentiles(aurocs, area, perfect_n=min(n, m)),
        fpr95=taken,
        fpr95_interval=percentiles(fprs, taken, perfect_n=m),
        threshold=threshold,
        refused=refused / m,
        refused_interval=wilson(refused, m),
        known_refused=lost / n,
        known_refused_interval=wilson(lost, n),
    )


def auroc(known: np.ndarray, strangers: np.ndarray) -> float:
    """Probability that a known photo scores higher than a stranger; of equal scores half counts.

    Args:
        known: Float[N], N >= 1.
        strangers: Float[M], M >= 1.
    Returns:
        0..1; 0.5 is chance.
    Raises:
        ValueError: one is empty, or a score is not a number.
    Source: J. A. Hanley, B. J. McNeil, Radiology 143(1):29-36, 1982.
    """
    known, strangers = _checked(known, strangers)
    ordered = np.sort(strangers)
    below = np.searchsorted(ordered, known, side="left")
    up_to = np.searchsorted(ordered, known, side="right")
    return float((below + up_to).sum() / (2 * len(known) * len(strangers)))


def fpr95(known: np.ndarray, strangers: np.ndarray) -> float:
    """Share of strangers taken for known where at least 95 % of the known photos are.

    Args:
        known: Float[N], N >= 1.
        strangers: Float[M], M >= 1.
    Returns:
        0..1; 0 is best.
    Raises:
        ValueError: one is empty, or a score is not a number.
    Source: S. Liang et al., ICLR 2018, arXiv:1706.02690.
    """
    known, strangers = _checked(known, strangers)
    threshold = np.sort(known)[len(known) - math.ceil(KEPT * len(known))]
    return float((strangers >= threshold).mean())


def _checked(known: np.ndarray, strangers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known, strangers = np.asarray(known, np.float64), np.asarray(strangers, np.float64)
    if not len(known) or not len(strangers):
        raise ValueError(
            f"{len(known)} known photos and {len(strangers)} strangers: both are needed"
        )
    if np.isnan(known).any() or np.isnan(strangers).any():
        raise ValueError("a score is not a number")
    return known, strangers


def _figures(
    mine: np.ndarray, theirs: np.ndarray, u: int
) -> tuple[np.ndarray, np.ndarray]:  # Int64[b, N], Int64[b, M] -> Float64[b], Float64[b]
    n, m = mine.shape[1], theirs.shape[1]
    known, strange = _counts(mine, u), _counts(theirs, u)
    below = np.cumsum(strange, axis=1) - strange  # strangers under each value
    auroc = (known * (below + strange / 2)).sum(axis=1) / (n * m)
    kept = n - (np.cumsum(known, axis=1) - known)  # known photos at or above each value
    # The highest value that enough known photos reach; at the lowest all do.
    cut = (kept >= KEPT * n - 1e-9).cumsum(axis=1).argmax(axis=1)
    fpr95 = 1 - np.take_along_axis(below, cut[:, None], axis=1)[:, 0] / m
    return auroc, fpr95


def _counts(index: np.ndarray, u: int) -> np.ndarray:  # Int64[b, N] of 0..U-1 -> Int64[b, U]
    b = index.shape[0]
    return np.bincount((index + np.arange(b)[:, None] * u).ravel(), minlength=b * u).reshape(b, u)
