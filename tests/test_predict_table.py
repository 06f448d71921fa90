"""`kennel predict --table` and `--files-from`: very many photos, killed and gone on with."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bundles import tiny_bundle
from PIL import Image

from kennel.answers_table import Begun, Row, growing
from kennel.bundle import Bundle
from kennel.cli import main
from kennel.cli.progress import Counter

KENNEL = [sys.executable, "-m", "kennel"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photos in folders within folders, three of them broken."""
    folder = tmp_path_factory.mktemp("many")
    for n in range(60):
        inside = folder / ("a", "a.b", "c/d")[n % 3]
        inside.mkdir(parents=True, exist_ok=True)
        photo = inside / f"{n}.png"
        if n % 20 == 7:
            photo.write_bytes(b"\x89PNG\r\n\x1a\n cut off")
        else:
            Image.new("RGB", (8 + n, 9), (4 * n, 255 - 4 * n, n)).save(photo)
    return folder


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["predict", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def read(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_says_of_every_photo_what_json_says_in_the_same_order(
    bundle: Bundle, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "deep" / "answers.csv"
    words = [str(bundle.path), str(many), "--top", "2"]
    expected = json.loads(outcome([*words, "--json"], capsys)[1])
    code, out, err = outcome([*words, "--table", str(table)], capsys)
    assert code == 0
    assert [line.split(maxsplit=1) for line in out.splitlines()][:2] == [
        ["table", str(table)],
        ["photos", "60"],
    ]
    assert "no answer   3: see error" in out
    assert err.startswith("60 photos answered in ")
    assert len(err.splitlines()) == 1, "what could not be read stands in the table"
    rows = read(table)
    assert [row["path"] for row in rows] == [str(p) for p in sorted(many.rglob("*.png"))]
    for row, one in zip(rows, expected, strict=True):
        assert row["error"] == one.get("error", "")
        assert row["label"] == one.get("label", "")
        if not row["error"]:
            assert float(row["probability"]) == pytest.approx(one["probability"], rel=1e-5)
            assert row["label_2"] == one["top"][1]["label"]
            assert row["known"] == str(one["known"]).lower()
            assert row["bundle"] == bundle.bundle_id


def test_with_json_a_table_is_summed_up_in_one_document(
    bundle: Bundle, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.jsonl"
    words = [str(bundle.path), str(many), "--table", str(table), "--json"]
    code, out, _ = outcome(words, capsys)
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    assert code == 0
    assert json.loads(out) == {
        "table": str(table),
        "rows": 60,
        "errors": 3,
        "not_known": sum(row.get("known") is False for row in rows),
        "bundle": bundle.bundle_id,
    }


def test_a_table_of_nothing_but_errors_is_written_and_ends_with_1(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    words = [str(bundle.path), str(tmp_path / "gone.jpg"), "--table", str(table)]
    assert outcome(words, capsys)[0] == 1
    assert [row["error"] for row in read(table)] == [f"{tmp_path / 'gone.jpg'} does not exist."]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["p", "--table", "answers.xlsx"], "answers.xlsx ends in none of .csv, .jsonl, .parquet"),
        (["p", "--table", "answers"], "answers ends in none of"),
        (["p", "--overwrite"], "--overwrite is for --table"),
        ([], "no photo is named"),
        (["--files-from", "gone.txt"], "gone.txt, the list of photos, cannot be read: No such"),
        (["--files-from", "."], "., the list of photos, cannot be read: Is a directory"),
    ],
)
def test_wrong_words_are_refused_before_a_photo_is_read(
    words: list[str],
    said: str,
    bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(bundle.path)
    code, out, err = outcome([str(bundle.path), *words], capsys)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[0]
    assert err.splitlines()[1].startswith("fix: ")


def test_a_finished_table_is_refused_before_a_photo_is_read(
    bundle: Bundle, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    table.write_text("precious")
    words = [str(bundle.path), str(many), "--table", str(table)]
    code, _, err = outcome(words, capsys)
    assert (code, table.read_text()) == (2, "precious")
    assert f"error: {table} is there already." in err
    assert outcome([*words, "--overwrite"], capsys)[0] == 0
    assert len(read(table)) == 60


# lists of files


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\0"])
def test_a_list_names_photos_a_line_each_or_as_find_print0_gives_them(
    ends: str, bundle: Bundle, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(p) for p in sorted(many.rglob("*.png"), reverse=True)]
    listed = tmp_path / "list.txt"
    listed.write_bytes("".join(name + ends for name in [*photos, photos[0]]).encode())
    words = [str(bundle.path), "--files-from", str(listed), "--json"]
    code, out, _ = outcome(words, capsys)
    assert code == 0
    assert [row["path"] for row in json.loads(out)] == [*photos, photos[0]]


def test_a_list_comes_from_stdin_behind_the_photos_that_are_named(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    listed = f"{photos / 'blue' / '1.png'}\n\n{photos / 'green'}\n"
    words = ["predict", str(bundle.path), str(photos / "red" / "0.png")]
    done = subprocess.run(
        [*KENNEL, *words, "--files-from", "-", "--table", str(table)],
        input=listed.encode(),
        capture_output=True,
        check=True,
    )
    rows = read(table)
    assert [row["label"] for row in rows] == ["red", "blue", ""], done.stderr
    assert rows[2]["error"] == f"{photos / 'green'} is a folder, not a photo."


@pytest.mark.parametrize(("content", "said"), [(b"", "names no photo"), (b"\n\n", "names no")])
def test_an_empty_list_is_wrong_usage(
    content: bytes, said: str, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_bytes(content)
    code, _, err = outcome([str(bundle.path), "--files-from", str(listed)], capsys)
    assert code == 2
    assert said in err


def test_a_photo_that_is_taken_for_a_list_is_found_out(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "photo.bin"
    listed.write_bytes(b"\xff" * 200_000)
    code, _, err = outcome([str(bundle.path), "--files-from", str(listed)], capsys)
    assert code == 2
    assert "it is no list of names" in err


def test_names_with_newlines_and_names_that_are_not_utf8_are_answered(
    bundle: Bundle, photos: Path, tmp_path: Path
) -> None:
    names = [b"two\nlines.png", b"latin-1-\xfc.png"]
    for name in names:
        try:
            shutil.copy(photos / "red" / "0.png", os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        except OSError:
            pytest.skip("this file system takes only UTF-8 names")
    listed = b"".join(name + b"\0" for name in names)
    words = [*KENNEL, "predict", str(bundle.path), "--files-from", "-", "--top", "1"]

    def said(*more: str) -> bytes:
        ran = [*words, *more]
        return subprocess.run(ran, input=listed, cwd=tmp_path, stdout=-1, check=True).stdout

    assert said() == b"two\nlines.png  red 96.5%\nlatin-1-\xfc.png  red 96.5%\n"
    assert [os.fsencode(row["path"]) for row in json.loads(said("--json"))] == names
    said("--table", "answers.csv")
    address = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()[-1]
    assert address.startswith("file:///")
    assert "latin-1-%FC.png" in address


def test_a_photo_that_two_paths_name_is_answered_once_where_it_is_named_first(
    bundle: Bundle, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red, gone = photos / "red", photos / "red" / "gone.png"
    paths = [red / "2.png", red, photos, red / "1.png", gone, photos]
    code, out, _ = outcome([str(bundle.path), *map(str, paths), "--json"], capsys)
    inside = sorted(photos.rglob("*.png"))
    expected = [red / "2.png", *(red / f"{n}.png" for n in (0, 1, 3))]
    expected += [p for p in inside if p.parent != red] + [gone]
    assert code == 0
    assert [row["path"] for row in json.loads(out)] == list(map(str, expected))


# killed


def interrupted(
    words: list[str], *, after_rows: int, part: Path, by: int, pause_s: float = 0.0
) -> tuple[int, str]:
    """Starts the words, and sends a signal once so many rows are kept: exit code and stderr."""
    running = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    rows = 0
    while running.poll() is None:
        with suppress(FileNotFoundError):
            rows = part.read_bytes().count(b"\n")
        if rows > after_rows:
            time.sleep(pause_s)
            running.send_signal(by)
            break
        time.sleep(0.002)
    _, err = running.communicate()
    return running.returncode, err


def slow_list(many: Path, folder: Path) -> tuple[Path, int]:
    """A list that takes a moment: photos again and again, and one large one each few."""
    large = folder / "large.png"
    Image.effect_noise((1500, 1500), 50).save(large)
    names = [*map(str, sorted(many.rglob("*.png"))), *[str(large)] * 12] * 3
    listed = folder / "list.txt"
    listed.write_text("\n".join(names))
    return listed, len(names)


@pytest.mark.slow
def test_ctrl_c_keeps_the_answers_and_says_how_to_go_on(
    bundle: Bundle, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, total = slow_list(many, tmp_path)
    table = tmp_path / "answers.csv"
    part = table.with_name("answers.csv.part")
    words = ["predict", str(bundle.path), "--files-from", str(listed), "--table", str(table)]
    code, err = interrupted([*KENNEL, *words], after_rows=16, part=part, by=signal.SIGINT)
    assert code == 130, err
    kept = part.read_bytes().count(b"\n") - 1
    assert f"stopped (Ctrl-C): {kept} of {total} answers are kept in {part}." in err
    assert "next: type the same again: it goes on after them" in err
    assert not table.exists()
    assert main(words) == 0
    assert f"{total - kept} photos answered" in (said := capsys.readouterr().err)
    assert f"after {kept} of an earlier run" in said
    assert not part.exists()
    whole = tmp_path / "whole.csv"
    assert main([*words[:-1], str(whole)]) == 0
    assert table.read_bytes() == whole.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_killed_at_random_moments_the_table_is_the_same_byte_for_byte(
    suffix: str, bundle: Bundle, many: Path, tmp_path: Path
) -> None:
    listed, _ = slow_list(many, tmp_path)
    whole, table = tmp_path / f"whole{suffix}", tmp_path / f"answers{suffix}"
    words = [*KENNEL, "predict", str(bundle.path), "--files-from", str(listed), "--table"]
    subprocess.run([*words, str(whole)], check=True, capture_output=True)
    part, moments, kills = table.with_name(f"{table.name}.part"), random.Random(0), 0
    while not table.exists():
        kept = part.read_bytes().count(b"\n") if part.exists() else 0
        code, _ = interrupted(
            [*words, str(table)],
            after_rows=kept + moments.randrange(8, 80),
            part=part,
            by=signal.SIGKILL,
            pause_s=moments.uniform(0, 0.03),
        )
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
    assert kills > 1
    assert table.read_bytes() == whole.read_bytes()


def test_pictures_of_an_interrupted_table_have_the_names_of_an_uninterrupted_one(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Photos of one name get numbers, which go on counting where the answers do."""
    paths = [str(photos / colour / f"{n}.png") for n in range(4) for colour in ("red", "blue")]
    table, to = tmp_path / "answers.csv", tmp_path / "pictures"
    words = [str(bundle.path), *paths, str(photos / "green" / "0.png"), "--to", str(to)]
    assert outcome([*words, "--table", str(tmp_path / "whole.csv")], capsys)[0] == 0
    expected = {p.name: p.read_bytes() for p in to.iterdir()}
    shutil.rmtree(to)
    answered = json.loads(outcome([*words[:-2], "--json"], capsys)[1])[:8]
    begun = Begun.by(bundle, top=3, batch=8)
    with growing(table, begun, iter(())) as grown:
        grown.add([Row.of(each, bundle=bundle.bundle_id) for each in answered])
    assert outcome([*words, "--table", str(table)], capsys)[0] == 0
    assert {p.name: p.read_bytes() for p in to.iterdir()} == {"0-3.png": expected["0-3.png"]}
    assert table.read_bytes() == (tmp_path / "whole.csv").read_bytes()


# progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def counted(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, **how: Any) -> list[str]:
    """What is written while a hundred are counted, one a second, by a clock of its own."""
    clock = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("sys.stderr", stream)
    counter = Counter(100 + how.get("kept", 0), "photos answered", **how)
    for _ in range(100):
        counter.tick()
    counter.close()
    return stream.getvalue().replace("\x1b[K", "").replace("\r", "\n").split("\n")


def test_progress_on_a_terminal_is_a_bar_with_count_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = counted(Terminal(), monkeypatch)
    half = next(line for line in lines if " 50/100 " in line)
    assert half == "[==========          ] 50/100 photos answered, 1/s, 49 s left"
    assert all(len(line) < 80 for line in lines)


def test_progress_elsewhere_is_a_line_a_minute_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last, end = counted(io.StringIO(), monkeypatch)
    assert first.endswith("60/100 photos answered, 1/s, 39 s left")
    assert last == "100 photos answered in 100.0 s (1/s)"
    assert end == ""


def test_what_an_earlier_run_did_is_counted_but_not_in_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = counted(Terminal(), monkeypatch, kept=900)
    assert any("950/1000 photos answered, 1/s" in line for line in lines)
    assert "100 photos answered in 100.0 s (1/s), after 900 of an earlier run" in lines
