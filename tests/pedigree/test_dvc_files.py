"""DVC's files read without DVC, and its md5 computed as DVC does: real DVC says what is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dvc_project import Project
from lines import Line, write_line

from kennel.pedigree import pedigree_of
from kennel.pedigree.dvc import Pointer, md5_of, pointers_to
from kennel.pedigree.proof import checks_of

LOCK = """\
schema: '2.0'
stages:
  index:
    deps: [{path: photos, hash: md5, md5: dependency.dir, size: 1, nfiles: 1}]
    outs: [{path: data/dataset.csv, hash: md5, md5: output, size: 1}]
"""


def test_pointers_are_found_beside_a_path_and_above_it(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "a" / "photos" / "red").mkdir(parents=True)
    entry = "outs:\n- {md5: abc.dir, hash: md5, path: photos}\n"
    pointer = tmp_path / "a" / "photos.dvc"
    pointer.write_text(entry, encoding="utf-8")
    photos = tmp_path / "a" / "photos"
    assert pointers_to(photos) == (Pointer(photos, "abc.dir", pointer),)
    assert pointers_to(photos / "red") == pointers_to(photos)
    assert pointers_to(tmp_path / "b") == ()
    pointer.write_text(entry.replace("hash: md5, ", ""), encoding="utf-8")
    assert [each.exact for each in pointers_to(photos)] == [False]  # DVC 2


def test_dvc_lock_is_asked_too_and_outputs_before_dependencies(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    [photos] = pointers_to(tmp_path / "photos")
    [csv] = pointers_to(tmp_path / "data" / "dataset.csv")
    assert (photos.md5, csv.md5) == ("dependency.dir", "output")


@pytest.mark.parametrize(
    "content", ["", "{", "- 1", "outs: 3", "outs: [3, {md5: 4, path: photos}]", "stages: {a: 1}"]
)
def test_a_file_that_dvc_did_not_write_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "photos").mkdir()
    for name in ("photos.dvc", "dvc.lock"):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert pointers_to(tmp_path / "photos") == ()


def test_without_a_dvc_project_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.dvc").write_text("outs: [{md5: a, path: photos}]", encoding="utf-8")
    assert pointers_to(tmp_path / "photos") == ()


def test_patterns_that_are_more_than_names_are_left_to_dvc(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    (tmp_path / ".dvcignore").write_text("# names\n*.part\n\n.DS_Store\n", encoding="utf-8")
    alone = md5_of(photos)
    (photos / "b.part").write_bytes(b"b")
    (photos / ".DS_Store").write_bytes(b"c")
    assert md5_of(photos) == alone
    for pattern in ("!a.part", "photos/x", "/y"):
        (tmp_path / ".dvcignore").write_text(pattern, encoding="utf-8")
        assert md5_of(photos) is None


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Line]:
    """A project whose photos and index were given to the real DVC."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("project")
    line = write_line(folder)
    (folder / "photos" / "red" / "Zwölf é.png").write_bytes(b"odd name")
    (folder / "photos" / "notes.txt").write_bytes(b"a\r\nb\n")
    (folder / "photos" / "red" / "cut.part").write_bytes(b"ignored")
    (folder / ".dvcignore").write_text("*.part\n", encoding="utf-8")
    project = Project(folder, home)
    project.run("dvc", "init", "--no-scm", "-q")
    project.run("dvc", "config", "core.analytics", "false")
    project.run("dvc", "add", "-q", "photos", "data/dataset.csv")
    return project, line


@pytest.mark.slow
def test_the_md5_is_the_one_that_dvc_writes(tracked: tuple[Project, Line]) -> None:
    _, line = tracked
    for path in (line.project / "photos", line.dataset.csv):
        [pointer] = pointers_to(path)
        assert pointer.exact
        assert md5_of(path) == pointer.md5


@pytest.mark.slow
def test_a_line_under_dvc_shows_and_proves_its_md5(tracked: tuple[Project, Line]) -> None:
    _, line = tracked
    found = pedigree_of(line.bundle, project=line.project).photos.dvc
    assert [pointer.file.name for pointer in found] == ["photos.dvc", "dataset.csv.dvc"]
    states = {c.name: c.state for c in checks_of(line.bundle, project=line.project)}
    assert (states["dvc photos"], states["dvc dataset.csv"]) == ("matches", "matches")

    added = line.project / "photos" / "red" / "added.png"
    shutil.copy(line.project / "photos" / "red" / "0.png", added)
    states = {c.name: c.state for c in checks_of(line.bundle, project=line.project)}
    added.unlink()
    assert (states["photos"], states["dvc photos"]) == ("matches", "differs")
