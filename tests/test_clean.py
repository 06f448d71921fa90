"""kennel clean: what may go goes, and nothing else is touched."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import PREPROCESS, tiny_bundle

from kennel.bundle import Backbone
from kennel.cli import main
from kennel.errors import RunError
from kennel.hold import MARK, Hold, holding, who_holds
from kennel.leftovers import find_leftovers, remove
from kennel.run import Run, write_run

HOLDS = """
import sys
from pathlib import Path
from kennel.hold import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

# Says before each removal in a run whether the run is held.
WATCHED = """
import sys, time
from pathlib import Path
from kennel.hold import MARK, who_holds
from kennel.leftovers import find_leftovers, remove
[found], _ = find_leftovers(Path(), now_s=time.time())
def watch(event, args):
    if event in ("os.remove", "shutil.rmtree") and not str(args[0]).endswith(MARK):
        print(who_holds(found.path).name)
sys.addaudithook(watch)
remove(found)
"""

# Between its opening a mark and its locking it, who held it ends, and removes it.
OVERTAKEN = """
import sys
from pathlib import Path
from kennel.hold import MARK, holding, who_holds
run, ended = Path(sys.argv[1]), []
def end(event, args):
    if event == "fcntl.flock" and not ended:
        ended.append((run / MARK).unlink())
sys.addaudithook(end)
with holding(run):
    print(who_holds(run).name)
print(who_holds(run).name)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project with nothing in it."""
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "project")
    return home / "project"


def a_run(path: Path, status: str, *, epochs: int = 0) -> Path:
    """The folder of a run as `kennel train` leaves it."""
    run = Run(
        run_id=path.name,
        status=status,
        git_commit=None,
        dirty=None,
        dataset_id="d" * 64,
        dataset_csv="data/dataset.csv",
        labels=("a", "b"),
        preprocess=PREPROCESS,
        backbone=Backbone("none", "random", "tests", "Apache-2.0"),
        seed=0,
        metrics={},
        best_checkpoint=None,
        best_epoch=None,
        duration_s=1.0,
        images_per_s=0.0,
        hardware={},
        versions={},
        created_utc="2026-11-23T08:00:00Z",
        path=path,
    )
    written(path / "config.yaml", "seed: 0\n")
    written(path / "tensorboard" / "events.out", "x" * 500)
    if epochs:
        written(path / "checkpoints" / "last.ckpt", "x" * 1000)
        written(path / "checkpoints" / "best.safetensors", "x" * 1000)
        run = replace(run, best_checkpoint="checkpoints/best.safetensors", best_epoch=0)
    write_run(run)
    return path


