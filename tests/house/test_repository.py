"""What is kept in the repository, and what its front pages promise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

import kennel
from kennel.bundle import MODEL_ONNX, read_bundle
from kennel.cli import main

ROOT = Path(__file__).parents[2]
LARGEST = 1_000_000  # bytes
WEIGHTS = {".bin", ".ckpt", ".h5", ".npz", ".onnx", ".pkl", ".pt", ".pth", ".safetensors", ".zip"}
SECRETS = re.compile(
    rb"AKIA[0-9A-Z]{16}"  # access key of AWS
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36}"  # of GitHub
    rb"|\bhf_[A-Za-z0-9]{34}"  # of Hugging Face
    rb"|\bpypi-[A-Za-z0-9_-]{60}"
)


@pytest.fixture(scope="module")
def kept() -> list[Path]:
    """Files that git has."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True
    )
    names = [name.decode() for name in done.stdout.split(b"\0") if name]
    assert len(names) > 50
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_git_has_no_large_file_and_no_weights(kept: list[Path]) -> None:
    large = [path for path in kept if path.stat().st_size > LARGEST]
    assert large == []
    assert [path for path in kept if path.suffix.lower() in WEIGHTS] == []


def test_git_has_no_secret(kept: list[Path]) -> None:
    assert [path for path in kept if SECRETS.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    "secret",
    [
        b"AKIA" + b"ABCDEFGHIJKLMNOP",
        b"-----BEGIN RSA " + b"PRIVATE KEY-----",
        b"token: ghp_" + b"a1" * 18,
        b"hf_" + b"Ab" * 17,
    ],
)
def test_a_secret_would_be_seen(secret: bytes) -> None:
    assert SECRETS.search(b"x = '" + secret + b"'")


def test_git_leaves_out_what_the_verbs_write(kept: list[Path], tmp_path: Path) -> None:
    # In a repository of its own: git asks nothing below a .venv that is a link.
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    written = (
        "data/x.csv",
        "runs/1/run.json",
        "bundles/1/model.onnx",
        ".kennel/cache/x",
        ".venv/x",
    )
    done = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", *written],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == list(written)
    assert not {path.relative_to(ROOT).as_posix() for path in kept} & set(written)


def test_make_help_lists_every_verb() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    [line] = re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE)
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [row.split(maxsplit=2) for row in done.stdout.splitlines()]
    assert [name for _, name, _ in rows] == line.split()
    assert all(said for _, _, said in rows)


def test_make_runs_what_it_runs_after_the_environment_is_there() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in ("demo", "train", "eval", "inference", "test", "test-fast", "check"):
        assert re.search(rf"^{verb}: setup\b", text, re.MULTILINE), verb


def test_ci_runs_the_make_verbs_of_people() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (.*)", script, re.MULTILINE) == ["check", "test", "demo"]


def test_hooks_of_a_commit_come_from_the_locks() -> None:
    """A hook of another repository's would be whatever its tag points to today."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    said = [hook for repo in hooks["repos"] for hook in repo["hooks"]]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in said)
    assert {"ruff", "mypy", "lint-imports", "python"} == {
        hook["entry"].split()[0].rpartition("/")[2] for hook in said
    }


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_this_version() -> None:
    release = re.sub(r"\.dev\d+$", "", kennel.__version__)
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*\b{re.escape(release)}\b", text, re.MULTILINE)


def test_every_locked_library_is_pinned() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(lines) > 50
    assert [line for line in lines if "==" not in line] == []


@pytest.mark.slow
def test_labels_and_preprocessing_are_in_the_onnx_file_that_is_exported(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    monkeypatch.chdir(tmp_path)
    assert main(["index", str(photos), "--fractions", "0.5,0.25,0.25"]) == 0
    words = ["model=mambaout", "model.dims=[6,12]", "model.depths=[1,1]", "model.image.size=32"]
    words += ["trainer.max_epochs=1", "trainer.accelerator=cpu", "data.num_workers=0"]
    words += ["data.csv=data/dataset.csv", "data.batch_size=3", "paths.output_dir=runs/small"]
    assert main(["train", *words]) == 0
    assert main(["export", "runs/small", "--to", "bundles/small"]) == 0
    bundle = read_bundle(Path("bundles/small"))
    model = onnx.load(bundle.file(MODEL_ONNX))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["labels"]) == list(bundle.labels) == ["blue", "green", "red"]
    assert json.loads(told["preprocess"]) == json.loads(json.dumps(asdict(bundle.preprocess)))
    assert told["run_id"] == "small"
    assert told["dataset_id"] == bundle.lineage.dataset_id
