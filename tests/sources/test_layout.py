"""From an archive to a folder a label."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from archives import DOGS, PHOTO, link, tarred, zipped

from kennel.folders import find_photos
from kennel.sources import FetchError
from kennel.sources.archive import Limits
from kennel.sources.catalogue import SOURCES, Source, source_of_url
from kennel.sources.layout import Unpacked, unpack

ANY = source_of_url("https://example.com/dogs.zip")


def laid_out(
    tmp_path: Path, archive: bytes | Mapping[str, bytes], source: Source = ANY
) -> tuple[list[str], Unpacked]:
    """Paths of what was written, and what was counted."""
    content = archive if isinstance(archive, bytes) else zipped(archive)
    (tmp_path / "archive").write_bytes(content)
    into = tmp_path / "into"
    into.mkdir()
    unpacked = unpack(tmp_path / "archive", into=into, source=source, limits=Limits())
    done = into / "done"
    files = sorted(path for path in done.rglob("*") if path.is_file())
    return [path.relative_to(done).as_posix() for path in files], unpacked


def photos(*names: str) -> dict[str, bytes]:
    return dict.fromkeys(names, PHOTO)


# the sets that have a name


def test_oxford_pets_takes_the_label_from_the_file_name(tmp_path: Path) -> None:
    members = {
        **photos("images/Abyssinian_1.jpg", "images/Egyptian_Mau_191.jpg", "images/pug_2.jpg"),
        **photos("images/._pug_2.jpg", "images/odd.jpg"),
        "images/Abyssinian_100.mat": b"",
    }
    files, unpacked = laid_out(tmp_path, tarred(members), SOURCES["oxford-pets"])
    assert files == [
        "Abyssinian/Abyssinian_1.jpg",
        "Egyptian_Mau/Egyptian_Mau_191.jpg",
        "pug/pug_2.jpg",
    ]
    assert unpacked.photos == {"Abyssinian": 1, "Egyptian_Mau": 1, "pug": 1}
    assert unpacked.left_out == {
        "hidden files": 1,
        "other files": 1,
        "photos in no label's folder": 1,
    }


@pytest.mark.parametrize(
    ("name", "wnid", "label"),
    [
        ("imagewoof", "n02088364", "beagle"),
        ("imagewoof-160", "n02111889", "Samoyed"),
        ("imagenette", "n03000684", "chain_saw"),
    ],
)
def test_imagewoof_and_imagenette_get_readable_labels_and_keep_their_splits(
    tmp_path: Path, name: str, wnid: str, label: str
) -> None:
    members = photos(f"{name}2/train/{wnid}/{wnid}_1.JPEG", f"{name}2/val/{wnid}/{wnid}_2.JPEG") | {
        f"{name}2/noisy_{name}.csv": b"path,noisy_labels_0",
        f"{name}2/.DS_Store": b"",
    }
    files, unpacked = laid_out(tmp_path, tarred(members), SOURCES[name])
    assert files == [f"train/{label}/{wnid}_1.JPEG", f"validation/{label}/{wnid}_2.JPEG"]
    assert unpacked.photos == {label: 2}


def test_stanford_dogs_drops_the_wordnet_id(tmp_path: Path) -> None:
    names = ["n02085620-Chihuahua/n02085620_7.jpg", "n02099429-curly-coated_retriever/n0_1.jpg"]
    members = photos(*(f"Images/{name}" for name in names))
    files, _ = laid_out(tmp_path, tarred(members, ""), SOURCES["stanford-dogs"])
    assert files == ["Chihuahua/n02085620_7.jpg", "curly-coated_retriever/n0_1.jpg"]


def test_every_set_says_its_licence_and_can_be_checked_or_says_that_it_cannot() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence
        assert source.terms
        assert source.homepage.startswith("http")
        checksum = source.sha256 or source.md5
        assert (checksum is None) == (source.bytes is None) == (name == "kaggle-dogs")
        assert len(checksum or "0" * 64) in (32, 64)
        assert source.url.startswith("https://") or source.sha256


# any archive


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["x/y/a/1.jpg", "x/y/b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["x/ab/1.jpg", "x/ac/1.jpg"], ["ab/1.jpg", "ac/1.jpg"]),
        (["x/a/1.jpg"], ["a/1.jpg"]),
        (["x/a/1.jpg", "x/a/deep/2.jpg"], ["a/1.jpg", "a/deep/2.jpg"]),
        (["x/train/a/1.jpg", "x/test/b/1.jpg"], ["test/b/1.jpg", "train/a/1.jpg"]),
    ],
)
def test_folders_above_the_labels_go(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    assert laid_out(tmp_path, photos(*names))[0] == expected


def test_what_is_laid_out_is_what_the_index_reads(tmp_path: Path) -> None:
    _, unpacked = laid_out(
        tmp_path, photos("x/train/a/1.jpg", "x/train/b/1.jpg", "x/val/a/2.jpg", "x/val/b/2.jpg")
    )
    found = find_photos(tmp_path / "into" / "done")
    assert found.presplit
    assert unpacked.photos == {"a": 2, "b": 2}
    assert sorted(photo.label for photo in found.photos) == ["a", "a", "b", "b"]


def test_only_photos_and_what_is_said_of_them_is_written(tmp_path: Path) -> None:
    rest = {
        "dogs/model.pkl": b"!",
        "dogs/run.sh": b"!",
        "dogs/.git/config.jpg": b"!",
        "__MACOSX/dogs/Beagle/1.jpg": b"!",
        "dogs/more/LICENSE.txt": b"another",
        "dogs/README.md": b"x" * (2 << 20),
    }
    files, unpacked = laid_out(tmp_path, DOGS | rest)
    assert files == ["Beagle/1.jpg", "Beagle/2.JPEG", "Boxer/1.png", "LICENSE.txt"]
    assert (tmp_path / "into" / "done" / "LICENSE.txt").read_bytes() == b"do as you like"
    assert unpacked.photos == {"Beagle": 2, "Boxer": 1}
    assert unpacked.left_out == {"hidden files": 2, "other files": 4}


def test_links_are_left_out_and_a_folder_that_was_a_link_is_a_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tarred(
        photos("b/1.jpg", "a/1.jpg"), "", link("a", str(outside)), link("b/2.jpg", "/etc/passwd")
    )
    # The link to a folder first, as an attacker has it.
    members = archive[2 * 1024 : 2 * 1024 + 512] + archive
    files, unpacked = laid_out(tmp_path, members)
    assert files == ["a/1.jpg", "b/1.jpg"]
    assert unpacked.left_out == {"links and devices": 3}
    assert list(outside.iterdir()) == []


def test_names_that_cannot_be_indexed_are_left_out(tmp_path: Path) -> None:
    names = photos("a/1.jpg", "b/1.jpg", "b/new\nline.jpg", "b/\udcff.jpg")
    _, unpacked = laid_out(tmp_path, tarred(names))
    assert unpacked.photos == {"a": 1, "b": 1}
    assert unpacked.left_out == {"names with control characters or not in UTF-8": 2}


@pytest.mark.parametrize(
    "names",
    [
        ["a/1.jpg", "A/1.jpg"],
        ["a/1.jpg", "a/1.JPG"],
        ["a/1.jpg", "A/2.jpg"],
        [unicodedata.normalize(form, "a/é.jpg") for form in ("NFC", "NFD")],
        ["a/1.jpg", "a/1.jpg/2.jpg"],
        ["a/1.jpg/2.jpg", "a/1.jpg"],
    ],
)
def test_two_names_that_some_disk_takes_for_one_are_refused(
    tmp_path: Path, names: list[str]
) -> None:
    with pytest.raises(FetchError, match="one name, on some disks"):
        laid_out(tmp_path, photos(*names))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a/1.jpg", PHOTO)
        archive.writestr("a/1.jpg", b"another")
    with pytest.raises(FetchError, match=r"'a/1.jpg' and 'a/1.jpg'"):
        laid_out(tmp_path, twice.getvalue())


def test_an_archive_without_photos_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no photos, but 2 other files"):
        laid_out(tmp_path, {"a.csv": b"", "b.csv": b""})


def test_photos_in_no_folder_have_no_label(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="2 photos of the archive lie in no folder"):
        laid_out(tmp_path, photos("1.jpg", "2.jpg", "a/3.jpg"))
