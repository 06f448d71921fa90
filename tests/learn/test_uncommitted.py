"""A run of code that no commit holds says so, in its record and to whoever started it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pictures import NO_LOGGER, TINY

from kennel.cli import main
from kennel.dataset import Dataset

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *name, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_an_uncommitted_tree_is_said_with_its_mend(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "note.txt").write_text("as committed", encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Begun")
    commit = git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.chdir(tmp_path)
    words = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", "trainer.max_epochs=1"]

    assert main(["train", *words, "paths.output_dir=runs/clean"]) == 0
    assert "no commit holds" not in capsys.readouterr().err
    (tmp_path / "conf" / "note.txt").write_text("changed since", encoding="utf-8")
    assert main(["train", *words, "paths.output_dir=runs/changed"]) == 0
    said = capsys.readouterr().err
    assert f"note: files differed from commit {commit[:12]}, so no commit holds what ran" in said
    assert "git commit -a" in said

    records = [
        json.loads(Path(f"runs/{name}/run.json").read_text("utf-8"))
        for name in ("clean", "changed")
    ]
    assert [(each["git_commit"], each["dirty"]) for each in records] == [
        (commit, False),
        (commit, True),
    ]
