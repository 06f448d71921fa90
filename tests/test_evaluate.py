"""Any classifier on any photos: what is measured, what is refused, and how much is in memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kennel.bundle import Preprocess
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError, KennelError, PhotoError
from kennel.evaluate import AHEAD, Outputs, classify_files, evaluate_split
from kennel.folders import Skipped
from kennel.images import read_photo

PREPROCESS = Preprocess(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash")
COLOURS = {"Beagle": (200, 20, 40), "Boxer": (20, 200, 40), "Poodle": (20, 40, 200)}


class ByColour:
    """Knows a label by the channel that is brightest."""

    def __init__(self, labels: tuple[str, ...] = ("Beagle", "Boxer", "Poodle")) -> None:
        self.labels = labels
        self.batches: list[int] = []

    def outputs(self, batch: np.ndarray) -> Outputs:
        self.batches.append(len(batch))
        channels = [list(COLOURS).index(label) for label in self.labels]
        means = batch.mean(axis=(2, 3))
        return Outputs(10 * means[:, channels], features=means)


def logits(answer: Outputs | PhotoError) -> np.ndarray:
    assert isinstance(answer, Outputs)
    return answer.logits


def draw(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), colour).save(path)
    return path


def dataset_of(
    folder: Path,
    photos: list[tuple[str, str, str]],
    *,
    labels: tuple[str, ...] = ("Beagle", "Boxer", "Poodle"),
    fractions: tuple[float, float, float] | None = (0.7, 0.1, 0.2),
) -> Dataset:
    """An index of (path, label, split); the photos themselves are the test's."""
    rows = tuple(Photo(path, label, split, "0" * 64, path) for path, label, split in photos)
    return Dataset(folder / "dataset.csv", folder, labels, rows, fractions, 0, "f" * 64)


@pytest.fixture
def twelve(tmp_path: Path) -> Dataset:
    """Four photos a label in test, of which one Poodle is painted as a Beagle."""
    rows = []
    for label, colour in COLOURS.items():
        for index in range(4):
            path = f"{label}/{index}.png"
            odd = label == "Poodle" and index == 3
            draw(tmp_path / path, COLOURS["Beagle"] if odd else colour)
            rows.append((path, label, "test"))
    return dataset_of(tmp_path, rows)


def test_rows_of_the_confusion_are_the_truth(twelve: Dataset) -> None:
    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS)
    assert report.figures.confusion.tolist() == [[4, 0, 0], [0, 4, 0], [1, 0, 3]]
    assert report.figures.n == 12
    assert report.figures.top1 == pytest.approx(11 / 12)


def test_paths_truth_and_logits_belong_together(twelve: Dataset) -> None:
    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS, batch_size=5)
    assert report.split == "test"
    assert report.labels == ("Beagle", "Boxer", "Poodle")
    assert report.paths == tuple(photo.path for photo in twelve.photos)
    assert report.truth.dtype == np.int64
    assert report.truth.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert report.logits.dtype == np.float32
    assert report.logits.argmax(axis=1).tolist() == [0] * 4 + [1] * 4 + [2, 2, 2, 0]


def test_photos_are_read_by_the_one_preprocessing(twelve: Dataset) -> None:
    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS)
    photo = read_photo(twelve.file(twelve.photos[0]), PREPROCESS)
    np.testing.assert_array_equal(report.logits[0], ByColour().outputs(photo[None]).logits[0])


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_batch_size_bounds_the_batches_and_changes_no_figure(
    twelve: Dataset, batch_size: int
) -> None:
    classifier = ByColour()
    report = evaluate_split(classifier, twelve, "test", PREPROCESS, batch_size=batch_size)
    assert sum(classifier.batches) == 12
    assert max(classifier.batches) == min(batch_size, 12)
    assert report.figures.log_loss == pytest.approx(
        evaluate_split(ByColour(), twelve, "test", PREPROCESS).figures.log_loss
    )


def test_labels_are_matched_by_name_not_by_place(twelve: Dataset) -> None:
    report = evaluate_split(ByColour(("Poodle", "Beagle", "Boxer")), twelve, "test", PREPROCESS)
    assert report.labels == ("Poodle", "Beagle", "Boxer")
    assert report.truth.tolist() == [1] * 4 + [2] * 4 + [0] * 4
    assert report.figures.confusion.tolist() == [[3, 1, 0], [0, 4, 0], [0, 0, 4]]


