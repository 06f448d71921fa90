"""A folder of photos -> an index with splits. Moves and copies nothing.

A photo's split depends on its group, the seed and the fractions. Photos that show one picture are
one group (kennel.groups), so copies never part; adding photos moves no old one, unless one of them
joins two groups: then what was learned from draws the rest after it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from kennel.dataset import HEADER, Dataset, Photo, read_index, unwritable, write_dataset
from kennel.errors import DatasetError, UsageError
from kennel.folders import Found, Skipped, find_photos, names
from kennel.groups import Earlier, Grouped, group_photos, pattern_of
from kennel.index_warnings import warnings_of
from kennel.splits import (
    FRACTIONS,
    SPLITS,
    Fractions,
    check_fractions,
    part_of,
    shares_of,
    stratified,
)

MOST_FOLDS = 100


@dataclass(frozen=True)
class Indexed:
    """What indexing gave.

    Attributes:
        dataset: as written.
        skipped: files that look like photos but are left out, sorted by path.
        copies: photos whose bytes another photo of the index has already.
        pictures: how many different pictures the photos show; never more than distinct files.
        warnings: what may make results worse, each with its remedy.
        passed_over: hidden files and files whose suffix is no photo's.
    """

    dataset: Dataset
    skipped: tuple[Skipped, ...]
    copies: int
    pictures: int
    warnings: tuple[str, ...]
    passed_over: int = 0


class How(TypedDict, total=False):
    """How photos are split, and who is told of the work; all of it may be left out.

    Attributes:
        fractions: of train, validation and test, each >= 0, train > 0, summing to 1 within 1e-6.
        seed: of the split, 0 unless given.
        split_by: `content` needs nothing but the photo; `stratified` gives each label its exact
            share, and asks the index at `to` what stays where it is.
        group_by: a regular expression, searched in each path below the photos' folder: photos for
            which it finds the same belong together. Its groups count, or all of it where it has
            none.
        project: photos inside it are named relative to the json, so that the project can move; the
            working directory unless given.
        on_found: called once with how many photos will be read.
        on_photo: called with each file after it was read, in the order of the paths.
        on_compared: called with how many of how many different files were compared.
    """

    fractions: Sequence[float]
    seed: int
    split_by: Literal["content", "stratified"]
    group_by: str | None
    project: Path | None
    on_found: Callable[[int], None] | None
    on_photo: Callable[[Path], None] | None
    on_compared: Callable[[int, int], None] | None


def index_photos(photos_dir: Path, *, to: Path, **how: Unpack[How]) -> Indexed:
    """Indexes and splits a folder of photos, and writes the index.

    Same photos, same bytes; except that groups which an index at `to` knows keep their names there,
    and so their splits, also where a new photo joins them.

    Args:
        photos_dir: a folder a label; or train, validation (val, valid) and test above the labels,
            which are then the splits, and fractions, seed and split_by go unused.
        to: the csv; the json is written beside it under the same stem.
        how: see `How`.
    Raises:
        UsageError: fractions, group_by or the suffix of `to` are wrong.
        DatasetError: the folder gives no dataset, or the index cannot be written.
    """
    rule = _rule(how, folds=None)
    _check_target(to)
    [indexed] = _index(photos_dir, [to], rule, also=(), how=how)
    return indexed


def index_folds(
    photos_dir: Path, *, to: Path, folds: int, **how: Unpack[How]
) -> tuple[Indexed, ...]:
    """The same as `index_photos`, `folds` times: all have one test split, and what is not test is
    validation in one of them and train in the others.

    Args:
        to: gives the names: data/dataset.csv becomes data/dataset.fold1.csv and so on. An index
            that stands there is read for the names of groups, and stays.
        folds: 2..100.
        how: see `How`; the last of the fractions is that of test, and the folds share the rest.
    Raises:
        UsageError: also where there are too few or too many folds, or the photos came split.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise UsageError(f"--folds is {folds}; it must be 2 to {MOST_FOLDS}.", fix="--folds 5")
    rule = _rule(how, folds=folds)
    _check_target(to)
    files = [to.with_name(f"{to.stem}.fold{at + 1}{to.suffix}") for at in range(folds)]
    return _index(photos_dir, files, rule, also=[to], how=how)


@dataclass(frozen=True)
class _Rule:
    fractions: Fractions
    seed: int
    split_by: Literal["content", "stratified"]
    group_by: str | None
    folds: int | None

    def shares(self) -> dict[str, float]:
        return shares_of(self.fractions, folds=self.folds)

    def shown(self) -> Fractions:
        """The fractions of each index."""
        if self.folds is None:
            return self.fractions
        fold = (1 - self.fractions[2]) / self.folds
        return fold * (self.folds - 1), fold, self.fractions[2]

    def split(self, part: str, at: int) -> str:
        """The split of a part in the index at a place."""
        if self.folds is None or part == "test":
            return part
        return "validation" if part == f"fold{at + 1}" else "train"


def _rule(how: How, *, folds: int | None) -> _Rule:
    return _Rule(
        check_fractions(how.get("fractions", FRACTIONS)),
        how.get("seed", 0),
        how.get("split_by", "content"),
        how.get("group_by"),
        folds=folds,
    )


