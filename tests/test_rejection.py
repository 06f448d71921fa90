"""When a photo is not known: scores, banks, and the choice among them, on clouds drawn here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kennel.bundle import Bank, Rejection
from kennel.metrics import logsumexp
from kennel.rejection import (
    Answered,
    Scorer,
    as_bank,
    bank_rows,
    directions,
    fit_rejection,
    measure_methods,
    nearest,
)

D = 16


def least_squares_head(features: np.ndarray, truth: np.ndarray) -> Callable[[Any], Any]:
    """A linear head without torch: good enough to choose by."""
    wide = np.hstack([features, np.ones((len(features), 1), np.float32)])
    weights = np.linalg.lstsq(wide, 8 * np.eye(truth.max() + 1)[truth], rcond=None)[0]
    return lambda other: np.hstack([other, np.ones((len(other), 1))]) @ weights


def clouds(
    labels: int, per_label: int, *, seed: int, spread: float = 0.25, only: int | None = None
) -> Answered:
    """Photos of each label around a direction of its own; logits by how near they are."""
    rng = np.random.default_rng(seed)
    centres = directions(np.random.default_rng(99).normal(size=(labels, D)))
    truth = np.repeat(np.arange(labels) if only is None else [only], per_label)
    features = centres[truth] + spread * rng.normal(size=(len(truth), D)) / np.sqrt(D)
    features = features.astype(np.float32)
    return Answered((8 * features @ centres.T).astype(np.float32), features, truth.astype(np.int64))


def fitted(**words: Any) -> tuple[Rejection, np.ndarray | None]:
    train, validation = clouds(6, 40, seed=1), clouds(6, 20, seed=2)
    return fit_rejection(train, validation, rate=0.05, fit_head=least_squares_head, **words)


def test_no_more_than_the_stated_share_of_validation_photos_is_refused() -> None:
    validation = clouds(6, 20, seed=2)
    for method in ("energy", "max_logit", "knn", "knn_energy"):
        rejection, bank = fitted(method=method)
        scores = Scorer(rejection, bank)(validation.logits, validation.features)
        refused = (scores < rejection.threshold).mean()
        assert 0.04 < refused <= 0.05
        assert rejection.method == method
        assert (rejection.n, rejection.split) == (120, "validation")


def test_strangers_are_refused_that_the_logits_are_sure_of() -> None:
    rejection, bank = fitted(method="knn_energy")
    strangers = np.random.default_rng(5).normal(size=(200, D)).astype(np.float32)
    sure = np.full((200, 6), -9, np.float32)
    sure[:, 0] = 9
    by_both = Scorer(rejection, bank)(sure, strangers)
    energy_alone, _ = fitted(method="energy")
    by_energy = Scorer(energy_alone)(sure, strangers)
    assert (by_both < rejection.threshold).mean() > 0.9
    assert (by_energy < energy_alone.threshold).mean() == 0


def test_the_method_that_tells_labels_left_out_best_is_chosen() -> None:
    rejection, _ = fitted()
    auroc = {candidate.method: candidate.auroc for candidate in rejection.candidates}
    assert list(auroc) == ["energy", "max_logit", "knn", "knn_energy"]
    assert auroc[rejection.method] == max(auroc.values()) > 0.9


def test_a_head_that_is_blind_leaves_the_choice_to_the_features() -> None:
    def blind(features: np.ndarray, truth: np.ndarray) -> Callable[[Any], Any]:
        return lambda other: np.random.default_rng(0).normal(size=(len(other), truth.max() + 1))

    found = measure_methods(clouds(6, 40, seed=1), clouds(6, 20, seed=2), fit_head=blind)
    auroc = {candidate.method: candidate.auroc for candidate in found}
    assert auroc["knn"] > 0.95
    assert auroc["energy"] < 0.65
    assert max(found, key=lambda candidate: candidate.auroc).method == "knn"


def test_heads_are_fitted_without_the_labels_that_are_left_out() -> None:
    seen: list[int] = []

    def counting(features: np.ndarray, truth: np.ndarray) -> Callable[[Any], Any]:
        seen.append(len(features))
        assert set(truth) == set(range(truth.max() + 1))
        return least_squares_head(features, truth)

    measure_methods(clouds(6, 40, seed=1), clouds(6, 20, seed=2), fit_head=counting)
    assert sorted(seen) == [160, 200, 200, 200, 200]  # six labels in five parts: one part has two


def test_two_labels_leave_nothing_to_measure_and_the_default_is_taken() -> None:
    train, validation = clouds(2, 40, seed=1), clouds(2, 20, seed=2)
    rejection, bank = fit_rejection(train, validation, rate=0.05, fit_head=least_squares_head)
    assert (rejection.method, rejection.candidates) == ("knn_energy", ())
    assert bank is not None


def test_labels_without_validation_photos_are_no_strangers() -> None:
    train, validation = clouds(4, 40, seed=1), clouds(4, 20, seed=2)
    few = validation.truth != 3
    part = Answered(validation.logits[few], validation.features[few], validation.truth[few])
    found = measure_methods(train, part, fit_head=least_squares_head)
    assert len(found) == 4
    assert all(0.5 < candidate.auroc <= 1 for candidate in found)


def test_the_score_is_the_mean_cosine_to_the_nearest() -> None:
    bank = np.eye(3, dtype=np.float32)
    photo = np.array([[3.0, 4.0, 0.0]], np.float32)
    assert nearest(photo, bank, 1) == pytest.approx([0.8])
    assert nearest(photo, bank, 2) == pytest.approx([0.7])
    assert nearest(np.zeros((1, 3), np.float32), bank, 1) == pytest.approx([0.0])


def test_knn_and_energy_are_added_in_their_own_deviations() -> None:
    bank = Bank("bank.i8", rows=1, features=2)
    rejection = Rejection(
        "knn_energy", 0.0, 0.05, "validation", 9, bank, 1, scales=((0.5, 0.1), (2.0, 4.0))
    )
    score = Scorer(rejection, np.array([[127, 0]], np.int8))
    logits, features = np.array([[6.0, -99.0]], np.float32), np.array([[0.6, 0.8]], np.float32)
    expected = (0.6 - 0.5) / 0.1 + (logsumexp(logits)[0] - 2.0) / 4.0
    assert score(logits, features) == pytest.approx([expected])


def test_a_bank_in_8_bits_changes_no_cosine_by_more_than_a_250th() -> None:
    rng = np.random.default_rng(0)
    for width in (8, 64, 1280):
        features = np.abs(rng.normal(size=(50, width))).astype(np.float32) * 100
        exact, short = directions(features), directions(as_bank(features))
        photos = directions(np.abs(rng.normal(size=(20, width))).astype(np.float32))
        assert np.abs(photos @ exact.T - photos @ short.T).max() < 0.004


def test_a_large_bank_has_rows_of_every_label_and_the_same_for_the_same_seed() -> None:
    truth = np.concatenate([np.zeros(9000), np.ones(3), np.full(5000, 2)]).astype(np.int64)
    rows = bank_rows(truth, seed=0)
    assert np.bincount(truth[rows]).tolist() == [682, 3, 682]
    assert rows.tolist() == sorted(set(rows.tolist())) == bank_rows(truth, seed=0).tolist()
    assert rows.tolist() != bank_rows(truth, seed=1).tolist()
    many = np.repeat(np.arange(500), 20)
    assert np.bincount(many[bank_rows(many, seed=0)]).tolist() == [8] * 500
    assert bank_rows(many[:2000], seed=0).tolist() == list(range(2000))


def test_the_same_photos_give_the_same_rejection() -> None:
    (one, bank), (other, again) = fitted(), fitted()
    assert one == other
    assert bank is not None
    assert again is not None
    assert (bank == again).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bank": None}, "names no bank"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"neighbours": 4}, "neighbours is 4 of 3"),
        ({"scales": None}, "has no scales"),
        ({"scales": ((0.0, 0.0), (1.0, 1.0))}, "spreads must be positive"),
        ({"threshold": float("nan")}, "not finite"),
    ],
)
def test_what_cannot_score_is_refused(change: dict[str, Any], said: str) -> None:
    whole = Rejection(
        "knn_energy", 0.0, 0.05, "validation", 9, Bank("b", 3, 2), 1, ((0.0, 1.0), (0.0, 1.0))
    )
    with pytest.raises(ValueError, match=said):
        replace(whole, **change)
