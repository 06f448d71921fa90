"""report.json and the pictures beside it."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kennel.bundle import Conformal, Preprocess, Rejection
from kennel.errors import MissingExtraError
from kennel.evaluate import SplitReport
from kennel.folders import Skipped
from kennel.metrics import calibration_error, measure, softmax, wilson
from kennel.report import Birth, Examination, Judged, write_report
from kennel.report.answers import read_answers
from kennel.report.document import document, flattered

LABELS = ("Beagle", "Golden_Retriever", "Poodle")
BIRTH = {
    "bundle_id": "20261123-ab12",
    "dataset_id": "d" * 64,
    "created_utc": "2026-11-23T08:00:00Z",
    "versions": {"kennel": "0.1.0"},
    "hardware": {"cpu": "two cores"},
    "seed": 7,
    "command": "kennel evaluate bundles/b",
}
PREPROCESS = Preprocess(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash")


def report_of(split: str) -> SplitReport:
    """Two Beagles, one answered as Poodle; two Golden Retrievers, right; no Poodle."""
    truth = np.array([0, 0, 1, 1])
    logits = np.array([[4, 1, 0], [0, 1, 4], [0, 4, 1], [0, 4, 1]], dtype=np.float32)
    return SplitReport(
        split=split,
        labels=LABELS,
        figures=measure(logits / 1.5, truth, resamples=20),
        paths=("a.png", "b.png", "c.png", "d.png"),
        truth=truth,
        logits=logits,
        skipped=(Skipped("Beagle/broken.jpg", "it is empty"),),
        images_per_s=12.5,
        temperature=1.5,
    )


def judged(report: SplitReport) -> Judged:
    """Of the four photos the third is refused; sets name all labels from 0.3 on."""
    report = replace(report, scores=np.array([3.0, 3.0, 1.0, 3.0]))
    return Judged(
        report,
        Rejection("energy", 2.0, false_refusal_rate=0.05, split="validation", n=40),
        Conformal(coverage=0.9, threshold=0.3, split="validation", n=40),
    )


def write(folder: Path, reports: list[SplitReport]) -> Path:
    splits = [judged(report) for report in reports]
    return write_report(folder, splits, Birth(**BIRTH), file=Path, preprocess=PREPROCESS)


def written(folder: Path, *splits: str) -> dict[str, Any]:
    path = write(folder, [report_of(split) for split in splits])
    assert path == folder / "report.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What report.json says of the test split."""
    test: dict[str, Any] = written(tmp_path_factory.mktemp("report"), "test")["splits"]["test"]
    return test


def test_the_report_says_where_its_numbers_come_from(tmp_path: Path) -> None:
    document = written(tmp_path, "test")
    assert document["schema_version"] == 1
    assert document["labels"] == list(LABELS)
    assert {key: document[key] for key in BIRTH} == BIRTH


def test_every_headline_figure_stands_beside_its_interval(told: dict[str, Any]) -> None:
    figures = report_of("test").figures
    assert told["n"] == 4
    assert told["top1"] == 0.75
    assert told["top1_interval"] == pytest.approx(list(wilson(3, 4)))
    for name in ("top1", "topk", "macro_f1", "log_loss", "ece", "brier"):
        assert told[name] == getattr(figures, name)
        assert told[f"{name}_interval"] == list(getattr(figures, f"{name}_interval"))
        assert told[f"{name}_interval"][0] <= told[name] <= told[f"{name}_interval"][1]
    assert (told["k"], told["temperature"], told["images_per_s"]) == (2, 1.5, 12.5)


def test_confusion_has_truth_in_rows_and_answers_in_columns_in_label_order(
    told: dict[str, Any],
) -> None:
    assert told["confusion"] == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]


