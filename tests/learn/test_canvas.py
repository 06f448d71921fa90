"""Photos decoded once: what is read is the same as without a cache, or is not read."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from awkward import awkward_photos, broken_photos
from PIL import Image

from kennel.bundle import Preprocess
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError, PhotoError
from kennel.images import fit, open_photo, working_short_side
from kennel.learn.canvas import Form, PhotoRows, fill_caches

SEES = [
    Preprocess(size=24, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resize="crop"),
    Preprocess(size=24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="letterbox"),
    Preprocess(size=24, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash"),
]
PLENTY = 2**30


def dataset_of(files: list[Path]) -> Dataset:
    """An index of these files, all for training."""
    root = files[0].parent
    photos = tuple(
        Photo(file.name, "Beagle", "train", sha256(file.read_bytes()).hexdigest(), "g")
        for file in sorted(files)
    )
    return Dataset(
        csv=root / "dataset.csv",
        photos_dir=root,
        labels=("Beagle",),
        photos=photos,
        fractions=None,
        seed=0,
        dataset_id="d" * 64,
    )


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(list(awkward_photos(tmp_path_factory.mktemp("awkward")).values()))


@pytest.fixture
def few(tmp_path: Path) -> Dataset:
    """Eight soft pictures of 60 x 45, as JPEG files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    files = []
    for number in range(8):
        coarse = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((60, 45), Image.Resampling.BICUBIC)
        files.append(folder / f"{number}.jpg")
        picture.save(files[-1], quality=95)
    return dataset_of(files)


def rows_of(dataset: Dataset, form: Form, cache: Path | None, max_bytes: int = PLENTY) -> PhotoRows:
    rows = PhotoRows(dataset, dataset.photos, form)
    if cache is not None:
        fill_caches([rows], cache_dir=cache, max_bytes=max_bytes)
    return rows


def pixels_of(rows: PhotoRows, **more: int) -> np.ndarray:
    return rows.read(range(len(rows)), **more)[0]


# the two forms


@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_the_exact_form_is_what_every_door_sees_also_from_the_cache(
    preprocess: Preprocess, awkward: Dataset, tmp_path: Path
) -> None:
    at_least = working_short_side(preprocess)
    expected = [
        fit(open_photo(awkward.file(p), at_least=at_least, fill=preprocess.fill), preprocess)
        for p in awkward.photos
    ]
    for cache in (None, tmp_path):
        rows = rows_of(awkward, Form(preprocess), cache)
        np.testing.assert_array_equal(pixels_of(rows), np.stack(expected))


def test_the_room_form_is_the_whole_photo_and_its_true_shape(
    awkward: Dataset, tmp_path: Path
) -> None:
    form = Form(SEES[0], room=1.25)
    pixels, sizes = rows_of(awkward, form, tmp_path).read(range(len(awkward.photos)))
    squashed = replace(SEES[0], size=30, resize="squash")
    for photo, kept, (width, height) in zip(awkward.photos, pixels, sizes, strict=True):
        picture = open_photo(awkward.file(photo), fill=squashed.fill)
        assert width / height == pytest.approx(picture.width / picture.height, rel=1e-9)
        difference = kept.astype(int) - fit(picture, squashed)
        # Large JPEGs are decoded at a smaller scale.
        assert np.abs(difference).mean() < 3, photo.path


@pytest.mark.parametrize("packing", ["raw", "png", "jpeg"])
@pytest.mark.parametrize("room", [None, 1.25])
def test_what_is_read_is_the_same_without_the_cache(
    packing: str, room: float | None, few: Dataset, tmp_path: Path
) -> None:
    form = Form(SEES[1], room=room)
    raw = form.raw_bytes * len(few.photos)
    cached = rows_of(few, form, tmp_path / "cache", raw if packing == "raw" else raw - 1)
    lossy = room is not None
    assert cached.form.packing == ("raw" if packing == "raw" else "jpeg" if lossy else "png")
    with_cache = pixels_of(cached)
    assert cached.shelf is not None
    assert not cached.shelf.missing(p.sha256 for p in few.photos)
    np.testing.assert_array_equal(with_cache, pixels_of(rows_of(few, cached.form, None)))
    np.testing.assert_array_equal(with_cache, pixels_of(cached, threads=3))


def test_packed_rows_are_the_photo_still(few: Dataset, tmp_path: Path) -> None:
    room = pixels_of(rows_of(few, Form(SEES[1], room=4.0), None)).astype(int)
    jpeg = pixels_of(rows_of(few, Form(SEES[1], room=4.0, packing="jpeg"), None))
    assert np.abs(room - jpeg).mean() < 1.5
    exact = Form(SEES[1])
    np.testing.assert_array_equal(
        pixels_of(rows_of(few, exact, None)),
        pixels_of(rows_of(few, replace(exact, packing="png"), None)),
    )


# what names a cache, and what fits into it


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_the_cache_is_named_by_all_that_pixels_depend_on_and_by_nothing_else(
    few: Dataset, tmp_path: Path
) -> None:
    forms = [
        Form(SEES[0]),
        Form(replace(SEES[0], crop=0.5)),
        Form(replace(SEES[0], size=32)),
        Form(replace(SEES[0], filter="lanczos")),
        Form(replace(SEES[0], fill=(0, 0, 0))),
        Form(SEES[1]),
        Form(SEES[0], room=1.25),
        Form(SEES[0], room=1.5),
    ]
    for number, form in enumerate(forms, start=1):
        rows_of(few, form, tmp_path / "cache")
        assert len(folders(tmp_path / "cache")) == number
    rows_of(few, Form(replace(SEES[0], mean=(0.1, 0.1, 0.1))), tmp_path / "cache")
    rows_of(few, Form(SEES[1], room=1.25), tmp_path / "cache")  # any resize rule: the whole photo
    assert len(folders(tmp_path / "cache")) == len(forms)


