"""Answers as a folder of Parquet files: the rows of one table, and a memory of what is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import tiny_bundle
from PIL import Image

from kennel.answers_table import Begun, Row
from kennel.answers_table.files import (
    BEGUN,
    Folder,
    Share,
    Written,
    begin,
    begun_with,
    complete,
    figures_of,
    finished,
    is_finished,
    place_of,
    rows_a_file,
    shares,
    write_share,
)
from kennel.beyond.answering import Answerer, packed, task_of, unpacked
from kennel.bundle import Bundle
from kennel.cli import main
from kennel.errors import UsageError

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
BEGAN = Begun("one", "0" * 64, "1.0", 3, 8)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Thirty photos, of which every seventh is broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(30):
        photo = folder / f"{n:02}.png"
        if n % 7 == 3:
            photo.write_bytes(b"\x89PNG\r\n\x1a\n cut off")
        else:
            Image.new("RGB", (8 + n, 9), (8 * n, 255 - 8 * n, n)).save(photo)
    return [str(photo) for photo in sorted(folder.iterdir())]


def test_files_of_workers_have_the_rows_of_one_table(
    bundle: Bundle, names: list[str], tmp_path: Path
) -> None:
    table, to = tmp_path / "whole.parquet", tmp_path / "answers"
    folder = str(tmp_path / "photos")
    assert main(["predict", str(bundle.path), folder, "--table", str(table)]) == 0
    task = task_of(bundle, place=Folder(to), top=3, batch=8)
    workers = [Answerer(task), Answerer(task)]
    for share in shares(iter(names), rows=8):
        given = {"number": [share.number], "names": [packed(share.names)]}
        said = workers[share.number % 2](given)
        assert said["fault"] == [["", "", ""]]
        assert said["rows"] == [len(share.names)]
    whole, several = parquet.read_table(table), parquet.read_table(to)
    assert several.schema == whole.schema
    assert several.equals(whole)
    assert sum(error is not None for error in several["error"].to_pylist()) == 4


def test_a_worker_that_cannot_write_says_so_in_words(
    bundle: Bundle, names: list[str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("precious")
    worker = Answerer(task_of(bundle, place=Folder(blocked / "answers"), top=3, batch=8))
    said = worker({"number": [0], "names": [packed(names[:8])]})
    [[kind, message, fix]] = said["fault"]
    assert (kind, said["rows"]) == ("RunError", [0])
    assert "cannot be written: " in message
    assert fix


def test_names_come_back_byte_for_byte() -> None:
    names = ("s3://b/a.jpg", "ä/b c.jpg", "latin-1-\udcfc.png", "two\nlines.png")
    assert unpacked(packed(names)) == names
    assert Share(0, names).file == Share(0, names).file
    assert Share(0, names).file != Share(0, names[:-1]).file


def test_what_an_earlier_run_began_is_gone_on_with(tmp_path: Path) -> None:
    place = Folder(tmp_path / "answers")
    assert begun_with(place, BEGAN) is None
    begin(place, BEGAN, rows=64)
    assert begun_with(place, BEGAN) == 64
    first, second = Share(0, ("a", "b")), Share(1, ("c",))
    write_share(
        place, first, [Row("a", "one", error="gone"), Row("b", "one", (("x", 1.0),), False)]
    )
    there = finished(place)
    assert is_finished(first, there, place)
    assert not is_finished(second, there, place)
    assert figures_of(place, first.file) == Written(rows=2, failed=1, unknown=1)
    with pytest.raises(UsageError, match="were begun with other photos"):
        is_finished(Share(0, ("a", "z")), there, place)


@pytest.mark.parametrize(
    ("began", "said"),
    [
        (Begun("other", "0" * 64, "1.0", 3, 8), "begun with bundle one, now it is other"),
        (Begun("one", "0" * 64, "1.0", 5, 8), "begun with top 3, now it is 5"),
    ],
)
def test_answers_of_another_bundle_or_setting_are_refused(
    began: Begun, said: str, tmp_path: Path
) -> None:
    place = Folder(tmp_path)
    begin(place, BEGAN, rows=64)
    with pytest.raises(UsageError, match=said):
        begun_with(place, began)


def test_whole_answers_and_folders_of_others_are_refused(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    begin(place, BEGAN, rows=64)
    document = complete(place, BEGAN, Written(5, 1, 2), files=1)
    assert document == {"rows": 5, "errors": 1, "not_known": 2, "files": 1, "bundle": "one"}
    with pytest.raises(UsageError, match="are there already, and whole"):
        begun_with(place, BEGAN)
    (tmp_path / BEGUN).unlink()
    with pytest.raises(UsageError, match="is no answer of kennel's"):
        begun_with(place, BEGAN)
    with pytest.raises(UsageError, match="is a file"):
        place_of(str(tmp_path / "_complete.json"))


def test_a_damaged_beginning_is_refused(tmp_path: Path) -> None:
    (tmp_path / BEGUN).write_text("{")
    with pytest.raises(UsageError, match="is not what kennel wrote"):
        begun_with(Folder(tmp_path), BEGAN)
    (tmp_path / BEGUN).write_text(json.dumps({"rows_a_file": "many"}))
    with pytest.raises(UsageError, match="is not what kennel wrote"):
        begun_with(Folder(tmp_path), BEGAN)


def test_files_are_of_whole_batches_and_bounded() -> None:
    assert rows_a_file(10, workers=2, batch=8) == 64
    assert rows_a_file(10_000_000, workers=8, batch=8) == 4096
    assert rows_a_file(100_000, workers=16, batch=8) == 776


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["p", "--engine", "ray"], "does not know where the answers go"),
        (["p", "--engine", "ray", "--table", "x.parquet"], "--table is one file"),
        (["p", "--engine", "ray", "--to", "x", "--rows-a-file", "100"], "8 at a time"),
        (["p", "--workers", "2"], "are for --engine ray"),
        (["p", "--to", "s3://bucket/x"], "--to writes pictures"),
        (["s3://B/x"], "is not the address of a bucket"),
        (["p", "--engine", "ray", "--to", "s3://B/x"], "is not the address of a bucket"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], said: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(bundle.path), *words]) == 2
    error, fix = capsys.readouterr().err.splitlines()
    assert said in error
    assert fix.startswith("fix: ")
