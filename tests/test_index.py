"""`kennel index` at the front door: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from kennel.cli import main
from kennel.dataset import read_dataset


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for row, label in enumerate(("Beagle", "Boxer")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (row, number, 0)).save(f"photos/{label}/{number:02}.png")
    return tmp_path / "photos"


def test_facts_are_on_stdout_and_the_last_line_says_what_to_type(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "photos"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["photos", "40,"]
    assert lines[-1] == "next: kennel train data.csv=data/dataset.csv"
    assert max(map(len, lines)) <= 80
    counts = read_dataset(Path("data/dataset.csv")).counts
    row = next(line for line in lines if line.startswith("Beagle"))
    assert row.split()[1:] == [str(counts[split]["Beagle"]) for split in counts]
    assert "40 photos read" in err
    assert "photos read" not in out


def test_json_is_one_document_and_nothing_else(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "Boxer/torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["index", "photos", "--to", "x/d.csv", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    dataset = read_dataset(Path("x/d.csv"))
    assert document["dataset"] == "x/d.csv"
    assert document["dataset_id"] == dataset.dataset_id
    assert (document["photos"], document["labels"]) == (40, ["Beagle", "Boxer"])
    assert document["counts"] == dataset.counts
    assert [each["path"] for each in document["skipped"]] == ["Boxer/torn.jpg"]
    assert document["skipped"][0]["reason"]
    assert isinstance(document["warnings"], list)


def test_skipped_photos_and_warnings_are_named(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "Boxer/torn.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "Boxer/again.png").write_bytes((photos / "Beagle/00.png").read_bytes())
    assert main(["index", "photos"]) == 0
    out = capsys.readouterr().out
    assert "  Boxer/torn.jpg: " in out
    assert "41 files, which show 40 distinct pictures\n" in out
    assert "warning" in out
    assert "Boxer/again.png" in out


def test_fractions_and_seed_are_taken(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "photos", "--fractions", "0.5,0.25,0.25", "--seed", "3"]) == 0
    dataset = read_dataset(Path("data/dataset.csv"))
    assert (dataset.fractions, dataset.seed) == ((0.5, 0.25, 0.25), 3)
    assert "0.5 0.25 0.25, seed 3" in capsys.readouterr().out


def test_fractions_for_photos_that_came_split_are_said_to_go_unused(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        (photos / split).mkdir()
    (photos / "Beagle").rename(photos / "train/Beagle")
    (photos / "Boxer").rename(photos / "val/Boxer")
    assert main(["index", "photos", "--fractions", "0.5,0.25,0.25"]) == 0
    out = capsys.readouterr().out
    assert "--fractions went unused" in out
    assert "as the folders say" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 1, "nowhere"),
        (["photos", "--fractions", "0.8,0.3,0.1"], 2, "1.2"),
        (["photos", "--fractions", "most,some,rest"], 2, "most,some,rest"),
        (["photos", "--to", "data/dataset"], 2, "data/dataset"),
        (["photos", "--to", "data/dataset", "--folds", "2"], 2, "--to is data/dataset;"),
        (["photos", "--to", "", "--folds", "2"], 2, "--to is .;"),
    ],
)
def test_refusals_say_what_and_what_now(
    photos: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["index", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "fix"]


def test_long_labels_keep_the_table_in_80_columns(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "Boxer").rename(photos / ("Boxer " * 12).strip())
    assert main(["index", "photos"]) == 0
    table = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("Boxer", "label "))
    ]
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= 80