def test_figures_per_label_stand_in_label_order(told: dict[str, Any]) -> None:
    rows = told["per_label"]
    assert [row["label"] for row in rows] == list(LABELS)
    assert [row["support"] for row in rows] == [2, 2, 0]
    assert [row["recall"] for row in rows] == [0.5, 1.0, None]
    assert [row["precision"] for row in rows] == [1.0, 1.0, None]
    assert rows[0]["f1"] == pytest.approx(2 / 3)
    assert rows[0]["recall_interval"] == pytest.approx(list(wilson(1, 2)))
    assert rows[0]["precision_interval"] == pytest.approx(list(wilson(1, 1)))
    assert rows[0]["f1_interval"][0] <= 2 / 3 <= rows[0]["f1_interval"][1]


def test_a_label_without_photos_is_null_and_not_0(told: dict[str, Any]) -> None:
    poodle = told["per_label"][2]
    assert poodle.pop("label") == "Poodle"
    assert poodle.pop("support") == 0
    assert set(poodle.values()) == {None}


def test_refused_photos_and_the_figures_of_the_others_are_told(told: dict[str, Any]) -> None:
    rejection = told["rejection"]
    assert (rejection["method"], rejection["threshold"]) == ("energy", 2.0)
    assert (rejection["refused"], rejection["refused_interval"]) == (0.25, list(wilson(1, 4)))
    assert (rejection["known_n"], rejection["known_top1"]) == (3, pytest.approx(2 / 3))
    assert rejection["known_top1_interval"] == list(wilson(2, 3))


def test_a_bundle_that_never_refuses_says_so(tmp_path: Path) -> None:
    path = write_report(
        tmp_path, [Judged(report_of("test"))], Birth(**BIRTH), file=Path, preprocess=PREPROCESS
    )
    test = json.loads(path.read_text(encoding="utf-8"))["splits"]["test"]
    assert test["rejection"] is None
    assert test["prediction_sets"] is None
    assert list(test["risk_coverage"]) == ["probability"]


def test_prediction_sets_are_told_by_coverage_and_size(told: dict[str, Any]) -> None:
    sets = told["prediction_sets"]
    named = softmax(report_of("test").logits / 1.5) >= 0.3
    assert (sets["promised"], sets["threshold"]) == (0.9, 0.3)
    assert (sets["coverage"], sets["coverage_interval"]) == (0.75, list(wilson(3, 4)))
    assert sets["mean_size"] == pytest.approx(named.sum(axis=1).mean())
    assert sets["mean_size_interval"][0] <= sets["mean_size"] <= sets["mean_size_interval"][1]


def test_mistakes_are_named_with_what_was_said_of_them(told: dict[str, Any]) -> None:
    [mistake] = told["mistakes"]
    assert told["mistakes_n"] == 1
    assert (mistake["path"], mistake["label"], mistake["answer"]) == ("b.png", "Beagle", "Poodle")
    assert mistake["known"] is True
    assert 0 < mistake["probability_of_label"] < mistake["probability"] < 1


def test_calibration_is_told_before_and_after_the_temperature(told: dict[str, Any]) -> None:
    sure = softmax(report_of("test").logits).max(axis=1)
    right = np.array([True, False, True, True])
    assert told["ece_before_temperature"] == pytest.approx(calibration_error(sure, right)[0])
    assert told["ece_before_temperature"] != told["ece"]
    assert sum(each["n"] for each in told["reliability"]["equal_width"]) == 4
    assert told["risk_coverage"]["probability"]["risk"][-1] == 0.25


def test_what_flatters_is_said() -> None:
    said = " ".join(flattered(["train", "validation", "test"], "a_network", own=True))
    assert "Train flatters" in said
    assert "Validation flatters" in said
    assert "Test was opened by kennel evaluate alone" in said
    assert "a_network, was pretrained" in said
    assert "Test was not measured" in " ".join(flattered(["train"], "", own=True))
    assert "other photos" in " ".join(flattered(["test"], "", own=False))


