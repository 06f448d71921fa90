"""Sketches beside references: how often an alarm is false, and what is found."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from kennel.drift import Comparison, compare
from kennel.drift.words import finding, lines, medians
from kennel.sketch import KNOWN, LABELS, Reference, Sketch

FIGURES = 13
N_LABELS = 10
NAMES = tuple(f"label_{k}" for k in range(N_LABELS))


class Photos:
    """Figures of photos that were never taken: two of them repeat, the last refuses."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def draw(self, n: int) -> np.ndarray:  # Float64[n, FIGURES]
        drawn = self.rng.standard_normal((n, FIGURES))
        drawn[:, 1] = np.exp(drawn[:, 1])
        drawn[:, 2:4] = np.rint(drawn[:, 2:4]) + 1e-7 * self.rng.random((n, 1))  # with its hair
        return drawn

    def reference(self, n: int) -> tuple[Reference, float]:
        """And the score from which on a photo is known, as `fit_rejection` sets it."""
        drawn = self.draw(n)
        threshold = float(np.sort(drawn[:, -1])[int(0.05 * n)])
        rows = [
            {f"figure_{i}": x for i, x in enumerate(row)} | {KNOWN: float(row[-1] >= threshold)}
            for row in drawn.tolist()
        ]
        labels = [NAMES[k] for k in self.rng.integers(0, N_LABELS, n)]
        return Reference.of(rows, labels, bundle="drawn", labels=NAMES), threshold

    def sketch(
        self,
        reference: Reference,
        threshold: float,
        n: int,
        *,
        change: Callable[[np.ndarray], np.ndarray] = lambda drawn: drawn,
    ) -> Sketch:
        drawn = change(self.draw(n))
        counts = {}
        for i in range(FIGURES):
            edges = reference.edges[f"figure_{i}"]
            bins = np.searchsorted(edges, drawn[:, i], side="right")
            counts[f"figure_{i}"] = np.bincount(bins, minlength=len(edges) + 1).tolist()
        refused = int((drawn[:, -1] < threshold).sum())
        counts[KNOWN] = [refused, n - refused]
        tally = np.bincount(self.rng.integers(0, N_LABELS, n), minlength=N_LABELS).tolist()
        return Sketch(reference, n, counts, dict(zip(NAMES, tally, strict=True)))


@pytest.mark.parametrize(("n_reference", "n"), [(133, 50), (133, 200), (133, 5000), (40, 200)])
def test_the_false_alarm_rate_is_what_it_says(n_reference: int, n: int) -> None:
    rate, looks = 0.2, 250
    photos = Photos(seed=n_reference + n)
    alarms = 0
    for _ in range(looks):
        sketch = photos.sketch(*photos.reference(n_reference), n)
        alarms += bool(compare(sketch, false_alarms=rate, simulations=2000).drifted)
    spread = (rate * (1 - rate) / looks) ** 0.5
    assert alarms / looks <= rate + 3 * spread
    assert alarms / looks >= rate - 5 * spread  # figures that are independent: nearly all of it


def found_in(change: Callable[[np.ndarray], np.ndarray], *, n: int = 200, looks: int = 30) -> float:
    """Share of looks at a 1 % rate in which figure_0 is said to have drifted."""
    photos, found = Photos(seed=7), 0
    for _ in range(looks):
        sketch = photos.sketch(*photos.reference(133), n, change=change)
        rows = compare(sketch, simulations=5000).drifted
        found += any(row.figure == "figure_0" for row in rows)
    return found / looks


