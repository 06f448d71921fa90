"""A project appears whole or not at all, and nothing of the user's is overwritten."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kennel.errors import KennelError, UsageError
from kennel.project.begin import Photos, begin
from kennel.project.place import appearing

WORDS = [sys.executable, "-m", "kennel", "init"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def init(*words: str, cwd: Path, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WORDS, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def test_a_folder_that_is_not_empty_is_refused_and_its_files_are_named(tmp_path: Path) -> None:
    for name in ("Makefile", "a", "b", "c"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(KennelError, match=r"'Makefile', 'a', 'b' and 1 more\. Nothing") as error:
        begin(tmp_path)
    assert "an empty one" in error.value.fix
    assert names(tmp_path) == ["Makefile", "a", "b", "c"]
    assert (tmp_path / "Makefile").read_text() == "mine"


def test_a_hidden_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=1")
    with pytest.raises(KennelError, match=r"'\.env'"):
        begin(tmp_path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dogs").write_text("mine")
    for place in (tmp_path / "dogs", tmp_path / "dogs" / "below"):
        with pytest.raises(KennelError, match="dogs is a file"):
            begin(place)
    assert (tmp_path / "dogs").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dogs").symlink_to(tmp_path / "gone")
    with pytest.raises(KennelError, match="a link that leads nowhere"):
        begin(tmp_path / "dogs")
    assert names(tmp_path) == ["dogs"]


def test_an_empty_folder_stays_the_same_folder(tmp_path: Path) -> None:
    place = tmp_path / "dogs"
    place.mkdir()
    before = place.stat().st_ino
    begun = begin(place)
    assert place.stat().st_ino == before
    assert [name for name in names(place) if name.endswith(".part")] == []
    assert all((place / name).is_file() for name in begun.files)
    assert begun.commit is not None


def test_folders_above_it_are_made(tmp_path: Path) -> None:
    begin(tmp_path / "a" / "b" / "dogs")
    assert (tmp_path / "a/b/dogs/Makefile").is_file()
    assert names(tmp_path / "a/b") == ["dogs"]


def test_it_may_be_where_one_stands(tmp_path: Path) -> None:
    done = init(".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "Makefile").is_file()
    assert "next: make setup;" in done.stdout


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_fills_leaves_nothing(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "new").mkdir()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = init(
        "new/dogs" if not there else "new",
        cwd=tmp_path,
        preexec_fn=small_files,
        env=dict(os.environ),
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == (["new"] if there else [])
    assert not there or names(tmp_path / "new") == []


def test_what_stops_the_writing_leaves_nothing(tmp_path: Path) -> None:
    for place in (tmp_path / "new" / "dogs", tmp_path):
        with pytest.raises(KeyboardInterrupt), appearing(place) as parts:  # noqa: PT012
            (parts / "a").write_text("half")
            raise KeyboardInterrupt
        assert names(tmp_path) == []


def test_a_place_where_one_may_not_write_is_said(tmp_path: Path) -> None:
    # root may write wherever there is a disk; in /sys there is none
    place = tmp_path if os.getuid() else Path("/sys")
    tmp_path.chmod(0o555)
    before = names(place)
    done = init("dogs", cwd=place)
    assert done.returncode == 1
    assert "dogs: " in done.stderr
    assert "that you may write there" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(place) == before


@pytest.mark.parametrize("name", ["Hunde & Läufe", "犬", 'it\'s $HOME `id` "x"', "-rf", "a;b#c%d"])
def test_any_name_that_a_folder_can_have_will_do(tmp_path: Path, name: str) -> None:
    begun = begin(tmp_path / name)
    assert names(tmp_path) == [name]
    title = (tmp_path / name / "README.md").read_text("utf-8").splitlines()[0]
    assert title.replace("\\", "") == f"# {name}"
    done = subprocess.run(
        ["make", "-n", "index", "VENV=.venv"],
        cwd=tmp_path / name,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("M")},
    )
    assert done.returncode == 0, done.stderr
    assert name not in done.stdout  # no command has the name in it
    assert begun.commit


@pytest.mark.parametrize("name", ["a:b", "a\nb", "a\x1b[31mb", os.fsdecode(b"\xff")])
def test_a_name_that_tools_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="project") as error:
        begin(tmp_path / name)
    assert "\x1b" not in error.value.message
    assert names(tmp_path) == []


def test_a_project_among_the_photos_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    for folder in (photos / "project", tmp_path / "link" / "a" / "project"):
        with pytest.raises(UsageError, match="lies within the photos"):
            begin(folder, photos=Photos(photos, photos / "red/1.jpg"))
    assert names(photos) == ["blue", "green", "red"]


def test_a_path_of_photos_that_tools_cannot_carry_is_refused(tmp_path: Path) -> None:
    photos = Photos(tmp_path / "it's", tmp_path / "it's/a/1.jpg")
    with pytest.raises(UsageError, match='"\'" in its path'):
        begin(tmp_path / "dogs", photos=photos)
    assert names(tmp_path) == []