def written(path: Path, text: str = "x", *, age_s: float = 0.0) -> Path:
    """A file, last written to `age_s` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, times=(time.time() - age_s,) * 2)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """What `kennel clean WORDS --json` prints."""
    capsys.readouterr()
    assert main(["clean", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def all_files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def test_caches_and_downloads_go_and_their_size_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(Path(".kennel/cache/photos-1/a.rows"), "x" * 1_500_000)
    written(Path(".kennel/downloads/pets.tar.gz"), "x" * 499)
    written(Path(".kennel/downloads/dogs.zip.part"), "x", age_s=7200)
    assert main(["clean"]) == 0
    out = capsys.readouterr().out
    assert "removed 1.5 MB in 3 files" in out
    assert out.splitlines()[-1].startswith("next: kennel ")
    assert all_files() == set()


def test_photos_indices_bundles_studies_and_finished_runs_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(Path("photos/Beagle/1.jpg"))
    written(Path("photos/Beagle/.hidden.jpg"))
    written(Path("photos/Beagle/.1.jpg.part"))
    written(Path("data/dataset.csv"))
    written(Path("studies/best.db"))
    written(Path("conf/experiment/best.yaml"))
    written(Path("notes.txt"))
    a_run(Path("runs/good"), "done", epochs=2)
    a_run(Path("runs/seeds/0"), "done", epochs=2)
    tiny_bundle(Path("bundles/tiny"))
    before = all_files()
    assert told(capsys, "--runs")["removed"] == []
    assert all_files() == before


def test_a_run_without_a_checkpoint_goes_and_one_that_can_be_gone_on_with_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    a_run(Path("runs/hopeless"), "failed")
    a_run(Path("runs/seeds/1"), "stopped")
    a_run(Path("runs/stopped"), "stopped", epochs=1)
    document = told(capsys)
    assert [each["path"] for each in document["removed"]] == ["runs/hopeless", "runs/seeds/1"]
    assert [each["path"] for each in document["kept"]] == ["runs/stopped"]
    assert not Path("runs/hopeless").exists()
    assert Path("runs/stopped/checkpoints/last.ckpt").is_file()
    assert main(["clean"]) == 0
    assert "ckpt_path=last paths.output_dir=runs/stopped" in capsys.readouterr().out


def test_stopped_runs_go_when_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    a_run(Path("runs/stopped"), "stopped", epochs=1)
    [gone] = told(capsys, "--runs")["removed"]
    assert (gone["path"], gone["kind"], gone["files"]) == ("runs/stopped", "stopped run", 5)
    assert not Path("runs/stopped").exists()


def test_a_run_that_is_going_on_and_the_cache_it_reads_are_never_removed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = a_run(Path("runs/now"), "running", epochs=1)
    resumed = a_run(Path("runs/again"), "stopped", epochs=1)
    cache = written(Path(".kennel/cache/photos-1/a.rows"))
    words = [sys.executable, "-c", HOLDS]
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen([*words, str(run)], **ends) as one,  # type: ignore[call-overload]
        subprocess.Popen([*words, str(resumed)], **ends) as two,  # type: ignore[call-overload]
    ):
        assert one.stdout.readline() == two.stdout.readline() == b"held\n"
        document = told(capsys, "--runs")
        assert document["removed"] == []
        kept = {each["path"]: each["why"] for each in document["kept"]}
        assert kept == {
            ".kennel/cache": "a run that is going on may read it",
            "runs/again": "going on in another process",
            "runs/now": "going on in another process",
        }
        with pytest.raises(RunError, match="another process is at work"), holding(run):
            pass
        assert who_holds(run) is Hold.HELD
        one.kill()
        one.wait()
        assert who_holds(run) is Hold.LEFT
        two.communicate(b"")
    assert who_holds(resumed) is Hold.NONE
    assert cache.is_file()


def test_a_run_that_is_gone_on_with_meanwhile_is_not_removed() -> None:
    run = a_run(Path("runs/stopped"), "stopped", epochs=1)
    [found], _ = find_leftovers(Path(), now_s=time.time())
    before = all_files()
    with holding(run):
        with pytest.raises(RunError, match="another process is at work"):
            remove(found)
        assert all_files() == {*before, str(run / MARK)}
    assert all_files() == before


def test_a_run_that_was_killed_is_known_from_one_that_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed = a_run(Path("runs/killed"), "running")
    written(killed / MARK, "")
    unmarked = a_run(Path("runs/unmarked"), "running", epochs=1)
    document = told(capsys, "--runs")
    assert [each["path"] for each in document["removed"]] == ["runs/killed"]
    [kept] = document["kept"]
    assert kept["path"] == "runs/unmarked"
    assert "remove the folder by hand" in kept["why"]
    assert (unmarked / "run.json").is_file()


def test_interrupted_writes_go_once_nobody_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    old = [
        written(Path("data/.dataset.csv.ab1_d3f9.part"), age_s=7200),
        written(Path("photos/Beagle/.beagle_0001.jpg.abcdefgh.part"), age_s=7200),
        written(Path("runs/good/checkpoints/.last.ckpt.abcdefgh.part"), age_s=7200),
        written(Path("bundles/.bundle-abcdefgh/model.onnx"), age_s=7200),
        written(Path(".report.json.abcdefgh.part"), age_s=7200),
    ]
    a_run(Path("runs/good"), "done", epochs=1)
    fresh = written(Path("data/.other.csv.abcdefgh.part"))
    foreign = written(Path("bundles/.bundle-hgfedcba/thesis.doc"), age_s=7200)
    document = told(capsys)
    assert {each["kind"] for each in document["removed"]} == {"part"}
    assert len(document["removed"]) == len(old)
    assert not any(path.exists() for path in old)
    assert [each["path"] for each in document["kept"]] == [str(fresh)]
    assert fresh.is_file()
    assert foreign.is_file()


def test_a_cache_that_is_being_written_stays(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path(".kennel/cache/photos-1/.a.rows.abcdefgh.part"))
    written(Path(".kennel/downloads/pets.tar.gz"))
    document = told(capsys)
    assert [each["path"] for each in document["removed"]] == [".kennel/downloads"]
    assert [each["path"] for each in document["kept"]] == [".kennel/cache"]


def test_what_a_fetch_downloads_and_unpacks_stays_while_it_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(Path(".kennel/downloads/pets.tar.gz.part"))
    lock = written(Path(".kennel/downloads/pets.lock"))
    stage = written(Path(".photos.abcdefgh.part/done/Beagle/1.jpg")).parents[2]
    held = [os.open(path, os.O_RDONLY) for path in (lock, stage)]  # as kennel.sources.fetch does
    for descriptor in held:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    document = told(capsys)
    assert document["removed"] == []
    assert [each["path"] for each in document["kept"]] == [".kennel/downloads", str(stage)]
    for descriptor in held:
        os.close(descriptor)
    removed = told(capsys)["removed"]
    assert [each["path"] for each in removed] == [".kennel/downloads", str(stage)]
    assert all_files() == set()


def test_a_fetch_that_began_meanwhile_is_not_disturbed() -> None:
    lock = written(Path(".kennel/downloads/pets.lock"))
    stage = written(Path(".photos.abcdefgh.part/done/Beagle/1.jpg")).parents[2]
    found, _ = find_leftovers(Path(), now_s=time.time())
    assert [each.path for each in found] == [lock.parent, stage]
    before = all_files()
    for leftover, locked in zip(found, (lock, stage), strict=True):
        descriptor = os.open(locked, os.O_RDONLY)  # as kennel.sources.fetch does
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is at work"):
            remove(leftover)
        os.close(descriptor)
    assert all_files() == before


@pytest.mark.usefixtures("unmeasured")
def test_a_run_stays_marked_until_nothing_is_left_of_it() -> None:
    a_run(Path("runs/stopped"), "stopped", epochs=1)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True
    )
    states = done.stdout.split()
    assert len(states) > 3
    assert set(states) == {Hold.HELD.name}
    assert all_files() == set()


def test_a_mark_that_its_holder_removed_meanwhile_is_made_again() -> None:
    run = a_run(Path("runs/one"), "stopped")
    done = subprocess.run(
        [sys.executable, "-c", OVERTAKEN, str(run)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["HELD", "NONE"]


def test_links_are_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    treasure = written(elsewhere / "cache" / "treasure")
    old = written(elsewhere / "data" / ".dataset.csv.abcdefgh.part", age_s=7200)
    other = a_run(elsewhere / "runs" / "other", "failed")
    Path(".kennel").mkdir()
    Path(".kennel/cache").symlink_to(elsewhere / "cache")
    Path("data").symlink_to(elsewhere / "data")
    Path("runs").mkdir()
    Path("runs/linked").symlink_to(other)
    mine = a_run(Path("runs/mine"), "failed")
    (mine / "checkpoints").symlink_to(elsewhere / "cache")
    document = told(capsys, "--runs")
    assert [each["path"] for each in document["removed"]] == ["runs/mine"]
    assert [each["path"] for each in document["kept"]] == [".kennel/cache"]
    assert treasure.is_file()
    assert old.is_file()
    assert (other / "run.json").is_file()
    assert not mine.exists()


def test_a_folder_that_does_not_look_like_a_run_stays(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path("runs/mine/run.json"), '{"status": "failed"}')
    written(Path("runs/mine/config.yaml"))
    written(Path("runs/other/checkpoints/last.ckpt"))
    before = all_files()
    assert told(capsys, "--runs")["removed"] == []
    assert all_files() == before


def test_nothing_is_removed_from_a_home_folder_or_a_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path.home())
    cache = written(Path(".kennel/cache/a.rows"))
    assert main(["clean"]) == 1
    assert "is no project" in capsys.readouterr().err
    assert cache.is_file()
    monkeypatch.chdir("/")
    assert main(["clean", "--dry-run"]) == 1


def test_a_dry_run_tells_the_same_and_removes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path(".kennel/cache/a.rows"), "x" * 2000)
    a_run(Path("runs/hopeless"), "failed")
    before = all_files()
    tried = told(capsys, "--dry-run")
    assert all_files() == before
    done = told(capsys)
    assert tried == {**done, "dry_run": True}
    assert all_files() == set()


def test_what_dvc_keeps_stays(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path(".dvc/config"))
    cached = written(Path(".dvc/cache/files/md5/ab/cdef"), age_s=7200)
    part = written(Path(".dvc/tmp/.lock.abcdefgh.part"), age_s=7200)
    run = a_run(Path("runs/dvc"), "failed")
    (run / "linked.onnx").symlink_to(cached.resolve())  # as `dvc config cache.type symlink` does
    before = {str(cached), str(part), ".dvc/config"}
    assert [each["path"] for each in told(capsys)["removed"]] == ["runs/dvc"]
    assert all_files() == before


def test_what_cannot_be_removed_is_said_and_the_rest_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = a_run(Path("runs/stuck"), "failed")
    written(Path("runs/stuck/tensorboard/deep/file"))
    written(Path(".kennel/cache/a.rows"))
    (run / "tensorboard").chmod(0o500)
    if os.access(run / "tensorboard", os.W_OK):
        (run / "tensorboard").chmod(0o700)
        pytest.skip("this user may remove anything")
    try:
        document = told(capsys, code=1)
    finally:
        (run / "tensorboard").chmod(0o700)
    assert [each["path"] for each in document["failed"]] == ["runs/stuck"]
    assert [each["path"] for each in document["removed"]] == [".kennel/cache"]
    assert (run / "run.json").is_file()  # the next clean finds it again
    assert told(capsys)["removed"][0]["path"] == "runs/stuck"
    assert not run.exists()


def test_a_second_clean_has_nothing_to_remove(capsys: pytest.CaptureFixture[str]) -> None:
    written(Path(".kennel/cache/a.rows"))
    assert main(["clean"]) == 0
    capsys.readouterr()
    assert main(["clean"]) == 0
    assert "there is nothing to remove" in capsys.readouterr().out
