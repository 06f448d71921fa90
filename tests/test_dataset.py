"""Indexing: splits are stable and honest about copies, and nothing is left out in silence."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kennel.dataset import Dataset, read_dataset
from kennel.errors import DatasetError, KennelError, UsageError
from kennel.index import Indexed, index_photos
from kennel.splits import SPLITS, group_of, split_of

AS_ROOT = os.geteuid() == 0


def picture(number: int) -> bytes:
    """A small PNG; another number, other bytes."""
    image = Image.new("RGB", (8, 8), (number % 256, number // 256, 7))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def photograph(side: int = 256) -> bytes:
    """A JPEG with detail everywhere, so that it is cut off wherever it ends early."""
    noise = Image.effect_noise((side, side), 60).convert("RGB")
    file = io.BytesIO()
    noise.save(file, "JPEG", quality=80)
    return file.getvalue()


def fill(folder: Path, labels: dict[str, int], *, start: int = 0) -> Path:
    """A folder a label with so many distinct photos each."""
    number = start
    for label, n in labels.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for _ in range(n):
            (folder / label / f"{number:04}.png").write_bytes(picture(number))
            number += 1
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(project: Path) -> Path:
    return fill(project / "photos", {"Beagle": 6, "Boxer": 6})


def index(photos: Path, to: str = "data/dataset.csv", **settings: object) -> Indexed:
    return index_photos(photos, to=Path(to), **settings)  # type: ignore[arg-type]


def splits(dataset: Dataset) -> dict[str, str]:
    return {photo.path: photo.split for photo in dataset.photos}


class TestSplit:
    @given(st.binary(min_size=32, max_size=32), st.integers())
    def test_one_group_has_one_split(self, content: bytes, seed: int) -> None:
        group = group_of(content.hex())
        first = split_of(group, seed=seed, fractions=(0.7, 0.1, 0.2))
        assert first in SPLITS
        assert split_of(group, seed=seed, fractions=(0.7, 0.1, 0.2)) == first

    def test_shares_come_near_the_fractions(self) -> None:
        groups = [
            group_of(hashlib.sha256(bytes([i >> 8, i & 255])).hexdigest()) for i in range(10_000)
        ]
        counts = Counter(split_of(group, seed=0, fractions=(0.7, 0.1, 0.2)) for group in groups)
        for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
            assert abs(counts[split] - share * 10_000) < 4 * math.sqrt(10_000 * share * (1 - share))

    def test_split_is_the_documented_hash(self) -> None:
        # What another program would compute; a change here moves every photo of every user.
        u = int(hashlib.sha256(b"3:00112233aabbccdd").hexdigest()[:16], 16) / 2**64
        below, above = (u + 1e-9, 0.0, 1 - u - 1e-9), (u - 1e-9, 0.0, 1 - u + 1e-9)
        assert split_of("00112233aabbccdd", seed=3, fractions=below) == "train"
        assert split_of("00112233aabbccdd", seed=3, fractions=above) == "test"

    @given(st.integers(0, 2000))
    def test_fraction_of_zero_gets_no_photo(self, number: int) -> None:
        group = f"{number:016x}"
        assert split_of(group, seed=0, fractions=(0.9, 0.1, 0.0)) != "test"
        assert split_of(group, seed=0, fractions=(0.8, 0.0, 0.2)) != "validation"
        assert split_of(group, seed=0, fractions=(1.0, 0.0, 0.0)) == "train"

    def test_more_for_train_moves_photos_only_into_train(self) -> None:
        for number in range(500):
            group = f"{number:016x}"
            if split_of(group, seed=0, fractions=(0.6, 0.2, 0.2)) == "train":
                assert split_of(group, seed=0, fractions=(0.7, 0.1, 0.2)) == "train"


class TestIndex:
    def test_writes_the_files_of_the_contract(self, photos: Path) -> None:
        indexed = index(photos, seed=5)
        csv = Path("data/dataset.csv").read_bytes()
        lines = csv.decode().split("\n")
        assert lines[0] == "path,label,split,sha256,group"
        content = (photos / "Beagle/0000.png").read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        split = indexed.dataset.photos[0].split
        assert lines[1] == f"Beagle/0000.png,Beagle,{split},{sha256},{sha256[:16]}"
        assert len(lines) == 14
        assert lines[-1] == ""
        assert b"\r" not in csv

        document = json.loads(Path("data/dataset.json").read_text(encoding="utf-8"))
        assert document["labels"] == ["Beagle", "Boxer"]
        assert document["dataset_id"] == hashlib.sha256(csv).hexdigest()
        assert document["photos_dir"] == "../photos"
        assert (document["fractions"], document["seed"]) == ([0.7, 0.1, 0.2], 5)
        assert document["counts"] == indexed.dataset.counts
        assert set(document["counts"]) == set(SPLITS)
        assert sum(n for by_label in document["counts"].values() for n in by_label.values()) == 12

    def test_same_photos_give_the_same_bytes(self, photos: Path) -> None:
        index(photos, "a/x.csv")
        index(photos, "b/x.csv")
        for name in ("x.csv", "x.json"):
            assert Path("a", name).read_bytes() == Path("b", name).read_bytes()

    def test_nothing_in_the_folder_of_photos_is_touched(self, photos: Path) -> None:
        before = {file: file.stat().st_mtime_ns for file in photos.rglob("*")}
        index(photos)
        assert {file: file.stat().st_mtime_ns for file in photos.rglob("*")} == before

    def test_adding_photos_moves_no_old_one_even_in_another_index(self, photos: Path) -> None:
        before = splits(index(photos).dataset)
        fill(photos, {"Beagle": 40, "Pug": 20}, start=500)
        shutil.move(photos / "Beagle/0000.png", photos / "Beagle/renamed.png")
        after = splits(index(photos, "elsewhere/other.csv").dataset)
        after["Beagle/0000.png"] = after.pop("Beagle/renamed.png")
        assert {path: after[path] for path in before} == before

    def test_another_seed_draws_another_split(self, photos: Path) -> None:
        fill(photos, {"Beagle": 30}, start=500)
        assert splits(index(photos, seed=0).dataset) != splits(index(photos, seed=1).dataset)

    def test_identical_photos_never_cross_splits(self, photos: Path) -> None:
        for number in range(20):
            for copy in range(3):
                (photos / "Boxer" / f"copy{copy}_{number}.png").write_bytes(picture(1000 + number))
        indexed = index(photos)
        assert indexed.copies == 40
        together: dict[str, set[str]] = {}
        for photo in indexed.dataset.photos:
            together.setdefault(photo.sha256, set()).add(photo.split)
        assert {len(found) for found in together.values()} == {1}

    def test_one_photo_under_two_labels_is_named_with_both_files(self, photos: Path) -> None:
        shutil.copy(photos / "Beagle/0001.png", photos / "Boxer/again.png")
        indexed = index(photos)
        assert any("Beagle/0001.png and Boxer/again.png" in warning for warning in indexed.warnings)
        assert (
            len({splits(indexed.dataset)[p] for p in ("Beagle/0001.png", "Boxer/again.png")}) == 1
        )

    def test_many_photos_under_two_labels_are_summed_up(self, photos: Path) -> None:
        fill(photos, {"Pug": 25}, start=300)
        fill(photos, {"Poodle": 25}, start=300)
        warnings = [w for w in index(photos).warnings if "under two labels" in w]
        assert len(warnings) == 11
        assert warnings[-1].startswith("15 more")

    def test_photos_are_found_at_any_depth_and_with_any_case_of_suffix(self, photos: Path) -> None:
        (photos / "Beagle/2024/may").mkdir(parents=True)
        (photos / "Beagle/2024/may/A.PNG").write_bytes(picture(900))
        dataset = index(photos).dataset
        photo = next(photo for photo in dataset.photos if photo.path == "Beagle/2024/may/A.PNG")
        assert photo.label == "Beagle"
        assert dataset.file(photo).read_bytes() == picture(900)

    def test_rows_are_sorted_by_path(self, photos: Path) -> None:
        (photos / "Beagle/a").mkdir()
        (photos / "Beagle/a/z.png").write_bytes(picture(900))
        (photos / "Beagle/a-b.png").write_bytes(picture(901))
        paths = [photo.path for photo in index(photos).dataset.photos]
        assert paths == sorted(paths)

    def test_other_files_are_counted_and_hidden_ones_too(self, photos: Path) -> None:
        for name in ("Thumbs.db", "notes.txt", "list.csv", "._0000.png", ".DS_Store"):
            (photos / "Beagle" / name).write_bytes(b"x")
        indexed = index(photos)
        assert (indexed.passed_over, indexed.skipped) == (5, ())
        assert len(indexed.dataset.photos) == 12

    def test_photos_that_cannot_be_read_are_named_and_left_out(self, photos: Path) -> None:
        whole = photograph()
        (photos / "Boxer/cut.jpg").write_bytes(whole[: len(whole) // 2])
        (photos / "Boxer/empty.jpg").write_bytes(b"")
        (photos / "Boxer/page.jpg").write_bytes(b"<html>not found</html>")
        (photos / "Boxer/whole.jpg").write_bytes(whole)
        indexed = index(photos)
        assert [each.path for each in indexed.skipped] == [
            "Boxer/cut.jpg",
            "Boxer/empty.jpg",
            "Boxer/page.jpg",
        ]
        assert "cut off" in indexed.skipped[0].reason
        assert str(photos) not in indexed.skipped[0].reason
        found = {photo.path for photo in indexed.dataset.photos}
        assert "Boxer/whole.jpg" in found
        assert "Boxer/cut.jpg" not in found

    @pytest.mark.parametrize("lost", [0.02, 0.2, 0.9])
    def test_jpegs_cut_off_late_or_early_are_found(self, photos: Path, lost: float) -> None:
        whole = photograph(700)  # large enough to be decoded at an eighth
        (photos / "Boxer/cut.jpg").write_bytes(whole[: int(len(whole) * (1 - lost))])
        assert [each.path for each in index(photos).skipped] == ["Boxer/cut.jpg"]

    def test_a_file_larger_than_any_photo_is_named_and_not_read(self, photos: Path) -> None:
        with (photos / "Boxer/huge.jpg").open("wb") as file:
            file.truncate(1 << 40)
        [skipped] = index(photos).skipped
        assert skipped.path == "Boxer/huge.jpg"
        assert skipped.reason == "has 1,099.5 GB, and no photo has"

    def test_a_path_that_the_system_cannot_open_is_named(self, photos: Path) -> None:
        deep = photos / "Boxer"
        while len(str(deep)) < 3900:  # a path has some 4,095 letters at most
            deep /= "d" * 100
        deep.mkdir(parents=True)
        name = "f" * 240 + ".png"
        folder = os.open(deep, os.O_RDONLY)
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        finally:
            os.close(folder)
        [skipped] = index(photos).skipped
        assert skipped.path.endswith(name)
        assert "too long" in skipped.reason

    def test_folders_within_folders_end_somewhere(self, photos: Path) -> None:
        deep = photos / "Boxer" / "/".join("d" * 600)
        deep.mkdir(parents=True)
        (deep / "a.png").write_bytes(picture(900))
        [skipped] = index(photos).skipped
        assert "lies in 100 others" in skipped.reason

    def test_photos_beside_the_labels_are_named(self, photos: Path) -> None:
        (photos / "stray.png").write_bytes(picture(900))
        (skipped,) = index(photos).skipped
        assert skipped.path == "stray.png"
        assert "no label" in skipped.reason

    def test_folder_without_photos_is_no_label(self, photos: Path) -> None:
        (photos / "annotations").mkdir()
        indexed = index(photos)
        assert indexed.dataset.labels == ("Beagle", "Boxer")
        assert any("annotations" in warning for warning in indexed.warnings)

    def test_label_absent_from_a_split_is_warned_of(self, photos: Path) -> None:
        fill(photos, {"Boxer": 60}, start=500)
        beagles = [group_of(hashlib.sha256(picture(number)).hexdigest()) for number in range(6)]
        halves = (0.5, 0.5, 0.0)
        seed = next(
            seed
            for seed in range(10_000)
            if all(split_of(group, seed=seed, fractions=halves) == "train" for group in beagles)
        )
        (warning,) = index(photos, fractions=halves, seed=seed).warnings
        assert warning.startswith("validation has no photo of Beagle:")
        assert "--seed" in warning

    def test_empty_split_is_warned_of_unless_it_was_asked_for(self, photos: Path) -> None:
        assert any(
            "validation is empty" in w for w in index(photos, fractions=(0.9999, 1e-4, 0)).warnings
        )
        assert index(photos, fractions=(1.0, 0.0, 0.0)).warnings == ()

    def test_labels_may_hold_commas_and_quotes(self, project: Path) -> None:
        names = ['Braque, "français"', "Chó Phú Quốc", "it's"]
        fill(project / "photos", dict.fromkeys(names, 3))
        index(project / "photos")
        assert read_dataset(Path("data/dataset.csv")).labels == tuple(sorted(names))

    def test_callbacks_hear_the_number_and_then_each_photo(self, photos: Path) -> None:
        heard: list[object] = []
        (photos / "Boxer/empty.jpg").write_bytes(b"")
        index(photos, on_found=heard.append, on_photo=heard.append)
        assert heard[0] == 13
        assert heard[1:] == sorted(file.resolve() for file in photos.rglob("*.*"))

    def test_stopping_leaves_nothing_half_written(self, photos: Path) -> None:
        def stop(_: Path) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index(photos, on_photo=stop)
        assert not Path("data").exists()


class TestLinks:
    def test_linked_photos_and_folders_are_followed(self, photos: Path, project: Path) -> None:
        fill(project / "store", {"more": 2}, start=700)
        (photos / "Beagle/link.png").symlink_to(project / "store/more/0700.png")
        (photos / "Pug").symlink_to(project / "store/more")
        dataset = index(photos).dataset
        assert dataset.counts["train"].keys() == {"Beagle", "Boxer", "Pug"}
        assert "Beagle/link.png" in splits(dataset)

    def test_links_in_circles_end(self, photos: Path) -> None:
        (photos / "Beagle/up").symlink_to(photos)
        (photos / "Beagle/self").symlink_to(photos / "Beagle/self")
        (photos / "Boxer/higher").symlink_to(photos.parent)
        indexed = index(photos)
        assert len(indexed.dataset.photos) == 12
        assert [each.path for each in indexed.skipped] == ["Beagle/up", "Boxer/higher"]

    def test_link_to_nowhere_is_named(self, photos: Path) -> None:
        (photos / "Beagle/gone.jpg").symlink_to(photos / "nowhere.jpg")
        (skipped,) = index(photos).skipped
        assert skipped.path == "Beagle/gone.jpg"
        assert "not there" in skipped.reason

    def test_pipe_with_a_photo_name_does_not_hang(self, photos: Path) -> None:
        os.mkfifo(photos / "Beagle/pipe.jpg")
        (skipped,) = index(photos).skipped
        assert skipped.reason == "not a regular file"


class TestPresplit:
    @pytest.fixture
    def presplit(self, project: Path) -> Path:
        root = project / "photos"
        fill(root / "train", {"Beagle": 4, "Boxer": 4})
        fill(root / "valid", {"Beagle": 2, "Boxer": 2}, start=100)
        fill(root / "Test", {"Beagle": 3, "Boxer": 3}, start=200)
        return root

    @pytest.mark.parametrize("name", ["validation", "val", "valid"])
    def test_folders_say_the_splits(self, presplit: Path, name: str) -> None:
        (presplit / "valid").rename(presplit / name)
        dataset = index(presplit).dataset
        assert dataset.labels == ("Beagle", "Boxer")
        assert {s: sum(by.values()) for s, by in dataset.counts.items()} == {
            "train": 8,
            "validation": 4,
            "test": 6,
        }
        assert dataset.fractions is None
        assert dataset.photos[0].path == "Test/Beagle/0200.png"
        assert read_dataset(dataset.csv) == dataset

    def test_copies_across_splits_are_warned_of_as_a_leak(self, presplit: Path) -> None:
        shutil.copy(presplit / "train/Beagle/0000.png", presplit / "Test/Beagle/0000.png")
        shutil.copy(presplit / "train/Beagle/0001.png", presplit / "valid/Beagle/0001.png")
        indexed = index(presplit)
        (leak,) = [warning for warning in indexed.warnings if "more than one split" in warning]
        assert leak.startswith("2 photos")
        assert indexed.copies == 2

    def test_missing_split_and_missing_label_are_warned_of(self, presplit: Path) -> None:
        shutil.rmtree(presplit / "valid")
        shutil.rmtree(presplit / "Test/Boxer")
        warnings = " ".join(index(presplit).warnings)
        assert "validation is empty" in warnings
        assert "test has no photo of Boxer" in warnings

    def test_labels_may_be_called_train_beside_others(self, project: Path) -> None:
        indexed = index(fill(project / "photos", {"bus": 3, "train": 3}))
        assert indexed.dataset.labels == ("bus", "train")
        assert any("train is read as a label" in warning for warning in indexed.warnings)

    def test_splits_beside_other_folders_are_refused(self, presplit: Path) -> None:
        fill(presplit / "extra", {"Beagle": 2}, start=400)
        with pytest.raises(DatasetError, match="extra"):
            index(presplit)


class TestRefusals:
    def refused(self, photos: Path, *parts: str, **settings: object) -> KennelError:
        with pytest.raises(DatasetError) as caught:
            index(photos, **settings)
        for part in parts:
            assert part in caught.value.message
        assert caught.value.fix
        assert not Path("data/dataset.csv").exists()
        return caught.value

    def test_folder_that_is_not_there(self, project: Path) -> None:
        self.refused(project / "nowhere", "nowhere", "does not exist")

    def test_file_instead_of_a_folder(self, project: Path) -> None:
        (project / "photo.png").write_bytes(picture(1))
        self.refused(project / "photo.png", "is not a folder")

    def test_empty_folder_and_folder_without_photos(self, project: Path) -> None:
        (project / "photos/Beagle").mkdir(parents=True)
        self.refused(project / "photos", "holds no photos")
        (project / "photos/Beagle/readme.txt").write_text("none")
        self.refused(project / "photos", "holds no photos", "1 other files")

    def test_photos_without_folders_for_their_labels(self, project: Path) -> None:
        fill(project, {"photos": 3})
        self.refused(project / "photos", "directly in")
        fill(project / "split", {"train": 3, "test": 3})
        self.refused(project / "split", "directly in", "split/test")

    def test_one_label(self, photos: Path) -> None:
        shutil.rmtree(photos / "Boxer")
        self.refused(photos, "one label only (Beagle)")

    def test_one_label_whose_folders_are_the_labels_is_pointed_to(self, photos: Path) -> None:
        error = self.refused(photos.parent, "one label only (photos)")
        assert f"kennel index {photos}" in error.fix

    def test_label_with_a_single_distinct_photo(self, photos: Path) -> None:
        fill(photos, {"Pug": 1}, start=400)
        shutil.copy(photos / "Pug/0400.png", photos / "Pug/again.png")
        self.refused(photos, "two distinct photos", "Pug (1)")

    def test_label_none_of_whose_photos_can_be_read(self, photos: Path) -> None:
        (photos / "Pug").mkdir()
        (photos / "Pug/a.jpg").write_bytes(b"no photo")
        self.refused(photos, "Pug (0)", "1 files were left out")

    def test_labels_that_differ_in_capitals_or_in_the_form_of_an_accent(self, photos: Path) -> None:
        fill(photos, {"beagle": 3}, start=400)
        self.refused(photos, "Beagle", "beagle")
        shutil.rmtree(photos / "beagle")
        fill(photos, {"Fran\u00e7ais": 2, "Franc\u0327ais": 2}, start=500)
        self.refused(photos, "accents")

    def test_photos_none_of_which_can_be_read(self, photos: Path) -> None:
        for file in photos.rglob("*.png"):
            file.write_bytes(b"no photo")
        self.refused(photos, "none of 12 photos", "Beagle/0000.png")

    def test_label_with_control_characters(self, photos: Path) -> None:
        fill(photos, {"Pug\n2": 2}, start=400)
        self.refused(photos, "Pug\\n2")

    def test_file_with_control_characters_is_named_and_left_out(self, photos: Path) -> None:
        (photos / "Boxer/a\rb.png").write_bytes(picture(900))
        (skipped,) = index(photos).skipped
        assert skipped.path == "Boxer/a\\rb.png"

    def test_file_whose_name_is_not_utf_8_is_named_and_left_out(self, photos: Path) -> None:
        try:
            (photos / os.fsdecode(b"Boxer/\xff.png")).write_bytes(picture(900))
        except OSError:
            pytest.skip("this file system takes only UTF-8 names")
        (skipped,) = index(photos).skipped
        skipped.path.encode("utf-8")

    @pytest.mark.parametrize(
        "fractions",
        [
            (0.7, 0.2, 0.2),
            (0.7, 0.3),
            (1.1, -0.1, 0.0),
            (0.0, 0.5, 0.5),
            (math.nan, 0.5, 0.5),
            (math.inf, 0.0, 0.0),
            (0.7, 0.1, 0.2 + 1e-5),
        ],
    )
    def test_fractions_that_split_nothing(self, photos: Path, fractions: tuple[float, ...]) -> None:
        with pytest.raises(UsageError) as caught:
            index(photos, fractions=fractions)
        assert f"{fractions[0]:g}" in caught.value.message
        assert "--fractions" in caught.value.fix

    def test_fractions_with_rounding_are_taken(self, photos: Path) -> None:
        assert index(photos, fractions=(1 / 3, 1 / 3, 0.3333333)).dataset.fractions is not None

    def test_index_that_is_no_csv(self, photos: Path) -> None:
        with pytest.raises(UsageError, match=r"\.csv"):
            index(photos, "data/dataset.json")

    def test_place_where_nothing_can_be_written(self, photos: Path) -> None:
        Path("file").write_text("x")
        for to in ("file/dataset.csv", "photos/Beagle/0000.png/data/dataset.csv"):
            with pytest.raises(DatasetError, match="cannot be written"):
                index(photos, to)
        Path("folder.csv").mkdir()
        with pytest.raises(DatasetError, match="is a folder"):
            index(photos, "folder.csv")
        Path("half.json").mkdir()
        with pytest.raises(DatasetError, match=r"half.json cannot be written: it is a folder"):
            index(photos, "half.csv")
        assert not Path("half.csv").exists()

    @pytest.mark.parametrize("name", ["dogs.csv", "dogs.json"])
    def test_what_somebody_else_wrote_is_not_overwritten(self, photos: Path, name: str) -> None:
        Path(name).write_text("name,age\nRex,3\n", encoding="utf-8")
        with pytest.raises(DatasetError, match="no index of kennel"):
            index(photos, "dogs.csv")
        assert Path(name).read_text(encoding="utf-8") == "name,age\nRex,3\n"

    def test_an_index_whose_csv_was_removed_is_written_anew(self, photos: Path) -> None:
        before = index(photos).dataset.dataset_id
        Path("data/dataset.csv").unlink()
        assert index(photos).dataset.dataset_id == before

    @pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
    def test_place_without_permission(self, photos: Path) -> None:
        Path("locked").mkdir(mode=0o500)
        with pytest.raises(DatasetError, match="cannot be written"):
            index(photos, "locked/dataset.csv")


class TestRead:
    def test_what_was_written_is_read_back(self, photos: Path) -> None:
        dataset = index(photos).dataset
        assert read_dataset(Path("data/dataset.csv")) == dataset
        assert dataset.photos_dir == photos.resolve()
        assert dataset.file(dataset.photos[0]) == photos.resolve() / "Beagle/0000.png"
        assert sum(len(dataset.split(split)) for split in SPLITS) == 12

    def test_unknown_split_is_refused(self, photos: Path) -> None:
        with pytest.raises(ValueError, match="valdation"):
            index(photos).dataset.split("valdation")

    def test_project_may_move(
        self, photos: Path, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index(photos)
        moved = project / "new"
        moved.mkdir()
        shutil.move("photos", moved)
        shutil.move("data", moved)
        monkeypatch.chdir("/")
        assert read_dataset(moved / "data/dataset.csv").photos_dir == (moved / "photos").resolve()

    def test_photos_outside_the_project_keep_their_absolute_folder(
        self, photos: Path, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (project / "work").mkdir()
        monkeypatch.chdir("work")
        index(photos)
        document = json.loads(Path("data/dataset.json").read_text(encoding="utf-8"))
        assert document["photos_dir"] == str(photos.resolve())

    def test_photos_are_found_from_the_working_directory_too(self, photos: Path) -> None:
        index(photos)
        document = json.loads(Path("data/dataset.json").read_text(encoding="utf-8"))
        Path("data/dataset.json").write_text(json.dumps({**document, "photos_dir": "photos"}))
        assert read_dataset(Path("data/dataset.csv")).photos_dir == photos.resolve()

    def test_photos_themselves_are_not_looked_at(self, photos: Path) -> None:
        index(photos)
        (photos / "Beagle/0000.png").unlink()
        assert len(read_dataset(Path("data/dataset.csv")).photos) == 12

    @pytest.mark.parametrize("missing", ["data/dataset.csv", "data/dataset.json", "photos"])
    def test_missing_part_is_named_with_its_fix(self, photos: Path, missing: str) -> None:
        index(photos)
        Path(missing).rename("away")
        with pytest.raises(DatasetError) as caught:
            read_dataset(Path("data/dataset.csv"))
        assert missing in caught.value.message
        assert "kennel index" in caught.value.fix

    def test_changed_csv_is_refused(self, photos: Path) -> None:
        index(photos)
        with Path("data/dataset.csv").open("a") as file:
            file.write("Beagle/x.png,Beagle,test,00,00\n")
        with pytest.raises(DatasetError, match="changed since") as caught:
            read_dataset(Path("data/dataset.csv"))
        assert "kennel index" in caught.value.fix

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            ("path,label,split", "file,label,split", "first line"),
            (",Beagle,", ",Poodle,", "Poodle"),
            (",train,", ",training,", "training"),
            ("Beagle/0000.png", "../secret.png", "outside"),
            ("Beagle/0000.png", "/etc/secret.png", "outside"),
            ("Beagle/0000.png", "Beagle/0000.png,", "fields"),
            ("Beagle/0000.png", '"Beagle/0000.png', "line|EOF|end"),
        ],
    )
    def test_csv_that_kennel_did_not_write_is_refused(
        self, photos: Path, old: str, new: str, what: str
    ) -> None:
        index(photos)
        csv, document = Path("data/dataset.csv"), Path("data/dataset.json")
        text = csv.read_text(encoding="utf-8").replace(old, new)
        csv.write_text(text, encoding="utf-8")
        values = json.loads(document.read_text(encoding="utf-8"))
        values["dataset_id"] = hashlib.sha256(text.encode()).hexdigest()
        document.write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(DatasetError, match=what):
            read_dataset(csv)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("labels", ["Beagle", "Boxer", "Pug"]),
            ("labels", ["Beagle", "Beagle"]),
            ("labels", "Beagle"),
            ("photos_dir", None),
            ("fractions", [0.7, 0.3]),
            ("fractions", ["a", "b", "c"]),
            ("fractions", [10**400, 0, 0]),
            ("split_by", ["content"]),
            ("group_by", 3),
            ("fold", [2, 1]),
            ("seed", "0"),
            ("dataset_id", 3),
        ],
    )
    def test_json_that_kennel_did_not_write_is_refused(
        self, photos: Path, name: str, value: object
    ) -> None:
        index(photos)
        document = Path("data/dataset.json")
        values = json.loads(document.read_text(encoding="utf-8"))
        document.write_text(json.dumps({**values, name: value}), encoding="utf-8")
        with pytest.raises(DatasetError, match=name.rstrip("s")):
            read_dataset(Path("data/dataset.csv"))

    @pytest.mark.parametrize("text", ["", "[]", "{}", "\udcff", "null", "[" * 10**5])
    def test_json_that_is_no_document_is_refused(self, photos: Path, text: str) -> None:
        index(photos)
        Path("data/dataset.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(DatasetError, match="kennel wrote"):
            read_dataset(Path("data/dataset.csv"))


@pytest.mark.skipif(
    not os.environ.get("KENNEL_PHOTOS"), reason="KENNEL_PHOTOS names no folder of photos"
)
def test_popular_set_full_of_copies_is_split_without_a_leak(project: Path) -> None:
    indexed = index(Path(os.environ["KENNEL_PHOTOS"], "kaggle10"))
    assert len(indexed.dataset.photos) == 967
    assert indexed.copies == 967 - 210
    by_bytes: dict[str, set[str]] = {}
    for photo in indexed.dataset.photos:
        by_bytes.setdefault(photo.sha256, set()).add(photo.split)
    assert all(len(found) == 1 for found in by_bytes.values())
