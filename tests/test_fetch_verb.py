"""`kennel fetch`: what is typed, what is printed, and what a Ctrl-C leaves."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives import DOGS, zipped
from serving import File, Server, serving

from kennel.cli import fetch as verb
from kennel.cli import main
from kennel.sources.catalogue import SOURCES

KENNEL = [sys.executable, "-m", "kennel"]
BODY = zipped(DOGS)
KAGGLE = "/api/v1/datasets/download/khushikhushikhushi/dog-breed-image-dataset"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(autouse=True)
def a_desk_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in list(os.environ):
        if name.startswith("KAGGLE_"):
            monkeypatch.delenv(name)


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `kennel fetch WORDS`."""
    code = main(["fetch", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


# which sets there are


def test_without_a_name_the_sets_are_listed_with_size_and_licence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = outcome([], capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(SOURCES)
    assert "oxford-pets" in lines[0]
    assert "792 MB" in lines[0]
    assert lines[0].endswith("CC BY-SA 4.0")


def test_the_list_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(outcome(["--json"], capsys)[1])
    assert [each["name"] for each in listed] == list(SOURCES)
    assert all(each["licence"] and each["homepage"] for each in listed)


def test_help_has_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    out = capsys.readouterr().out
    for name, source in SOURCES.items():
        assert name in out
        assert source.licence in out


# fetching


def test_an_archive_is_fetched_and_it_is_said_what_came(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    code, out, err = outcome(["--url", url], capsys)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["photos", "3", "of", "2", "labels"]
    assert lines[1].split() == ["folder", "photos"]
    assert lines[2].startswith("licence   not known (see where")
    assert lines[3].endswith("(none is published to compare it with)")
    assert ["Beagle", "2"] in [line.split() for line in lines]
    assert lines[-1] == "next: kennel index photos"
    said = err.splitlines()
    assert said[0] == f"dogs: an archive of your own, size ?, from {url}"
    assert said[1].startswith("licence: not known")
    assert any(line.startswith("3 photos unpacked in") for line in said)


def test_the_licence_is_shown_before_anything_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving() as gone:
        url = gone.put("/dogs.zip", File(BODY, refusals=[(404, {})]))
        code, out, err = outcome(["--url", url], capsys)
    assert (code, out) == (1, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "dogs",
        "licence",
        "error",
        "fix",
    ]


def test_the_same_again_is_already_there(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--url", server.put("/dogs.zip", File(BODY)), "--to", "here"]
    first = json.loads(outcome([*words, "--json"], capsys)[1])
    code, out, _ = outcome(words, capsys)
    assert code == 0
    assert "here (already there, fetched 20" in out
    again = json.loads(outcome([*words, "--json"], capsys)[1])
    assert (first.pop("already_there"), again.pop("already_there")) == (False, True)
    assert first == again
    assert first["labels"] == {"Beagle": 2, "Boxer": 1}
    assert first["checked"] == "nothing"


def test_an_archive_that_is_kept_is_named(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    out = outcome(["--url", url, "--keep", "--downloads", "cache"], capsys)[1]
    (line,) = (line for line in out.splitlines() if line.startswith("archive"))
    assert Path(line.split()[1]).read_bytes() == BODY


def test_what_is_fetched_can_be_indexed(
    server: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.make_archive(str(tmp_path / "made"), "gztar", photos)
    url = server.put("/colours.tar.gz", File((tmp_path / "made.tar.gz").read_bytes()))
    out = outcome(["--url", url], capsys)[1]
    words = out.splitlines()[-1].removeprefix("next: kennel ").split()
    assert main([*words, "--to", "dataset.csv"]) == 0
    assert len(Path("dataset.csv").read_text(encoding="utf-8").splitlines()) == 1 + 12


def test_one_label_alone_is_warned_of(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = server.put("/a.zip", File(zipped({"a/1.jpg": b"1"})))
    assert "one label only" in outcome(["--url", url], capsys)[1]


@pytest.mark.parametrize(
    ("words", "said", "fix"),
    [
        (["bark"], "there is no set 'bark'; there are oxford-pets", "kennel fetch lists them"),
        (["https://a.com/b.zip"], "there is no set", "kennel fetch --url https://a.com/b.zip"),
        (["imagewoof", "--url", "https://a.com/b.zip"], "both a set (imagewoof)", "leave one"),
        (["--url", "https://a.com/b.zip", "--sha256", "12"], "2 letters, not 64", "sha256sum"),
        (["imagenette", "--sha256", "0" * 64], "published one of imagenette is 569b44", "leave"),
    ],
)
def test_wrong_words_end_with_2(
    words: list[str], said: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    assert said in err
    assert fix in err
    assert list(Path.cwd().iterdir()) == []


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--url", "https://[dogs/a.zip"]) == 1
    assert "is not an address" in capsys.readouterr().err


def test_http_without_a_checksum_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = outcome(["--url", "http://example.com/dogs.zip"], capsys)
    assert code == 1
    assert "nothing would tell whether it was changed on the way" in err
    assert "--sha256" in err


# Kaggle


def test_kaggle_dogs_come_with_the_users_token_which_storage_never_sees(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", server.url(""))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_secret")
    with serving() as storage:
        server.put(KAGGLE, File(location=storage.put("/dogs.zip", File(BODY)) + "?signed=1"))
        code, out, err = outcome(["kaggle-dogs"], capsys)
        assert [each.get("Authorization") for each in storage.asked] == [None]
    assert code == 0
    assert server.asked[0]["Authorization"] == "Bearer KGAT_secret"
    assert "KGAT_secret" not in out + err
    record = Path("photos/source.json").read_text(encoding="utf-8")
    assert "KGAT" not in record
    assert json.loads(record)["homepage"] == SOURCES["kaggle-dogs"].homepage


def test_kaggle_dogs_without_a_token_say_where_to_get_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = outcome(["kaggle-dogs"], capsys)
    assert code == 1
    assert "https://www.kaggle.com/settings" in err


# Ctrl-C


def begun(server: Server, url: str, part_bytes: int) -> subprocess.Popen[str]:
    """A fetch that has `part_bytes` and waits for the rest."""
    server.put(url, File(BODY, cuts=[part_bytes], then=File(BODY, hold=threading.Event())))
    words = [*KENNEL, "fetch", "--url", server.url(url), "--to", "photos"]
    started = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert started.stderr is not None
    for line in started.stderr:
        if "trying again" in line:
            break
    return started


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_after_ctrl_c_or_a_kill_the_same_words_go_on(
    server: Server, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    started = begun(server, "/dogs.zip", part_bytes=200)
    started.send_signal(how)
    _, err = started.communicate(timeout=30)
    if how == signal.SIGINT:
        assert started.returncode == 130
        assert "type the same again to go on" in err
        assert "Traceback" not in err
    assert not Path("photos").exists()
    (part,) = Path(".kennel/downloads").glob("*.part")
    assert part.read_bytes() == BODY[: part.stat().st_size]
    assert part.stat().st_size >= 200

    server.put("/dogs.zip", File(BODY))
    size = part.stat().st_size
    assert outcome(["--url", server.url("/dogs.zip"), "--to", "photos"], capsys)[0] == 0
    assert server.ranges()[-1] == f"bytes={size}-"
    assert Path("photos/source.json").is_file()
    assert not part.exists()


# progress


def test_progress_is_one_line_each_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    meter = verb.Meter()
    for done in range(0, 50_000_000, 10_000_000):
        meter.bytes(done, 50_000_000)
    meter.photo()
    meter.photo()
    meter.close()
    lines = written.getvalue().splitlines()
    assert [line.partition(" in ")[0] for line in lines] == ["40.0 MB", "2 photos unpacked"]


def test_progress_says_bytes_rate_and_time_left_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = iter([0.0, 0.0, 0.0, *(float(n) for n in range(10, 30))])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(verb.time, "monotonic", lambda: next(clock))
    meter = verb.Meter()
    meter.bytes(0, 4_000_000_000)
    meter.bytes(100_000_000, 4_000_000_000)
    drawn = terminal.getvalue()
    assert drawn.startswith("\r")
    assert "100.0 of 4,000.0 MB, 10.0 MB/s, 6:30 left" in drawn