@pytest.mark.parametrize(
    ("splits", "headline"),
    [(("train", "validation", "test"), "test"), (("train", "validation"), "validation")],
)
def test_the_headline_is_of_test_before_validation_before_train(
    splits: tuple[str, ...], headline: str
) -> None:
    some = [judged(report_of(split)) for split in splits]
    assert document(some, Examination(), Birth(**BIRTH), own=True)["headline"] == headline


def test_photos_that_were_skipped_are_named(told: dict[str, Any]) -> None:
    assert told["skipped"] == [{"path": "Beagle/broken.jpg", "reason": "it is empty"}]


def test_each_split_has_its_picture_and_its_part_of_the_document(tmp_path: Path) -> None:
    folder = tmp_path / "bundles" / "b" / "report"
    document = written(folder, "train", "validation", "test")
    assert list(document["splits"]) == ["train", "validation", "test"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "answers.csv",
        "confusion_test.png",
        "confusion_train.png",
        "confusion_validation.png",
        "index.html",
        "metrics.json",
        "report.json",
    ]
    with Image.open(folder / "confusion_test.png") as picture:
        assert picture.format == "PNG"


def test_pictures_of_an_earlier_report_do_not_stay_and_other_files_do(tmp_path: Path) -> None:
    written(tmp_path, "train", "test")
    (tmp_path / "notes.txt").write_text("mine")
    written(tmp_path, "test")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "answers.csv",
        "confusion_test.png",
        "index.html",
        "metrics.json",
        "notes.txt",
        "report.json",
    ]


def test_the_same_reports_give_the_same_bytes(tmp_path: Path) -> None:
    written(tmp_path / "a", "test")
    written(tmp_path / "b", "test")
    for name in ("answers.csv", "report.json", "index.html", "confusion_test.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_answer_is_kept_and_read_back_to_the_last_digit(tmp_path: Path) -> None:
    names = ("a,b.png", 'quo"te.png', "new\u2028line.png", "=d.png")
    test = replace(report_of("test"), paths=names, sha256s=("a" * 64, "b" * 64, "c" * 64, "d" * 64))
    said = json.loads(write(tmp_path, [test, report_of("train")]).read_text(encoding="utf-8"))
    content = (tmp_path / "answers.csv").read_bytes()
    assert said["answers"] == {
        "file": "answers.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 8,
    }
    found = read_answers(content, LABELS)
    assert found == {"test": judged(test).answers(), "train": judged(report_of("train")).answers()}
    first = found["test"][1]
    assert (first.path, first.sha256, first.truth, first.answer) == ('quo"te.png', "b" * 64, 0, 2)
    assert first.loss == pytest.approx(-np.log(first.of_truth), abs=1e-6)
    assert [each.known for each in found["test"]] == [True, True, False, True]


@pytest.mark.parametrize(
    ("of", "to"),
    [
        (b"split,path", b"split,file"),
        (b"Golden_Retriever", b"Cat"),
        (b",true", b",perhaps"),
        (b",true", b""),
        (b"0.", b"nan"),
    ],
)
def test_answers_that_are_none_are_refused(of: bytes, to: bytes, tmp_path: Path) -> None:
    write(tmp_path, [report_of("test")])
    content = (tmp_path / "answers.csv").read_bytes()
    assert of in content
    with pytest.raises(ValueError, match=r"."):
        read_answers(content.replace(of, to), LABELS)


@pytest.mark.parametrize("library", ["matplotlib.figure", "jinja2"])
def test_without_its_libraries_nothing_is_written_and_the_pip_line_is_named(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as refused:
        write(tmp_path / "report", [report_of("test")])
    assert "kennel-ml[train]" in refused.value.fix
    assert not (tmp_path / "report").exists()


def test_reports_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    test = report_of("test")
    other = replace(report_of("train"), labels=("Beagle", "Poodle", "Golden_Retriever"))
    for reports, words in (
        ([], "one or more"),
        ([test, test], "different splits"),
        ([test, other], "different labels"),
    ):
        with pytest.raises(ValueError, match=words):
            write(tmp_path, reports)
    assert list(tmp_path.iterdir()) == []