def test_a_dataset_with_fewer_labels_counts_in_the_labels_of_the_classifier(
    tmp_path: Path,
) -> None:
    draw(tmp_path / "a.png", COLOURS["Poodle"])
    dataset = dataset_of(tmp_path, [("a.png", "Poodle", "test")], labels=("Boxer", "Poodle"))
    report = evaluate_split(ByColour(), dataset, "test", PREPROCESS)
    assert report.truth.tolist() == [2]
    assert report.figures.confusion.shape == (3, 3)
    assert report.figures.top1 == 1.0


def test_a_label_that_the_classifier_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    dataset = dataset_of(
        tmp_path, [("a.png", "Beagle", "test")], labels=("Beagle", "Greyhound", "Poodle")
    )
    with pytest.raises(DatasetError, match="does not know Greyhound, ") as refused:
        evaluate_split(ByColour(), dataset, "test", PREPROCESS)
    assert "Beagle, Boxer, Poodle" in refused.value.message
    assert f"kennel train data.csv={dataset.csv}" in refused.value.fix


def test_an_unreadable_photo_is_named_and_in_no_figure(twelve: Dataset) -> None:
    twelve.file(twelve.photos[1]).write_bytes(b"not a photo at all")
    twelve.file(twelve.photos[6]).unlink()
    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS, batch_size=4)
    assert [photo.path for photo in report.skipped] == ["Beagle/1.png", "Boxer/2.png"]
    assert all(isinstance(photo, Skipped) and photo.reason for photo in report.skipped)
    assert "does not exist" in report.skipped[1].reason
    assert "Beagle/1.png" not in report.paths
    assert report.figures.n == len(report.paths) == len(report.truth) == len(report.logits) == 10
    assert report.figures.confusion.tolist() == [[3, 0, 0], [0, 3, 0], [1, 0, 3]]


def test_a_split_without_one_readable_photo_is_refused(tmp_path: Path) -> None:
    rows = [("a.png", "Beagle", "test"), ("b.png", "Boxer", "test")]
    with pytest.raises(DatasetError, match=r"none of the 2 test photos .*a\.png does not exist"):
        evaluate_split(ByColour(), dataset_of(tmp_path, rows), "test", PREPROCESS)


def test_an_empty_split_is_refused_and_the_fix_gives_it_a_share(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [("a.png", "Beagle", "train")])
    with pytest.raises(DatasetError, match="has no test photos; it has train") as refused:
        evaluate_split(ByColour(), dataset, "test", PREPROCESS)
    assert "--fractions" in refused.value.fix


def test_an_empty_split_of_photos_that_came_split_asks_for_its_folder(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [("train/a.png", "Beagle", "train")], fractions=None)
    with pytest.raises(DatasetError) as refused:
        evaluate_split(ByColour(), dataset, "test", PREPROCESS)
    assert str(tmp_path / "test") in refused.value.fix
    assert "--fractions" not in refused.value.fix


def test_an_unknown_split_is_a_value_error(twelve: Dataset) -> None:
    with pytest.raises(ValueError, match="'holdout'"):
        evaluate_split(ByColour(), twelve, "holdout", PREPROCESS)


def test_only_the_split_asked_for_is_opened(tmp_path: Path) -> None:
    draw(tmp_path / "v.png", COLOURS["Boxer"])
    dataset = dataset_of(
        tmp_path, [("gone.png", "Beagle", "test"), ("v.png", "Boxer", "validation")]
    )
    report = evaluate_split(ByColour(), dataset, "validation", PREPROCESS)
    assert report.paths == ("v.png",)
    assert report.skipped == ()


def test_temperature_changes_the_figures_but_not_the_logits(twelve: Dataset) -> None:
    plain = evaluate_split(ByColour(), twelve, "test", PREPROCESS)
    flat = evaluate_split(ByColour(), twelve, "test", PREPROCESS, temperature=1000.0)
    np.testing.assert_array_equal(plain.logits, flat.logits)
    assert (plain.temperature, flat.temperature) == (1.0, 1000.0)
    assert flat.figures.log_loss == pytest.approx(np.log(3), abs=0.01)
    assert plain.figures.log_loss < 0.7
    assert flat.figures.top1 == plain.figures.top1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_a_value_error(twelve: Dataset, temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        evaluate_split(ByColour(), twelve, "test", PREPROCESS, temperature=temperature)


def test_every_photo_is_reported_once_in_order_also_the_unreadable(twelve: Dataset) -> None:
    twelve.file(twelve.photos[5]).unlink()
    seen: list[Path] = []
    evaluate_split(ByColour(), twelve, "test", PREPROCESS, batch_size=3, on_photo=seen.append)
    assert seen == [twelve.file(photo) for photo in twelve.photos]


def test_speed_counts_measured_photos_by_the_clock_given(twelve: Dataset) -> None:
    twelve.file(twelve.photos[0]).unlink()
    ticks = iter([100.0, 104.0])
    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS, clock_s=lambda: next(ticks))
    assert report.images_per_s == pytest.approx(11 / 4)


