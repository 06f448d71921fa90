"""What belongs together shares a split: copies, near-copies, and what a pattern says; for good."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kennel.cli import main
from kennel.dataset import Dataset, read_dataset
from kennel.errors import DatasetError, UsageError
from kennel.index import Indexed, index_folds, index_photos
from kennel.sample.breeds import BREEDS
from kennel.sample.portrait import draw_portrait
from kennel.splits import SPLITS, group_of, part_of, shares_of, split_of, stratified

HALVES = (0.5, 0.0, 0.5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawings each of two breeds. Not to be written to."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(3)
    for breed in BREEDS[:2]:
        (folder / breed.label).mkdir()
        for number in range(6):
            picture = draw_portrait(breed, rng)
            picture.save(folder / breed.label / f"dog{number // 2}_{number % 2}.png")
    return folder


@pytest.fixture
def photos(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(drawn, tmp_path / "photos"))


def label(photos: Path, at: int = 0) -> Path:
    return sorted(path for path in photos.iterdir() if path.is_dir())[at]


def vary(photo: Path, to: Path, number: int = 0) -> Path:
    """A smaller JPEG of the picture; another number, other bytes."""
    picture = Image.open(photo).convert("RGB")
    picture.resize((picture.width - 20 - number, picture.height - 20)).save(to, quality=70)
    return to


def index(photos: Path, to: str = "data/dataset.csv", **more: object) -> Indexed:
    return index_photos(photos, to=Path(to), **more)  # type: ignore[arg-type]


def of(dataset: Dataset, name: str) -> tuple[str, str]:
    """Split and group of the photos whose path ends so; they must agree."""
    [found] = {(p.split, p.group) for p in dataset.photos if p.path.endswith(name)}
    return found


class TestNearCopies:
    def test_near_copies_never_cross_splits(self, photos: Path) -> None:
        first = label(photos)
        for number in range(12):
            vary(first / "dog0_0.png", first / f"again{number}.jpg", number)
        indexed = index(photos, fractions=HALVES)
        together = [
            p for p in indexed.dataset.photos if "again" in p.path or p.path.endswith("dog0_0.png")
        ]
        own = [p for p in together if p.path.startswith(first.name)]
        assert len(own) == 13
        assert len({photo.group for photo in own}) == 1
        assert len({photo.split for photo in own}) == 1
        assert (indexed.pictures, indexed.copies) == (12, 0)

    def test_a_near_copy_on_both_sides_of_a_given_split_is_told(self, photos: Path) -> None:
        for split in ("train", "test"):
            for folder in (label(photos), label(photos, 1)):
                shutil.copytree(folder, photos.parent / "split" / split / folder.name)
        test = photos.parent / "split/test"
        for file in test.rglob("*.png"):
            vary(file, file.with_suffix(".jpg"))
            file.unlink()
        indexed = index(photos.parent / "split")
        assert indexed.pictures == 12
        assert any("12 photos stand in more than one split" in w for w in indexed.warnings)

    def test_a_near_copy_under_another_label_is_told(self, photos: Path) -> None:
        vary(label(photos) / "dog1_0.png", label(photos, 1) / "wrong.jpg")
        [warning] = [w for w in index(photos).warnings if "under two labels" in w]
        assert "dog1_0.png" in warning
        assert "wrong.jpg" in warning
        assert "remove" not in warning  # that is only said of one file's copies

    def test_a_file_under_two_labels_is_told_though_its_group_is_larger(self, photos: Path) -> None:
        shutil.copy(label(photos) / "dog1_1.png", label(photos, 1) / "wrong.png")
        indexed = index(photos, group_by=r"\w+/dog\d")
        [warning] = [w for w in indexed.warnings if "under two labels" in w]
        assert f"{label(photos).name}/dog1_1.png" in warning
        assert "wrong.png are one photo under two labels: remove the wrong one" in warning

    def test_the_user_is_told_how_many_distinct_pictures_there_are(
        self, photos: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = label(photos)
        shutil.copy(first / "dog0_0.png", first / "same.png")
        vary(first / "dog0_0.png", first / "again.jpg")
        assert main(["index", "photos"]) == 0
        out = capsys.readouterr().out
        assert "14 files, which show 12 distinct pictures (13 different files)" in out
        assert main(["index", "photos", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["photos"], told["distinct"], told["pictures"]) == (14, 13, 12)


class TestStability:
    def test_a_copy_that_comes_later_moves_nothing(self, photos: Path) -> None:
        first = label(photos)
        before = of(index(photos, fractions=HALVES).dataset, f"{first.name}/dog0_0.png")
        # With a smaller sha256 than the original's: it would name the group if nothing were known.
        number = next(
            number
            for number in range(400)
            if group_of(sha256(vary(first / "dog0_0.png", first / "later.jpg", number))) < before[1]
        )
        assert number < 400
        after = index(photos, fractions=HALVES).dataset
        assert of(after, f"{first.name}/dog0_0.png") == before
        assert of(after, "later.jpg") == before
        assert of(index(photos, "elsewhere.csv", fractions=HALVES).dataset, "later.jpg") != before

    @pytest.mark.parametrize("learned", [0, 1])
    def test_groups_that_a_new_photo_joins_go_where_was_learned_from_them(
        self, photos: Path, learned: int
    ) -> None:
        first = label(photos)
        dataset = index(photos, fractions=HALVES).dataset
        own = [p for p in dataset.photos if p.label == first.name]
        train = next(p for p in own if p.split == "train")
        test = next(p for p in own if p.split == "test")
        for number, photo in enumerate((train, test) if learned == 0 else (test, train)):
            shutil.move(photos / photo.path, first / f"rex_{number}.png")
        after = index(photos, fractions=HALVES, group_by=r"(rex)_\d").dataset
        assert of(after, "rex_0.png") == of(after, "rex_1.png") == ("train", train.group)

    def test_an_unreadable_earlier_index_is_no_obstacle(self, photos: Path) -> None:
        before = index(photos).dataset
        Path("data/dataset.json").write_text("{", encoding="utf-8")
        after = index(photos)
        assert after.dataset.dataset_id == before.dataset_id
        assert any("the earlier index is forgotten" in warning for warning in after.warnings)
        assert not any("forgotten" in warning for warning in index(photos).warnings)

    def test_photos_that_only_the_earlier_index_keeps_together_are_told(self, photos: Path) -> None:
        index(photos, group_by=r"\w+/dog\d")
        indexed = index(photos, group_by=r"\w+/dog[01]")
        assert len({photo.group for photo in indexed.dataset.photos}) == 6
        [warning] = [w for w in indexed.warnings if "only because the index" in w]
        assert "dog2_1.png stay one group (and so do 1 more)" in warning
        assert "dog2_0.png and" in warning
        anew = index(photos, "anew.csv", group_by=r"\w+/dog[01]")
        assert len({photo.group for photo in anew.dataset.photos}) == 8
        assert not any("only because the index" in warning for warning in anew.warnings)


class TestGroupBy:
    def test_photos_of_one_dog_share_a_split(self, photos: Path) -> None:
        indexed = index(photos, group_by=r"(\w+/dog\d)_\d\.png$", fractions=HALVES)
        by_dog: dict[str, set[str]] = {}
        for photo in indexed.dataset.photos:
            by_dog.setdefault(photo.path.rpartition("_")[0], set()).add(photo.group)
        assert {len(groups) for groups in by_dog.values()} == {1}
        assert len({photo.group for photo in indexed.dataset.photos}) == 6
        assert indexed.pictures == 12
        assert read_dataset(indexed.dataset.csv).group_by == r"(\w+/dog\d)_\d\.png$"

    def test_its_groups_have_the_same_name_whichever_photos_they_hold(self, photos: Path) -> None:
        pattern = r"\w+/dog\d"
        first = label(photos)
        before = of(index(photos, "a.csv", group_by=pattern).dataset, f"{first.name}/dog1_0.png")
        (first / "dog1_1.png").unlink()
        after = of(index(photos, "b.csv", group_by=pattern).dataset, f"{first.name}/dog1_0.png")
        assert after == before

    def test_groups_that_a_copy_joins_have_one_name_whichever_comes_first(
        self, photos: Path
    ) -> None:
        names = set()
        for first, second in (("x_1", "y_1"), ("y_1", "x_1")):
            vary(label(photos) / "dog0_0.png", one := label(photos) / f"{first}.jpg", 1)
            vary(label(photos) / "dog0_0.png", other := label(photos, 1) / f"{second}.jpg", 2)
            names.add(
                of(index(photos, f"{first}.csv", group_by=r"/([xy])_").dataset, first + ".jpg")
            )
            one.unlink()
            other.unlink()
        assert len(names) == 1

    def test_photos_in_which_it_finds_nothing_are_told(self, photos: Path) -> None:
        indexed = index(photos, group_by=r"dog([01])_\d")
        assert any("finds nothing in 4 of 12 paths" in warning for warning in indexed.warnings)

    @pytest.mark.parametrize("pattern", [r"(dog[01])?_\d", r"(\w+/dog[01]_)|", r"(dog[01])?(_x)?"])
    def test_finding_no_letter_is_finding_nothing(self, photos: Path, pattern: str) -> None:
        for folder in (label(photos), label(photos, 1)):
            (folder / "dog0_0.png").rename(folder / "rex_1.png")
        groups = {photo.group for photo in index(photos, group_by=pattern).dataset.photos}
        assert len(groups) > 2  # what has nothing in common is not one group

    @pytest.mark.parametrize("pattern", ["(dog", "a{99999999999}", "(" * 5000 + ")" * 5000])
    def test_a_broken_expression_is_refused_before_anything_is_read(
        self, photos: Path, capsys: pytest.CaptureFixture[str], pattern: str
    ) -> None:
        assert main(["index", str(photos), "--group-by", pattern]) == 2
        said = capsys.readouterr().err
        assert f"--group-by is {pattern}, which is no regular expression" in said
        assert not Path("data").exists()

    def test_an_expression_that_joins_all_of_a_label_is_refused(self, photos: Path) -> None:
        with pytest.raises(DatasetError, match=r"two distinct photos.*\(1\)") as refused:
            index(photos, group_by=r"^\w+")
        assert "--group-by" in refused.value.fix


class TestStratified:
    @settings(max_examples=50)
    @given(
        st.lists(st.integers(3, 60), min_size=1, max_size=4),
        st.integers(0, 5),
        st.sampled_from([(0.7, 0.1, 0.2), (0.8, 0.2, 0.0), (0.34, 0.33, 0.33)]),
    )
    def test_every_label_has_its_shares(
        self, sizes: list[int], seed: int, fractions: tuple[float, float, float]
    ) -> None:
        labels = {f"{at}:{n}": str(at) for at, size in enumerate(sizes) for n in range(size)}
        shares = shares_of(fractions)
        parts = stratified(labels, seed=seed, shares=shares, kept={})
        for at, size in enumerate(sizes):
            counts = Counter(part for group, part in parts.items() if labels[group] == str(at))
            assert set(counts) == set(shares)  # three groups and more reach every part
            for part, share in shares.items():
                assert abs(counts[part] - size * share) < 2

    @given(st.integers(3, 30), st.integers(0, 30))
    def test_what_is_kept_stays_and_what_is_new_fills_up(self, old: int, new: int) -> None:
        shares = shares_of((0.7, 0.1, 0.2))
        labels = {f"old{n}": "Beagle" for n in range(old)}
        kept = stratified(labels, seed=0, shares=shares, kept={})
        labels |= {f"new{n}": "Beagle" for n in range(new)}
        parts = stratified(labels, seed=0, shares=shares, kept=kept)
        assert {group: parts[group] for group in kept} == kept
        counts = Counter(parts.values())
        assert all(abs(counts[part] - (old + new) * share) < 2 for part, share in shares.items())

    def test_an_index_is_exact_and_stable(self, photos: Path) -> None:
        before = index(photos, split_by="stratified", fractions=(0.5, 0.25, 0.25)).dataset
        assert [list(counts.values()) for counts in before.counts.values()] == [
            [3, 3],
            [2, 2],
            [1, 1],
        ] or [list(counts.values()) for counts in before.counts.values()] == [
            [3, 3],
            [1, 1],
            [2, 2],
        ]
        rng = np.random.default_rng(9)
        for number in range(6):
            draw_portrait(BREEDS[0], rng).save(photos / BREEDS[0].label / f"new{number}.png")
        after = index(photos, split_by="stratified", fractions=(0.5, 0.25, 0.25)).dataset
        old = {photo.path: photo.split for photo in before.photos}
        assert {p.path: p.split for p in after.photos if p.path in old} == old
        assert [after.counts[split][BREEDS[0].label] for split in SPLITS] == [6, 3, 3]

    def test_other_fractions_draw_anew(self, photos: Path) -> None:
        index(photos, split_by="stratified", fractions=(0.5, 0.0, 0.5))
        after = index(photos, split_by="stratified", fractions=(0.5, 0.5, 0.0)).dataset
        assert {photo.split for photo in after.photos} == {"train", "validation"}


class TestFolds:
    @pytest.mark.parametrize("split_by", ["content", "stratified"])
    def test_every_photo_is_validated_once_or_tested_always(
        self, photos: Path, split_by: str
    ) -> None:
        every = index_folds(
            photos,
            to=Path("d.csv"),
            folds=3,
            fractions=(0.7, 0.1, 0.2),
            split_by=split_by,  # type: ignore[arg-type]
        )
        assert [one.dataset.csv.name for one in every] == [f"d.fold{n}.csv" for n in (1, 2, 3)]
        assert [read_dataset(one.dataset.csv).fold for one in every] == [(1, 3), (2, 3), (3, 3)]
        seen: dict[str, Counter[str]] = {}
        for one in every:
            for photo in one.dataset.photos:
                seen.setdefault(photo.path, Counter())[photo.split] += 1
        kinds = {tuple(sorted(counts.items())) for counts in seen.values()}
        assert kinds <= {(("test", 3),), (("train", 2), ("validation", 1))}
        assert (("train", 2), ("validation", 1)) in kinds
        assert every[0].dataset.fractions == pytest.approx((0.8 * 2 / 3, 0.8 / 3, 0.2))

    def test_the_test_split_is_the_one_of_an_index_without_folds(self, photos: Path) -> None:
        plain = index(photos, "plain.csv").dataset
        [first, _] = index_folds(photos, to=Path("d.csv"), folds=2)
        assert first.dataset.split("test") == plain.split("test")

    def test_the_test_split_is_also_that_of_an_index_that_knows_more(self, photos: Path) -> None:
        first = label(photos)
        for number in range(40):  # copies that come later: they would name some groups anew
            source = sorted(first.glob("dog*.png"))[number % 6]
            index(photos, "d.csv", fractions=HALVES) if number == 0 else None
            vary(source, first / f"later{number:02}.jpg", number)
        plain = index(photos, "d.csv", fractions=HALVES).dataset
        anew = index(photos, "anew.csv", fractions=HALVES).dataset
        assert {p.path: p.group for p in plain.photos} != {p.path: p.group for p in anew.photos}
        for folds in (2, 3):  # the second time with names that the folds of the first know
            every = index_folds(photos, to=Path("d.csv"), folds=folds, fractions=HALVES)
            assert every[0].dataset.split("test") == plain.split("test")
            Path("d.csv").unlink(missing_ok=True)

    def test_stratified_folds_stay_when_photos_come(self, photos: Path) -> None:
        def folds() -> dict[str, tuple[str, ...]]:
            every = index_folds(photos, to=Path("d.csv"), folds=3, split_by="stratified")
            rows = zip(*(one.dataset.photos for one in every), strict=True)
            return {row[0].path: tuple(photo.split for photo in row) for row in rows}

        before = folds()
        draw_portrait(BREEDS[1], np.random.default_rng(11)).save(photos / BREEDS[1].label / "a.png")
        after = folds()
        assert {path: after[path] for path in before} == before

    @pytest.mark.parametrize("folds", [-1, 0, 1, 101])
    def test_a_number_that_makes_no_folds_is_refused(self, photos: Path, folds: int) -> None:
        with pytest.raises(UsageError, match=f"--folds is {folds}"):
            index_folds(photos, to=Path("d.csv"), folds=folds)

    def test_photos_that_came_split_are_refused(self, photos: Path) -> None:
        shutil.copytree(photos, "split/train")
        with pytest.raises(UsageError, match="came split"):
            index_folds(Path("split"), to=Path("d.csv"), folds=2)

    def test_the_verb_names_every_file_and_trains_on_all(
        self, photos: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["index", str(photos), "--folds", "2", "--to", "data/d.csv"]) == 0
        out = capsys.readouterr().out
        assert "data/d.fold1.csv data/d.fold1.json" in out
        assert out.splitlines()[-1] == (
            "next: kennel train -m data.csv=data/d.fold1.csv,data/d.fold2.csv"
        )


def test_one_group_keeps_one_split_whatever_the_folds() -> None:
    for number in range(200):
        group = f"{number:016x}"
        tested = split_of(group, seed=0, fractions=(0.7, 0.1, 0.2)) == "test"
        for folds in (2, 5, 10):
            shares = shares_of((0.7, 0.1, 0.2), folds=folds)
            assert len(shares) == folds + 1
            assert sum(shares.values()) == pytest.approx(1)
            assert (part_of(group, seed=0, shares=shares) == "test") == tested


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
