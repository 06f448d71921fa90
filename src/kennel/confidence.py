"""How far a probability, or any other score, can be believed: reliability, risk and coverage.

N photos, B resamples of which b are in memory at a time. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kennel.intervals import RESAMPLES, Interval, percentiles, redrawn, wilson

BINS = 10
MOST_POINTS = 101  # of a curve that is written down


@dataclass(frozen=True)
class Bin:
    """Photos whose answers had about the same probability.

    Attributes:
        low, high: the probabilities it is for, low < p <= high.
        n: photos in it.
        confidence: their mean probability.
        right: share of them that is answered right.
    """

    low: float
    high: float
    n: int
    confidence: float
    right: float
    right_interval: Interval


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """How many answers are wrong when only the photos with the highest scores are answered.

    Attributes:
        coverage: Float64[P], shares of the photos, rising to 1; P <= MOST_POINTS.
        risk: Float64[P], share of wrong answers among them.
        aurc: mean risk over all N coverages; 0 is best.
    """

    coverage: np.ndarray = field(repr=False)
    risk: np.ndarray = field(repr=False)
    aurc: float
    aurc_interval: Interval


def reliability(
    confidence: np.ndarray, right: np.ndarray, *, bins: int = BINS
) -> tuple[tuple[Bin, ...], tuple[Bin, ...]]:
    """What was promised beside what was kept, in bins of equal width and in bins of equal counts.

    Bins without photos are left out. Equal probabilities share a bin, so that bins of equal counts
    may be fewer and uneven.

    Args:
        confidence: Float[N], probability of each photo's answer, 0..1, N >= 1.
        right: Bool[N].
    Source: A. Niculescu-Mizil and R. Caruana, ICML 2005; intervals as in `wilson`.
    """
    confidence = np.asarray(confidence, np.float64)
    width = np.linspace(0, 1, bins + 1)
    count = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1), method="lower"))
    # The lowest probability belongs to the first bin.
    count = np.concatenate([[0.0], count[1:]]) if len(count) > 1 else np.array([0.0, count[0]])
    return _bins(confidence, right, width), _bins(confidence, right, count)


def risk_coverage(
    score: np.ndarray, right: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> RiskCoverage:
    """The curve and the area under it. Photos with equal scores stand in no order among themselves.

    Args:
        score: Float[N], higher is surer, N >= 1.
        right: Bool[N].
        seed: of the bootstrap.
    Source: Y. Geifman and R. El-Yaniv, Selective Classification, NeurIPS 2017, arXiv:1705.08500.
    """
    score = np.asarray(score, np.float64)
    order = np.argsort(-score, kind="stable")
    _, tie = np.unique(-score[order], return_inverse=True)
    wrong = ~np.asarray(right, np.bool_)[order]
    # Of photos with one score each counts as wrong as they are on average.
    mean = np.bincount(tie, weights=wrong) / np.bincount(tie)
    error = mean[tie]  # Float64[N], surest first
    n = len(error)
    risk = np.cumsum(error) / np.arange(1, n + 1)
    draws = [
        (np.cumsum(error[np.sort(index, axis=1)], axis=1) / np.arange(1, n + 1)).mean(axis=1)
        for index in redrawn(n, resamples, seed)
    ]
    aurc = float(risk.mean())
    points = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.int64))
    return RiskCoverage(
        coverage=(points + 1) / n,
        risk=risk[points],
        aurc=aurc,
        aurc_interval=percentiles(np.concatenate(draws), aurc, perfect_n=n),
    )


def _bins(confidence: np.ndarray, right: np.ndarray, edges: np.ndarray) -> tuple[Bin, ...]:
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    found = []
    for at in range(len(edges) - 1):
        inside = place == at
        n, hits = int(inside.sum()), int(right[inside].sum())
        if n:
            ends = float(edges[at]), float(edges[at + 1])
            mean = float(np.clip(confidence[inside].mean(), *ends))  # a sum rounds past its ends
            found.append(Bin(*ends, n, mean, hits / n, wilson(hits, n)))
    return tuple(found)
