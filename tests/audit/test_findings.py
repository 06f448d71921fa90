"""What `kennel audit` finds, and what it leaves alone. Faults are planted among clean pictures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scenes import labelled_scenes, scene, split_scenes

from kennel.audit import (
    Audit,
    LabelCheck,
    check_labels,
    find_pictures,
    judge,
    measure_photos,
    read_subject,
)
from kennel.audit.findings import Thresholds, plain
from kennel.audit.kinds import DEFAULT_REMOVED
from kennel.dataset import Dataset, Photo
from kennel.index import index_photos

FEW = Thresholds(thin=0)  # a dozen pictures a label would all be thin


def audited(
    asked: Path,
    *,
    remove: Sequence[str] = DEFAULT_REMOVED,
    resize: str = "letterbox",
    thresholds: Thresholds = FEW,
) -> Audit:
    subject = read_subject(asked)
    measures = measure_photos([subject.file(photo) for photo in subject.photos])
    return judge(
        subject,
        measures,
        find_pictures(measures),
        LabelCheck(skipped="not asked for"),
        preprocess=plain(resize),  # type: ignore[arg-type]
        seed=0,
        versions={},
        remove=remove,
        thresholds=thresholds,
    )


def paths(audit: Audit, kind: str) -> list[tuple[str, ...]]:
    return [finding.paths for finding in audit.of_kind(kind)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return labelled_scenes(tmp_path / "photos")


@pytest.fixture
def index(photos: Path, tmp_path: Path) -> Path:
    return index_photos(photos, to=tmp_path / "dataset.csv").dataset.csv


def test_clean_photos_give_no_finding(photos: Path) -> None:
    audit = audited(photos)
    assert audit.findings == ()
    assert (audit.files, audit.distinct, audit.wrong) == (18, 18, False)
    assert audit.removed == {}


def test_a_truncated_file_and_one_that_is_no_photo_are_unreadable(photos: Path) -> None:
    whole = photos / "Boxer" / "0.jpg"
    whole.write_bytes(whole.read_bytes()[:900])
    (photos / "Beagle" / "page.png").write_text("<!doctype html>")
    (photos / "Beagle" / "empty.jpg").touch()
    audit = audited(photos)
    assert paths(audit, "unreadable") == [
        ("Beagle/empty.jpg",),
        ("Beagle/page.png",),
        ("Boxer/0.jpg",),
    ]
    assert not audit.wrong, "a folder promises no file"
    assert audit.removed["Boxer/0.jpg"] == "unreadable"


def test_a_listed_file_that_is_missing_changed_or_broken_is_an_error(
    photos: Path, index: Path
) -> None:
    (photos / "Beagle/0.jpg").unlink()
    scene(77).save(photos / "Beagle/1.jpg")
    (photos / "Beagle/2.jpg").write_bytes(b"\xff\xd8\xff")
    audit = audited(index)
    assert paths(audit, "missing") == [("Beagle/0.jpg",)]
    assert paths(audit, "changed") == [("Beagle/1.jpg",), ("Beagle/2.jpg",)]
    assert paths(audit, "unreadable") == [("Beagle/2.jpg",)]
    assert audit.wrong
    assert {"Beagle/0.jpg", "Beagle/1.jpg", "Beagle/2.jpg"} == set(audit.removed)


def test_exact_and_near_copies_are_told_apart(photos: Path) -> None:
    shutil.copy(photos / "Boxer/3.jpg", photos / "Boxer/3_again.jpg")
    small = scene(204).resize((48, 36))
    small.save(photos / "Poodle/4_small.jpg")
    audit = audited(photos)
    assert paths(audit, "exact_copy") == [("Boxer/3.jpg", "Boxer/3_again.jpg")]
    assert paths(audit, "near_copy") == [("Poodle/4.jpg", "Poodle/4_small.jpg")]
    assert (audit.files, audit.pictures.contents, audit.distinct) == (20, 19, 18)
    assert audit.removed == {
        "Boxer/3_again.jpg": "exact_copy",
        "Poodle/4_small.jpg": "near_copy",
    }


def test_the_best_copy_is_kept(photos: Path) -> None:
    """Most pixels, and the first path only among equals."""
    scene(204, (192, 144)).save(photos / "Poodle/z_large.jpg", quality=95)
    audit = audited(photos)
    assert audit.removed == {"Poodle/4.jpg": "near_copy"}


def test_one_picture_under_two_labels_goes_altogether(photos: Path) -> None:
    shutil.copy(photos / "Boxer/0.jpg", photos / "Poodle/boxer.jpg")
    shutil.copy(photos / "Boxer/0.jpg", photos / "Boxer/again.jpg")
    audit = audited(photos)
    (finding,) = audit.of_kind("two_labels")
    assert finding.paths == ("Boxer/0.jpg", "Boxer/again.jpg", "Poodle/boxer.jpg")
    assert finding.severity == "error"
    assert "as Boxer and as Poodle" in finding.detail
    assert set(audit.removed) == set(finding.paths)
    assert set(audit.removed.values()) == {"two_labels"}


def test_a_picture_under_two_labels_is_left_alone_where_that_is_no_reason_to_remove(
    photos: Path,
) -> None:
    shutil.copy(photos / "Boxer/0.jpg", photos / "Poodle/boxer.jpg")
    assert audited(photos, remove=("exact_copy", "near_copy")).removed == {}


def test_a_leak_is_an_error_and_test_keeps_the_picture(tmp_path: Path) -> None:
    photos = split_scenes(tmp_path / "photos")
    shutil.copy(photos / "train/Boxer/0.jpg", photos / "test/Boxer/leak.jpg")
    scene(201).resize((48, 36)).save(photos / "test/Poodle/near.jpg")
    audit = audited(photos)
    assert paths(audit, "leak") == [
        ("test/Boxer/leak.jpg", "train/Boxer/0.jpg"),
        ("test/Poodle/near.jpg", "train/Poodle/1.jpg"),
    ]
    assert audit.wrong
    assert audit.removed == {"train/Boxer/0.jpg": "leak", "train/Poodle/1.jpg": "leak"}


def test_copies_that_an_index_keeps_together_are_no_leak(photos: Path, tmp_path: Path) -> None:
    for label in ("Beagle", "Boxer", "Poodle"):
        for n in range(6):
            shutil.copy(photos / label / f"{n}.jpg", photos / label / f"{n}_again.jpg")
    csv = index_photos(photos, to=tmp_path / "dataset.csv").dataset.csv
    audit = audited(csv)
    assert not audit.of_kind("leak")
    assert not audit.of_kind("random_leak")
    assert not audit.wrong
    assert len(audit.of_kind("exact_copy")) == 18


def test_a_folder_of_copies_would_leak_under_a_random_split(photos: Path) -> None:
    for label in ("Beagle", "Boxer", "Poodle"):
        for n in range(6):
            shutil.copy(photos / label / f"{n}.jpg", photos / label / f"{n}_again.jpg")
    audit = audited(photos)
    assert audit.leaking_share == pytest.approx(0.7)  # its one copy lies in train, or does not
    (finding,) = audit.of_kind("random_leak")
    assert "36 files show 18 pictures" in finding.detail
    assert audit.wrong


def test_odd_photos_are_found(photos: Path) -> None:
    odd = photos / "Boxer"
    Image.new("RGB", (96, 72), (90, 120, 40)).save(odd / "blank.jpg")
    scene(501, (300, 240)).filter(ImageFilter.GaussianBlur(5)).save(odd / "blurred.jpg")
    scene(502, (40, 60)).save(odd / "tiny.jpg")
    scene(503, (400, 100)).save(odd / "banner.jpg")
    Image.fromarray((np.asarray(scene(504)) * 0.12).astype(np.uint8)).save(odd / "night.png")
    Image.new("RGB", (1, 1), (9, 9, 9)).save(odd / "pixel.png")
    audit = audited(photos)
    assert paths(audit, "blank") == [("Boxer/blank.jpg",), ("Boxer/pixel.png",)]
    assert paths(audit, "blurred") == [("Boxer/blurred.jpg",)]
    assert paths(audit, "tiny") == [("Boxer/pixel.png",), ("Boxer/tiny.jpg",)]
    assert paths(audit, "extreme_aspect") == [("Boxer/banner.jpg",)]
    assert paths(audit, "exposure") == [("Boxer/night.png",)]
    assert not audit.wrong
    assert set(audit.removed) == {"Boxer/blank.jpg", "Boxer/pixel.png"}


def test_lost_area_follows_the_resize_rule(photos: Path) -> None:
    scene(505, (200, 100)).save(photos / "Boxer/wide.jpg")
    assert audited(photos).of_kind("lost_area") == []
    audit = audited(photos, resize="crop")
    assert paths(audit, "lost_area") == [("Boxer/wide.jpg",)]
    assert "38% of it is kept" in audit.of_kind("lost_area")[0].detail
    assert audit.lost == {"crop": 1, "letterbox": 0, "squash": 0}


def test_labels_are_thin_or_out_of_balance_by_distinct_pictures(photos: Path) -> None:
    for n in range(30):  # copies make no label larger
        shutil.copy(photos / "Boxer/0.jpg", photos / "Boxer" / f"copy{n}.jpg")
    limits = Thresholds(thin=7, imbalance=1.5)
    audit = audited(photos, thresholds=limits)
    assert [f.label for f in audit.of_kind("thin_label")] == ["Beagle", "Boxer", "Poodle"]
    assert audit.of_kind("imbalance") == []
    for n in range(6):
        scene(900 + n).save(photos / "Poodle" / f"more{n}.jpg")
    audit = audited(photos, thresholds=limits)
    (finding,) = audit.of_kind("imbalance")
    assert "Poodle has 12 distinct pictures, Beagle 6" in finding.detail


def test_zero_readable_photos_are_an_audit_and_not_a_crash(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.jpg").write_bytes(b"no photo")
    audit = audited(tmp_path)
    assert (audit.distinct, len(audit.of_kind("unreadable"))) == (0, 2)


def features_of_colour(dataset: Dataset, photos: Sequence[Photo]) -> np.ndarray:
    """What a backbone would give: here each label's scenes lie about a place of their own."""
    rng = np.random.default_rng(0)
    places = {"Beagle": 0, "Boxer": 1, "Poodle": 2}
    rows = rng.normal(0, 0.3, (len(photos), 16))
    for row, photo in zip(rows, photos, strict=True):
        row[places.get(photo.path.split("/")[1].split("_")[0], 0)] += 3
    return rows.astype(np.float32)


