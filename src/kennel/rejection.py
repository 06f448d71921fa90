"""When the answer is "not one I know": a score of how known a photo looks, and where it is refused.

N photos, K labels, D features, M rows of the bank. NumPy only. Higher scores are more known:

    energy      logsumexp of the logits
    max_logit   the highest of them
    knn         mean cosine of the features to those of the nearest training photos
    knn_energy  knn and energy, each in standard deviations from its mean, added

Which of them a bundle uses is measured, and no stranger is needed for it: labels are left out, a
linear head is fitted to the features of the others, and the scores must tell the validation photos
of the labels left out from the rest. On ten breeds this orders the scores as true strangers do
(docs/decisions/0011).

Sources: energy: W. Liu et al., NeurIPS 2020, arXiv:2010.03759 (negated); max_logit: D. Hendrycks et
al., ICML 2022, arXiv:1911.11132; knn: Y. Sun et al., ICML 2022, arXiv:2204.06507.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from kennel.bundle import Bank, Candidate, Rejection, RejectionMethod
from kennel.calibration import energy, refusal_threshold
from kennel.separation import auroc

BANK_FILE = "bank.i8"
NEIGHBOURS = 5
MOST_ROWS = 2048  # of the bank, but PER_LABEL of each label: 2.6 MB with 1,280 features
PER_LABEL = 8
FOLDS = 5  # labels are left out in so many parts
LEAST_LABELS = 3  # two must remain when one is left out
DEFAULT: RejectionMethod = "knn_energy"  # where nothing can be measured
METHODS: tuple[RejectionMethod, ...] = get_args(RejectionMethod)

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Int64 = npt.NDArray[np.int64]
# Features Float32[N, D] and truth Int64[N] of 0..K-1 -> a head: Float32[n, D] -> logits [n, K].
FitHead = Callable[[Float32, Int64], Callable[[Float32], npt.NDArray[np.floating]]]


@dataclass(frozen=True, eq=False)
class Answered:
    """What the model gave for photos whose labels are known.

    Attributes:
        logits: Float32[N, K].
        features: Float32[N, D].
        truth: Int64[N].
    """

    logits: Float32
    features: Float32
    truth: Int64


class Scorer:
    """How known photos look, by the method of a bundle.

    Args:
        rejection: names the method and what goes with it.
        bank: Int8[M, D]; None for methods without one.
    """

    def __init__(self, rejection: Rejection, bank: Int8 | None = None) -> None:
        self._rejection = rejection
        self._bank = None if bank is None else directions(bank)

    def __call__(self, logits: Float32, features: Float32 | None) -> Float64:
        """Float32[N, K], Float32[N, D] -> Float64[N]."""
        method = self._rejection.method
        if method == "energy":
            return energy(logits)
        if method == "max_logit":
            return np.asarray(logits.max(axis=1), np.float64)
        assert self._bank is not None
        assert features is not None
        near = nearest(features, self._bank, self._rejection.neighbours)
        if method == "knn":
            return near
        assert self._rejection.scales is not None
        return _added(near, energy(logits), self._rejection.scales)


def fit_rejection(
    train: Answered,
    validation: Answered,
    *,
    rate: float,
    fit_head: FitHead,
    method: RejectionMethod | None = None,
    split: str = "validation",
    seed: int = 0,
) -> tuple[Rejection, Int8 | None]:
    """Chooses the method, makes its bank, and sets the threshold.

    Args:
        train: photos whose features become the bank.
        validation: photos that choose the method and set the threshold; no row of the bank.
        rate: share of validation photos to refuse, at most, 0 <= rate < 1.
        fit_head: fits a linear head, for the choice.
        method: taken without being measured; else the one with the highest AUROC, the first listed
            in the contract of equal ones.
        split: what `validation` is called.
        seed: of the rows of the bank and of the labels that are left out together.
    Returns:
        the rejection, and Int8[M, D], None where the method needs no bank.
    Raises:
        ValueError: no photos, or rate out of range.
    """
    if not len(train.truth) or not len(validation.truth):
        raise ValueError("rejection needs training and validation photos")
    kept = bank_rows(train.truth, seed=seed)
    candidates: tuple[Candidate, ...] = ()
    if method is None:
        part = Answered(train.logits[kept], train.features[kept], train.truth[kept])
        candidates = measure_methods(part, validation, fit_head=fit_head, seed=seed)
        best = max(candidates, key=lambda candidate: candidate.auroc, default=None)
        method = DEFAULT if best is None else best.method
    bank, at, neighbours, scales = None, None, 0, None
    if method in ("knn", "knn_energy"):
        bank = as_bank(train.features[kept])
        at = Bank(BANK_FILE, rows=len(bank), features=bank.shape[1])
        neighbours = min(NEIGHBOURS, len(bank))
    if method == "knn_energy" and bank is not None:
        near = nearest(validation.features, directions(bank), neighbours)
        scales = _scale(near), _scale(energy(validation.logits))
    n = len(validation.truth)
    unset = Rejection(method, 0.0, rate, split, n, at, neighbours, scales, candidates)
    scores = Scorer(unset, bank)(validation.logits, validation.features)
    return replace(unset, threshold=refusal_threshold(scores, rate)), bank


def measure_methods(
    train: Answered, validation: Answered, *, fit_head: FitHead, seed: int = 0
) -> tuple[Candidate, ...]:
    """How well each method tells photos of labels that were left out: AUROC, by method.

    Labels are left out in FOLDS parts, one at a time where there are no more labels than that. The
    mean weighs a part by its photos. The features themselves may have seen the labels left out,
    where the backbone was trained on them: that flatters all methods.

    Returns:
        one a method; none where fewer than LEAST_LABELS labels have photos in both.
    """
    labels = np.intersect1d(train.truth, validation.truth)
    if len(labels) < LEAST_LABELS:
        return ()
    parts = np.array_split(np.random.default_rng(seed).permutation(labels), min(FOLDS, len(labels)))
    sums, n = dict.fromkeys(METHODS, 0.0), 0
    for part in parts:
        ours = np.isin(train.truth, labels) & ~np.isin(train.truth, part)
        known = ~np.isin(validation.truth, part)
        asked = np.isin(validation.truth, labels)
        _, truth = np.unique(train.truth[ours], return_inverse=True)
        head = fit_head(train.features[ours], truth.astype(np.int64))
        logits = np.asarray(head(validation.features[asked]), np.float32)
        bank = directions(as_bank(train.features[ours]))
        near = nearest(validation.features[asked], bank, min(NEIGHBOURS, len(bank)))
        free, known = energy(logits), known[asked]
        scores = {
            "energy": free,
            "max_logit": logits.max(axis=1),
            "knn": near,
            "knn_energy": _added(near, free, (_scale(near[known]), _scale(free[known]))),
        }
        strangers = int((~known).sum())
        for method in METHODS:
            sums[method] += strangers * auroc(scores[method][known], scores[method][~known])
        n += strangers
    return tuple(Candidate(method, sums[method] / n) for method in METHODS)


def bank_rows(truth: Int64, *, seed: int) -> Int64:
    """Which photos become rows of the bank: all, or the same number of each label, drawn by seed.

    Args:
        truth: Int64[N].
    Returns:
        Int64[M], ascending.
    """
    if len(truth) <= MOST_ROWS:
        return np.arange(len(truth))
    rng = np.random.default_rng(seed)
    labels = np.unique(truth)
    each = max(PER_LABEL, MOST_ROWS // len(labels))
    drawn = [rng.permutation(np.flatnonzero(truth == label))[:each] for label in labels]
    return np.sort(np.concatenate(drawn))


def as_bank(features: Float32) -> Int8:  # Float32[M, D] -> Int8[M, D]
    """Directions in 8 bits, each row as large as fits: cosines change by less than 0.004."""
    largest = np.abs(features).max(axis=1, keepdims=True)
    scaled = features / np.maximum(largest, np.finfo(np.float32).tiny)
    return np.asarray(np.rint(127 * scaled), np.int8)


def directions(rows: npt.NDArray[np.number]) -> Float32:  # Float32[N, D], each row of length 1
    """Rows without their length; a row of zeros stays one."""
    wide = rows.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.maximum(length, np.finfo(np.float32).tiny)
    return wide


def nearest(features: Float32, bank: Float32, neighbours: int) -> Float64:
    """Mean cosine to the nearest rows: Float32[N, D], Float32[M, D] of length 1 -> Float64[N]."""
    cosine = directions(features) @ bank.T
    best = np.partition(cosine, -neighbours, axis=1)[:, -neighbours:]
    mean: Float64 = best.mean(axis=1, dtype=np.float64)
    return mean


def _scale(scores: Float64) -> tuple[float, float]:
    """Mean and standard deviation, which is 1 where all are the same."""
    spread = float(scores.std())
    return float(scores.mean()), spread if spread > 1e-12 else 1.0


def _added(
    near: Float64, free: Float64, scales: tuple[tuple[float, float], tuple[float, float]]
) -> Float64:
    (near_mean, near_spread), (free_mean, free_spread) = scales
    return (near - near_mean) / near_spread + (free - free_mean) / free_spread
