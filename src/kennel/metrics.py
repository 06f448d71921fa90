"""Logits and truth -> figures, each with its 95 % interval. NumPy only.

N photos, K labels, B resamples. Proportions carry Wilson's interval; figures that are no proportion
carry the percentile bootstrap over photos. Temperature and refusal are in `kennel.calibration`, how
far a probability can be believed in `kennel.confidence`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kennel.intervals import RESAMPLES, Interval, bootstrap, percentiles, redrawn, wilson

__all__ = [
    "ECE_BINS",
    "Figures",
    "Interval",
    "LabelFigures",
    "calibration_error",
    "checked",
    "logsumexp",
    "measure",
    "softmax",
    "wilson",
]

ECE_BINS = 15


@dataclass(frozen=True)
class LabelFigures:
    """Figures of one label, each with its interval; None where the photos cannot say.

    Without a photo of the label nothing is known of it. Without an answer that names it there is
    no precision, and F1 is 0.
    """

    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None
    support: int


@dataclass(frozen=True)
class Figures:
    """What one split says of one classifier. Intervals are at 95 %.

    Attributes:
        n: photos measured.
        top1: share of photos whose highest logit is the truth's; of equal logits the first counts.
        k: of topk, 1 <= k < K unless K is 1: among all labels the truth always is.
        topk: share of photos whose truth is among the k highest.
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
    k: int
    topk: float
    topk_interval: Interval
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


def measure(
    logits: np.ndarray, truth: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> Figures:
    """All figures of a split, with their intervals.

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
    bins, gap = _gaps(probabilities[rows, answers], hit)

    confusion = np.bincount(truth * k + answers, minlength=k * k).reshape(k, k)
    support, answered, hits = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    few = _few(k)
    among = int((_rank(logits, truth) < few).sum())

    draws = []
    for index in redrawn(n, resamples, seed):  # Int64[b, N]
        by_label = _f1(
            _count(truth[index], k),
            _count(answers[index], k),
            # Wrong answers are counted in a column of their own, which is then dropped.
            _count(np.where(hit, truth, k)[index], k + 1)[:, :k],
        )
        draws.append(
            (
                by_label,
                loss[index].mean(axis=1),
                _ece(bins[index], gap[index]),
                squares[index].mean(axis=1),
            )
        )
    f1s, losses, eces, briers = (np.concatenate(column) for column in zip(*draws, strict=True))

    f1 = _f1(support[None], answered[None], hits[None])
    macro_f1 = float(np.nanmean(f1))
    log_loss, brier = float(loss.mean()), float(squares.mean())
    ece = float(_ece(bins[None], gap[None])[0])
    return Figures(
        n=n,
        top1=int(hit.sum()) / n,
        top1_interval=wilson(int(hit.sum()), n),
        k=few,
        topk=among / n,
        topk_interval=wilson(among, n),
        macro_f1=macro_f1,
        macro_f1_interval=percentiles(np.nanmean(f1s, axis=1), macro_f1, perfect_n=n),
        log_loss=log_loss,
        log_loss_interval=percentiles(losses, log_loss),
        ece=ece,
        ece_interval=percentiles(eces, ece),
        brier=brier,
        brier_interval=percentiles(briers, brier),
        confusion=confusion,
        per_label=tuple(
            _label(*row, f1s[:, label])
            for label, row in enumerate(
                zip(hits.tolist(), answered.tolist(), support.tolist(), strict=True)
            )
        ),
    )


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, *, seed: int = 0
) -> tuple[float, Interval]:
    """ECE by itself, as `measure` has it, and its interval.

    Args:
        confidence: Float[N], probability of each photo's answer.
        right: Bool[N].
    """
    bins, gap = _gaps(confidence, right)
    return bootstrap(lambda index: _ece(bins[index], gap[index]), len(gap), seed=seed)


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


def _few(k: int) -> int:
    """How many answers `topk` looks at: fewer than there are labels, or it would say nothing."""
    return max(1, min(3, k - 1)) if k <= 50 else 5


def _label(
    hits: int, answered: int, support: int, f1s: np.ndarray
) -> LabelFigures:  # f1s: Float64[B], NaN in resamples that do not have the label
    if not support:
        return LabelFigures(None, None, None, None, None, None, 0)
    f1 = 2 * hits / (support + answered)
    seen = f1s[~np.isnan(f1s)]
    return LabelFigures(
        precision=hits / answered if answered else None,
        precision_interval=wilson(hits, answered) if answered else None,
        recall=hits / support,
        recall_interval=wilson(hits, support),
        f1=f1,
        f1_interval=percentiles(seen, f1, perfect_n=support) if seen.size else (0.0, 1.0),
        support=support,
    )


def _count(index: np.ndarray, k: int) -> np.ndarray:  # Int64[b, N] of 0..k-1 -> Int64[b, k]
    b = index.shape[0]
    return np.bincount((index + np.arange(b)[:, None] * k).ravel(), minlength=b * k).reshape(b, k)


def _f1(
    support: np.ndarray, answered: np.ndarray, hits: np.ndarray
) -> np.ndarray:  # Int64[b, K] -> Float64[b, K], NaN where a label is neither true nor answered
    total = support + answered
    f1: np.ndarray = np.divide(2 * hits, total, out=np.full(total.shape, np.nan), where=total > 0)
    return f1


def _gaps(
    confidence: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # Float[N], Bool[N] -> Int64[N], Float64[N]
    """The bin of each photo, and how much more was promised than kept."""
    bins = np.ceil(np.asarray(confidence, np.float64) * ECE_BINS).astype(np.int64) - 1
    return np.clip(bins, 0, ECE_BINS - 1), confidence - right


def _ece(
    bins: np.ndarray, gap: np.ndarray
) -> np.ndarray:  # Int64[b, N], Float64[b, N] -> Float64[b]
    """Sum of |sum of gaps in a bin| / N, gap = confidence - right; bin i is (i/15, (i+1)/15]."""
    b, n = bins.shape
    flat = (bins + np.arange(b)[:, None] * ECE_BINS).ravel()
    sums = np.bincount(flat, weights=gap.ravel(), minlength=b * ECE_BINS).reshape(b, ECE_BINS)
    error: np.ndarray = np.abs(sums).sum(axis=1) / n
    return error