@pytest.mark.parametrize("what", ["logits", "features"])
def test_outputs_that_are_no_numbers_are_refused_with_the_photo(twelve: Dataset, what: str) -> None:
    class Diverged(ByColour):
        def outputs(self, batch: np.ndarray) -> Outputs:
            outputs = super().outputs(batch)
            getattr(outputs, what)[1, 0] = np.nan
            return outputs

    with pytest.raises(KennelError, match=r"Beagle/1\.png with logits or features that are not"):
        evaluate_split(Diverged(), twelve, "test", PREPROCESS)


def test_scores_are_those_of_each_photo_from_its_own_outputs(twelve: Dataset) -> None:
    twelve.file(twelve.photos[2]).unlink()

    def score(logits: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        assert features is not None
        return logits.max(axis=1) + features.sum(axis=1)

    report = evaluate_split(ByColour(), twelve, "test", PREPROCESS, score=score, batch_size=5)
    assert report.scores is not None
    means = report.logits / 10  # Beagle, Boxer, Poodle are channels 0, 1, 2 in some order
    assert report.scores == pytest.approx(report.logits.max(axis=1) + means.sum(axis=1))
    assert evaluate_split(ByColour(), twelve, "test", PREPROCESS).scores is None


def test_files_are_answered_in_the_order_given_whatever_the_threads(tmp_path: Path) -> None:
    names = [list(COLOURS)[index % 3] for index in range(17)]
    paths = [draw(tmp_path / f"{i:02}.png", COLOURS[name]) for i, name in enumerate(names)]
    # The first is much slower to read than those behind it.
    Image.new("RGB", (3000, 2000), COLOURS[names[0]]).save(paths[0])
    answers = list(classify_files(ByColour(), paths, PREPROCESS, batch_size=4, threads=4))
    assert [path for path, _ in answers] == paths
    assert [list(COLOURS)[int(np.argmax(logits(answer)))] for _, answer in answers] == names
    assert all(logits(a).shape == (3,) and logits(a).dtype == np.float32 for _, a in answers)


def test_an_unreadable_file_is_answered_by_its_error_among_the_others(tmp_path: Path) -> None:
    good = draw(tmp_path / "good.png", COLOURS["Boxer"])
    answers = list(classify_files(ByColour(), [tmp_path / "gone.png", good], PREPROCESS))
    assert isinstance(answers[0][1], PhotoError)
    assert "gone.png" in answers[0][1].message
    assert np.argmax(logits(answers[1][1])) == 1


def test_a_batch_without_one_readable_file_asks_the_classifier_nothing(tmp_path: Path) -> None:
    classifier = ByColour()
    answers = list(classify_files(classifier, [tmp_path / "gone.png"], PREPROCESS))
    assert len(answers) == 1
    assert classifier.batches == []


def test_no_files_give_no_answers() -> None:
    assert list(classify_files(ByColour(), [], PREPROCESS)) == []


def test_files_are_drawn_only_a_few_batches_ahead(tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.png", COLOURS["Boxer"])
    drawn = 0

    def endless() -> Iterator[Path]:
        nonlocal drawn
        while True:
            drawn += 1
            yield photo

    answers = classify_files(ByColour(), endless(), PREPROCESS, batch_size=4)
    for answered in range(1, 30):
        next(answers)
        assert drawn <= answered + (AHEAD + 1) * 4
    answers.close()  # type: ignore[attr-defined]


def test_a_stream_that_is_left_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    photo = draw(tmp_path / "a.png", COLOURS["Boxer"])
    answers = classify_files(ByColour(), [photo] * 40, PREPROCESS, batch_size=4)
    next(answers)
    assert any(thread.name.startswith("kennel-photo") for thread in threading.enumerate())
    answers.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("kennel-photo") for thread in threading.enumerate())


@pytest.mark.parametrize(("batch_size", "threads"), [(0, 1), (1, 0)])
def test_sizes_under_one_are_refused_at_once(batch_size: int, threads: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        classify_files(ByColour(), [], PREPROCESS, batch_size=batch_size, threads=threads)


def test_evaluate_report_and_annotate_load_nothing_heavy() -> None:
    code = (
        "import sys, kennel.evaluate, kennel.report, kennel.annotate;"
        "print([m for m in ('torch', 'onnxruntime', 'matplotlib', 'hydra') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
