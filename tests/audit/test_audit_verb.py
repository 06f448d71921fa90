"""`kennel audit` at the front door: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from scenes import labelled_scenes, scene, split_scenes

from kennel.cli import main
from kennel.dataset import read_dataset
from kennel.machine import usable_cores

HOSTILE = "<script>alert(1)</script>&\"'=.jpg".replace("/", "\u2215")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return labelled_scenes(tmp_path / "photos").relative_to(tmp_path)


def audit(*words: str) -> int:
    return main(["audit", *words, "--no-labels"])


def findings() -> list[dict[str, str]]:
    with Path("audit/findings.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clean_photos_end_with_0_and_say_what_to_type(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit("photos") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "files       18, all distinct"
    assert "not checked: it was not asked for (--no-labels)" in out
    assert "no finding makes results wrong" in out
    assert lines[-1] == "next: kennel index photos"
    assert "18 photos read" in err
    assert sorted(p.name for p in Path("audit").iterdir()) == [
        "findings.csv",
        "findings.json",
        "index.html",
    ]


def test_the_headline_counts_pictures_where_no_file_is_there_twice(photos: Path) -> None:
    with Image.open("photos/Boxer/3.jpg") as picture:
        picture.resize((72, 54)).save("photos/Boxer/smaller.jpg")
    audit("photos")
    page = Path("audit/index.html").read_text(encoding="utf-8")
    assert "<h1>19 files, 18 pictures</h1>" in page


def test_an_error_ends_with_1_and_fits_80_columns(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("photos/Boxer/0.jpg", "photos/Poodle/a_rather_long_name_" + 60 * "x" + ".jpg")
    assert audit("photos") == 1
    out = capsys.readouterr().out
    assert re.search(r"^error +1  One picture under two labels  ", out, re.MULTILINE)
    assert out.splitlines()[-1] == "next: kennel audit photos --apply data/clean.csv"
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_document_and_the_one_on_disk(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("photos/Boxer/0.jpg", "photos/Poodle/boxer.jpg")
    assert audit("photos", "--json", "--seed", "7") == 1
    said = json.loads(capsys.readouterr().out)
    written = json.loads(Path("audit/findings.json").read_text(encoding="utf-8"))
    assert said == written | {"to": "audit"}
    assert (written["n"], written["distinct_files"], written["distinct_pictures"]) == (19, 18, 18)
    assert (written["dataset_id"], written["seed"], written["wrong"]) == (None, 7, True)
    assert written["thresholds"]["tiny_side"] == 64
    assert {"python", "kennel", "numpy", "pillow"} <= set(written["versions"])
    (clash,) = [kind for kind in written["kinds"] if kind["kind"] == "two_labels"]
    assert (clash["severity"], clash["count"], clash["files"]) == ("error", 1, 2)
    assert clash["findings"][0]["paths"] == ["Boxer/0.jpg", "Poodle/boxer.jpg"]
    assert clash["findings"][0]["removes"] == ["Boxer/0.jpg", "Poodle/boxer.jpg"]
    assert clash["what_to_do"]
    assert written["removed"] == [
        {"path": "Boxer/0.jpg", "because": "two_labels"},
        {"path": "Poodle/boxer.jpg", "because": "two_labels"},
    ]


def test_the_same_photos_give_the_same_bytes(photos: Path) -> None:
    shutil.copy("photos/Boxer/0.jpg", "photos/Boxer/again.jpg")
    for folder in ("one", "two"):
        audit("photos", "--to", folder)
    for name in ("findings.csv", "findings.json", "index.html"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "style") and v]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_hostile_names_as_text_and_loads_nothing(photos: Path) -> None:
    for name in (HOSTILE, "{{ 7 * 7 }}.jpg"):
        shutil.copy("photos/Boxer/0.jpg", Path("photos/Boxer", name))
    Path("photos/<img src=x onerror=alert(2)>").mkdir()
    for n in range(2):
        scene(700 + n).save(f"photos/<img src=x onerror=alert(2)>/{n}.jpg")
    shutil.copy("photos/Boxer/1.jpg", "photos/<img src=x onerror=alert(2)>/boxer.jpg")
    assert audit("photos") == 1
    text = Path("audit/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert "{{ 7 * 7 }}.jpg" in page.text
    assert "49" not in page.text
    assert all(
        a.startswith(("data:image/jpeg;base64,", "#", "width:", "margin")) for a in page.addresses
    )
    assert not re.search(r"https?://", text)
    assert page.tags.count("img") > 4


def test_the_page_stays_small_and_says_how_many_more_there_are(photos: Path) -> None:
    for n in range(70):
        Image.new("RGB", (80, 80), (n, 0, 0)).save(f"photos/Boxer/blank{n}.png")
    audit("photos")
    text = Path("audit/index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") <= 60
    assert "and 40 more in findings.csv" in page.text
    assert len([row for row in findings() if row["kind"] == "blank"]) == 70


def test_formulas_in_names_are_inert_in_the_csv(photos: Path) -> None:
    label = Path("photos/=HYPERLINK(1)")
    label.mkdir()
    for n in range(2):
        scene(800 + n).save(label / f"{n}.jpg")
    shutil.copy(label / "0.jpg", label / "copy.jpg")
    main(["index", "photos", "--to", "d.csv"])
    audit("d.csv")
    rows = [row for row in findings() if row["kind"] == "exact_copy"]
    assert [row["path"] for row in rows] == ["./=HYPERLINK(1)/0.jpg", "./=HYPERLINK(1)/copy.jpg"]
    assert {row["label"] for row in rows} == {"'=HYPERLINK(1)"}
    assert main(["audit", "d.csv", "--apply", "c.csv", "--decisions", "audit/findings.csv"]) == 0
    assert "=HYPERLINK(1)/copy.jpg" not in {p.path for p in read_dataset(Path("c.csv")).photos}


def test_gps_and_serials_are_named_but_not_repeated(photos: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 2.0, 1.0)}
    )
    exif.get_ifd(ExifTags.IFD.Exif)[0xA431] = "SN0420731"
    scene(600).save("photos/Boxer/home.jpg", exif=exif)
    assert audit("photos") == 0
    kinds = {row["kind"] for row in findings() if row["path"] == "Boxer/home.jpg"}
    assert kinds == {"place", "serial"}
    for file in Path("audit").iterdir():
        assert "0420731" not in file.read_text(encoding="utf-8")


# ---- --apply, --remove, --decisions


def test_apply_writes_an_index_without_the_copies_and_touches_no_photo(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(6):
        shutil.copy(f"photos/Boxer/{n}.jpg", f"photos/Boxer/{n}_again.jpg")
    main(["index", "photos", "--to", "data/dataset.csv"])
    before = {p: p.read_bytes() for p in Path("photos").rglob("*.jpg")}
    index = Path("data/dataset.csv").read_bytes()
    capsys.readouterr()
    assert audit("data/dataset.csv", "--apply", "data/clean.csv") == 0
    out = capsys.readouterr().out
    assert "6: exact copies" in out
    assert out.splitlines()[-1] == "next: kennel train data.csv=data/clean.csv"
    old, new = read_dataset(Path("data/dataset.csv")), read_dataset(Path("data/clean.csv"))
    assert set(new.photos) < set(old.photos), "rows are as they were, splits included"
    assert len(new.photos) == 18
    assert {p: p.read_bytes() for p in Path("photos").rglob("*.jpg")} == before
    assert Path("data/dataset.csv").read_bytes() == index
    assert audit("data/clean.csv") == 0
    assert main(["audit", "data/clean.csv", "--verify"]) == 0


def test_apply_mends_leaks_and_then_ends_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    split_scenes(tmp_path / "photos")
    shutil.copy("photos/train/Boxer/0.jpg", "photos/test/Boxer/leak.jpg")
    main(["index", "photos", "--to", "d.csv"])
    assert audit("d.csv") == 1
    assert audit("d.csv", "--apply", "c.csv", "--remove", "blank") == 1, "leaks are left"
    assert audit("d.csv", "--apply", "c.csv") == 0
    paths = {photo.path for photo in read_dataset(Path("c.csv")).photos}
    assert "test/Boxer/leak.jpg" in paths
    assert "train/Boxer/0.jpg" not in paths
    assert audit("c.csv") == 0


def test_apply_to_a_folder_indexes_it_first(photos: Path) -> None:
    for n in range(6):
        shutil.copy(f"photos/Boxer/{n}.jpg", f"photos/Boxer/{n}_again.jpg")
    Path("photos/Boxer/torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert audit("photos") == 1
    assert audit("photos", "--apply", "data/clean.csv") == 0
    dataset = read_dataset(Path("data/clean.csv"))
    assert len(dataset.photos) == 18
    assert dataset.photos_dir == photos.resolve()
    assert {photo.split for photo in dataset.photos} <= {"train", "validation", "test"}


def test_a_label_that_would_lose_too_much_is_refused_in_words(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(5):
        shutil.copy(f"photos/Boxer/{n}.jpg", f"photos/Poodle/b{n}.jpg")
    main(["index", "photos", "--to", "d.csv"])
    assert audit("d.csv", "--apply", "c.csv") == 1
    err = capsys.readouterr().err
    assert "too few distinct photos would be left of Boxer (1)" in err
    assert "fix: " in err
    assert not Path("c.csv").exists()


def test_decisions_decide(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("photos/Boxer/0.jpg", "photos/Boxer/again.jpg")
    Image.new("RGB", (80, 80)).save("photos/Poodle/black.png")
    main(["index", "photos", "--to", "d.csv"])
    audit("d.csv")
    text = Path("audit/findings.csv").read_text(encoding="utf-8")
    rows = findings()
    assert {row["path"] for row in rows if row["remove"]} == {"Boxer/again.jpg", "Poodle/black.png"}
    edited = "\n".join(
        line.replace(",yes", ",No") if "again" in line else line for line in text.splitlines()
    )
    Path("edited.csv").write_text("\ufeff" + edited, encoding="utf-8")  # as spreadsheets save it
    assert main(["audit", "d.csv", "--apply", "c.csv", "--decisions", "edited.csv"]) == 0
    paths = {photo.path for photo in read_dataset(Path("c.csv")).photos}
    assert "Boxer/again.jpg" in paths
    assert "Poodle/black.png" not in paths
    assert "1: blank photos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,kind\nBoxer/0.jpg,blank\n", "no columns path, kind and remove"),
        ("path,kind,remove\nBoxer/0.jpg,blank,perhaps\n", "it is yes, no or empty"),
        ("path,kind,remove\nBoxer/9.jpg,blank,yes\n", "which the index does not list"),
        (
            "path,kind,remove\nBoxer/0.jpg,blank,yes\nBoxer/0.jpg,tiny,no\n",
            "to be removed on one line of x.csv and kept on another: 2 and 3",
        ),
        ("path,kind,remove\n\xff", "cannot be read"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(
    photos: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    main(["index", "photos", "--to", "d.csv"])
    Path("x.csv").write_bytes(text.encode("latin-1"))
    assert main(["audit", "d.csv", "--apply", "c.csv", "--decisions", "x.csv"]) == 1
    assert said in capsys.readouterr().err
    assert not Path("c.csv").exists()


# ---- --verify


def test_verify_names_what_changed_and_ends_with_1(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index", "photos", "--to", "d.csv"])
    assert main(["audit", "d.csv", "--verify"]) == 0
    assert not Path("audit").exists()
    photo = Path("photos/Boxer/3.jpg")
    content = photo.read_bytes()
    photo.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    Path("photos/Poodle/0.jpg").unlink()
    capsys.readouterr()
    assert main(["audit", "d.csv", "--verify"]) == 1
    out = capsys.readouterr().out
    assert "  ! Boxer/3.jpg" in out
    assert "  - Poodle/0.jpg" in out
    assert main(["audit", "d.csv", "--verify", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["changed"], document["missing"]) == (["Boxer/3.jpg"], ["Poodle/0.jpg"])


# ---- what is refused


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 1, "nowhere does not exist"),
        (["photos/Boxer/0.jpg"], 1, "is neither a folder nor a .csv"),
        (["photos/Boxer"], 1, "in no label's folder"),
        (["photos", "--remove", "ugly"], 2, "--remove names ugly"),
        (["photos", "--remove", "thin_label"], 2, "--remove names thin_label"),
        (["photos", "--apply", "clean"], 2, "--apply is clean"),
        (["photos", "--decisions", "x.csv"], 2, "--decisions says what to remove"),
        (["photos", "--verify"], 2, "--verify needs an index"),
        (["photos", "--to", "photos/Boxer/0.jpg"], 1, "is not a folder"),
        (["photos", "--to", "photos/Boxer/0.jpg/x"], 1, "is not a folder"),
        (["photos", "--bundle", "nothing"], 1, "is not a bundle"),
        (["photos", "--bundle", "b", "--resize", "crop"], 2, "--bundle and --resize"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    photos: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert audit(*words) == code
    err = capsys.readouterr().err
    assert said in err
    assert "\nfix: " in err
    assert not Path("audit").exists()


def test_the_audited_index_is_not_written_over(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index", "photos", "--to", "d.csv"])
    before = Path("d.csv").read_bytes()
    assert audit("d.csv", "--apply", "./d.csv") == 2
    assert Path("d.csv").read_bytes() == before


def test_an_index_whose_photos_vanished_is_refused_or_named(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index", "photos", "--to", "d.csv"])
    for file in photos.rglob("*.jpg"):
        file.unlink()
    assert audit("d.csv") == 1
    assert "Missing files" in capsys.readouterr().out
    shutil.rmtree(photos)
    assert audit("d.csv") == 1
    assert "no longer there" in capsys.readouterr().err


def test_a_folder_without_a_readable_photo_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("a", "b"):
        Path("photos", label).mkdir(parents=True)
        Path("photos", label, "x.jpg").write_bytes(b"GIF89a and no more")
    audit("photos")
    assert "2 that cannot be read" in capsys.readouterr().out
    assert "None of the files can be read" in Path("audit/index.html").read_text(encoding="utf-8")


def test_one_label_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "only").mkdir()
    scene(1).save(tmp_path / "only" / "x.jpg")
    assert audit(str(tmp_path)) == 1
    assert "one label only" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux to see threads")
def test_ctrl_c_leaves_nothing_half_written(photos: Path) -> None:
    """Sent as soon as its threads read photos."""
    for n in range(3000):
        os.link("photos/Boxer/0.jpg", f"photos/Boxer/link{n}.jpg")
    run = subprocess.Popen(
        [sys.executable, "-m", "kennel", "audit", "photos", "--no-labels"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not Path(f"/proc/{run.pid}/task").exists() and time.monotonic() < deadline:
        pass
    while run.poll() is None and time.monotonic() < deadline:
        threads = len(list(Path(f"/proc/{run.pid}/task").glob("*")))
        if threads > min(2, usable_cores()):  # they are reading
            run.send_signal(signal.SIGINT)
            break
    out, err = run.communicate(timeout=60)
    if run.returncode == 130:
        assert "nothing was left half-written" in err
        assert out == ""
        assert not Path("audit").exists() or not list(Path("audit").glob(".*"))
    else:
        pytest.fail(f"ended with {run.returncode} before Ctrl-C came: {err}")
