"""A run becomes a bundle that answers as the trained network does, or nothing."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from pictures import draw_dataset

from kennel.bundle import Bundle, ParityPhotos, read_bundle
from kennel.cli import main
from kennel.dataset import Dataset, read_dataset
from kennel.drift.photos import Seen, look_at
from kennel.errors import BundleError, DatasetError, ParityError, RunError
from kennel.evaluate import evaluate_split
from kennel.images import read_photo
from kennel.infer import OnnxClassifier
from kennel.learn import export as exporting
from kennel.learn.export import export
from kennel.learn.trained import TrainedClassifier, load_model
from kennel.run import BEST_WEIGHTS, Run, read_run
from kennel.sketch import Sketch, read_reference

pytestmark = pytest.mark.slow


def copy_of(run: Run, folder: Path) -> Run:
    shutil.copytree(run.path, folder / run.run_id)
    return read_run(folder / run.run_id)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# What a bundle holds


def test_the_bundle_says_what_the_contract_asks(bundle: Bundle, tiny_run: Run) -> None:
    document = json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert document["labels"] == ["Beagle", "Boxer", "Poodle"]
    assert document["input"]["shape"] == ["batch", 3, 32, 32]
    assert [output["name"] for output in document["outputs"]] == ["logits", "features"]
    assert document["calibration"]["temperature"] > 0
    assert document["calibration"]["n"] == document["rejection"]["n"] == 9
    assert document["rejection"]["false_refusal_rate"] == 0.05
    assert set(document["metrics"]) == {"validation"}
    assert document["metrics"]["validation"]["n"] == 9
    assert set(document["files"]) == {"model.onnx", "README.md", "bank.i8", "sketch.json"}
    lineage = document["lineage"]
    assert (lineage["run_id"], lineage["dataset_id"]) == ("tiny", tiny_run.dataset_id)
    assert lineage["backbone"]["licence"] == "Apache-2.0"
    assert bundle.bundle_id.startswith("tiny-")
    assert bundle.preprocess == tiny_run.preprocess


def test_the_bundle_states_its_parity(bundle: Bundle) -> None:
    (row,) = bundle.parity
    assert (row.format, row.photos, row.label_flips) == ("onnx", 92, 0)
    assert row.max_abs_diff <= row.tolerance == 1e-4
    assert bundle.parity_photos == ParityPhotos(seed=0, validation=9, train=27, awkward=56)


def test_the_bundle_holds_a_reference_that_its_own_doors_would_count(
    bundle: Bundle, dataset: Dataset
) -> None:
    reference = read_reference(bundle)
    assert reference is not None
    assert (reference.bundle, reference.n, reference.split) == (bundle.bundle_id, 9, "validation")
    files = [dataset.file(photo) for photo in dataset.split("validation")]
    again = Sketch(reference)
    for _, seen in look_at(files, OnnxClassifier(bundle), seed=reference.seed):
        assert isinstance(seen, Seen)
        again.add(seen.figures, seen.label)
    assert again.labels == reference.labels
    # An edge is a photo's own figure: its last bit may differ, as a batch's does from another's.
    for name, counts in reference.counts.items():
        moved = np.abs(np.cumsum(counts) - np.cumsum(again.counts[name])).max()
        assert moved <= 1, name


def test_every_file_of_the_bundle_verifies(bundle: Bundle) -> None:
    again = read_bundle(bundle.path)
    assert again == bundle
    for name in again.files:
        assert again.file(name).is_file()
    assert left_in(bundle.path.parent) == ["tiny"]


def test_labels_and_preprocessing_travel_in_the_onnx_file(bundle: Bundle) -> None:
    model = onnx.load(bundle.path / "model.onnx")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["labels"]) == list(bundle.labels)
    assert json.loads(said["preprocess"])["size"] == 32
    assert said["run_id"] == "tiny"
    assert not any(node.metadata_props for node in model.graph.node)


def test_trained_network_and_onnx_give_the_same_answers(
    bundle: Bundle, tiny_run: Run, dataset: Dataset
) -> None:
    ours: Any = TrainedClassifier(load_model(tiny_run), tiny_run.labels)
    theirs = OnnxClassifier(bundle)
    reports = [evaluate_split(c, dataset, "train", bundle.preprocess) for c in (ours, theirs)]
    assert reports[0].logits.argmax(1).tolist() == reports[1].logits.argmax(1).tolist()
    np.testing.assert_allclose(reports[0].logits, reports[1].logits, atol=1e-4)
    assert len(set(reports[0].logits.argmax(1))) > 1  # it answers more than one label


def test_a_batch_of_any_size_gives_the_same_logits(bundle: Bundle, dataset: Dataset) -> None:
    classifier = OnnxClassifier(bundle)
    photos = [read_photo(dataset.file(p), bundle.preprocess) for p in dataset.split("train")[:5]]
    together = classifier.outputs(np.stack(photos))
    alone = [classifier.outputs(photo[None]) for photo in photos]
    np.testing.assert_allclose(together.logits, np.stack([o.logits[0] for o in alone]), atol=1e-5)
    features = [o.features[0] for o in alone if o.features is not None]
    assert together.features is not None
    np.testing.assert_allclose(together.features, np.stack(features), atol=1e-4)


def test_features_are_those_the_head_makes_logits_of(
    bundle: Bundle, tiny_run: Run, dataset: Dataset
) -> None:
    photo = read_photo(dataset.file(dataset.split("train")[0]), bundle.preprocess)[None]
    outputs = OnnxClassifier(bundle).outputs(photo)
    head = load_model(tiny_run).network.head
    assert outputs.features is not None
    assert outputs.features.shape == (1, head.in_features) == (1, bundle.outputs[1].shape[1])
    logits = head(torch.from_numpy(outputs.features)).detach().numpy()
    np.testing.assert_allclose(logits, outputs.logits, atol=1e-5)


def test_the_method_of_refusal_is_measured_unless_it_is_named(
    bundle: Bundle, tiny_run: Run, tmp_path: Path
) -> None:
    measured = bundle.rejection
    assert measured is not None
    auroc = {candidate.method: candidate.auroc for candidate in measured.candidates}
    assert set(auroc) == {"energy", "max_logit", "knn", "knn_energy"}
    assert auroc[measured.method] == max(auroc.values())
    named = export(tiny_run, to=tmp_path / "named", refuse=0.2, method="energy", coverage=0.8)
    assert named.rejection is not None
    assert (named.rejection.method, named.rejection.candidates) == ("energy", ())
    assert named.rejection.false_refusal_rate == 0.2
    assert named.conformal is not None
    assert named.conformal.coverage == 0.8
    assert "bank.i8" not in named.files
    assert named.bundle_id != bundle.bundle_id
    assert bundle.conformal is None


def test_export_needs_no_test_photo(bundle: Bundle, dataset: Dataset) -> None:
    assert not any(dataset.file(photo).exists() for photo in dataset.split("test"))
    assert "test" not in bundle.metrics


# Again


def test_the_same_export_again_gives_the_same_bundle(
    bundle: Bundle, tiny_run: Run, tmp_path: Path
) -> None:
    assert export(tiny_run, to=bundle.path) == bundle
    elsewhere = export(tiny_run, bundles=tmp_path / "bundles")
    assert elsewhere.bundle_id == bundle.bundle_id
    assert elsewhere.path == tmp_path / "bundles" / bundle.bundle_id
    assert elsewhere.files["model.onnx"] == bundle.files["model.onnx"]


def test_a_damaged_bundle_is_not_taken_for_the_same(
    bundle: Bundle, tiny_run: Run, tmp_path: Path
) -> None:
    damaged = tmp_path / "tiny"
    shutil.copytree(bundle.path, damaged)
    (damaged / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="damaged") as raised:
        export(tiny_run, to=damaged)
    assert "remove" in raised.value.fix


# Refusals, which leave nothing behind


def test_an_onnx_file_that_answers_differently_is_refused(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = exporting.write_onnx

    def perturbed(network: Any, path: Path, **more: Any) -> None:
        other = deepcopy(network)
        with torch.no_grad():
            other.head.bias[0] += 0.01
        written(other, path, **more)

    monkeypatch.setattr(exporting, "write_onnx", perturbed)
    with pytest.raises(ParityError, match=r"allowed 0\.0001"):
        export(tiny_run, bundles=tmp_path / "bundles")
    assert left_in(tmp_path / "bundles") == []


def test_ctrl_c_leaves_nothing(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Any, path: Path, **__: Any) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "write_onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_run, to=tmp_path / "bundle")
    assert left_in(tmp_path) == []


def test_a_run_without_weights_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no weights.*failed"):
        export(replace(tiny_run, best_checkpoint=None, status="failed"), to=tmp_path / "bundle")
    run = copy_of(tiny_run, tmp_path)
    (run.path / BEST_WEIGHTS).unlink()
    with pytest.raises(RunError, match="has no weights"):
        export(run, to=tmp_path / "bundle")
    assert left_in(tmp_path) == ["tiny"]


@pytest.mark.parametrize("content", ["model: [", "seed: 0\n", "model: {_target_: kennel.Nope}\n"])
def test_a_damaged_config_is_refused(content: str, tiny_run: Run, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path)
    (run.path / "config.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=r"config\.yaml cannot be read"):
        export(run, to=tmp_path / "bundle")


def test_weights_that_do_not_fit_are_refused(tiny_run: Run, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path)
    weights = run.path / BEST_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"best\.safetensors does not fit"):
        export(run, to=tmp_path / "bundle")
    with pytest.raises(RunError, match="does not fit"):
        export(replace(tiny_run, labels=("Beagle", "Boxer")), to=tmp_path / "bundle")
    assert left_in(tmp_path) == ["tiny"]


def test_a_folder_that_holds_something_is_left_alone(tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    for occupied in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        with pytest.raises(BundleError, match="already holds something else"):
            export(tiny_run, to=occupied)
    assert left_in(tmp_path) == ["mine"]
    assert left_in(tmp_path / "mine") == ["letter.txt"]


def test_an_index_that_changed_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    other = draw_dataset(tmp_path)
    photo = other.file(other.split("train")[0])
    photo.unlink()
    from kennel.index import index_photos

    index_photos(other.photos_dir, to=other.csv)
    with pytest.raises(DatasetError, match="its dataset_id differs"):
        export(replace(tiny_run, dataset_csv=str(other.csv)), to=tmp_path / "bundle")
    assert "bundle" not in left_in(tmp_path)


def test_a_run_whose_index_lies_elsewhere_is_exported_with_the_one_that_is_named(
    tiny_run: Run, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    document = json.loads((moved / "run.json").read_text(encoding="utf-8"))
    document["dataset_csv"] = "/elsewhere/dataset.csv"
    (moved / "run.json").write_text(json.dumps(document), encoding="utf-8")
    words = ["export", str(moved), "--to", str(tmp_path / "bundle"), "--json"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "/elsewhere/dataset.csv, is not on this machine" in said
    assert "--data" in said
    assert main([*words, "--data", tiny_run.dataset_csv]) == 0
    assert json.loads(capsys.readouterr().out)["parity"][0]["label_flips"] == 0


# Through the doors


def test_export_evaluate_and_show_at_the_door(
    tiny_run: Run, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = draw_dataset(tmp_path).csv  # the same photos, with the test photos on disk
    assert read_dataset(csv).dataset_id == bundle.lineage.dataset_id
    home = tmp_path / "tiny"
    shutil.copytree(bundle.path, home)

    assert main(["export", str(tiny_run.path), "--to", str(home), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["bundle_id"], said["formats"]) == (bundle.bundle_id, ["onnx"])
    assert said["parity"][0]["label_flips"] == 0

    assert main(["evaluate", str(home), "--data", str(csv), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    splits = {"train": 27, "validation": 9, "test": 6}
    assert {name: figures["n"] for name, figures in report["splits"].items()} == splits
    held = ["README.md", "bundle.json", "model.onnx", "report", "sketch.json"]
    assert [name for name in left_in(home) if name != "bank.i8"] == held
    measured = read_bundle(home)
    assert measured.bundle_id == bundle.bundle_id
    assert {split: figures.n for split, figures in measured.metrics.items()} == splits
    for name in measured.files:
        measured.file(name)
    card = (home / "README.md").read_text(encoding="utf-8")
    assert "| test | 6 |" in card
    assert bundle.bundle_id in card
    for split in splits:
        assert (home / "report" / f"confusion_{split}.png").stat().st_size > 1000

    for shown, fact in ((home, bundle.bundle_id), (tiny_run.path, "done")):
        assert main(["show", str(shown)]) == 0
        assert fact in capsys.readouterr().out
        assert main(["show", str(shown), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["labels"] == list(bundle.labels)


def test_the_frozen_recipe_becomes_a_bundle_with_its_backbone_named(
    frozen_run: Run, frozen_bundle: Bundle, dataset: Dataset
) -> None:
    made = frozen_bundle
    assert made.metrics["validation"].top1 == 1.0
    assert made.lineage.backbone.weights == frozen_run.backbone.weights
    report = evaluate_split(OnnxClassifier(made), dataset, "train", made.preprocess)
    assert report.figures.top1 == 1.0
