"""Logits and truth -> figures, each with its 95 % interval. NumPy only.

N photos, K labels, B resamples. Proportions carry Wilson's interval; figures that are no proportion
carry the percentile bootstrap over photos. Temperature and refusal are in `kennel.calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
ECE_BINS = 15
CHUNK = (
    1 << 20
)  # photos drawn at a time by the bootstrap: some 50 MB, however many photos and resamples

Interval = tuple[float, float]


@dataclass(frozen=True)
class LabelFigures:
    """Figures of one label. Where a denominator is 0 the figure is 0 and its interval (0, 1)."""

    precision: float
    recall: float
    recall_interval: Interval
    f1: float
    support: int


@dataclass(frozen=True)
class Figures:
    """What one split says of one classifier. Intervals are at 95 %.

    Attributes:
        n: photos measured.
        top1: share of photos whose highest logit is the truth's; of equal logits the first counts.
        top3: share of photos whose truth is among the min(3, K) highest.
        macro_f1: unweighted mean of F1 over the labels that occur in truth or answers, as
            scikit-learn's `f1_score(average="macro", zero_division=0)`.
        log_loss: mean of -log(probability of the truth), nats.
        ece: expected calibration error of the top-1 probability in 15 bins of equal width.
        brier: mean over photos of the squared error summed over labels, 0..2.
        confusion: Int64[K, K], rows truth, columns answer.
        per_label: in the order of the labels.
    """

    n: int
    top1: float
    top1_interval: Interval
    top3: float
    top3_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval
    log_loss: float
    log_loss_interval: Interval
    ece: float
    ece_interval: Interval
    brier: float
    brier_interval: Interval
    confusion: np.ndarray = field(compare=False)
    per_label: tuple[LabelFigures, ...]


def softmax(logits: np.ndarray) -> np.ndarray:  # Float[..., K] -> Float64[..., K]
    """Probabilities of logits; no overflow for any finite logits."""
    wide = np.asarray(logits, dtype=np.float64)
    shifted: np.ndarray = wide - wide.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def logsumexp(logits: np.ndarray) -> np.ndarray:  # Float[..., K] -> Float64[...]
    """log(sum(exp(logits))) over the last axis; no overflow for any finite logits."""
    wide = np.asarray(logits, dtype=np.float64)
    highest = wide.max(axis=-1)
    total: np.ndarray = highest + np.log(np.exp(wide - highest[..., None]).sum(axis=-1))
    return total


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson interval for a proportion.

    Args:
        hits: successes, 0 <= hits <= n.
        n: trials, n >= 1.
        level: confidence, 0 < level < 1.
    Returns:
        (low, high), both in [0, 1]; hits / n lies between them.
    Raises:
        ValueError: an argument lies outside its range.
    Source: E. B. Wilson, JASA 22(158):209-212, 1927.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits is {hits} of n = {n}; it must be 0 <= hits <= n, n >= 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie in (0, 1)")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 and n the bounds are exactly 0 and 1; rounding would leave 1e-18 and let p fall outside.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high


def measure(
    logits: np.ndarray, truth: np.ndarray, *, seed: int = 0, resamples: int = 1000
) -> Figures:
    """All figures of a split, with their intervals.

    The bootstrap's intervals are widened, where needed, to hold the figure itself: on few photos
    ECE is larger in nearly every resample than in the split it was drawn from.

    Args:
        logits: Float[N, K], already divided by the temperature.
        truth: Int[N], index of each photo's label, 0 <= truth < K.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: B, >= 1; time grows with N * B, memory with neither.
    Raises:
        ValueError: no photos, shapes that do not fit, a truth outside the labels, or a logit that
            is not finite.
    Source: bootstrap: B. Efron, Annals of Statistics 7(1):1-26, 1979; ECE: C. Guo et al.,
        ICML 2017, arXiv:1706.04599; Brier: G. W. Brier, Monthly Weather Review 78(1):1-3, 1950.
    """
    logits, truth = checked(logits, truth)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be >= 1")
    n, k = logits.shape
    probabilities = softmax(logits)
    rows = np.arange(n)
    answers = logits.argmax(axis=1)
    hit = answers == truth

    # logsumexp, not log(softmax): a truth of probability 1e-400 costs 921 nats, not infinity.
    loss = logsumexp(logits) - logits[rows, truth]
    squares = (probabilities**2).sum(axis=1) - 2 * probabilities[rows, truth] + 1
    confidence = probabilities[rows, answers]
    gap = confidence - hit
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)

    confusion = np.bincount(truth * k + answers, minlength=k * k).reshape(k, k)
    support, answered, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    among = int((_rank(logits, truth) < min(3, k)).sum())

    draws = []
    for index in _resamples(n, resamples, seed):  # Int64[b, N]
        draws.append(
            (
                _macro_f1(
                    _count(truth[index], k),
                    _count(answers[index], k),
                    # Wrong answers are counted in a column of their own, which is then dropped.
                    _count(np.where(hit, truth, k)[index], k + 1)[:, :k],
                ),
                loss[index].mean(axis=1),
                _ece(bins[index], gap[index]),
                squares[index].mean(axis=1),
            )
        )
    f1s, losses, eces, briers = (np.concatenate(column) for column in zip(*draws, strict=True))

    macro_f1 = float(_macro_f1(support[None], answered[None], hits[None])[0])
    log_loss, brier = float(loss.mean()), float(squares.mean())
    ece = float(_ece(bins[None], gap[None])[0])
    return Figures(
        n=n,
        top1=int(hit.sum()) / n,
        top1_interval=wilson(int(hit.sum()), n),
        top3=among / n,
        top3_interval=wilson(among, n),
        macro_f1=macro_f1,
        macro_f1_interval=_percentiles(f1s, macro_f1),
        log_loss=log_loss,
        log_loss_interval=_percentiles(losses, log_loss),
        ece=ece,
        ece_interval=_percentiles(eces, ece),
        brier=brier,
        brier_interval=_percentiles(briers, brier),
        confusion=confusion,
        per_label=tuple(
            LabelFigures(
                precision=hits / answered if answered else 0.0,
                recall=hits / support if support else 0.0,
                recall_interval=wilson(hits, support) if support else (0.0, 1.0),
                f1=2 * hits / (support + answered) if support + answered else 0.0,
                support=support,
            )
            for hits, answered, support in zip(
                hits.tolist(), answered.tolist(), support.tolist(), strict=True
            )
        ),
    )


def checked(logits: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64[N, K] and Int64[N], N >= 1 and K >= 1, or a ValueError that says what is wrong."""
    logits, truth = np.asarray(logits), np.asarray(truth)
    if logits.ndim != 2 or truth.shape != logits.shape[:1]:
        raise ValueError(
            f"logits are {logits.shape} and truth {truth.shape}; they must be [N, K] and [N]"
        )
    n, k = logits.shape
    if n == 0 or k == 0:
        raise ValueError(f"logits are {logits.shape}: there is nothing to measure")
    if not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"truth is {truth.dtype}; it must hold indices of labels")
    if truth.min() < 0 or truth.max() >= k:
        raise ValueError(
            f"truth lies in {truth.min()}..{truth.max()}; with {k} labels it must lie in 0..{k - 1}"
        )
    logits = logits.astype(np.float64)
    bad = n - int(np.isfinite(logits).all(axis=1).sum())
    if bad:
        raise ValueError(f"{bad} of {n} photos have logits that are not finite")
    return logits, truth.astype(np.int64)


