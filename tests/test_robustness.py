"""Photos spoiled on purpose: what is done to pixels, and what is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kennel.bundle import Preprocess
from kennel.corruptions import CORRUPTIONS, STRENGTHS, Corruption, corrupt, shrunk
from kennel.evaluate import Outputs, SplitReport
from kennel.metrics import measure, wilson
from kennel.robustness import answers_asked, measure_robustness

PREPROCESS = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash")


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    picture = Image.new("RGB", (90, 70), (120, 90, 60))
    draw = ImageDraw.Draw(picture)
    for at in range(0, 90, 9):
        draw.line((at, 0, 90 - at, 70), (20 + 2 * at, 200 - at, at), 3)
    return picture


@pytest.mark.parametrize("kind", CORRUPTIONS, ids=lambda kind: kind.name)
def test_each_strength_changes_more_than_the_one_before(
    kind: Corruption, scene: Image.Image
) -> None:
    before = np.asarray(scene, np.float64)
    damage = []
    for strength in range(1, STRENGTHS + 1):
        spoiled = corrupt(scene, kind, strength, seed=(0, strength))
        assert spoiled.mode == "RGB"
        damage.append(np.abs(np.asarray(spoiled.resize(scene.size)) - before).mean())
    assert damage[0] > 0.5
    assert damage[-1] > damage[0]
    if kind.name not in ("crop", "rotation"):  # there the picture moves, it does not fade
        assert damage == sorted(damage)
    assert np.array_equal(np.asarray(scene), before)


@pytest.mark.parametrize("kind", CORRUPTIONS, ids=lambda kind: kind.name)
def test_the_same_seed_spoils_in_the_same_way(kind: Corruption, scene: Image.Image) -> None:
    one, same = (np.asarray(corrupt(scene, kind, 3, seed=(7, 1))) for _ in range(2))
    assert np.array_equal(one, same)


def test_a_strength_that_is_none_is_refused(scene: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"1\.\.5"):
        corrupt(scene, CORRUPTIONS[0], 6, seed=(0,))


def test_only_larger_pictures_are_made_smaller(scene: Image.Image) -> None:
    assert shrunk(scene, 35).size == (45, 35)
    assert shrunk(scene, 70) is scene
    assert shrunk(scene, 500) is scene


class Bright:
    """Says "light" where the mean is above the middle."""

    labels = ("dark", "light")

    def outputs(self, batch: np.ndarray) -> Outputs:
        mean = batch.mean(axis=(1, 2, 3))
        return Outputs(np.stack([0.5 - mean, mean - 0.5], axis=1))


def split_of(folder: Path, n: int) -> SplitReport:
    """n photos of light grey, all answered right."""
    for at in range(n):
        Image.new("RGB", (20, 20), (170 + at, 170, 170)).save(folder / f"{at}.png")
    paths, truth = tuple(f"{at}.png" for at in range(n)), np.ones(n, np.int64)
    logits = np.tile(np.array([[0.0, 1.0]], np.float32), (n, 1))
    figures = measure(logits, truth, resamples=2)
    return SplitReport("test", Bright.labels, figures, paths, truth, logits, (), 1.0)


def test_what_spoils_the_answer_is_seen_and_what_does_not_is_not(tmp_path: Path) -> None:
    report = split_of(tmp_path, 6)
    found = measure_robustness(Bright(), report, lambda path: tmp_path / path, PREPROCESS)
    assert (found.split, found.n, found.of, found.clean) == ("test", 6, 6, 1.0)
    assert found.clean_interval == wilson(6, 6)
    by_name = {series.name: [level.top1 for level in series.levels] for series in found.series}
    assert by_name["darker"][-1] == 0
    assert by_name["brighter"] == [1.0] * STRENGTHS
    assert by_name["blur"] == [1.0] * STRENGTHS
    assert list(by_name) == [kind.name for kind in CORRUPTIONS]
    assert 0 < found.mean < 1


def test_a_large_split_is_drawn_from_and_the_report_says_so(tmp_path: Path) -> None:
    report, told = split_of(tmp_path, 6), []
    found = measure_robustness(
        Bright(), report, lambda path: tmp_path / path, PREPROCESS, most=2, on_photo=told.append
    )
    assert (found.n, found.of) == (2, 6)
    assert len(told) == answers_asked(6, most=2) == 2 * 36
    assert len(set(told)) == 2