def test_only_photos_that_are_new_are_decoded(few: Dataset, tmp_path: Path) -> None:
    made: list[Path] = []
    found: list[int] = []
    for photos in (few.photos[:5], few.photos, few.photos, (few.photos[0],) * 3):
        rows = PhotoRows(few, photos, Form(SEES[0]))
        fill_caches(
            [rows],
            cache_dir=tmp_path / "cache",
            max_bytes=PLENTY,
            on_found=found.append,
            on_photo=made.append,
        )
    assert found == [5, 3]
    assert made == [few.file(photo) for photo in few.photos]


def test_the_split_that_is_named_first_is_served_first(few: Dataset, tmp_path: Path) -> None:
    exact, room = (PhotoRows(few, few.photos, form) for form in (Form(SEES[0]), Form(SEES[0], 1.5)))
    budget = (exact.form.raw_bytes + room.form.raw_bytes) * len(few.photos) - 1
    fill_caches([exact, room], cache_dir=tmp_path / "cache", max_bytes=budget)
    assert (exact.form.packing, room.form.packing) == ("raw", "jpeg")


def test_what_does_not_fit_is_read_from_the_photos(
    few: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kennel.cache.FEWEST_ROWS", 2)
    monkeypatch.setattr("kennel.cache.MOST_FILES", 4)
    rows = rows_of(few, Form(SEES[0], room=1.5), tmp_path / "cache", max_bytes=3000)
    assert rows.shelf is not None
    missing = rows.shelf.missing(p.sha256 for p in few.photos)
    assert 0 < len(missing) < len(few.photos)
    assert "data.cache.max_gib is reached" in caplog.text
    np.testing.assert_array_equal(pixels_of(rows), pixels_of(rows_of(few, rows.form, None)))


def test_a_full_cache_takes_no_more_from_run_to_run(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kennel.cache.FEWEST_ROWS", 2)
    monkeypatch.setattr("kennel.cache.MOST_FILES", 4)
    form = Form(SEES[0], room=1.5)
    for budget, files in ((0, 0), (form.raw_bytes, 1), (form.raw_bytes, 1)):
        found: list[int] = []
        before = list((tmp_path / "cache").rglob("*.rows"))
        rows = PhotoRows(few, few.photos, form)
        fill_caches([rows], cache_dir=tmp_path / "cache", max_bytes=budget, on_found=found.append)
        assert len(list((tmp_path / "cache").rglob("*.rows"))) == files
        assert rows.shelf is not None
        kept = [p.sha256 for p in few.photos if p.sha256 in rows.shelf]
        assert sum(map(rows.shelf.length, kept)) <= budget
        assert found == ([len(few.photos)] if files > len(before) else [])


# what is refused, and what is survived


def test_a_photo_that_changed_since_it_was_indexed_is_refused(few: Dataset, tmp_path: Path) -> None:
    few.file(few.photos[2]).write_bytes(few.file(few.photos[3]).read_bytes())
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(DatasetError, match=r"2\.jpg changed since it was indexed") as refused:
            pixels_of(rows_of(few, Form(SEES[0]), cache))
        assert "kennel index" in refused.value.fix
    assert not list((tmp_path / "cache").rglob("*.rows"))


def test_a_photo_that_cannot_be_read_is_named_and_leaves_no_rows(tmp_path: Path) -> None:
    broken = broken_photos(tmp_path / "photos")["cut_off.jpeg"]
    with pytest.raises(PhotoError, match=r"cut_off\.jpeg"):
        rows_of(dataset_of([broken]), Form(SEES[0]), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.rows"))


def test_a_flipped_byte_is_found_and_the_photo_read_instead(
    few: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    expected = pixels_of(rows_of(few, Form(SEES[0]), cache))
    [path] = cache.rglob("*.rows")
    whole = bytearray(path.read_bytes())
    whole[1000] ^= 4
    path.write_bytes(whole)
    rows = rows_of(few, Form(SEES[0]), cache)
    np.testing.assert_array_equal(pixels_of(rows), expected)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "0.jpg is damaged" in caplog.text
    np.testing.assert_array_equal(pixels_of(rows_of(few, Form(SEES[0]), cache)), expected)
    assert path.exists()  # made again
    assert len(caplog.records) == 1


def test_readers_in_other_processes_get_the_cache_by_name(few: Dataset, tmp_path: Path) -> None:
    rows = rows_of(few, Form(SEES[0]), tmp_path / "cache")
    expected = pixels_of(rows)
    for photo in few.photos:
        few.file(photo).unlink()
    packed = pickle.dumps(rows)
    assert len(packed) < 10_000
    np.testing.assert_array_equal(pixels_of(pickle.loads(packed)), expected)


def test_two_processes_that_fill_a_cache_at_once_make_the_same_one(
    few: Dataset, tmp_path: Path
) -> None:
    script = """
import pickle, sys
from pathlib import Path
from kennel.learn.canvas import fill_caches
rows = pickle.loads(sys.stdin.buffer.read())
print("ready", flush=True)
fill_caches([rows], cache_dir=Path(sys.argv[1]), max_bytes=2**30)
sys.stdout.buffer.write(rows.read(range(len(rows)))[0].tobytes())
"""
    rows = PhotoRows(few, few.photos, Form(SEES[0], room=2.0))
    command = [sys.executable, "-c", script, str(tmp_path / "cache")]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(rows))
        process.stdin.close()
        process.stdin = None
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    expected = b"ready\n" + pixels_of(rows).tobytes()
    assert outputs == [expected, expected]
    assert len(list((tmp_path / "cache").rglob("*.rows"))) == 1
    assert not list((tmp_path / "cache").rglob("*.part"))
