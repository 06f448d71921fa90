"""What a verb loads before it does anything: help is instant, and an answer costs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import tiny_bundle

from kennel.cli import VERBS

SCRIPT = """
import json, sys
from kennel.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code or 0
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
LIBRARIES = {
    "PIL",
    "hydra",
    "lightning",
    "matplotlib",
    "numpy",
    "omegaconf",
    "onnx",
    "onnxruntime",
    "rich",
    "timm",
    "torch",
    "torchvision",
}


def loaded_by(*words: str, cwd: Path) -> set[str]:
    """Libraries that `kennel WORDS` has loaded when it ends, with 0."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules) & LIBRARIES


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["--completion", "bash"]])
def test_the_front_door_loads_nothing_but_the_standard_library(
    words: list[str], tmp_path: Path
) -> None:
    assert loaded_by(*words, cwd=tmp_path) == set()


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_loads_nothing_but_the_standard_library(verb: str, tmp_path: Path) -> None:
    assert loaded_by(verb, "--help", cwd=tmp_path) == set()


def test_an_answer_for_a_photo_loads_no_torch(photos: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    photo = str(photos / "red" / "0.png")
    loaded = loaded_by("predict", str(bundle.path), photo, "--to", "answers", cwd=tmp_path)
    assert loaded == {"PIL", "numpy", "onnxruntime"}


def test_a_pedigree_loads_no_model_and_no_torch(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    assert loaded_by("show", str(bundle.path), cwd=tmp_path) <= {"PIL", "numpy"}


def test_a_champion_is_found_without_a_library(tmp_path: Path) -> None:
    for words in (["--history"], ["--verify"]):
        assert loaded_by("promote", *words, cwd=tmp_path) == set()


def test_an_index_loads_neither_torch_nor_onnxruntime(photos: Path, tmp_path: Path) -> None:
    loaded = loaded_by("index", str(photos), "--to", "dataset.csv", cwd=tmp_path)
    assert loaded <= {"PIL", "numpy"}


def test_the_settings_of_train_are_shown_without_torch(tmp_path: Path) -> None:
    loaded = loaded_by("train", "--cfg", "job", cwd=tmp_path)
    assert "hydra" in loaded
    assert not loaded & {"torch", "timm", "lightning", "onnxruntime"}
