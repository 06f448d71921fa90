"""Confident learning: worked out by hand, and on planted flips."""

from __future__ import annotations

import numpy as np
import pytest

from kennel.audit.labels import out_of_fold, self_confidence, wrong_labels


def test_self_confidence_is_the_mean_over_the_photos_of_a_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    given = np.array([0, 0, 1])
    assert self_confidence(probabilities, given) == pytest.approx([0.7, 0.6])


def test_the_confident_joint_counts_a_photo_under_the_label_it_is_sure_of() -> None:
    # Thresholds are 0.54 and 0.8: the third photo is sure of label 1, and says 0.
    probabilities = np.array([[0.8, 0.2], [0.64, 0.36], [0.18, 0.82], [0.1, 0.9], [0.3, 0.7]])
    given = np.array([0, 0, 0, 1, 1])
    assert self_confidence(probabilities, given) == pytest.approx([0.54, 0.8])
    (suspect,) = wrong_labels(probabilities, given, margin=1.0)
    assert (suspect.at, suspect.suggested) == (2, 1)
    assert suspect.margin == pytest.approx(-0.64)


def test_a_photo_that_misses_by_the_margin_is_found_below_the_threshold_too() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.0, 1.0], [0.02, 0.98]])
    given = np.array([0, 0, 0, 1, 1])
    assert wrong_labels(probabilities, given, margin=1.0) == []
    assert [suspect.at for suspect in wrong_labels(probabilities, given, margin=0.5)] == [2]


def test_a_photo_whose_own_label_stays_most_probable_is_no_suspect() -> None:
    probabilities = np.array([[0.55, 0.45], [1.0, 0.0], [0.6, 0.4], [0.8, 0.2]])
    given = np.array([0, 0, 1, 1])  # thresholds 0.775 and 0.3
    # The first is surer of 1 than photos of 1 are, and surer still of its own label.
    assert [suspect.at for suspect in wrong_labels(probabilities, given)] == [3]


def test_the_least_believable_comes_first() -> None:
    probabilities = np.array([[0.1, 0.9], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0], [0.95, 0.05]])
    suspects = wrong_labels(probabilities, np.array([0, 0, 0, 1, 1]), margin=0.3)
    assert [suspect.at for suspect in suspects] == [4, 0, 1]


def planted(*, n: int, flips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels with flips, and which were flipped."""
    rng = np.random.default_rng(1)
    truth = np.arange(n) % 4
    features = (np.eye(4, 24)[truth] * 4 + rng.normal(0, 1, (n, 24))).astype(np.float32)
    flipped = np.zeros(n, bool)
    flipped[rng.choice(n, flips, replace=False)] = True
    return features, np.where(flipped, (truth + 1) % 4, truth), flipped


def test_planted_flips_are_found_and_little_else() -> None:
    features, given, flipped = planted(n=400, flips=20)
    probabilities = out_of_fold(features, given, list(range(400)), seed=0)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(400))
    found = {suspect.at for suspect in wrong_labels(probabilities, given)}
    wrong = set(np.flatnonzero(flipped).tolist())
    assert len(found & wrong) >= 18
    assert len(found - wrong) <= 2


def test_a_mislabelled_copy_does_not_vouch_for_itself() -> None:
    """The same flip six times: alone in a fold it is found, spread over folds it is believed."""
    features, given, _ = planted(n=80, flips=0)
    lie = np.repeat(features[:1] * 1.5, 6, axis=0)
    features = np.concatenate([features, lie])
    given = np.concatenate([given, np.full(6, (given[0] + 2) % 4)])
    together = [*range(80), *[80] * 6]
    probabilities = out_of_fold(features, given, together, seed=0)
    assert set(range(80, 86)) <= {s.at for s in wrong_labels(probabilities, given)}
    apart = out_of_fold(features, given, list(range(86)), seed=0)
    assert apart[80:, given[80]].mean() > probabilities[80:, given[80]].mean()


def test_the_same_seed_gives_the_same_answers() -> None:
    features, given, _ = planted(n=80, flips=4)
    first, second = (out_of_fold(features, given, list(range(80)), seed=3) for _ in range(2))
    assert np.array_equal(first, second)
