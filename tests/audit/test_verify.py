"""`verify`: every changed byte is found, whatever the file's size and time say."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from scenes import labelled_scenes

from kennel.audit import verify
from kennel.dataset import Dataset
from kennel.index import index_photos


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return index_photos(labelled_scenes(tmp_path / "photos"), to=tmp_path / "d.csv").dataset


def test_photos_as_they_were_indexed_are_whole(dataset: Dataset) -> None:
    seen: list[Path] = []
    checked = verify(dataset, on_photo=seen.append)
    assert checked.whole
    assert (checked.n, checked.missing, checked.changed, checked.extra) == (18, (), (), ())
    assert checked.bytes == sum(dataset.file(photo).stat().st_size for photo in dataset.photos)
    assert seen == [dataset.file(photo) for photo in dataset.photos]


def test_single_flipped_bits_are_found_with_size_and_time_kept(dataset: Dataset) -> None:
    rng = random.Random(0)
    for trial in range(40):
        photo = dataset.photos[trial % len(dataset.photos)]
        file = dataset.file(photo)
        content, before = file.read_bytes(), file.stat()
        at = rng.randrange(len(content))
        flipped = bytes([content[at] ^ (1 << rng.randrange(8))])
        file.write_bytes(content[:at] + flipped + content[at + 1 :])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = file.stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        checked = verify(dataset)
        assert (checked.changed, checked.whole) == ((photo.path,), False)
        file.write_bytes(content)


def test_missing_files_and_extra_ones_are_named(dataset: Dataset) -> None:
    lost, replaced = dataset.photos[0], dataset.photos[1]
    dataset.file(lost).unlink()
    dataset.file(replaced).unlink()
    dataset.file(replaced).mkdir()
    (dataset.photos_dir / "Boxer" / "new.jpg").write_bytes(
        dataset.file(dataset.photos[2]).read_bytes()
    )
    checked = verify(dataset)
    assert checked.missing == (lost.path, replaced.path)
    assert checked.extra == ("Boxer/new.jpg",)
    assert not checked.whole


def test_an_extra_file_changes_no_result(dataset: Dataset) -> None:
    """Photos that an audit removed from the index still lie there."""
    (dataset.photos_dir / "Boxer" / "new.jpg").write_bytes(b"anything")
    assert verify(dataset).whole


def test_photos_that_are_all_gone_are_all_missing(dataset: Dataset) -> None:
    for photo in dataset.photos:
        dataset.file(photo).unlink()
    assert len(verify(dataset).missing) == 18
