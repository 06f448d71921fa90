"""Validation logits -> the temperature that makes probabilities honest, and when to refuse.

N photos, K labels. NumPy only.
"""

from __future__ import annotations

import math

import numpy as np

from kennel.metrics import checked, logsumexp, softmax

COLDEST, HOTTEST = 0.05, 20.0
STEPS = 200  # Newton needs about ten; halving alone needs fifty for full precision


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T for which softmax(logits / T) has the least log loss.

    The truth counts (N + 1) / (N + 2) and the rest is spread over all labels: on the few photos of
    a validation split every answer may be right, and the plain loss would then ask for certainty.
    The loss is convex in 1 / T, so there is one least value.

    Args:
        logits: Float[N, K] as the model gives them, N >= 1.
        truth: Int[N], index of each photo's label.
    Returns:
        T in [0.05, 20]; the same for the same input.
    Raises:
        ValueError: no photos, shapes that do not fit, logits that are not finite, or logits
            that are equal over all labels of every photo, which no temperature changes.
    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599;
        the smoothed truth as in J. Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    logits, truth = checked(logits, truth)
    if (logits == logits[:, :1]).all():
        raise ValueError(
            f"each of the {len(logits)} photos has equal logits: no temperature changes them"
        )
    doubt = 1 / (len(logits) + 2)
    own = (1 - doubt) * logits[np.arange(len(logits)), truth] + doubt * logits.mean(axis=1)

    # beta = 1 / T. The slope of the loss rises with beta: the bracket of its zero can only shrink.
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(logits, own, low)[0] >= 0:
        return HOTTEST
    if _slope(logits, own, high)[0] <= 0:
        return COLDEST
    beta = 1.0
    for _ in range(STEPS):
        slope, curvature = _slope(logits, own, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        newton = beta - slope / curvature if curvature > 0 else math.inf
        following = newton if low < newton < high else math.sqrt(low * high)
        if abs(following - beta) <= 1e-12 * beta:
            break
        beta = following
    return 1 / beta


def energy(logits: np.ndarray) -> np.ndarray:  # Float[N, K] -> Float64[N]
    """How known a photo looks: logsumexp of the logits, before any temperature; higher is more.

    Source: W. Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020,
        arXiv:2010.03759 (their energy, negated).
    """
    return logsumexp(logits)


def refusal_threshold(scores: np.ndarray, rate: float) -> float:
    """The highest threshold under which at most `rate` of the scores lie.

    A photo is refused where score < threshold. A score equal to it is kept, so where scores tie
    there, fewer than `rate` are refused, never more.

    Args:
        scores: Float[N] of photos with known labels, N >= 1, finite.
        rate: share that may be refused, 0 <= rate < 1.
    Raises:
        ValueError: no scores, one that is not finite, or a rate outside [0, 1).
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if ordered.ndim != 1 or not ordered.size or not np.isfinite(ordered).all():
        raise ValueError(f"scores are {ordered.shape}; they must be [N], N >= 1, and finite")
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}; it must lie in [0, 1)")
    n = ordered.size
    refused = math.floor(rate * n)
    if (refused + 1) / n <= rate:  # 0.29 * 100 is 28.999999999999996
        refused += 1
    return float(ordered[refused])


def fit_conformal(
    logits: np.ndarray, truth: np.ndarray, *, temperature: float, coverage: float
) -> float:
    """The probability from which a label is named, so that the truth is among them at `coverage`.

    Holds on average over splits for photos like these, whatever the model: the threshold is the
    probability of the truth of the k-th best photo, k = ceil((N + 1) * coverage), and 0 (all labels
    are named) where N is too small for that. The temperature was fitted on the same photos, one
    number on N of them, which the promise does not count.

    Args:
        logits: Float[N, K] as the model gives them, N >= 1.
        truth: Int[N].
        temperature: that divides the logits, > 0.
        coverage: 0 < coverage < 1.
    Returns:
        0..1.
    Raises:
        ValueError: shapes that do not fit, or coverage out of range.
    Source: M. Sadinle, J. Lei, L. Wasserman, JASA 114(525):223-234, 2019.
    """
    logits, truth = checked(logits, truth)
    if not 0 < coverage < 1:
        raise ValueError(f"coverage is {coverage}; it must lie in (0, 1)")
    own = softmax(logits / temperature)[np.arange(len(truth)), truth]
    k = math.ceil(round((len(own) + 1) * coverage, 9))  # 20 * 0.95 is 19.000000000000004 or so
    return 0.0 if k > len(own) else float(np.sort(own)[len(own) - k])


def prediction_sets(
    probabilities: np.ndarray, threshold: float
) -> np.ndarray:  # Float[N, K] -> Bool[N, K]
    """The labels that are named: all from `threshold` on, and the most probable in any case."""
    named: np.ndarray = probabilities >= threshold
    named[np.arange(len(named)), probabilities.argmax(axis=1)] = True
    return named


def _slope(
    logits: np.ndarray, own: np.ndarray, beta: float
) -> tuple[float, float]:  # Float64[N, K], Float64[N]
    """First and second derivative of the mean log loss by beta."""
    probabilities = softmax(logits * beta)
    mean = (probabilities * logits).sum(axis=1)
    spread = (probabilities * (logits - mean[:, None]) ** 2).sum(axis=1)
    return float((mean - own).mean()), float(spread.mean())
