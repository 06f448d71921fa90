"""Reliability, risk and coverage against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kennel.confidence import MOST_POINTS, reliability, risk_coverage
from kennel.metrics import wilson


def test_bins_of_equal_width_hold_what_was_promised_and_what_was_kept() -> None:
    confidence = np.array([0.32, 0.38, 0.95, 0.99, 1.0])
    right = np.array([True, False, True, True, False])
    low, high = reliability(confidence, right)[0]
    assert (low.low, low.high, low.n) == pytest.approx((0.3, 0.4, 2))
    assert (low.confidence, low.right, low.right_interval) == (0.35, 0.5, wilson(1, 2))
    assert (high.high, high.n, high.right) == (1.0, 3, pytest.approx(2 / 3))


def test_bins_of_equal_counts_share_the_photos_evenly() -> None:
    confidence = np.linspace(0.2, 1, 100)
    bins = reliability(confidence, confidence > 0.5)[1]
    assert sum(each.n for each in bins) == 100
    assert all(abs(each.n - 10) <= 1 for each in bins)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 0.7, 1.0]), st.booleans()), min_size=1))
def test_every_photo_is_in_one_bin_whatever_ties(photos: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(column) for column in zip(*photos, strict=True))
    for bins in reliability(confidence, right):
        assert sum(each.n for each in bins) == len(photos)
        assert round(sum(each.n * each.right for each in bins)) == right.sum()
        assert all(each.low <= each.confidence <= each.high for each in bins)


def test_risk_grows_from_the_surest_to_all_photos() -> None:
    curve = risk_coverage(np.array([0.9, 0.2, 0.8, 0.4]), np.array([True, False, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.aurc == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert curve.aurc_interval[0] <= curve.aurc <= curve.aurc_interval[1]


def test_a_score_that_says_nothing_has_the_same_risk_everywhere() -> None:
    right = np.array([True, False, True, True])
    curve = risk_coverage(np.zeros(4), right)
    assert curve.risk.tolist() == pytest.approx([0.25] * 4)  # and not by the order of the photos
    assert risk_coverage(np.zeros(4), right[::-1]).aurc == curve.aurc


def test_all_wrong_and_all_right_have_areas_of_1_and_0() -> None:
    score = np.arange(5.0)
    assert risk_coverage(score, np.zeros(5, np.bool_)).aurc == 1
    assert risk_coverage(score, np.ones(5, np.bool_)).aurc == 0


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    curve = risk_coverage(rng.random(5000), rng.random(5000) < 0.8, resamples=20)
    assert len(curve.coverage) == len(curve.risk) == MOST_POINTS
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(0.2, abs=0.02)
