"""Birth certificates: hardware, versions and commit that figures were measured with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import kennel
from kennel.machine import git_state, hardware, usable_cores, utc_now, versions


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git neither finds a repository above the test's folder nor reads a user's settings."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "tracked.txt").write_text("one\n")
    git(folder, "add", "tracked.txt")
    git(folder, "commit", "--quiet", "-m", "One")
    return folder


def test_the_commit_is_that_of_the_repository_around_the_folder(repository: Path) -> None:
    (repository / "sub").mkdir()
    commit = git(repository, "rev-parse", "HEAD")
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert git_state(repository) == (commit, False)
    assert git_state(repository / "sub") == (commit, False)


def test_a_changed_tracked_file_makes_it_dirty(repository: Path) -> None:
    (repository / "tracked.txt").write_text("two\n")
    assert git_state(repository)[1] is True
    git(repository, "add", "tracked.txt")
    assert git_state(repository)[1] is True


def test_files_that_git_does_not_track_do_not_make_it_dirty(repository: Path) -> None:
    (repository / "runs").mkdir()
    (repository / "runs" / "new.txt").write_text("new")
    assert git_state(repository)[1] is False


def test_the_lock_that_dvc_writes_while_it_works_does_not_make_it_dirty(repository: Path) -> None:
    for lock in (repository / "dvc.lock", repository / "sub" / "dvc.lock"):
        lock.parent.mkdir(exist_ok=True)
        lock.write_text("stages: {}\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "locks")
    (repository / "dvc.lock").write_text("stages: {index: {}}\n")
    (repository / "sub" / "dvc.lock").write_text("stages: {index: {}}\n")
    assert git_state(repository / "sub")[1] is False
    (repository / "tracked.txt").write_text("two\n")
    assert git_state(repository / "sub")[1] is True


def test_outside_of_a_repository_nothing_is_claimed(tmp_path: Path) -> None:
    assert git_state(tmp_path) == (None, None)


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) == (None, None)


def test_a_folder_that_is_gone_has_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path / "gone") == (None, None)


def test_a_machine_without_git_has_no_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert git_state(repository) == (None, None)


def test_versions_are_those_of_the_installed_distributions() -> None:
    found = versions(["numpy", "no-such-distribution"])
    assert found == {
        "python": platform.python_version(),
        "kennel": kennel.__version__,
        "numpy": np.__version__,
    }


def test_hardware_is_said_in_words() -> None:
    found = hardware()
    assert set(found) == {"cpu", "cores", "memory_gib", "system"}
    assert found["cpu"]
    assert found["cores"] == str(usable_cores())
    assert float(found["memory_gib"]) > 0.1
    assert found["system"].startswith(platform.system())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
def test_cores_that_this_process_may_not_use_are_not_counted() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


def test_now_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", utc_now())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux's affinity")
@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("max 100000", 8),
        ("150000 100000", 2),
        ("25000 100000", 1),
        ("6400000 100000", 8),
        ("nonsense", 8),
    ],
)
def test_a_container_s_share_of_time_counts_as_cores(
    said: str, allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text(f"{said}\n", encoding="utf-8")
    assert usable_cores(cgroup=tmp_path) == allowed
    assert usable_cores(cgroup=tmp_path / "nowhere") == 8