def features_of_folder(_: Dataset, photos: Sequence[Photo]) -> np.ndarray:
    """A backbone that sees which folder a photo lies in."""
    folders = ("Beagle", "Boxer", "Poodle")
    return np.array(
        [[p.path.startswith(f"{each}/") for each in folders] for p in photos], np.float32
    )


def test_a_wrong_label_is_found_with_its_copies_and_not_removed(tmp_path: Path) -> None:
    for row, label in enumerate(("Beagle", "Boxer", "Poodle")):
        (tmp_path / label).mkdir()
        for n in range(12):
            scene(100 * row + n).save(tmp_path / label / f"{label}_{n}.jpg")
    # Five copies: in other folds they would vouch for each other.
    for n in range(5):
        scene(999).save(tmp_path / "Beagle" / f"Boxer_wrong{n}.jpg")
    subject = read_subject(tmp_path)
    measures = measure_photos([subject.file(photo) for photo in subject.photos])
    pictures = find_pictures(measures)
    check = check_labels(subject, measures, pictures, features_of_colour, seed=0)
    assert check.n == 37
    audit = judge(subject, measures, pictures, check, preprocess=plain("crop"), seed=0, versions={})
    (finding,) = audit.of_kind("wrong_label")
    assert finding.paths == tuple(f"Beagle/Boxer_wrong{n}.jpg" for n in range(5))
    assert finding.label == "Boxer"
    assert "wrong_label" not in audit.removed.values()


