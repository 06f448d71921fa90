"""How well scores tell known photos from strangers, on numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from kennel.intervals import wilson
from kennel.separation import auroc, fpr95, separate

SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_auroc_is_the_librarys(known: list[float], strangers: list[float]) -> None:
    truth = [1] * len(known) + [0] * len(strangers)
    expected = roc_auc_score(truth, known + strangers)
    assert auroc(np.array(known), np.array(strangers)) == pytest.approx(expected)


def test_auroc_counts_equal_scores_half() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([1.0])) == 0.75
    assert auroc(np.zeros(3), np.zeros(5)) == 0.5


def test_fpr95_is_the_share_of_strangers_above_the_twentieth_of_the_known() -> None:
    known = np.arange(1.0, 21)  # 19 of 20 are 2 or more
    assert fpr95(known, np.array([0.5, 1.5, 2.0, 30.0])) == 0.5
    assert fpr95(known[:5], np.array([0.5, 1.0])) == 0.5  # of five, all must be known


@pytest.mark.parametrize(
    ("known", "strangers", "said"),
    [([], [1.0], "both are needed"), ([1.0], [], "needed"), ([math.nan], [1.0], "not a number")],
)
def test_what_cannot_be_compared_is_refused(
    known: list[float], strangers: list[float], said: str
) -> None:
    for figure in (auroc, fpr95):
        with pytest.raises(ValueError, match=said):
            figure(np.array(known), np.array(strangers))


def test_a_score_that_tells_all_apart_is_no_more_certain_than_its_photos() -> None:
    found = separate(np.full(40, 2.0), np.zeros(25), 1.0)
    assert (found.auroc, found.auroc_interval) == (1.0, wilson(25, 25))
    assert (found.fpr95, found.fpr95_interval) == (0.0, wilson(0, 25))
