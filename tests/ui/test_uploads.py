"""Many photos at once: what was dropped, a stranger's zips, rows, and the table to take home."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from pathlib import Path

import pytest
from archives import zipped
from bundles import tiny_bundle
from PIL import Image

from kennel.bundle import Bundle
from kennel.errors import PhotoError
from kennel.ui.answers import Answers
from kennel.ui.several import HEADERS, Row, cells, rows_of, write_csv
from kennel.ui.uploads import Upload, photos_of, shown_name
from kennel.ui.zips import MOST_ENTRIES, ZipError, open_zip


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def png(colour: str | tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(file, "PNG")
    return file.getvalue()


def upload(folder: Path, name: str, content: bytes) -> Upload:
    path = folder / f"{len(list(folder.iterdir()))}.bin"
    path.write_bytes(content)
    return Upload(name, path)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def answered(bundle: Bundle, *uploads: Upload) -> dict[str, Row]:
    return {row.name: row for row in rows_of(Answers(bundle), photos_of(uploads).photos)}


def test_photos_and_zips_become_one_table_and_broken_ones_are_named_in_their_row(
    bundle: Bundle, drop: Path
) -> None:
    inside = {"a/blue.png": png("blue"), "a/cut.png": png("blue")[:40], "a/readme.txt": b"hi"}
    uploads = [
        upload(drop, "red.png", png("red")),
        upload(drop, "dogs.zip", zipped(inside)),
        upload(drop, "text.jpg", b"no photo"),
    ]
    rows = answered(bundle, *uploads)
    assert list(rows) == ["red.png", "dogs.zip/a/blue.png", "dogs.zip/a/cut.png", "text.jpg"]
    assert rows["red.png"].answer == Answers(bundle)(png("red")).answer
    assert rows["dogs.zip/a/blue.png"].answer is not None
    assert "cannot be decoded" in rows["dogs.zip/a/cut.png"].error
    assert "is not a photo" in rows["text.jpg"].error
    assert photos_of(uploads).others == 1
    assert all(len(cells(row)) == len(HEADERS) for row in rows.values())


def test_one_at_a_time_and_many_at_once_give_the_same_answers(bundle: Bundle, drop: Path) -> None:
    colours = [(n * 9 % 256, n * 31 % 256, n * 77 % 256) for n in range(20)]
    uploads = [upload(drop, f"{n}.png", png(colour)) for n, colour in enumerate(colours)]
    ask = Answers(bundle)
    for n, row in enumerate(rows_of(ask, photos_of(uploads).photos)):
        assert row.answer == ask(png(colours[n])).answer


def test_the_csv_has_the_columns_of_predict_and_no_formula(bundle: Bundle, drop: Path) -> None:
    names = ["=cmd|' /C calc'!A0.png", "plain.png", 'a,"b".png', " +1.png"]
    rows = answered(bundle, *[upload(drop, name, png("red")) for name in names])
    file = io.StringIO()
    broken = Row("cut.png", None, "the photo is cut off")
    write_csv(file, [*rows.values(), broken], bundle_id=bundle.bundle_id)
    back = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert list(back[0]) == [
        *("path", "label", "probability", "known", "label_2", "probability_2"),
        *("label_3", "probability_3", "among", "bundle", "error"),
    ]
    assert [row["path"] for row in back] == [
        f"./{names[0]}",
        *names[1:3],
        f"./{names[3]}",
        "cut.png",
    ]
    answer = rows["plain.png"].answer
    assert answer is not None
    assert float(back[1]["probability"]) == answer.probability
    assert back[1]["known"] == "true"
    assert back[4]["error"] == "the photo is cut off"


def test_more_photos_than_the_limit_are_refused_in_words(drop: Path) -> None:
    uploads = [upload(drop, f"{n}.png", b"x") for n in range(5)]
    dropped = photos_of(uploads, most_photos=3)
    assert [photo.name for photo in dropped.photos] == ["0.png", "1.png", "2.png"]
    assert "From 3.png on, nothing is answered" in dropped.refused[0]
    packed = upload(drop, "dogs.zip", zipped({f"{n}.png": b"x" for n in range(4)}))
    assert "holds 4 photos; at most 3" in photos_of([packed], most_photos=3).refused[0]


def test_a_name_cannot_turn_round_or_hide_what_follows() -> None:
    assert shown_name("a\u202egnp.exe\nb\0") == "a?gnp.exe?b?"
    assert len(shown_name("x" * 5000)) == 240


# zips of strangers


def zip_file(folder: Path, content: bytes) -> Path:
    (folder / "z.zip").write_bytes(content)
    return folder / "z.zip"


def opened(folder: Path, content: bytes) -> dict[str, bytes | str]:
    """What each photo of a zip gives: its bytes, or why it is refused."""
    found: dict[str, bytes | str] = {}
    for photo in open_zip(zip_file(folder, content), name="z.zip", most_photos=1000).photos:
        try:
            found[photo.name] = photo.load()
        except PhotoError as error:
            found[photo.name] = error.message
    return found


def test_a_bomb_is_refused_by_its_directory_before_anything_is_unpacked(tmp_path: Path) -> None:
    bomb = zipped({"zeros.png": bytes(100 << 20)})
    assert len(bomb) < 1 << 20
    with pytest.raises(ZipError, match="photos do not"):
        open_zip(zip_file(tmp_path, bomb), name="z.zip", most_photos=1000)


def test_a_zip_that_lies_about_its_sizes_gives_no_more_than_it_says(tmp_path: Path) -> None:
    content = bytearray(zipped({"zeros.png": bytes(1 << 20)}))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    found = opened(tmp_path, bytes(content))["zeros.png"]
    assert len(found) <= 1000 or isinstance(found, str)


def test_a_directory_of_very_many_entries_is_refused_unread(tmp_path: Path) -> None:
    few = io.BytesIO()
    with zipfile.ZipFile(few, "w") as archive:
        for n in range(MOST_ENTRIES + 1):
            archive.writestr(f"{n}", b"")
    with pytest.raises(ZipError, match="10,001 files"):
        open_zip(zip_file(tmp_path, few.getvalue()), name="z.zip", most_photos=1000)
    # A directory that says of itself that it is long: nothing of it is held in memory.
    long = bytes(6 << 20) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 5 << 20, 1 << 20, 0)
    with pytest.raises(ZipError, match="its directory is longer than"):
        open_zip(zip_file(tmp_path, b"PK\x03\x04" + long), name="z.zip", most_photos=1000)


def test_names_that_lead_out_links_and_zips_within_zips_are_named_and_not_opened(
    tmp_path: Path,
) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("../../evil.png", "/etc/evil.png", "C:/evil.png", "good.png"):
            archive.writestr(name, png("red"))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("more.zip", zipped({"x.png": png("red")}))
        squeezed = zipfile.ZipInfo("lzma.png")
        squeezed.compress_type = zipfile.ZIP_LZMA
        archive.writestr(squeezed, png("red"))
        archive.writestr("__MACOSX/._good.png", b"notes")
    found = opened(tmp_path, made.getvalue())
    assert found.pop("good.png") == png("red")
    assert {name: str(reason).removeprefix("the photo ") for name, reason in found.items()} == {
        "../../evil.png": "has a name that leads out of the zip.",
        "/etc/evil.png": "has a name that leads out of the zip.",
        "C:/evil.png": "has a name that leads out of the zip.",
        "link.png": "is a link, or something else that is no file.",
        "more.zip": "is a zip within a zip, which is not opened.",
        "lzma.png": "is compressed in a way that is not read.",
    }
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["z.zip"]


def test_encrypted_and_damaged_photos_are_named_in_their_row(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.png": png("red"), "b.png": png("blue") * 50}))
    first, second = (content.index(b"PK\x01\x02"), content.rindex(b"PK\x01\x02"))
    content[first + 8] |= 1
    start = struct.unpack_from("<I", content, second + 42)[0]
    content[start + 40 : start + 60] = bytes(20)
    found = opened(tmp_path, bytes(content))
    assert found["a.png"] == "the photo is encrypted."
    assert "cannot be unpacked" in str(found["b.png"])


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_zip_that_is_cut_off_is_refused_in_words(keep: float, tmp_path: Path) -> None:
    content = zipped({f"{n}.png": png("red") for n in range(9)})
    with pytest.raises(ZipError, match="no whole zip"):
        opened(tmp_path, content[: int(len(content) * keep)])
