"""`kennel show` and `kennel doctor`: facts, one a line, and the line that mends what is lacking."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from bundles import PREPROCESS, tiny_bundle

from kennel.bundle import MODEL_ONNX, Backbone, Bundle, SplitFigures
from kennel.cli import doctor, main
from kennel.errors import MissingExtraError, need
from kennel.run import BEST_WEIGHTS, RUN_JSON, Run, read_run, write_run

FIGURES = SplitFigures(
    n=40,
    top1=0.9,
    top1_interval=(0.769, 0.96),
    macro_f1=0.88,
    macro_f1_interval=(0.75, 0.96),
    log_loss=0.3,
    log_loss_interval=(0.2, 0.4),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny", metrics={"test": FIGURES})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(
        run_id="first",
        status="done",
        git_commit="a" * 40,
        dirty=True,
        dataset_id="d" * 64,
        dataset_csv="data/dataset.csv",
        labels=("blue", "red"),
        preprocess=PREPROCESS,
        backbone=Backbone("resnet18", "random", "https://example.org", "Apache-2.0"),
        seed=7,
        metrics={"validation/top1": 0.875, "train/loss": 0.25},
        best_checkpoint=BEST_WEIGHTS,
        best_epoch=3,
        duration_s=12.5,
        images_per_s=80.25,
        hardware={"cpu": "a processor"},
        versions={"torch": "2.13.0"},
        created_utc="2026-11-23T08:00:00Z",
        path=tmp_path / "first",
    )
    write_run(run)
    return run


def test_a_bundle_shows_its_pedigree(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(bundle.path)]) == 0
    shown = capsys.readouterr().out
    facts = {line[:14].strip(): line[14:] for line in shown.splitlines()}
    assert facts["bundle"] == bundle.bundle_id
    assert facts["labels"] == "3: red, green, blue"
    assert facts["test"] == "top1 0.900 [0.769, 0.960], macro F1 0.880, n 40"
    assert facts["temperature"] == "2.000 on validation"
    assert facts["not known"] == "energy under 5.000, set to refuse 5% of 30 validation photos"
    assert facts["parity"] == "onnx: 1.0e-07 on 30 photos, 0 other labels"
    assert facts["commit"] == bundle.lineage.git_commit
    assert "licence Apache-2.0" in facts["backbone"]
    assert bundle.lineage.dataset_id[:16] in facts["photos"]
    assert facts["file"].startswith(MODEL_ONNX)
    assert bundle.files[MODEL_ONNX].sha256[:16] in facts["file"]


def test_a_bundle_with_a_changed_file_is_not_shown_as_whole(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    with (bundle.path / MODEL_ONNX).open("ab") as file:
        file.write(b"more")
    assert main(["show", str(bundle.path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"error: {bundle.path / MODEL_ONNX} is not the file that was exported" in said.err


def test_a_run_shows_its_pedigree(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run.path)]) == 0
    shown = capsys.readouterr().out
    for said in (
        "run           first",
        "status        done",
        "labels        2: blue, red",
        "validation/top1 0.8750",
        f"epoch 3, {BEST_WEIGHTS}",
        "12.5 s, 80.2 images/s",
        "seed 7",
        f"{'a' * 40}, with uncommitted changes",
        "resnet18; weights: random",
        RUN_JSON,
    ):
        assert said in shown


def test_a_run_that_stopped_early_shows_that_it_has_no_weights(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = replace(run, status="stopped", best_checkpoint=None, best_epoch=None, metrics={})
    write_run(replace(stopped, git_commit=None, dirty=None))
    assert main(["show", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "status        stopped" in shown
    assert "no weights yet" in shown
    assert "not in a git repository" in shown


def test_a_run_survives_being_written_and_read(run: Run) -> None:
    found = read_run(run.path)
    assert found == run
    assert found.path == run.path


@pytest.mark.parametrize("document", ["", "{}", "[]", "null", '{"run_id": 5}'])
def test_a_damaged_run_is_refused_in_words(
    run: Run, capsys: pytest.CaptureFixture[str], document: str
) -> None:
    (run.path / RUN_JSON).write_text(document)
    assert main(["show", str(run.path)]) == 1
    said = capsys.readouterr().err
    assert f"error: {run.path / RUN_JSON} cannot be read" in said
    assert "fix: " in said


def test_what_is_neither_run_nor_bundle_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        assert main(["show", str(path)]) == 2
        assert f"error: {path} is neither a run nor a bundle" in capsys.readouterr().err


def test_json_has_all_that_a_run_or_a_bundle_knows(
    run: Run, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for shown in (run, bundle):
        assert main(["show", str(shown.path), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["path"] == str(shown.path)
        assert set(document) >= set(json.loads(next(shown.path.glob("*.json")).read_text())) - {
            "checksum"
        }


# doctor


def torch_of(*, cuda: bool = False, mps: bool = False) -> Any:
    """As much of torch as the doctor looks at."""
    fake = ModuleType("torch")
    fake.__version__ = "2.13.0+fake"
    parts = {
        "cuda": SimpleNamespace(
            is_available=lambda: cuda, device_count=lambda: 1, get_device_name=lambda i: f"GPU {i}"
        ),
        "backends": SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        "version": SimpleNamespace(cuda="13.0"),
        "get_num_threads": lambda: 2,
    }
    vars(fake).update(parts)
    return fake


@pytest.fixture
def nothing_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with every library (without importing torch), and a folder of one's own."""
    monkeypatch.setitem(sys.modules, "torch", torch_of())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "LEAST_DISK_GIB", 0.0)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_GIB", 0.0)


