"""Lines of workflows, run here: those that take seconds. `make workflows-check` runs them all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflow_place import copy_files

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# What other tests and CI itself run, or what takes minutes.
LONG = ("pull", "repro", "gpu", "eval", "promote", "champion", "pack", "dist-check", "sbom")
ROW = re.compile(r"^\| ([\w-]+) \| ([\w-]+) \| `make ([\w-]+)` \| (\d+|left out) \|", re.MULTILINE)


def run(*words: str) -> tuple[int, list[tuple[str, ...]], str]:
    """Exit code, rows of the table, and all that was said."""
    left_out = [word for verb in LONG for word in ("--leave-out", verb)]
    venv = Path(sys.executable).parents[1]
    done = subprocess.run(
        [sys.executable, "tools/run_workflows.py", "--venv", str(venv), *left_out, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, ROW.findall(done.stdout), done.stdout + done.stderr


def test_lines_that_talk_to_github_and_aws_do_what_they_say() -> None:
    code, rows, said = run("comment", "train", "sweep", "space")
    assert code == 0, said
    ran = {(scenario, job, verb) for scenario, job, verb, end in rows if end == "0"}
    assert ran >= {
        ("comment", "comment", "comment"),
        ("train", "start", "runner-start"),
        ("train", "stop", "runner-stop"),
        ("sweep", "sweep", "runner-sweep"),
        ("space", "space", "space"),
    }


def test_a_tag_is_built_and_becomes_a_release(tmp_path: Path) -> None:
    # make dist builds in an environment of its own, which is brought from a package index.
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    asked = subprocess.run(
        [uv, "pip", "install", "--dry-run", "--target", tmp_path, "-r", "locks/build.lock"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        pytest.skip(f"no package index gives what builds: {asked.stderr.strip()[-200:]}")
    code, rows, said = run("release")
    assert code == 0, said
    ran = {(scenario, job, verb) for scenario, job, verb, end in rows if end == "0"}
    assert ran >= {("release", "dist", "dist"), ("release", "release", "release")}


def test_a_line_that_fails_is_told_apart(tmp_path: Path) -> None:
    # Without credentials, as where a workflow forgot to sign in, nothing is swept.
    workflow = ROOT / ".github" / "workflows" / "sweep.yml"
    assert "configure-aws-credentials" in workflow.read_text(encoding="utf-8")
    copy = tmp_path / "repository"
    copy_files(copy)
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    told = (copy / ".github" / "workflows" / "sweep.yml").read_text(encoding="utf-8")
    cut = re.sub(r"      - uses: aws-actions.*?(?=      - run:)", "", told, flags=re.DOTALL)
    assert cut != told
    (copy / ".github" / "workflows" / "sweep.yml").write_text(cut, encoding="utf-8")
    venv = Path(sys.executable).parents[1]
    done = subprocess.run(
        [sys.executable, "tools/run_workflows.py", "--venv", str(venv), "sweep"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    rows = ROW.findall(done.stdout)
    assert [row[2:] for row in rows] == [("runner-sweep", "2")]
