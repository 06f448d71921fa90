"""Likely wrong labels, by confident learning: what a classifier that never saw a photo, or a copy
of it, says of it, beside what it says of the others that have that label.

N photos, D features, K labels. Source: C. Northcutt, L. Jiang, I. Chuang, "Confident learning:
Estimating uncertainty in dataset labels", JAIR 70, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kennel.errors import need

FOLDS = 5
# Chosen on dogs10 with planted flips: docs/decisions/0008-what-an-audit-believes.md.
COMPONENTS = 256  # of the features, by variance; all 1,280 found no more and took twice as long
INVERSE_L2 = 0.03  # C of scikit-learn's logistic regression, on features of mean square length ...
SQUARE_LENGTH = 150.0
MARGIN = 0.5  # another label so much more probable is a finding too

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """A photo whose label is likely wrong. Probabilities are out of fold.

    Attributes:
        at: row of the photo.
        suggested: the label that is likely right.
        margin: probability of its own label less that of the suggested one, -1..1.
    """

    at: int
    suggested: int
    own: float
    other: float

    @property
    def margin(self) -> float:
        return self.own - self.other


def wrong_labels(probabilities: Floats, given: Ints, *, margin: float = MARGIN) -> list[Suspect]:
    """Photos that the confident joint counts under another label, or that miss by `margin`.

    A photo is counted under label j where its probability of j is at least the mean probability of
    j over photos that have the label j: what counts as sure is each label's own. Where several are,
    under the most probable. A flipped photo of a clear-cut label may miss that mean by little:
    hence the margin, which finds it too.

    Args:
        probabilities: Float64[N, K], out of fold, rows sum to 1.
        given: Int64[N], labels as they stand, 0..K-1.
    Returns: the least believable first.
    """
    n, k = probabilities.shape
    rows = np.arange(n)
    sure = probabilities >= self_confidence(probabilities, given)
    counted = np.where(sure, probabilities, -1.0).argmax(axis=1)
    elsewhere = sure.any(axis=1) & (counted != given)
    own = probabilities[rows, given]
    others = probabilities.copy()
    others[rows, given] = -1.0
    best = others.argmax(axis=1) if k > 1 else given
    misses = own - probabilities[rows, best]
    # Where its own label stays the most probable, a photo is unusual rather than mislabelled.
    found = np.flatnonzero((elsewhere & (misses < 0)) | (misses <= -margin))
    suspects = [
        Suspect(int(at), int(best[at]), float(own[at]), float(probabilities[at, best[at]]))
        for at in found
    ]
    return sorted(suspects, key=lambda suspect: (suspect.margin, suspect.at))


def self_confidence(probabilities: Floats, given: Ints) -> Floats:
    """Mean probability of each label over the photos that have it: Float64[K], 1 where none has."""
    k = probabilities.shape[1]
    number = np.bincount(given, minlength=k)
    total = np.bincount(given, probabilities[np.arange(len(given)), given], minlength=k)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), 1.0))


def out_of_fold(
    features: NDArray[np.float32],
    given: Ints,
    groups: Sequence[int],
    *,
    seed: int,
    folds: int = FOLDS,
) -> Floats:
    """Probabilities of each photo by a linear classifier that saw no photo of its group.

    Args:
        features: Float32[N, D], of a frozen backbone.
        given: Int64[N], 0..K-1, each label in `folds` groups or more.
        groups: N; copies share one: a mislabelled copy would confirm itself.
        seed: of the folds.
    Returns: Float64[N, K].
    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    linear = need("sklearn.linear_model", extra="train")
    selection = need("sklearn.model_selection", extra="train")
    seen = _components(features)
    k = int(given.max()) + 1
    probabilities = np.zeros((len(given), k))
    splitter = selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, held_out in splitter.split(seen, given, np.asarray(groups)):
        # 100 steps are enough to rank, and need not converge to the last digit.
        classifier = linear.LogisticRegression(C=INVERSE_L2, max_iter=100, tol=1e-3)
        classifier.fit(seen[train], given[train])
        probabilities[np.ix_(held_out, classifier.classes_)] = classifier.predict_proba(
            seen[held_out]
        )
    return probabilities


def _components(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features' main components, scaled to SQUARE_LENGTH: Float32[N, <= COMPONENTS]. They know
    no label, so all photos may take part.
    """
    n, d = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((d, d))
    for start in range(0, n, 4096):  # in memory D^2, not N x D in float64
        block = features[start : start + 4096] - mean
        covariance += block.T @ block
    _, axes = np.linalg.eigh(covariance)
    main = axes[:, ::-1][:, :COMPONENTS].astype(np.float32)
    seen = (features - mean.astype(np.float32)) @ main
    length = float(np.sqrt(np.square(seen).sum(axis=1).mean()))
    return np.asarray(seen * (np.sqrt(SQUARE_LENGTH) / max(length, 1e-9)), np.float32)
