"""Two classifiers on the same photos: by how much their figures differ, and what may be said of it.
NumPy only.

N photos, K labels, B resamples. Differences are the second's figure minus the first's. Proportions
carry Newcombe's interval, which is wide where the photos are few even if no answer differs; figures
that are no proportion carry the percentile bootstrap over photos, paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kennel.intervals import CHUNK, LEVEL, Interval, percentiles, wilson
from kennel.metrics import logsumexp

RESAMPLES = 10_000
MOST_PHOTOS_NEEDED = 1_000_000

Verdict = Literal["better", "worse", "not shown to differ"]


@dataclass(frozen=True, eq=False)
class Said:
    """What a classifier said of N photos whose labels are among K.

    Attributes:
        answers: Int64[N], 0 <= answer <= K; K stands for any label that is not among the K.
        loss: Float64[N], -log of the truth's probability, nats.
        refused: Bool[N], where it said "not one I know".
    """

    answers: np.ndarray
    loss: np.ndarray
    refused: np.ndarray


@dataclass(frozen=True)
class PairedTest:
    """Two classifiers on the same photos.

    Attributes:
        n: photos.
        only_a: photos that a alone has right.
        only_b: photos that b alone has right.
        p: exact two-sided McNemar probability that equal classifiers differ at least so unevenly.
        difference: top1 of b minus top1 of a: positive where b is better.
        difference_interval: its 95 % interval.
    """

    n: int
    only_a: int
    only_b: int
    p: float
    difference: float
    difference_interval: Interval


@dataclass(frozen=True)
class Difference:
    """A figure of both. Where it is a proportion, `interval` is Newcombe's and not the bootstrap's,
    which says 0 to 0 where no photo differs.
    """

    first: float
    second: float
    difference: float
    interval: Interval
    bootstrap: Interval


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same photos.

    Attributes:
        test: of the right answers; a is the first, b the second.
        figures: top1, macro_f1, log_loss and refused, the share of "not one I know".
        verdict: of the second, by top1: "better" or "worse" where McNemar's p is under 0.05 and the
            interval of the difference lies on one side of 0.
    """

    test: PairedTest
    figures: dict[str, Difference]
    verdict: Verdict
    resamples: int
    seed: int

    def not_worse(self, margin: float) -> bool:
        """Whether the second is shown to lose less than `margin` of top1, 0 <= margin < 1: the
        interval of the difference lies above -margin.

        Source: G. Piaggio et al., CONSORT for non-inferiority trials, JAMA 308(24), 2012.
        """
        return self.test.difference_interval[0] > -margin