def test_labels_with_too_few_pictures_are_not_judged(tmp_path: Path) -> None:
    labelled_scenes(tmp_path, per_label=6)
    for n in range(3, 6):
        (tmp_path / "Poodle" / f"{n}.jpg").unlink()
    subject = read_subject(tmp_path)
    measures = measure_photos([subject.file(photo) for photo in subject.photos])
    pictures = find_pictures(measures)
    check = check_labels(subject, measures, pictures, features_of_folder, seed=0)
    assert (check.left_out, check.n, check.skipped) == (("Poodle",), 12, "")
    for n in range(6):
        (tmp_path / "Boxer" / f"{n}.jpg").write_bytes(b"")
    measures = measure_photos([subject.file(photo) for photo in subject.photos])
    check = check_labels(
        subject,
        measures,
        find_pictures(measures),
        lambda _, p: pytest.fail("nothing to extract"),
        seed=0,
    )
    assert "fewer than two labels have 5 distinct pictures" in check.skipped


def test_nobody_is_accused_by_a_classifier_that_sees_nothing(tmp_path: Path) -> None:
    labelled_scenes(tmp_path, per_label=12)
    subject = read_subject(tmp_path)
    measures = measure_photos([subject.file(photo) for photo in subject.photos])
    rng = np.random.default_rng(0)
    check = check_labels(
        subject,
        measures,
        find_pictures(measures),
        lambda _, photos: rng.normal(size=(len(photos), 16)).astype(np.float32),
        seed=0,
    )
    assert "cannot tell these labels apart" in check.skipped
    assert (check.n, check.suspects) == (36, ())
