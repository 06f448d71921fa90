"""A folder of bundles means the last one in it, a folder of runs the last one that is done."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import COLOURS, PREPROCESS, tiny_bundle
from PIL import Image

import kennel
from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, Backbone, Bundle, read_bundle, write_bundle
from kennel.cli import main
from kennel.errors import BundleError, RunError
from kennel.named import bundle_named, made_elsewhere, run_named
from kennel.run import BEST_WEIGHTS, RUN_JSON, Run, write_run


def bundle_of(folder: Path, exported_utc: str) -> Bundle:
    bundle = tiny_bundle(folder, bundle_id=folder.name)
    bundle = replace(bundle, lineage=replace(bundle.lineage, created_utc=exported_utc))
    write_bundle(bundle)
    return bundle


def run_of(folder: Path, began_utc: str, *, status: str = "done") -> None:
    folder.mkdir(parents=True)
    run = Run(
        run_id=folder.name,
        status=status,
        git_commit=None,
        dirty=None,
        dataset_id="d" * 64,
        dataset_csv="data/dataset.csv",
        labels=("blue", "red"),
        preprocess=PREPROCESS,
        backbone=Backbone("resnet18", "random", "https://example.org", "Apache-2.0"),
        seed=0,
        metrics={},
        best_checkpoint=BEST_WEIGHTS if status == "done" else None,
        best_epoch=None,
        duration_s=1.0,
        images_per_s=1.0,
        hardware={},
        versions={},
        created_utc=began_utc,
        path=folder,
    )
    write_run(run)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """Three bundles; the last by its export is neither the last by name nor by time of its file."""
    folder = tmp_path / "bundles"
    bundle_of(folder / "b", "2026-11-24T12:00:00Z")
    bundle_of(folder / "a", "2026-11-23T12:00:00Z")
    bundle_of(folder / "c", "2026-11-22T12:00:00Z")
    return folder


def test_the_last_exported_bundle_is_meant_not_the_last_touched(bundles: Path) -> None:
    assert bundle_named(bundles) == bundles / "b"
    assert bundle_named(bundles / "c") == bundles / "c"


def test_what_is_still_being_written_is_not_the_last_bundle(bundles: Path) -> None:
    bundle_of(bundles / ".new-7", "2026-11-25T12:00:00Z")
    (bundles / "photos").mkdir()
    assert bundle_named(bundles) == bundles / "b"


def test_a_bundle_that_cannot_be_read_is_passed_over_and_named(
    bundles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bundles / "b" / BUNDLE_JSON).write_text("{}", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert bundle_named(bundles) == bundles / "a"
    assert str(bundles / "b" / BUNDLE_JSON) in caplog.text
    for name in ("a", "c"):
        (bundles / name / BUNDLE_JSON).write_text("{}", encoding="utf-8")
    with pytest.raises(BundleError, match="schema_version"):
        bundle_named(bundles)


def test_predict_answers_with_the_last_bundle(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8), COLOURS["red"]).save(tmp_path / "photo.png")
    assert main(["predict", str(bundles), str(tmp_path / "photo.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["bundle"] == "b"


@pytest.mark.parametrize("verb", ["predict", "serve", "ui", "evaluate"])
def test_no_bundle_yet_is_said_with_the_way_to_one(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundles").mkdir()
    words = [str(tmp_path / "photo.png")] if verb == "predict" else []
    words += ["--port", "0"] if verb in ("serve", "ui") else []
    words += ["--workers", "1"] if verb == "serve" else []
    assert main([verb, str(tmp_path / "bundles"), *words]) == 1
    said = capsys.readouterr().err
    assert f"error: {tmp_path / 'bundles'} is not a bundle: it has no {BUNDLE_JSON}, and no" in said
    assert "kennel export runs" in said
    assert "docker compose up train, then docker compose up eval" in said


def test_the_last_run_that_is_done_is_meant(tmp_path: Path) -> None:
    run_of(tmp_path / "runs/first", "2026-11-22T12:00:00Z")
    run_of(tmp_path / "runs/seeds/0", "2026-11-23T12:00:00Z")
    run_of(tmp_path / "runs/stopped", "2026-11-24T12:00:00Z", status="stopped")
    (tmp_path / "runs/damaged").mkdir()
    (tmp_path / "runs/damaged" / RUN_JSON).write_text("{", encoding="utf-8")
    assert run_named(tmp_path / "runs") == tmp_path / "runs/seeds/0"
    assert run_named(tmp_path / "runs/first") == tmp_path / "runs/first"


def test_no_run_that_is_done_is_said_with_the_way_to_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    assert main(["export", str(tmp_path / "runs")]) == 1
    assert "fix: train one: kennel train" in capsys.readouterr().err
    run_of(tmp_path / "runs/half", "2026-11-22T12:00:00Z", status="stopped")
    with pytest.raises(RunError, match="half is stopped") as refused:
        run_named(tmp_path / "runs")
    assert refused.value.fix.endswith(f"ckpt_path=last paths.output_dir={tmp_path / 'runs/half'}")


def test_a_bundle_of_another_kennel_is_accepted_and_named(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "old")
    own = replace(bundle.lineage, versions={"kennel": kennel.__version__})
    assert made_elsewhere(replace(bundle, lineage=own)) is None
    said = made_elsewhere(read_bundle(bundle.path))
    assert said == f"kennel 0 exported {bundle.bundle_id}; this is kennel {kennel.__version__}"


def test_a_bundle_that_is_not_understood_names_the_kennel_that_wrote_it(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "strange")
    document = json.loads((bundle.path / BUNDLE_JSON).read_text("utf-8"))
    document["rejection"]["method"] = "not yet thought of"
    (bundle.path / BUNDLE_JSON).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BundleError, match="method is 'not yet thought of'") as refused:
        read_bundle(bundle.path)
    assert "kennel '0' wrote it" in refused.value.fix
    assert "pip install -U kennel-ml" in refused.value.fix
    document["lineage"]["versions"]["kennel"] = kennel.__version__
    (bundle.path / BUNDLE_JSON).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BundleError) as refused:
        read_bundle(bundle.path)
    assert "pip" not in refused.value.fix


def test_files_of_the_bundle_named_are_still_verified(bundles: Path) -> None:
    with (bundles / "b" / MODEL_ONNX).open("ab") as file:
        file.write(b"more")
    with pytest.raises(BundleError, match="not the file that was exported"):
        read_bundle(bundle_named(bundles)).read(MODEL_ONNX)
