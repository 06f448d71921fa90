"""`kennel compare`: which photos judge, what is said of two bundles, and how it ends."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from bundles import CALIBRATION, REJECTION
from duels import BLIND, BLUEISH, EQUAL, GREENISH, bundle_on, coloured_index, index_of

from kennel.bundle import MODEL_ONNX, write_bundle
from kennel.cli import main
from kennel.dataset import Dataset


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """150 that all know, 20 that GREENISH has wrong. Not to be written to."""
    return coloured_index(tmp_path_factory.mktemp("photos"), nearly_green=20)


def document(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["compare", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


# ---- what is said


def test_a_better_second_ends_with_0_and_says_what_to_type(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("worse"), GREENISH)
    bundle_on(photos, Path("better"))
    assert main(["compare", "worse", "better"]) == 0
    out = capsys.readouterr().out
    assert "verdict     the second is better" in out
    assert "0 photos right by the first alone, 20 by the second" in out
    assert "photos      170 of" in out
    assert out.splitlines()[-1] == "next: kennel promote better"


def test_a_worse_second_ends_with_1(photos: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    bundle_on(photos, Path("worse"), GREENISH)
    bundle_on(photos, Path("better"))
    assert main(["compare", "better", "worse"]) == 1
    out, err = capsys.readouterr()
    assert "verdict     the second is worse" in out
    assert "error" not in err


def test_few_photos_are_said_to_be_too_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, nearly_green=3)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"))
    assert main(["compare", "first", "second"]) == 1
    assert "not shown to differ: 153 photos are too few to tell" in capsys.readouterr().out


def test_a_tie_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = coloured_index(tmp_path, nearly_green=4, nearly_blue=4)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"), BLUEISH)
    assert main(["compare", "first", "second"]) == 1
    out = capsys.readouterr().out
    assert "McNemar     p 1:" in out
    assert "each has 4 right that the other has wrong" in out


def test_one_model_twice_cannot_differ_and_is_not_worse(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"))
    measured = bundle_on(photos, Path("second"), bundle_id="first")
    card = Path("second/README.md")
    card.write_text("measured", encoding="utf-8")
    write_bundle(measured)
    assert main(["compare", "first", "second"]) == 1
    assert "both are one model: they cannot differ" in capsys.readouterr().out
    assert main(["compare", "first", "second", "--not-worse", "0"]) == 0


def test_two_models_that_say_the_same_are_said_to(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"))
    bundle_on(photos, Path("second"), calibration=replace(CALIBRATION, temperature=1.0))
    assert main(["compare", "first", "second"]) == 1
    assert "both say the same of all 170 photos" in capsys.readouterr().out


def test_not_worse_is_a_matter_of_the_margin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=240, nearly_green=2, nearly_blue=1)
    bundle_on(dataset, Path("first"), BLUEISH)
    bundle_on(dataset, Path("second"), GREENISH)
    assert main(["compare", "first", "second", "--not-worse"]) == 0
    assert "shown to lose less than 3 points of top1" in capsys.readouterr().out
    assert main(["compare", "first", "second", "--not-worse", "0.005"]) == 1
    assert "not shown to lose less than 0.5 points" in capsys.readouterr().out


def test_each_answers_by_its_own_temperature_and_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=30)
    bundle_on(dataset, Path("first"))  # temperature 2
    cold = replace(CALIBRATION, temperature=1.0)
    strict = replace(REJECTION, threshold=9.0)  # over the energy of every photo
    bundle_on(dataset, Path("second"), calibration=cold, rejection=strict)
    _, said = document(capsys, "first", "second")
    loss = said["figures"]["log_loss"]
    # A pure colour's logits are 8, 0, 0.
    assert loss["first"] == pytest.approx(math.log(1 + 2 * math.exp(-4)), rel=1e-5)
    assert loss["second"] == pytest.approx(math.log(1 + 2 * math.exp(-8)), rel=1e-5)
    refused = said["figures"]["refused"]
    assert (refused["first"], refused["second"]) == (0.0, 1.0)
    assert len(said["differing"]) == 30  # the labels are the same, but the second refuses


def test_json_has_every_photo_on_which_they_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, nearly_green=25, nearly_blue=1)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"), BLUEISH)
    code, said = document(capsys, "first", "second")
    assert code == 0
    assert (said["n"], said["only_first"], said["only_second"]) == (176, 1, 25)
    assert said["p"] == pytest.approx(2 * (1 + 26) / 2**26)
    assert said["first"] == {"bundle": "first", "path": "first"}
    assert len(said["differing"]) == 26
    lost = said["differing"][0]  # what the second would lose comes first
    assert (lost["truth"], lost["first"]["label"], lost["second"]["label"]) == (
        "red",
        "red",
        "blue",
    )
    assert {"label", "probability", "known"} == set(lost["first"])
    assert said["dataset_id"] == dataset.dataset_id
    assert said["verdict"] == "better"
    main(["compare", "first", "second"])
    out = capsys.readouterr().out
    assert out.count("\ndiffer ") == 21
    assert "6 photos more: --json or --to DIR lists them" in out


# ---- which photos judge


def test_bundles_of_different_photos_want_an_index(
    tmp_path: Path, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    other = coloured_index(tmp_path, easy=9, name="other")
    bundle_on(photos, Path("first"))
    bundle_on(other, Path("second"))
    assert main(["compare", "first", "second"]) == 2
    err = capsys.readouterr().err
    assert "first and second were trained on different photos" in err
    assert f"--data {other.csv}" in err


def test_photos_that_one_was_trained_on_are_left_out_and_counted(
    tmp_path: Path, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first learned from ten of the test photos; of an eleventh it had a copy of other bytes.
    test = [row for row in photos.photos if row.split == "test"]
    learned = [replace(row, split="train") for row in test[:10]]
    copy = replace(test[10], split="train", sha256="c" * 64)
    rest = [replace(row, split="validation") for row in test[11:14]]
    own = index_of(tmp_path, sorted([*learned, copy, *rest], key=lambda r: r.path), name="own")
    bundle_on(own, Path("first"))
    bundle_on(photos, Path("second"))
    _, said = document(capsys, "first", "second", "--data", str(photos.csv))
    assert said["n"] == 159
    assert said["left_out"] == [{"n": 11, "why": "first was trained on them, or on copies of them"}]
    assert said["remarks"] == [
        "first was chosen and calibrated on 3 of these photos, which flatters it"
    ]


def test_an_index_that_is_not_at_hand_is_said(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"), dataset_csv="gone.csv", dataset_id="e" * 64)
    bundle_on(photos, Path("second"))
    _, said = document(capsys, "first", "second", "--data", str(photos.csv))
    assert said["n"] == 170
    (remark,) = said["remarks"]
    assert remark.startswith("the index that first was trained on is not at hand")


def test_labels_are_matched_by_name_and_strange_ones_left_out(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"))
    bundle_on(photos, Path("second"), labels=("red", "green", "violet"))
    _, said = document(capsys, "first", "second")
    assert said["labels"] == ["red", "green"]
    assert said["n"] == 120
    assert said["left_out"] == [{"n": 50, "why": "second does not know blue"}]


def test_bundles_without_two_common_labels_are_refused(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"))
    bundle_on(photos, Path("second"), labels=("red", "cat", "dog"))
    assert main(["compare", "first", "second"]) == 1
    assert "have 1 of their labels in common: red, green, blue; red, cat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("validation", "has no validation photos; it has train, test"),
        ("train", "none of the 3 photos (train)"),
    ],
)
def test_a_split_without_photos_that_may_judge_is_refused(
    photos: Dataset, split: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"), GREENISH)
    bundle_on(photos, Path("second"))
    assert main(["compare", "first", "second", "--split", split]) == 1
    assert said in capsys.readouterr().err


def test_all_splits_judge_but_what_was_learned_from(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"), GREENISH)
    bundle_on(photos, Path("second"))
    _, said = document(capsys, "first", "second", "--split", "all")
    assert (said["n"], said["left_out"][0]["n"]) == (170, 3)


def test_photos_that_cannot_be_read_are_named_and_in_no_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=30, nearly_green=10)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"))
    broken = dataset.split("test")[0]
    dataset.file(broken).write_bytes(b"no photo")
    code, said = document(capsys, "first", "second")
    assert (code, said["n"]) == (0, 39)
    assert [each["path"] for each in said["skipped"]] == [broken.path]


def test_photos_none_of_which_can_be_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=3)
    bundle_on(dataset, Path("first"))
    bundle_on(dataset, Path("second"), GREENISH)
    for photo in dataset.photos:
        dataset.file(photo).unlink()
    assert main(["compare", "first", "second"]) == 1
    assert "none of the 3 photos" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_an_index_that_is_no_longer_what_both_were_trained_on_is_refused(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=6)
    bundle_on(dataset, Path("first"))
    bundle_on(dataset, Path("second"), GREENISH)
    if change == "changed":
        index_of(tmp_path, list(dataset.photos[:-1]))
    else:
        dataset.csv.unlink()
    assert main(["compare", "first", "second"]) == 1
    said = "changed since" if change == "changed" else "is not on this machine"
    assert said in capsys.readouterr().err


def test_a_model_that_is_not_the_exported_one_is_refused(
    photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_on(photos, Path("first"))
    bundle_on(photos, Path("second"), GREENISH)
    with Path("second", MODEL_ONNX).open("ab") as model:
        model.write(b"\0")
    assert main(["compare", "first", "second"]) == 1
    assert "is not the file that was exported" in capsys.readouterr().err


@pytest.mark.parametrize("margin", ["-0.1", "1", "nan", "much"])
def test_a_margin_that_is_no_share_is_wrong_usage(
    margin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["compare", "first", "second", f"--not-worse={margin}"])
    assert left.value.code == 2
    assert "is not a share of top1" in capsys.readouterr().err


# ---- --to


class Page(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_to_writes_the_document_and_a_page_that_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, nearly_green=70, nearly_blue=2)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"), BLUEISH)
    code, said = document(capsys, "first", "second", "--to", "out")
    assert code == 0
    assert json.loads(Path("out/compare.json").read_text(encoding="utf-8")) == said
    text = Path("out/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 62  # two sections, of at most sixty
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "and 10 more in compare.json" in text
    assert '<h1 class="good">The second is better</h1>' in text


def test_names_of_files_are_data_on_the_page(tmp_path: Path) -> None:
    dataset = coloured_index(tmp_path, nearly_green=1)
    hostile = dataset.photos[-1]
    path = dataset.file(hostile)
    renamed = replace(hostile, path='red/<script>alert(1)<∕script>"&.png')
    path.rename(dataset.photos_dir / renamed.path)
    rows = [renamed if row is hostile else row for row in dataset.photos]
    dataset = index_of(tmp_path, sorted(rows, key=lambda row: row.path))
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"))
    main(["compare", "first", "second", "--to", "out"])
    text = Path("out/index.html").read_text(encoding="utf-8")
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_a_page_without_a_photo_that_went_away_is_a_page(tmp_path: Path) -> None:
    from kennel.bundle import read_bundle
    from kennel.compare import choose_photos, duel
    from kennel.compare.page import render

    dataset = coloured_index(tmp_path, nearly_green=1)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"))
    both = read_bundle(Path("first")), read_bundle(Path("second"))
    fought = duel(*both, choose_photos(both, csv=None, split="test"), threads=1)
    dataset.file(dataset.photos[-1]).unlink()
    assert "no picture" in render(fought, margin="shown")


def test_what_is_said_fits_80_columns_but_for_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, nearly_green=5)
    bundle_on(dataset, Path("first"), GREENISH)
    bundle_on(dataset, Path("second"))
    main(["compare", "first", "second", "--not-worse"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "dataset.csv" not in line]
    assert max(map(len, lines)) <= 80


def test_a_blind_bundle_is_worse_than_any(photos: Dataset) -> None:
    bundle_on(photos, Path("first"), EQUAL, rejection=None)
    bundle_on(photos, Path("second"), BLIND, rejection=None)
    assert main(["compare", "first", "second"]) == 1
    assert main(["compare", "second", "first"]) == 0
