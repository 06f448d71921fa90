"""Two classifiers on the same photos: published values, exact sums, what holds for any answers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kennel.metrics import measure
from kennel.paired import (
    Said,
    compare_answers,
    paired_counts,
    paired_test,
    photos_needed,
    verdict,
)

# Five photos of labels 0, 0, 1, 2, 2. The first classifier takes the second photo for 1 and refuses
# the third; the second takes the last for a label that the first does not know.
TRUTH = np.array([0, 0, 1, 2, 2])
FIRST = Said(
    answers=np.array([0, 1, 1, 2, 2]),
    loss=np.array([0.1, 1.5, 0.2, 0.1, 0.4]),
    refused=np.array([False, False, True, False, False]),
)
SECOND = Said(
    answers=np.array([0, 0, 1, 2, 3]),
    loss=np.array([0.1, 0.3, 0.1, 0.2, 2.0]),
    refused=np.array([False, False, False, False, False]),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, Said, Said, int]:
    """Truth, what two classifiers said, and the number of labels."""
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 4))

    def said() -> Said:
        return Said(
            np.array(draw(st.lists(st.integers(0, k), min_size=n, max_size=n))),
            np.array(draw(st.lists(st.floats(0, 50), min_size=n, max_size=n))),
            np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        )

    truth = np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    return truth, said(), said(), k


class TestPaired:
    @staticmethod
    def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
        a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
        b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
        return a, b

    @pytest.mark.parametrize(
        ("counts", "difference", "interval"),
        # M. W. Fagerland, S. Lydersen and P. Laake, Statistics in Medicine 33:2850-2875, 2014
        # (signs turned: theirs is first minus second); R. G. Newcombe, ibid. 17:2635-2650, 1998.
        [
            ((59, 6, 16, 80), 0.0621, (0.0046, 0.1186)),
            ((36, 2, 12, 0), 0.2000, (0.0569, 0.3404)),
        ],
    )
    def test_difference_and_interval_are_the_published_ones(
        self, counts: tuple[int, int, int, int], difference: float, interval: tuple[float, float]
    ) -> None:
        result = paired_test(*self.table(*counts))
        assert result.difference == pytest.approx(difference, abs=5e-5)
        assert result.difference_interval == pytest.approx(interval, abs=5e-5)

    @pytest.mark.parametrize(
        ("only_a", "only_b"), list(itertools.product((0, 1, 5, 12), (0, 2, 9)))
    )
    def test_p_is_twice_the_binomial_tail(self, only_a: int, only_b: int) -> None:
        n, fewer = only_a + only_b, min(only_a, only_b)
        expected = min(1.0, 2 * sum(math.comb(n, i) for i in range(fewer + 1)) / 2**n)
        result = paired_test(*self.table(3, only_a, only_b, 4))
        assert (result.n, result.only_a, result.only_b) == (n + 7, only_a, only_b)
        assert result.p == pytest.approx(expected, rel=1e-12)

    def test_p_holds_for_a_million_discordant_photos(self) -> None:
        result = paired_test(*self.table(0, 499_000, 501_000, 0))
        z = (2000 - 1) / 1000  # normal theory with continuity correction
        assert result.p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)

    def test_classifiers_that_agree_everywhere_do_not_differ(self) -> None:
        right = np.array([True, False, True, True])
        result = paired_test(right, right)
        assert (result.p, result.difference) == (1.0, 0.0)
        assert result.difference_interval[0] <= 0 <= result.difference_interval[1]

    @given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
    def test_interval_holds_the_difference_and_turns_with_the_order(
        self, counts: tuple[int, int, int, int]
    ) -> None:
        a, b = self.table(*counts)
        forward, backward = paired_test(a, b), paired_test(b, a)
        low, high = forward.difference_interval
        assert -1 <= low <= forward.difference <= high <= 1
        assert backward.difference_interval == pytest.approx((-high, -low))
        assert backward.p == forward.p

    @pytest.mark.parametrize(
        ("a", "b"), [([], []), ([True], [True, False]), ([1, 0], [1, 1]), ([[True]], [[True]])]
    )
    def test_what_is_not_paired_is_refused(self, a: list[object], b: list[object]) -> None:
        with pytest.raises(ValueError, match="both must be"):
            paired_test(np.array(a), np.array(b))


class TestFigures:
    def test_they_are_those_worked_out_by_hand(self) -> None:
        found = compare_answers(TRUTH, FIRST, SECOND, labels=3).figures
        assert (found["top1"].first, found["top1"].second) == (0.8, 0.8)
        assert (found["refused"].first, found["refused"].second) == (0.2, 0.0)
        assert found["refused"].difference == -0.2
        assert found["log_loss"].first == pytest.approx(0.46)
        assert found["log_loss"].difference == pytest.approx(0.08)
        # F1 of label 0: 2/3 and 1; of 1: 2/3 and 1; of 2: 1 and 2/3 (the answer that is no label).
        assert found["macro_f1"].first == pytest.approx(7 / 9)
        assert found["macro_f1"].second == pytest.approx(8 / 9)

    def test_macro_f1_is_that_of_evaluate(self) -> None:
        rng = np.random.default_rng(0)
        truth, logits = rng.integers(0, 4, 60), rng.normal(size=(60, 5))
        said = Said(logits.argmax(axis=1), np.zeros(60), np.zeros(60, dtype=bool))
        found = compare_answers(truth, said, said, labels=5, resamples=1).figures["macro_f1"]
        assert found.first == pytest.approx(measure(logits, truth, resamples=1).macro_f1)

    def test_the_bootstrap_draws_photos_with_what_both_said(self) -> None:
        found = compare_answers(TRUTH, FIRST, SECOND, labels=3, resamples=400, seed=7).figures
        drawn: dict[str, list[float]] = {name: [] for name in found}
        for index in np.random.default_rng(7).integers(0, 5, size=(400, 5)):
            truth = TRUTH[index]
            figures = []
            for said in (FIRST, SECOND):
                answers, f1 = said.answers[index], []
                for label in range(3):
                    hits = int(((answers == label) & (truth == label)).sum())
                    total = int((answers == label).sum() + (truth == label).sum())
                    f1 += [2 * hits / total] if total else []
                figures.append(
                    {
                        "top1": (answers == truth).mean(),
                        "macro_f1": sum(f1) / len(f1),
                        "log_loss": said.loss[index].mean(),
                        "refused": said.refused[index].mean(),
                    }
                )
            for name, draws in drawn.items():
                draws.append(figures[1][name] - figures[0][name])
        for name, draws in drawn.items():
            low, high = np.quantile(draws, [0.025, 0.975])
            figure = found[name].difference
            expected = (min(low, figure), max(high, figure))
            assert found[name].bootstrap == pytest.approx(expected), name

    def test_many_photos_are_drawn_in_parts_and_give_normal_intervals(self) -> None:
        n = 3000  # 350 resamples at a time
        rng = np.random.default_rng(1)
        truth = np.zeros(n, dtype=np.int64)
        losses = rng.normal(1.0, 0.5, size=(2, n))
        one, other = (Said(truth, loss, truth > 0) for loss in losses)
        found = compare_answers(truth, one, other, labels=2, resamples=4000).figures["log_loss"]
        gaps = losses[1] - losses[0]
        half = 1.96 * gaps.std() / math.sqrt(n)
        expected = (gaps.mean() - half, gaps.mean() + half)
        assert found.interval == pytest.approx(expected, abs=0.1 * half)

    @given(pairs())
    @settings(max_examples=40, deadline=None)
    def test_intervals_hold_the_difference_and_turn_with_the_order(
        self, drawn: tuple[np.ndarray, Said, Said, int]
    ) -> None:
        truth, one, other, k = drawn
        forward = compare_answers(truth, one, other, labels=k, resamples=50)
        backward = compare_answers(truth, other, one, labels=k, resamples=50)
        for name, each in forward.figures.items():
            turned = backward.figures[name]
            for interval in (each.interval, each.bootstrap):
                assert interval[0] <= each.difference <= interval[1]
            assert turned.difference == pytest.approx(-each.difference)
            assert turned.interval == pytest.approx((-each.interval[1], -each.interval[0]))
            assert turned.bootstrap == pytest.approx((-each.bootstrap[1], -each.bootstrap[0]))

    def test_the_same_seed_gives_the_same_intervals(self) -> None:
        runs = [compare_answers(TRUTH, FIRST, SECOND, labels=3, resamples=200) for _ in range(2)]
        assert runs[0] == runs[1]
        other = compare_answers(TRUTH, FIRST, SECOND, labels=3, resamples=200, seed=1)
        assert other.figures["log_loss"].bootstrap != runs[0].figures["log_loss"].bootstrap

    def test_arrays_of_other_photos_are_refused(self) -> None:
        short = Said(FIRST.answers[:4], FIRST.loss[:4], FIRST.refused[:4])
        with pytest.raises(ValueError, match=r"answers is \(4,\) and truth \(5,\)"):
            compare_answers(TRUTH, FIRST, short, labels=3)


class TestVerdict:
    @pytest.mark.parametrize(
        ("only_a", "only_b", "said"),
        [
            (0, 5, "not shown to differ"),  # p 0.0625
            (0, 6, "better"),  # p 0.03125
            (6, 0, "worse"),
            (7, 7, "not shown to differ"),
            (0, 0, "not shown to differ"),
            (5, 20, "better"),
        ],
    )
    def test_it_follows_mcnemar_and_the_interval(self, only_a: int, only_b: int, said: str) -> None:
        assert verdict(paired_counts(200, only_a, only_b, 20)) == said

    @pytest.mark.parametrize(("n", "differ"), [(30, 0.3), (60, 0.1), (120, 0.05)])
    def test_equal_classifiers_are_called_better_in_at_most_one_of_forty(
        self, n: int, differ: float
    ) -> None:
        # Summed over every table that may come up, when a tenth is wrong by both.
        chance = 0.0
        for only_a, only_b in itertools.product(range(n + 1), repeat=2):
            same = n - only_a - only_b
            if same < 0:
                continue
            neither = round(0.1 * same)
            ways = math.comb(n, only_a + only_b) * math.comb(only_a + only_b, only_a)
            weight = ways * (differ / 2) ** (only_a + only_b) * (1 - differ) ** same
            if weight > 1e-12 and only_b > only_a:
                test = paired_counts(same - neither, only_a, only_b, neither)
                chance += weight * (verdict(test) == "better")
        assert chance <= 0.025


class TestNotWorse:
    @staticmethod
    def alike(n: int) -> Said:
        return Said(np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n, dtype=bool))

    @pytest.mark.parametrize(("n", "shown"), [(40, False), (250, True)])
    def test_few_photos_show_nothing_even_where_no_answer_differs(
        self, n: int, shown: bool
    ) -> None:
        said = self.alike(n)
        found = compare_answers(said.answers, said, said, labels=2, resamples=1)
        assert found.not_worse(0.03) is shown

    def test_a_wider_margin_lets_more_pass_and_none_lets_only_the_better_pass(self) -> None:
        truth = np.zeros(250, dtype=np.int64)
        worse = Said(np.r_[np.ones(4, dtype=np.int64), truth[4:]], truth * 0.0, truth > 0)
        found = compare_answers(truth, self.alike(250), worse, labels=2, resamples=1)
        assert [found.not_worse(margin) for margin in (0.0, 0.01, 0.03, 0.05)] == [
            False,
            False,
            False,
            True,
        ]
        turned = compare_answers(truth, worse, self.alike(250), labels=2, resamples=1)
        assert [turned.not_worse(margin) for margin in (0.0, 0.01)] == [False, True]


class TestPhotosNeeded:
    def test_that_many_show_it_and_far_fewer_do_not(self) -> None:
        test = paired_counts(90, 1, 1, 8)
        needed = photos_needed(test, 91, 0.02)
        assert needed is not None

        def low(n: int) -> float:
            scaled = paired_counts(*(round(n * share) for share in (0.9, 0.01, 0.01, 0.08)))
            return scaled.difference_interval[0]

        assert low(needed) > -0.02
        assert low(round(0.8 * needed)) < -0.02

    def test_no_number_shows_what_is_not_so(self) -> None:
        assert photos_needed(paired_counts(80, 12, 0, 8), 92, 0.02) is None
