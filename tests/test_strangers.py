"""Strangers: how they are told from known photos, which are drawn, and which folders are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kennel.bundle import Preprocess
from kennel.errors import DatasetError
from kennel.evaluate import Outputs, SplitReport
from kennel.metrics import measure, wilson
from kennel.separation import separate
from kennel.strangers import Judge, Known, drawn, find_strangers, known_photos, photographed
from kennel.strangers.drawn import KINDS, draw_strangers

PREPROCESS = Preprocess(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash")


class ByColour:
    """Ten times the mean of red and of green."""

    labels = ("red", "green")

    def outputs(self, batch: np.ndarray) -> Outputs:
        means = batch.mean(axis=(2, 3))
        return Outputs(10 * means[:, :2], features=means)


def score(logits: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    """The highest logit, where there are features."""
    assert features is not None
    assert len(features) == len(logits)
    return logits.max(axis=1).astype(np.float64)


JUDGE = Judge(
    classifier=ByColour(),
    preprocess=PREPROCESS,
    temperature=2.0,
    method="max_logit",
    score=score,
    threshold=8.0,
    rate=0.25,
)


def report(split: str, logits: list[list[float]]) -> SplitReport:
    values, truth = np.array(logits, np.float32), np.zeros(len(logits), np.int64)
    paths = tuple(str(at) for at in range(len(logits)))
    figures = measure(values, truth, resamples=2)
    scores = values.max(axis=1).astype(np.float64)
    return SplitReport(split, ByColour.labels, figures, paths, truth, values, (), 1.0, 2.0, scores)


@pytest.fixture
def known() -> Known:
    rows = [[10.0, 0.0], [9.0, 0.0], [9.5, 0.0], [3.0, 0.0]]
    return known_photos(JUDGE, report("test", rows), report("validation", rows))


class TestSeparation:
    def test_figures_are_those_worked_out_by_hand(self) -> None:
        found = separate(np.array([1.0, 3.0, 5.0]), np.array([0.0, 3.0]), threshold=2.0)
        assert found.auroc == (1 + 0.5 + 1 + 0 + 1 + 1) / 6
        assert found.fpr95 == 0.5  # to keep all three known photos, 3.0 is let in
        assert (found.refused, found.refused_interval) == (0.5, wilson(1, 2))
        assert (found.known_refused, found.known_refused_interval) == (1 / 3, wilson(1, 3))

    @given(
        st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30),
        st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30),
    )
    def test_figures_agree_with_plain_ones_for_any_ties(
        self, known: list[float], strangers: list[float]
    ) -> None:
        found = separate(np.array(known), np.array(strangers), 3.0, resamples=5)
        pairs = [(k > s) + (k == s) / 2 for k in known for s in strangers]
        assert found.auroc == pytest.approx(np.mean(pairs))
        kept = [t for t in known if np.mean(np.array(known) >= t) >= 0.95]
        assert found.fpr95 == pytest.approx(np.mean(np.array(strangers) >= max(kept)))
        for name in ("auroc", "fpr95", "refused", "known_refused"):
            low, high = getattr(found, f"{name}_interval")
            assert low <= getattr(found, name) <= high

    def test_auroc_interval_agrees_with_theory(self) -> None:
        rng = np.random.default_rng(0)
        found = separate(rng.normal(1, 1, 300), rng.normal(0, 1, 200), 0.0)
        # J. A. Hanley and B. J. McNeil, Radiology 143:29-36, 1982.
        a = found.auroc
        q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
        variance = a * (1 - a) + 299 * (q1 - a * a) + 199 * (q2 - a * a)
        half = 1.96 * np.sqrt(variance / (300 * 200))
        assert found.auroc_interval == pytest.approx((a - half, a + half), abs=0.012)

    def test_the_same_seed_gives_the_same_intervals(self) -> None:
        rng = np.random.default_rng(0)
        known, strangers = rng.normal(1, 1, 50), rng.normal(0, 1, 40)
        one, same, other = (separate(known, strangers, 0.0, seed=seed) for seed in (1, 1, 2))
        assert one == same
        assert one.auroc_interval != other.auroc_interval


class TestDrawn:
    @pytest.mark.parametrize("kind", list(KINDS))
    def test_the_same_seed_draws_the_same_pictures_and_another_others(self, kind: str) -> None:
        first, again, other = (
            [np.asarray(p) for p in draw_strangers(kind, n=3, seed=seed)] for seed in (0, 0, 1)
        )
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
        assert not np.array_equal(first[0], first[1])
        assert all(a.shape[2] == 3 and min(a.shape[:2]) >= 240 for a in first)

    def test_more_pictures_begin_with_the_same(self) -> None:
        few, many = (list(draw_strangers("noise", n=n)) for n in (2, 4))
        assert [list(p.getdata()) for p in few] == [list(p.getdata()) for p in many[:2]]

    def test_drawn_strangers_are_measured_without_a_folder(self, known: Known) -> None:
        group = drawn(JUDGE, known, "noise", n=6, seed=3)
        assert (group.name, group.source, group.seed, group.n) == ("noise", "drawn", 3, 6)
        assert group.rejection is not None
        assert group.rejection.refused == 1.0  # grey noise is far from pure red
        assert len(group.strangers) == 6


class TestFolder:
    def test_photos_anywhere_below_are_strangers_and_hidden_ones_are_not(
        self, tmp_path: Path
    ) -> None:
        for name in ("a.jpg", "deep/er/b.PNG", ".hidden/c.jpg", "notes.txt"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = [path.relative_to(tmp_path).as_posix() for path in find_strangers(tmp_path)]
        assert found == ["a.jpg", "deep/er/b.PNG"]

    def test_a_folder_that_is_none_or_has_no_photos_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="not a folder"):
            find_strangers(tmp_path / "gone")
        with pytest.raises(DatasetError, match="holds no photos"):
            find_strangers(tmp_path)

    def test_a_folder_is_measured_and_what_cannot_be_read_is_named(
        self, tmp_path: Path, known: Known
    ) -> None:
        for at, colour in enumerate([(255, 0, 0), (200, 0, 0), (0, 30, 0)]):
            Image.new("RGB", (9, 9), colour).save(tmp_path / f"{at}.png")
        (tmp_path / "broken.png").write_bytes(b"nothing")
        group = photographed(JUDGE, known, tmp_path, name="cats")
        assert (group.name, group.n, group.seed) == ("cats", 3, None)
        assert [each.path for each in group.skipped] == ["broken.png"]
        assert [(each.path, each.answer, each.refused) for each in group.strangers] == [
            ("0.png", "red", False),
            ("1.png", "red", True),
            ("2.png", "green", True),
        ]
        assert group.rejection is not None
        assert group.rejection.refused == pytest.approx(2 / 3)

    def test_a_folder_of_broken_photos_is_refused(self, tmp_path: Path, known: Known) -> None:
        (tmp_path / "broken.png").write_bytes(b"nothing")
        with pytest.raises(DatasetError, match="none of the 1 photos"):
            photographed(JUDGE, known, tmp_path, name="cats")


def test_the_softmax_threshold_refuses_the_same_share_of_known_photos(known: Known) -> None:
    assert (known.split, known.set_on, known.set_on_n) == ("test", "validation", 4)
    assert np.mean(known.confidence < known.confidence_threshold) == JUDGE.rate


def test_a_bundle_that_never_refuses_is_measured_by_softmax_alone(tmp_path: Path) -> None:
    plain = Judge(ByColour(), PREPROCESS, 1.0, None, None, None, 0.05)
    rows = report("test", [[10.0, 0.0], [9.0, 0.0]])
    group = drawn(plain, known_photos(plain, rows, rows), "line drawings", n=2)
    assert group.rejection is None
    assert {each.refused for each in group.strangers} == {None}