def compare_answers(
    truth: np.ndarray,
    first: Said,
    second: Said,
    *,
    labels: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """All differences, with their intervals.

    Macro F1 is over the labels that occur in truth or answers, as in `kennel.metrics`; answers that
    are not among the labels are wrong, and have no F1 of their own.

    Args:
        truth: Int64[N], 0 <= truth < labels, N >= 1.
        labels: K, >= 1.
        resamples: B, >= 1; time grows with N * K * B, memory with none of them.
        seed: of the bootstrap; the same seed gives the same intervals.
    Raises:
        ValueError: no photos, or arrays that are not of the same photos.
    Source: B. Efron, Annals of Statistics 7(1):1-26, 1979; photos are drawn, with what both said.
    """
    n = truth.size
    for said in (first, second):
        for name in ("answers", "loss", "refused"):
            shape = getattr(said, name).shape
            if shape != (n,) or not n:
                raise ValueError(f"{name} is {shape} and truth ({n},); N must be the same, >= 1")
    both = (first, second)
    right = [said.answers == truth for said in both]
    test = paired_test(*right)
    refused = paired_test(first.refused, second.refused)
    # One column a figure that is a mean over photos: Float64[N, 3].
    means = np.stack(
        [
            right[1].astype(np.float64) - right[0],
            second.loss - first.loss,
            second.refused.astype(np.float64) - first.refused,
        ],
        axis=1,
    )
    kinds = [_OneHot(truth, said.answers, labels) for said in both]
    drawn = []
    for weights in _weights(n, resamples, seed):  # Float64[b, N]
        f1 = [kind.macro_f1(weights) for kind in kinds]
        drawn.append(np.column_stack([weights @ means / n, f1[1] - f1[0]]))
    draws = np.concatenate(drawn)  # Float64[B, 4]

    whole = np.ones((1, n))
    f1_first, f1_second = (float(kind.macro_f1(whole)[0]) for kind in kinds)
    loss_first, loss_second = (float(said.loss.mean()) for said in both)
    values = {
        "top1": (float(right[0].mean()), float(right[1].mean()), test.difference),
        "log_loss": (loss_first, loss_second, loss_second - loss_first),
        "refused": (float(first.refused.mean()), float(second.refused.mean()), refused.difference),
        "macro_f1": (f1_first, f1_second, f1_second - f1_first),
    }
    newcombe = {"top1": test.difference_interval, "refused": refused.difference_interval}
    figures = {}
    for at, (name, (one, other, difference)) in enumerate(values.items()):
        bootstrap = percentiles(draws[:, at], difference)
        interval = newcombe.get(name, bootstrap)
        figures[name] = Difference(one, other, difference, interval, bootstrap)
    return Comparison(test, figures, verdict(test), resamples, seed)


def verdict(test: PairedTest) -> Verdict:
    """What may be said of b. Both must hold, McNemar's exact p and Newcombe's interval: on few
    photos the interval alone is a little too sure.
    """
    low, high = test.difference_interval
    if test.p < 1 - LEVEL and low > 0:
        return "better"
    return "worse" if test.p < 1 - LEVEL and high < 0 else "not shown to differ"


def photos_needed(test: PairedTest, right_a: int, margin: float) -> int | None:
    """About how many photos would show that b is not worse, if b differs from a as it does here.

    Args:
        right_a: photos that a has right.
        margin: 0 <= margin < 1.
    Returns:
        the number, to two digits; None where not even a million would do.
    """
    both = right_a - test.only_a
    counts = (both, test.only_a, test.only_b, test.n - both - test.only_a - test.only_b)
    n = float(test.n)
    while n <= MOST_PHOTOS_NEEDED:
        scaled = paired_counts(*(round(count * n / test.n) for count in counts))
        if scaled.difference_interval[0] > -margin:
            step: int = 10 ** max(len(str(scaled.n)) - 2, 0)
            return -(-scaled.n // step) * step
        n *= 1.02
    return None


def paired_test(right_a: np.ndarray, right_b: np.ndarray) -> PairedTest:
    """Whether two classifiers differ on the same photos, and by how much.

    Args:
        right_a: Bool[N], where a is right; N >= 1.
        right_b: Bool[N], where b is right, photo by photo in the same order.
    Raises:
        ValueError: no photos, not boolean, or not the same photos.
    Source: Q. McNemar, Psychometrika 12(2):153-157, 1947, exact binomial form; interval:
        R. G. Newcombe, Statistics in Medicine 17(22):2635-2650, 1998, method 10.
    """
    a, b = np.asarray(right_a), np.asarray(right_b)
    if (
        a.dtype != np.bool_
        or b.dtype != np.bool_
        or a.ndim != 1
        or a.shape != b.shape
        or not a.size
    ):
        raise ValueError(
            f"right_a is {a.dtype}{a.shape} and right_b {b.dtype}{b.shape}; "
            "both must be Bool[N], N >= 1"
        )
    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum())
    return paired_counts(both, only_a, only_b, a.size - both - only_a - only_b)


def paired_counts(both: int, only_a: int, only_b: int, neither: int) -> PairedTest:
    """The same from the four counts of right answers, which are >= 0 and not all 0."""
    n = both + only_a + only_b + neither
    return PairedTest(
        n=n,
        only_a=only_a,
        only_b=only_b,
        p=_mcnemar(only_a, only_b),
        difference=(only_b - only_a) / n,
        difference_interval=_newcombe(both, only_b, only_a, neither),
    )


class _OneHot:
    """Truth and answers as columns, so that a resample's macro F1 is a product of matrices."""

    def __init__(self, truth: np.ndarray, answers: np.ndarray, labels: int) -> None:
        columns = np.arange(labels)
        self._truth = (truth[:, None] == columns).astype(np.float64)  # Float64[N, K]
        self._answers = (answers[:, None] == columns).astype(np.float64)
        self._hits = self._truth * self._answers

    def macro_f1(self, weights: np.ndarray) -> np.ndarray:  # Float64[b, N] -> Float64[b]
        total = weights @ self._truth + weights @ self._answers
        f1 = np.divide(2 * (weights @ self._hits), total, out=np.zeros_like(total), where=total > 0)
        mean: np.ndarray = f1.sum(axis=1) / (total > 0).sum(axis=1)
        return mean


def _weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each photo was drawn: Float64[b, N], b summing to B, each row summing to N."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // n)
    for start in range(0, resamples, step):
        b = min(step, resamples - start)
        index = rng.integers(0, n, size=(b, n)) + np.arange(b)[:, None] * n
        yield np.bincount(index.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _mcnemar(only_a: int, only_b: int) -> float:
    """Twice the smaller tail of Binomial(only_a + only_b, 1/2), at most 1.

    In logarithms, as 2**-n is 0 from n = 1075 on.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    i = np.arange(fewer, dtype=np.float64)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((n - i) / (i + 1)))])
    return min(1.0, math.exp(float(logsumexp(log_choose)) + (1 - n) * math.log(2)))


def _newcombe(both: int, first: int, second: int, neither: int) -> Interval:
    """95 % interval of (first - second) / n from the four counts of a paired table."""
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    low1, high1 = wilson(both + first, n)
    low2, high2 = wilson(both + second, n)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess: float = both * neither - first * second
    if excess > 0:
        excess = max(
            excess - n / 2, 0.0
        )  # Newcombe's continuity correction, for positive correlation only
    phi = excess / math.sqrt(margins) if margins else 0.0

    def half(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    difference = (first - second) / n
    low, high = difference - half(p1 - low1, high2 - p2), difference + half(high1 - p1, p2 - low2)
    return max(-1.0, low), min(1.0, high)
