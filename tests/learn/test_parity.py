"""The gate: photos are read as what was written says; an answer that differs refuses the export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import PREPROCESS, coloured_photos
from PIL import Image

from kennel.awkward import awkward_photos
from kennel.bundle import Bundle, ParityPhotos, Preprocess
from kennel.cli import main
from kennel.dataset import Dataset, Photo
from kennel.errors import ParityError
from kennel.learn import export as exporting
from kennel.learn.formats import WRITERS, Opened
from kennel.learn.parity import Comparison, compare, parity_files
from kennel.outputs import Outputs
from kennel.run import Run

pytestmark = pytest.mark.slow

LABELS = ("red", "green", "blue")
AWKWARD = 56


def dataset_of(folder: Path, counts: dict[str, int]) -> Dataset:
    """An index of photos that need not be there."""
    photos = tuple(
        Photo(f"{split}/{number}.png", "red", split, "0" * 64, "g")
        for split, count in counts.items()
        for number in range(count)
    )
    return Dataset(folder / "dataset.csv", folder, LABELS, photos, None, 0, "d" * 64)


def mean_colour(batch: np.ndarray) -> np.ndarray:
    """Logits are eight times the mean red, green and blue."""
    return (8 * batch.mean(axis=(2, 3))).astype(np.float32)


@dataclass(frozen=True)
class Trained:
    labels: tuple[str, ...] = LABELS

    def outputs(self, batch: np.ndarray) -> Outputs:
        return Outputs(mean_colour(batch))


def compared(
    files: list[Path],
    logits: Callable[[np.ndarray], np.ndarray] = mean_colour,
    *,
    labels: tuple[str, ...] = LABELS,
    preprocess: Preprocess = PREPROCESS,
    temperature: float = 1.0,
) -> tuple[Comparison, ParityPhotos]:
    comparisons, photos = compare(
        Trained(),
        {"pt2": Opened(labels, preprocess, logits)},
        [("validation", file) for file in files],
        preprocess=PREPROCESS,
        temperature=temperature,
    )
    return comparisons["pt2"], photos


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(coloured_photos(tmp_path_factory.mktemp("colours")).rglob("*.png"))


# Which photos


def test_awkward_photos_come_first_then_validation_then_train_and_never_test(
    tmp_path: Path,
) -> None:
    dataset = dataset_of(tmp_path, {"train": 30, "validation": 20, "test": 10})
    drawn = [tmp_path / "awkward.png"]
    chosen = list(parity_files(dataset, drawn))
    assert [kind for kind, _ in chosen] == ["awkward"] + ["validation"] * 20 + ["train"] * 30
    assert {path.parent.name for kind, path in chosen if kind != "awkward"} == {
        "validation",
        "train",
    }
    assert len(set(chosen)) == 51


def test_the_seed_chooses_the_photos(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"train": 300, "validation": 250})
    first, again, other = (list(parity_files(dataset, [], seed=seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert [path for _, path in first[:200]] != sorted(path for _, path in first[:200])


def test_two_hundred_photos_are_compared_where_there_are_as_many(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"train": 90, "validation": 120, "test": 30})
    for photo in dataset.photos:
        path = dataset.file(photo)
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (200, 100, 50)).save(path)
    dataset.file(dataset.split("validation")[7]).write_bytes(b"no photo")
    awkward = awkward_photos(tmp_path / "awkward")
    ticked: list[Path] = []
    comparisons, photos = compare(
        Trained(),
        {"pt2": Opened(LABELS, PREPROCESS, mean_colour)},
        parity_files(dataset, awkward.values()),
        preprocess=PREPROCESS,
        temperature=1.0,
        on_photo=ticked.append,
    )
    assert photos == ParityPhotos(seed=0, validation=119, train=25, awkward=AWKWARD)
    assert comparisons["pt2"].photos == len(ticked) == 200


def test_all_photos_are_compared_where_there_are_fewer(files: list[Path]) -> None:
    comparison, photos = compared(files)
    assert photos == ParityPhotos(seed=0, validation=12, train=0, awkward=0)
    assert (comparison.photos, comparison.max_abs_diff, comparison.agrees) == (12, 0.0, True)


# What differs


def test_a_difference_over_the_tolerance_names_format_photo_and_both_answers(
    files: list[Path],
) -> None:
    def off(batch: np.ndarray) -> np.ndarray:
        return mean_colour(batch) + np.array([0, 0, 0.5], np.float32)

    comparison, _ = compared(files, off)
    assert not comparison.agrees
    message = comparison.refusal().message
    assert message.startswith("pt2 answers differently from the trained network")
    assert "(allowed 0.0001), 0 other labels, on 12 photos" in message
    assert "blue/0.png, trained blue 0.9993, pt2 blue 0.9996" in message


def test_a_flip_is_counted_where_the_trained_network_is_surer_than_the_tolerance(
    files: list[Path],
) -> None:
    def turned(batch: np.ndarray) -> np.ndarray:
        return mean_colour(batch)[:, ::-1]

    comparison, _ = compared(files, turned)
    assert comparison.label_flips == 8  # green stays green
    assert "trained red 0.9993, pt2 blue 0.9993" in comparison.worst or (
        "trained blue 0.9993, pt2 red 0.9993" in comparison.worst
    )
    torn = Comparison("int8", LABELS, tolerance=0.25)
    torn.add("a", np.array([0.45, 0.44, 0.11]), np.array([0.44, 0.45, 0.11]))
    assert (torn.label_flips, torn.agrees) == (0, True)


def test_an_answer_that_is_no_number_is_refused(files: list[Path]) -> None:
    comparison, _ = compared(files, lambda batch: mean_colour(batch) * np.float32(np.nan))
    assert not comparison.agrees
    assert comparison.max_abs_diff == np.inf


def test_the_temperature_counts(files: list[Path]) -> None:
    def off(batch: np.ndarray) -> np.ndarray:
        return mean_colour(batch) * np.float32(1.01)

    warm, hot = (compared(files, off, temperature=t)[0].max_abs_diff for t in (2.0, 20.0))
    assert warm != pytest.approx(hot)


def test_a_format_reads_photos_by_its_own_preprocessing(files: list[Path]) -> None:
    wrong = replace(PREPROCESS, mean=(0.0, 0.1, 0.0))
    comparison, _ = compared(files, preprocess=wrong)
    assert not comparison.agrees


def test_labels_in_another_order_are_refused(files: list[Path]) -> None:
    with pytest.raises(ParityError, match="pt2 names the labels green, red, blue"):
        compared(files, labels=("green", "red", "blue"))


# Through the door: one wrong mean in what was written


def wrong(preprocess: Preprocess) -> Preprocess:
    red, green, blue = preprocess.mean
    return replace(preprocess, mean=(red, green + 0.05, blue))


def break_bundle_json(monkeypatch: pytest.MonkeyPatch) -> None:
    written = exporting.write_bundle
    monkeypatch.setattr(
        exporting,
        "write_bundle",
        lambda bundle: written(replace(bundle, preprocess=wrong(bundle.preprocess))),
    )


def break_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    written = exporting.write_onnx

    def broken(*words: Any, metadata: dict[str, str], **more: Any) -> None:
        said = json.loads(metadata["preprocess"])
        said["mean"][1] += 0.05
        written(*words, metadata={**metadata, "preprocess": json.dumps(said)}, **more)

    monkeypatch.setattr(exporting, "write_onnx", broken)


def break_format(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def broken(monkeypatch: pytest.MonkeyPatch) -> None:
        written = WRITERS[name]

        def write(model: Any, bundle: Bundle) -> None:
            written(model, replace(bundle, preprocess=wrong(bundle.preprocess)))

        monkeypatch.setitem(WRITERS, name, write)

    return broken


BROKEN = {
    "bundle.json": (break_bundle_json, "onnx", "model.onnx says of its preprocessing"),
    "model.onnx": (break_metadata, "onnx", "model.onnx says of its preprocessing"),
    "config.json": (break_format("safetensors"), "safetensors", "safetensors answers differently"),
    "model.pt": (break_format("torchscript"), "torchscript", "torchscript answers differently"),
    "model.pt2": (break_format("pt2"), "pt2", "pt2 answers differently"),
}


@pytest.mark.parametrize("file", BROKEN)
def test_an_export_with_one_wrong_mean_is_refused(
    file: str,
    tiny_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    break_it, formats, refused = BROKEN[file]
    break_it(monkeypatch)
    words = ["export", str(tiny_run.path), "--to", str(tmp_path / "bundle"), "--formats", formats]
    assert main(words) == 1
    said = capsys.readouterr()
    assert f"error: {refused}" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


# Formats and doors


@pytest.fixture(scope="module")
def benchmark() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "parity.py"
    spec = spec_from_file_location("parity_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_format_and_door_gives_the_answers_of_the_trained_network(
    benchmark: Any, tiny_run: Run, every_format: Bundle, tmp_path: Path
) -> None:
    rows, photos = benchmark.table(tiny_run, every_format)
    formats = [row.format for row in every_format.parity]
    assert [row.format for row in rows] == [*formats, "predict", "http", "ui"]
    assert photos == every_format.parity_photos
    not_served = [name for name in awkward_photos(tmp_path) if name.endswith((".bmp", ".tif"))]
    for row in rows:
        assert row.agrees, row.in_words()
        assert row.photos == 36 + AWKWARD - (len(not_served) if row.format == "http" else 0)
    printed = "\n".join(benchmark.lines(rows, photos))
    assert f"photos: {AWKWARD} awkward, 9 validation, 27 train; seed 0" in printed


def test_a_door_that_answers_otherwise_is_seen(
    benchmark: Any, tiny_run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    other = replace(bundle, path=shutil.copytree(bundle.path, tmp_path / "other"))
    other = replace(other, preprocess=wrong(bundle.preprocess))
    exporting.write_bundle(other)
    rows, _ = benchmark.table(tiny_run, bundle)
    assert rows[-1].agrees
    files = [
        path for _, path in parity_files(benchmark.read_dataset(Path(tiny_run.dataset_csv)), [])
    ]
    answers = [benchmark.by_predict(each, files[:8]) for each in (bundle, other)]
    assert np.abs(answers[0] - answers[1]).max() > rows[-1].tolerance