def diagnosis(capsys: pytest.CaptureFixture[str], *, code: int) -> dict[str, dict[str, Any]]:
    assert main(["doctor", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is (code == 0)
    return {finding["name"]: finding for finding in document["findings"]}


def without(monkeypatch: pytest.MonkeyPatch, *missing: str, **other: str) -> None:
    """`missing` distributions are not installed, and `other` have that version."""
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name in missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return other.get(name) or installed(name)

    monkeypatch.setattr("kennel.machine.version", version)


@pytest.mark.usefixtures("nothing_lacks")
def test_a_machine_that_lacks_nothing_gets_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    found = diagnosis(capsys, code=0)
    lacking = {name for name, finding in found.items() if finding["fix"]}
    assert lacking <= {"git", "engine"}  # which a machine may do without
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "next: kennel train experiment=quick"
    assert all(line.startswith(("ok ", "note ", "LACKS ", " ", "next")) for line in said)


@pytest.mark.usefixtures("nothing_lacks")
def test_what_predict_needs_and_lacks_is_an_error_with_its_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "onnxruntime")
    finding = diagnosis(capsys, code=1)["predict"]
    assert finding["found"] == "without onnxruntime"
    assert (finding["needed"], finding["fix"]) == (True, "pip install kennel-ml")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "LACKS  predict" in said
    assert "fix: pip install kennel-ml\n" in said


@pytest.mark.usefixtures("nothing_lacks")
def test_a_machine_without_the_train_extra_is_well_but_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "torch", "timm", "lightning")
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = diagnosis(capsys, code=0)["train"]
    assert finding["found"] == "without torch, timm, lightning"
    assert finding["fix"] == "pip install 'kennel-ml[train]'"


@pytest.mark.usefixtures("nothing_lacks")
@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_the_releases_of_lightning_that_were_malware_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    without(monkeypatch, lightning=version)
    finding = diagnosis(capsys, code=1)["lightning"]
    assert "malware" in finding["found"]
    assert "pip install -U" in finding["fix"]


@pytest.mark.usefixtures("nothing_lacks")
@pytest.mark.parametrize(
    ("torch", "name", "found"),
    [
        (torch_of(cuda=True), "cuda", "GPU 0; CUDA 13.0"),
        (torch_of(mps=True), "mps", "Apple GPU"),
    ],
)
def test_the_device_that_torch_can_use_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torch: Any,
    name: str,
    found: str,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert diagnosis(capsys, code=0)[name]["found"] == found


@pytest.mark.usefixtures("nothing_lacks")
def test_a_driver_that_torch_cannot_use_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "cannot use it" in diagnosis(capsys, code=0)["cuda"]["found"]


@pytest.mark.usefixtures("nothing_lacks")
def test_a_full_disk_and_missing_git_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_GIB", 1e12)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = diagnosis(capsys, code=0)
    assert "make room" in found["disk"]["fix"]
    assert found["git"]["fix"] == "install git"


@pytest.mark.slow
def test_the_doctor_looks_at_the_real_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = diagnosis(capsys, code=0)
    assert {"cuda", "mps", "gpu"} & set(found)


def test_an_optional_library_that_is_missing_is_named_with_its_pip_line() -> None:
    with pytest.raises(MissingExtraError, match="needs no_such_library, which is not") as refused:
        need("no_such_library.part", extra="train")
    assert refused.value.fix == "pip install 'kennel-ml[train]'"


def test_a_library_that_is_broken_inside_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_needs_itself\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs_itself"):
        need("broken_library", extra="train")
