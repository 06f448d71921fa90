"""Figures against values worked out by hand, published intervals, and what holds for any logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kennel.calibration import (
    energy,
    fit_conformal,
    fit_temperature,
    prediction_sets,
    refusal_threshold,
)
from kennel.metrics import (
    Figures,
    LabelFigures,
    calibration_error,
    measure,
    softmax,
    wilson,
)

# Five photos of labels 0, 0, 1, 2, 2, of which the second is taken for 1 and the last for 0.
TRUTH = np.array([0, 0, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.70, 0.20, 0.10],
        [0.30, 0.60, 0.10],
        [0.10, 0.80, 0.10],
        [0.05, 0.05, 0.90],
        [0.50, 0.30, 0.20],
    ]
)


def drawn(n: int, k: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and truths that follow exactly the probabilities of the logits."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, k))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(np.log(PROBABILITIES), TRUTH)


@st.composite
def logits_and_truth(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    values = st.floats(-1e4, 1e4, width=32)
    rows = draw(st.lists(st.lists(values, min_size=k, max_size=k), min_size=n, max_size=n))
    truth = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    return np.array(rows, dtype=np.float32), np.array(truth)


class TestWilson:
    @pytest.mark.parametrize(
        ("hits", "n", "low", "high"),
        # The first is the usual textbook example; the others are table I of R. G. Newcombe,
        # Statistics in Medicine 17:857-872, 1998.
        [
            (8, 10, 0.4902, 0.9433),
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_interval_is_the_published_one(
        self, hits: int, n: int, low: float, high: float
    ) -> None:
        assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)

    @given(st.integers(1, 10**7), st.floats(0, 1), st.floats(0.5, 0.999))
    def test_interval_holds_the_proportion_and_stays_in_0_to_1(
        self, n: int, p: float, level: float
    ) -> None:
        hits = round(p * n)
        low, high = wilson(hits, n, level)
        assert 0 <= low <= hits / n <= high <= 1

    @pytest.mark.parametrize(
        ("hits", "n", "level"),
        [(0, 0, 0.95), (-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0.0)],
    )
    def test_arguments_out_of_range_are_refused(self, hits: int, n: int, level: float) -> None:
        with pytest.raises(ValueError, match=r"must (be|lie)"):
            wilson(hits, n, level)


class TestMeasure:
    def test_top1_and_topk_are_shares_with_wilson_intervals(self, figures: Figures) -> None:
        assert (figures.n, figures.top1, figures.k, figures.topk) == (5, 3 / 5, 2, 4 / 5)
        assert figures.top1_interval == wilson(3, 5)
        assert figures.topk_interval == wilson(4, 5)

    @pytest.mark.parametrize(
        ("labels", "k"), [(1, 1), (2, 1), (3, 2), (4, 3), (50, 3), (51, 5), (120, 5)]
    )
    def test_topk_counts_the_k_highest_and_never_all(self, labels: int, k: int) -> None:
        figures = measure(np.tile(-np.arange(labels, dtype=float), (labels, 1)), np.arange(labels))
        assert (figures.k, figures.topk) == (k, k / labels)

    def test_of_equal_logits_the_first_label_is_the_answer(self) -> None:
        figures = measure(np.zeros((4, 4)), np.arange(4))
        assert (figures.top1, figures.topk) == (1 / 4, 3 / 4)
        assert figures.confusion[:, 0].tolist() == [1, 1, 1, 1]

    def test_confusion_has_truth_in_rows_and_answers_in_columns(self, figures: Figures) -> None:
        assert figures.confusion.dtype == np.int64
        assert figures.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]

    def test_label_figures_are_those_worked_out_by_hand(self, figures: Figures) -> None:
        assert [f.precision for f in figures.per_label] == [1 / 2, 1 / 2, 1.0]
        assert [f.recall for f in figures.per_label] == [1 / 2, 1.0, 1 / 2]
        assert [f.f1 for f in figures.per_label] == pytest.approx([1 / 2, 2 / 3, 2 / 3])
        assert [f.support for f in figures.per_label] == [2, 1, 2]
        assert figures.per_label[0].recall_interval == wilson(1, 2)
        assert figures.per_label[2].precision_interval == wilson(1, 1)
        for label in figures.per_label:
            assert label.f1 is not None
            assert label.f1_interval is not None
            assert label.f1_interval[0] <= label.f1 <= label.f1_interval[1]

    def test_macro_f1_log_loss_brier_and_ece_are_those_worked_out_by_hand(
        self, figures: Figures
    ) -> None:
        assert figures.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
        assert figures.log_loss == pytest.approx(-sum(map(math.log, (0.7, 0.3, 0.8, 0.9, 0.2))) / 5)
        squares = (0.14, 0.49 + 0.36 + 0.01, 0.06, 0.015, 0.25 + 0.09 + 0.64)
        assert figures.brier == pytest.approx(sum(squares) / 5)
        # Each photo has a bin of its own.
        assert figures.ece == pytest.approx((0.3 + 0.6 + 0.2 + 0.1 + 0.5) / 5)

    def test_photos_of_one_bin_make_up_for_each_other_in_ece(self) -> None:
        logits = np.log([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]])
        assert measure(logits, np.array([0, 0, 0, 1])).ece == pytest.approx(0)
        assert measure(logits, np.array([0, 0, 1, 1])).ece == pytest.approx(0.25)

    def test_labels_neither_true_nor_answered_do_not_lower_macro_f1(self) -> None:
        wide = np.hstack([np.log(PROBABILITIES), np.full((5, 4), -30.0)])
        figures = measure(wide, TRUTH)
        assert figures.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)

    def test_a_label_without_photos_is_unknown_and_not_0(self) -> None:
        wide = np.hstack([np.log(PROBABILITIES), np.array([[9.0]] * 2 + [[-9.0]] * 3)])
        absent = measure(wide, TRUTH).per_label[3]  # answered twice, true never
        assert absent == LabelFigures(None, None, None, None, None, None, support=0)

    def test_a_label_that_is_never_answered_has_no_precision_and_f1_0(self) -> None:
        missed = measure(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])).per_label[1]
        assert (missed.precision, missed.precision_interval) == (None, None)
        assert (missed.recall, missed.recall_interval) == (0, wilson(0, 1))
        assert (missed.f1, missed.support) == (0, 1)

    def test_a_split_with_one_label_only_is_measured(self) -> None:
        figures = measure(np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([0, 0]))
        assert (figures.top1, figures.macro_f1) == (1, 1)
        assert figures.per_label[0].f1 == 1
        assert figures.per_label[1].recall is None

    def test_a_model_that_is_always_wrong_is_measured(self) -> None:
        figures = measure(np.array([[9.0, 0.0, 0.0]] * 4), np.array([1, 2, 1, 2]))
        assert (figures.top1, figures.top1_interval) == (0, wilson(0, 4))
        assert (figures.macro_f1, figures.macro_f1_interval) == (0, wilson(0, 4))
        assert [label.recall for label in figures.per_label] == [None, 0, 0]
        assert figures.ece > 0.99

    def test_f1_interval_of_a_label_agrees_with_one_written_plainly(self) -> None:
        logits, truth = drawn(80, 3, seed=6)
        answers = logits.argmax(axis=1)
        rng = np.random.default_rng(1)
        draws = []
        for _ in range(2000):
            index = rng.integers(0, 80, 80)
            t, a = truth[index] == 1, answers[index] == 1
            draws.append(2 * np.sum(t & a) / (t.sum() + a.sum()))
        expected = np.quantile(draws, [0.025, 0.975])
        found = measure(logits, truth, resamples=2000).per_label[1].f1_interval
        assert found == pytest.approx(expected, abs=0.03)

    def test_calibration_error_by_itself_is_the_one_among_the_figures(self) -> None:
        logits, truth = drawn(300, 4)
        figures = measure(logits, truth)
        sure, right = softmax(logits).max(axis=1), logits.argmax(axis=1) == truth
        error, interval = calibration_error(sure, right)
        assert error == pytest.approx(figures.ece)
        assert interval == pytest.approx(figures.ece_interval)

    def test_label_answered_but_never_true_counts_0_in_macro_f1(self) -> None:
        assert measure(
            np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])
        ).macro_f1 == pytest.approx(1 / 3)

    def test_log_loss_is_finite_where_the_probability_underflows(self) -> None:
        figures = measure(np.array([[0.0, 2000.0]], dtype=np.float32), np.array([0]))
        assert figures.log_loss == 2000
        assert measure(np.array([[2000.0, 0.0]]), np.array([0])).log_loss == 0

    @settings(max_examples=50, deadline=None)
    @given(logits_and_truth())
    def test_figures_keep_their_ranges_for_any_logits(
        self, drawn: tuple[np.ndarray, np.ndarray]
    ) -> None:
        logits, truth = drawn
        figures = measure(logits, truth, resamples=20)
        assert figures.confusion.sum() == len(truth)
        assert np.trace(figures.confusion) == round(figures.top1 * len(truth))
        assert figures.top1 <= figures.topk <= 1
        assert math.isfinite(figures.log_loss)
        assert figures.log_loss >= 0
        assert -1e-12 <= figures.brier <= 2 + 1e-12
        for name in ("top1", "topk", "macro_f1", "log_loss", "ece", "brier"):
            low, high = getattr(figures, f"{name}_interval")
            assert low <= getattr(figures, name) <= high

    def test_same_seed_gives_the_same_intervals_and_another_seed_others(self) -> None:
        logits, truth = drawn(80, 4)
        assert measure(logits, truth, seed=3) == measure(logits, truth, seed=3)
        other = measure(logits, truth, seed=4)
        assert measure(logits, truth, seed=3).log_loss_interval != other.log_loss_interval

    def test_bootstrap_agrees_with_normal_theory_for_a_mean(self) -> None:
        logits, truth = drawn(2000, 4)
        figures = measure(logits, truth, resamples=2000)
        losses = -np.log(softmax(logits)[np.arange(2000), truth])
        half = 1.96 * losses.std() / math.sqrt(2000)
        low, high = figures.log_loss_interval
        assert (low, high) == pytest.approx(
            (figures.log_loss - half, figures.log_loss + half), abs=0.15 * half
        )

    def test_bootstrap_of_macro_f1_agrees_with_one_written_plainly(self) -> None:
        logits, truth = drawn(60, 3, seed=5)
        answers = logits.argmax(axis=1)
        rng = np.random.default_rng(1)
        draws = []
        for _ in range(2000):
            index = rng.integers(0, 60, 60)
            t, a = truth[index], answers[index]
            f1s = [
                2 * np.sum((t == k) & (a == k)) / (np.sum(t == k) + np.sum(a == k))
                for k in range(3)
                if np.any(t == k) or np.any(a == k)
            ]
            draws.append(np.mean(f1s))
        expected = np.quantile(draws, [0.025, 0.975])
        assert measure(logits, truth, resamples=2000).macro_f1_interval == pytest.approx(
            expected, abs=0.02
        )

    def test_intervals_shrink_with_more_photos(self) -> None:
        widths = []
        for n in (100, 10_000):
            figures = measure(*drawn(n, 5), resamples=200)
            widths.append(
                [high - low for low, high in (figures.macro_f1_interval, figures.log_loss_interval)]
            )
        assert all(4 < few / many < 25 for few, many in zip(*widths, strict=True))  # theory: 10

    @pytest.mark.parametrize(
        ("logits", "truth", "what"),
        [
            (np.zeros((0, 3)), np.zeros(0, dtype=int), "nothing to measure"),
            (np.zeros((2, 3)), np.array([0, 3]), "0..2"),
            (np.zeros((2, 3)), np.array([-1, 0]), "0..2"),
            (np.zeros((2, 3)), np.array([0, 1, 2]), r"\[N, K\]"),
            (np.zeros(3), np.array([0, 1, 2]), r"\[N, K\]"),
            (np.zeros((2, 3)), np.array([0.0, 1.0]), "indices"),
            (np.array([[0.0, np.nan], [0.0, 1.0]]), np.array([0, 1]), "1 of 2 photos"),
        ],
    )
    def test_what_cannot_be_measured_is_refused(
        self, logits: np.ndarray, truth: np.ndarray, what: str
    ) -> None:
        with pytest.raises(ValueError, match=what):
            measure(logits, truth)


class TestSoftmax:
    @given(logits_and_truth())
    def test_probabilities_sum_to_1(self, drawn: tuple[np.ndarray, np.ndarray]) -> None:
        probabilities = softmax(drawn[0])
        assert probabilities.sum(axis=-1) == pytest.approx(1)
        assert (probabilities >= 0).all()

    def test_logits_are_left_as_they_were(self) -> None:
        logits = np.array([[1.0, 2.0]])
        softmax(logits)
        assert logits.tolist() == [[1.0, 2.0]]


class TestTemperature:
    @settings(max_examples=10, deadline=None)
    @given(st.floats(0.2, 5.0))
    def test_planted_temperature_is_found(self, planted: float) -> None:
        logits, truth = drawn(4000, 5, seed=1)
        assert fit_temperature(logits * planted, truth) == pytest.approx(planted, rel=0.06)

    def test_no_other_temperature_has_less_log_loss_of_the_smoothed_truth(self) -> None:
        logits, truth = drawn(300, 4, seed=2)
        best = fit_temperature(3 * logits, truth)
        smoothed = np.full((300, 4), 1 / 302 / 4)
        smoothed[np.arange(300), truth] += 301 / 302

        def loss(temperature: float) -> float:
            return float(-(smoothed * np.log(softmax(3 * logits / temperature))).sum())

        assert all(loss(best) <= loss(best * factor) for factor in (0.9, 0.999, 1.001, 1.1))

    def test_few_photos_all_right_do_not_make_it_certain(self) -> None:
        right = np.array([[3.0, 0.0], [0.0, 3.0]])
        truth = np.array([0, 1])
        assert softmax(right / fit_temperature(right, truth)).max() == pytest.approx(7 / 8)
        more = softmax(
            np.tile(right, (50, 1)) / fit_temperature(np.tile(right, (50, 1)), np.tile(truth, 50))
        )
        assert more.max() == pytest.approx(1 - 1 / 204)

    def test_result_stays_within_its_bounds(self) -> None:
        right = np.array([[3.0, 0.0], [0.0, 3.0]])
        assert fit_temperature(right / 1000, np.array([0, 1])) == 0.05
        assert fit_temperature(right, np.array([1, 0])) == 20.0

    def test_nothing_to_fit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing to measure"):
            fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))
        with pytest.raises(ValueError, match="no temperature"):
            fit_temperature(np.full((4, 3), 2.0), np.array([0, 1, 2, 0]))


class TestRefusal:
    def test_energy_is_logsumexp_and_does_not_overflow(self) -> None:
        expected = [math.log(math.e + math.e**2), 5000 + math.log(2)]
        assert energy(np.array([[1.0, 2.0], [5000.0, 5000.0]])) == pytest.approx(expected)

    @given(
        st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30),
        st.floats(0, 1, exclude_max=True),
    )
    def test_threshold_is_the_highest_that_refuses_no_more_than_the_rate(
        self, scores: list[float], rate: float
    ) -> None:
        threshold = refusal_threshold(np.array(scores), rate)
        assert np.mean(np.array(scores) < threshold) <= rate
        assert np.mean(np.array(scores) < np.nextafter(threshold, np.inf)) > rate

    def test_rate_that_floats_hold_inexactly_is_met(self) -> None:
        assert refusal_threshold(np.arange(100.0), 0.29) == 29  # 0.29 * 100 is 28.999999999999996

    @pytest.mark.parametrize(
        ("scores", "rate"), [([], 0.1), ([1.0], 1.0), ([1.0], -0.1), ([math.nan], 0.1)]
    )
    def test_what_gives_no_threshold_is_refused(self, scores: list[float], rate: float) -> None:
        with pytest.raises(ValueError, match="must"):
            refusal_threshold(np.array(scores), rate)


def test_a_perfect_figure_is_no_more_certain_than_its_photos() -> None:
    truth = np.repeat(np.arange(3), 12)
    figures = measure(10.0 * np.eye(3)[truth], truth)
    assert figures.macro_f1 == 1.0
    assert figures.macro_f1_interval == wilson(36, 36)
    assert figures.per_label[0].f1_interval == wilson(12, 12)
    wrong = measure(10.0 * np.eye(3)[(truth + 1) % 3], truth)
    assert (wrong.macro_f1, wrong.macro_f1_interval) == (0.0, wilson(0, 36))


class TestConformal:
    def test_the_truth_is_among_the_labels_named_as_often_as_promised(self) -> None:
        rng = np.random.default_rng(0)
        covered = []
        for _ in range(300):  # of 80 photos to fit on and one to try
            truth = rng.integers(0, 4, 81)
            logits = rng.normal(size=(81, 4)) + 1.5 * np.eye(4)[truth]
            threshold = fit_conformal(logits[:80], truth[:80], temperature=1.0, coverage=0.9)
            named = prediction_sets(softmax(logits[80:]), threshold)
            covered.append(bool(named[0, truth[80]]))
        assert 0.86 < np.mean(covered) < 0.96  # 0.9 to 0.9 + 1/81, and what 300 trials leave open

    def test_too_few_photos_for_the_promise_name_every_label(self) -> None:
        logits, truth = np.array([[3.0, 0.0], [3.0, 0.0]]), np.array([0, 0])
        assert fit_conformal(logits, truth, temperature=1.0, coverage=0.9) == 0.0
        assert fit_conformal(logits, truth, temperature=1.0, coverage=0.5) > 0.9

    def test_the_rank_is_counted_without_the_error_of_floats(self) -> None:
        own = np.linspace(0.525, 0.975, 19)  # (19 + 1) * 0.95 is 19: the least of them
        logits = np.log(np.stack([own, 1 - own], axis=1))
        truth = np.zeros(19, dtype=int)
        found = fit_conformal(logits, truth, temperature=1.0, coverage=0.95)
        assert found == pytest.approx(0.525)

    def test_the_most_probable_label_is_always_named(self) -> None:
        named = prediction_sets(np.array([[0.4, 0.3, 0.3], [0.2, 0.2, 0.6]]), 0.9)
        assert named.tolist() == [[True, False, False], [False, False, True]]

    @pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1])
    def test_what_cannot_be_promised_is_refused(self, coverage: float) -> None:
        with pytest.raises(ValueError, match="coverage is"):
            fit_conformal(np.eye(2), np.array([0, 1]), temperature=1.0, coverage=coverage)