def _index(
    photos_dir: Path, files: Sequence[Path], rule: _Rule, *, also: Sequence[Path], how: How
) -> tuple[Indexed, ...]:
    pattern = None if rule.group_by is None else pattern_of(rule.group_by)
    for to in files:
        _check_target(to)
    found = find_photos(photos_dir)
    if found.presplit and rule.folds is not None:
        raise UsageError(
            f"{photos_dir} came split into train, validation or test; --folds would split it anew.",
            fix="leave --folds out, or put the labels' folders side by side",
        )
    if on_found := how.get("on_found"):
        on_found(len(found.photos))
    earlier, lost = _earlier(files, also, rule)
    grouped = group_photos(
        found,
        pattern=pattern,
        earlier=earlier,
        on_photo=how.get("on_photo"),
        on_compared=how.get("on_compared"),
    )
    skipped = tuple(sorted((*found.skipped, *grouped.skipped), key=lambda photo: photo.path))
    _refuse_thin(grouped, skipped, labels=sorted({photo.label for photo in found.photos}))
    parts = _parts(grouped, rule, earlier.parts)
    copies = len(grouped.photos) - len({photo.sha256 for photo in grouped.photos})
    indexed = []
    for at, to in enumerate(files):
        dataset = _dataset(at, found, grouped, rule, parts)
        dataset = write_dataset(dataset, to, project=how.get("project") or Path.cwd())
        warnings = (*found.warnings, *lost, *grouped.warnings, *warnings_of(dataset))
        indexed.append(
            Indexed(dataset, skipped, copies, grouped.pictures, warnings, found.passed_over)
        )
    return tuple(indexed)


def _dataset(
    at: int, found: Found, grouped: Grouped, rule: _Rule, parts: Mapping[str, str]
) -> Dataset:
    """The index at a place among the folds, not yet written."""
    photos = []
    for one in grouped.photos:
        split = one.split or rule.split(parts[one.group], at)
        photos.append(Photo(one.path, one.label, split, one.sha256, one.group))
    return Dataset(
        csv=Path(),
        photos_dir=found.root,
        labels=(),
        photos=tuple(photos),
        fractions=None if found.presplit else rule.shown(),
        seed=rule.seed,
        dataset_id="",
        split_by="folders" if found.presplit else rule.split_by,
        group_by=rule.group_by,
        fold=None if rule.folds is None else (at + 1, rule.folds),
    )


def _earlier(files: Sequence[Path], also: Sequence[Path], rule: _Rule) -> tuple[Earlier, list[str]]:
    """Groups of the indexes that stand where the new ones will, and of those in `also`; parts that
    may stay; and warnings of what stands there and cannot be read.
    """
    groups: dict[str, tuple[int, str]] = {}
    parts: dict[str, str] = {}
    same, lost = True, []
    for at, file in enumerate((*files, *also)):
        try:
            dataset = read_index(file)
        except DatasetError as error:
            if file.exists():
                lost.append(
                    "the earlier index is forgotten, so photos may have changed their splits: "
                    + error.message.rstrip(".")
                )
            continue
        for photo in dataset.photos:
            groups.setdefault(photo.sha256, (SPLITS.index(photo.split), photo.group))
        if at >= len(files):
            continue
        same = same and dataset.fractions == rule.shown() and dataset.seed == rule.seed
        same = same and dataset.split_by == rule.split_by
        same = same and dataset.fold == (None if rule.folds is None else (at + 1, rule.folds))
        for photo in dataset.photos:
            if rule.folds is None or photo.split == "test":
                parts[photo.group] = photo.split
            elif photo.split == "validation":
                parts[photo.group] = f"fold{at + 1}"
    return Earlier(groups, parts if same else {}), lost


def _parts(grouped: Grouped, rule: _Rule, kept: Mapping[str, str]) -> dict[str, str]:
    """The part of each group."""
    shares = rule.shares()
    labels: dict[str, str] = {}
    for photo in grouped.photos:
        labels.setdefault(photo.group, photo.label)
    if rule.split_by == "stratified":
        return stratified(labels, seed=rule.seed, shares=shares, kept=kept)
    return {group: part_of(group, seed=rule.seed, shares=shares) for group in labels}


def _refuse_thin(grouped: Grouped, skipped: Sequence[Skipped], *, labels: Sequence[str]) -> None:
    if not grouped.photos:
        raise DatasetError(
            f"none of {len(skipped)} photos can be read. {skipped[0].path}: {skipped[0].reason}",
            fix="see that the files are whole photos, not cut off and not something else renamed",
        )
    groups: dict[str, set[str]] = defaultdict(set)
    for photo in grouped.photos:
        groups[photo.label].add(photo.group)
    thin = [f"{label} ({len(groups[label])})" for label in labels if len(groups[label]) < 2]
    if thin:
        unread = f" {len(skipped)} files were left out." if skipped else ""
        raise DatasetError(
            f"a label needs two distinct photos, one to learn from and one to measure on; too few "
            f"that can be read: {names(thin)}.{unread}",
            fix="add photos that show something else to the folder, or move it out of the photos"
            + (", or let --group-by join fewer" if grouped.by_pattern else ""),
        )


def _check_target(to: Path) -> None:
    """Refuses before any photo was read what would be refused after all were."""
    if to.suffix != ".csv":
        raise UsageError(
            f"--to is {to}; the index is a .csv file.",
            fix=f"name one, such as --to {to}/dataset.csv",
        )
    for file in (to, to.with_suffix(".json")):
        if file.is_dir():
            raise unwritable(file, "it is a folder")
    if _is_foreign(to):
        raise unwritable(to, "what stands there, or beside it as .json, is no index of kennel")
    standing = next(
        folder for folder in (to.resolve().parent, *to.resolve().parents) if folder.exists()
    )
    if not standing.is_dir():
        raise unwritable(to, f"{standing} is not a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise unwritable(to, f"you may not write in {standing}")


def _is_foreign(to: Path) -> bool:
    """Whether somebody's own csv stands there, or where there is none somebody's own json."""
    if to.is_file():
        header = ",".join(HEADER).encode()
        with to.open("rb") as file:
            return file.read(len(header)) not in (b"", header)
    document = to.with_suffix(".json")
    return document.is_file() and b'"dataset_id"' not in document.read_bytes()