def _rank(
    logits: np.ndarray, truth: np.ndarray
) -> np.ndarray:  # Float64[N, K], Int64[N] -> Int64[N]
    """How many labels stand before the truth; of equal logits the first does, as in argmax."""
    own = np.take_along_axis(logits, truth[:, None], axis=1)
    before = np.arange(logits.shape[1]) < truth[:, None]
    rank: np.ndarray = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    return rank


def _resamples(
    n: int, resamples: int, seed: int
) -> Iterator[np.ndarray]:  # Int64[b, N], b summing to B
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // n)
    for start in range(0, resamples, step):
        yield rng.integers(0, n, size=(min(step, resamples - start), n))


def _count(index: np.ndarray, k: int) -> np.ndarray:  # Int64[b, N] of 0..k-1 -> Int64[b, k]
    b = index.shape[0]
    return np.bincount((index + np.arange(b)[:, None] * k).ravel(), minlength=b * k).reshape(b, k)


def _macro_f1(
    support: np.ndarray, answered: np.ndarray, hits: np.ndarray
) -> np.ndarray:  # Int64[b, K] -> Float64[b]
    total = support + answered
    f1 = np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0)
    mean: np.ndarray = f1.sum(axis=1) / (total > 0).sum(axis=1)
    return mean


def _ece(
    bins: np.ndarray, gap: np.ndarray
) -> np.ndarray:  # Int64[b, N], Float64[b, N] -> Float64[b]
    """Sum of |sum of gaps in a bin| / N, gap = confidence - right; bin i is (i/15, (i+1)/15]."""
    b, n = bins.shape
    flat = (bins + np.arange(b)[:, None] * ECE_BINS).ravel()
    sums = np.bincount(flat, weights=gap.ravel(), minlength=b * ECE_BINS).reshape(b, ECE_BINS)
    error: np.ndarray = np.abs(sums).sum(axis=1) / n
    return error


def _percentiles(draws: np.ndarray, figure: float) -> Interval:  # Float64[B]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), figure), max(float(high), figure)