def moved(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda drawn: drawn + by * (np.arange(FIGURES) == 0)


def test_200_photos_show_a_shift_of_three_quarters_of_a_standard_deviation() -> None:
    assert found_in(moved(0.75)) >= 0.95
    assert found_in(moved(-0.75)) >= 0.95
    assert found_in(moved(0.0)) <= 0.05


def test_200_photos_show_figures_that_spread_twice_as_wide_or_half() -> None:
    assert found_in(lambda drawn: drawn * np.where(np.arange(FIGURES) == 0, 2.0, 1.0)) >= 0.75
    assert found_in(lambda drawn: drawn * np.where(np.arange(FIGURES) == 0, 0.5, 1.0)) >= 0.9


def one_look(change: Callable[[np.ndarray], np.ndarray], *, n: int = 400) -> Comparison:
    photos = Photos(seed=3)
    return compare(photos.sketch(*photos.reference(133), n, change=change), simulations=20_000)


def test_rows_say_where_a_figure_went_and_the_worst_comes_first() -> None:
    rows = {row.figure: row for row in one_look(moved(2.0)).rows}
    assert next(iter(rows)) == "figure_0"
    assert (rows["figure_0"].drifted, rows["figure_0"].direction) == (True, 1)
    assert one_look(moved(-2.0)).rows[0].direction == -1
    wide = one_look(lambda drawn: drawn * np.where(np.arange(FIGURES) == 0, 3.0, 1.0)).rows[0]
    assert (wide.figure, wide.direction) == ("figure_0", 0)
    assert set(rows) == {*(f"figure_{i}" for i in range(FIGURES)), KNOWN, LABELS}


def test_a_score_above_its_alarm_and_only_that_is_drift() -> None:
    for by in (0.0, 0.3, 0.6, 2.0):
        for row in one_look(moved(by)).rows:
            above = row.psi.value > row.psi.alarm
            if row.shift is not None:
                above = above or row.shift.value > row.shift.alarm
            assert row.drifted == above


def test_other_labels_and_more_strangers_are_found() -> None:
    photos = Photos(seed=5)
    sketch = photos.sketch(*photos.reference(133), 200)
    sketch.labels = dict.fromkeys(NAMES, 0) | {NAMES[0]: 120, NAMES[1]: 80}
    sketch.counts[KNOWN] = [60, 140]
    comparison = compare(sketch, simulations=20_000)
    assert {row.figure for row in comparison.drifted} == {KNOWN, LABELS}
    assert medians(comparison, KNOWN)[1] == "70 %"
    assert "more not known" in finding(comparison).lower()


def test_with_few_photos_no_verdict_is_given_and_why_is_said() -> None:
    for reference, n in ((133, 29), (29, 400)):
        photos = Photos(seed=2)
        sketch = photos.sketch(*photos.reference(reference), n, change=moved(9.0))
        comparison = compare(sketch, simulations=2000)
        assert {row.drifted for row in comparison.rows} == {None}
        assert not comparison.drifted
        assert "29" in finding(comparison)
        assert "30 are needed" in finding(comparison)


def test_nothing_seen_and_everything_seen_are_compared_too() -> None:
    photos = Photos(seed=2)
    reference, threshold = photos.reference(133)
    assert "Too few photos to say: 0 seen" in finding(compare(Sketch(reference), simulations=2000))
    many = photos.sketch(reference, threshold, 1000)
    for counts in (*many.counts.values(), many.labels):
        keys = range(len(counts)) if isinstance(counts, list) else list(counts)
        for key in keys:
            counts[key] *= 10**10  # type: ignore[index]
    many.n *= 10**10
    assert compare(many, simulations=2000).enough


@pytest.mark.parametrize("rate", [0.0, 0.0001, 0.6, float("nan")])
def test_rates_that_cannot_be_held_are_refused(rate: float) -> None:
    photos = Photos(seed=2)
    with pytest.raises(ValueError, match="false_alarms"):
        compare(photos.sketch(*photos.reference(50), 50), false_alarms=rate)


def test_the_same_sketch_gets_the_same_verdict() -> None:
    first, second = one_look(moved(0.4)), one_look(moved(0.4))
    assert first.rows == second.rows


def test_lines_are_aligned_and_fit_80_columns() -> None:
    said = lines(one_look(moved(2.0)), source="photos", since="2026-11-24T08:00:00Z")
    assert max(map(len, said)) <= 80
    table = [line for line in said if re.match("figure_|known|labels", line)]
    assert len(table) == FIGURES + 2
    for line in table:
        assert re.fullmatch(r"\S+ +(drifted)? +", line[:21])
        assert float(line[20:28]) > 0
        assert float(line[28:35]) > 0
