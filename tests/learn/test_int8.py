"""Eight bits are kept where they are faster here and as good, else left out with both figures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundles import entry
from pictures import draw_dataset

from kennel.bundle import Bundle, read_bundle
from kennel.dataset import Dataset
from kennel.errors import DatasetError
from kennel.formats import formats_in
from kennel.learn import export as exporting
from kennel.learn import parity
from kennel.learn.export import export
from kennel.learn.formats import open_int8
from kennel.learn.int8 import Int8Trial, median_ms, try_int8
from kennel.paired import paired_test
from kennel.run import Run

pytestmark = pytest.mark.slow

RIGHT = np.array([True] * 99 + [False])
TRIAL = Int8Trial(
    ms=(8.0, 5.0), answers=paired_test(RIGHT, RIGHT), log_loss=(0.1, 0.101), rise=(-0.001, 0.003)
)


@pytest.fixture(scope="module")
def copy(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Files may be written beside it."""
    return read_bundle(shutil.copytree(bundle.path, tmp_path_factory.mktemp("int8") / "tiny"))


def test_what_is_faster_and_as_good_is_kept() -> None:
    assert TRIAL.kept
    assert TRIAL.note().startswith("int8: kept: 5.0 ms a photo on one thread, float32 8.0 ms;")


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (replace(TRIAL, ms=(8.0, 9.0)), "as it is not faster here: 9.0 ms a photo"),
        (replace(TRIAL, ms=(8.0, 8.0)), "as it is not faster here"),
        (
            replace(TRIAL, answers=paired_test(RIGHT, np.roll(RIGHT, 1) & RIGHT)),
            "log loss +0.001",
        ),
        (
            replace(TRIAL, answers=paired_test(RIGHT, RIGHT & (np.arange(100) > 1))),
            "as it answers worse than is allowed",
        ),
        (replace(TRIAL, rise=(0.0, 0.021)), "as it answers worse than is allowed"),
        (
            replace(TRIAL, ms=(8.0, 9.0), rise=(0.0, 0.021)),
            "not faster here and it answers worse",
        ),
    ],
)
def test_what_is_slower_or_worse_is_left_out_and_the_note_says_why(
    trial: Int8Trial, reason: str
) -> None:
    within = trial.answers.difference >= -0.01 and trial.rise[1] <= 0.02 and trial.ms[1] < 8.0
    assert trial.kept == within
    assert reason in trial.note()
    assert "ms" in trial.note()
    assert "on the same 100 validation photos" in trial.note()


def test_each_is_timed_in_turn_and_the_median_counts() -> None:
    order: list[str] = []
    now = [0.0]

    def function(name: str, seconds: list[float]) -> Any:
        def call(_: np.ndarray) -> None:
            order.append(name)
            now[0] += seconds[(order.count(name) - 2) // 8 % 5]

        return call

    functions = {
        "slow": function("slow", [0.01, 9.0, 0.02, 0.03, 0.001]),
        "fast": function("fast", [0.005] * 5),
    }
    ms = median_ms(functions, 8, clock_s=lambda: now[0])
    assert ms == {"slow": pytest.approx(20.0), "fast": pytest.approx(5.0)}
    assert order[2:34] == (["slow"] * 8 + ["fast"] * 8) * 2


def test_the_model_is_quantised_and_says_labels_and_preprocessing(
    copy: Bundle, dataset: Dataset
) -> None:
    trial = try_int8(copy, dataset)
    assert min(trial.ms) > 0
    assert trial.answers.n == 9
    assert trial.rise[0] <= trial.log_loss[1] - trial.log_loss[0] <= trial.rise[1]
    model = onnx.load(copy.path / "model.int8.onnx")
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    files = {**copy.files, "model.int8.onnx": entry(copy.path / "model.int8.onnx")}
    opened = open_int8(replace(copy, files=files))
    assert (opened.labels, opened.preprocess) == (copy.labels, copy.preprocess)
    batch = np.zeros((3, 3, 32, 32), np.float32)
    assert opened.logits(batch).shape == (3, 3)


def test_the_ranges_come_from_train_photos_alone(copy: Bundle, tmp_path: Path) -> None:
    drawn = draw_dataset(tmp_path)
    for photo in drawn.split("train"):
        drawn.file(photo).unlink()
    with pytest.raises(DatasetError, match="none of the train photos"):
        try_int8(copy, drawn)


def with_verdict(monkeypatch: pytest.MonkeyPatch, ms: tuple[float, float]) -> None:
    """The trial as it is, but for the clock and the limits of a nine-photo split."""
    tried = exporting.try_int8

    def timed(*words: Any) -> Int8Trial:
        return replace(tried(*words), ms=ms, rise=(0.0, 0.0), answers=TRIAL.answers)

    monkeypatch.setattr(exporting, "try_int8", timed)


def test_a_bundle_keeps_int8_where_it_is_worth_it(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_verdict(monkeypatch, (8.0, 5.0))
    made = export(tiny_run, to=tmp_path / "kept", formats=("onnx", "int8"))
    assert formats_in(made) == ("onnx", "int8")
    row = made.parity[1]
    assert (row.format, row.tolerance, row.label_flips) == ("int8", 0.25, 0)
    assert 1e-6 < row.max_abs_diff <= 0.25
    assert made.notes[0].startswith("int8: kept")
    made.file("model.int8.onnx")


def test_a_bundle_without_int8_says_why(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_verdict(monkeypatch, (5.0, 8.0))
    made = export(tiny_run, to=tmp_path / "slower", formats=("onnx", "int8"))
    assert formats_in(made) == ("onnx",)
    assert "int8: left out, as it is not faster here: 8.0 ms" in made.notes[0]
    card = (
        (made.path / "README.md").read_text(encoding="utf-8").replace("\\", "")
    )  # Markdown escapes
    assert made.notes[0] in card
    assert not (made.path / "model.int8.onnx").exists()

    with_verdict(monkeypatch, (8.0, 5.0))
    monkeypatch.setitem(parity.TOLERANCES, "int8", 1e-9)
    again = export(tiny_run, to=tmp_path / "other", formats=("onnx", "int8"))
    assert formats_in(again) == ("onnx",)
    assert [row.format for row in again.parity] == ["onnx"]
    assert "int8: left out, as it answers otherwise" in again.notes[0]
    assert not (again.path / "model.int8.onnx").exists()
