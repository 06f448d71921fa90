"""An index of photos, written and read back: dataset.csv, and dataset.json beside it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from csv import Error as CsvError
from csv import reader, writer
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from kennel import __version__
from kennel.bundle import replacing, write_json
from kennel.errors import DatasetError, KennelError
from kennel.folders import names
from kennel.splits import SPLITS, Fractions, check_fractions

HEADER = ("path", "label", "split", "sha256", "group")

SplitRule = Literal["content", "stratified", "folders"]


@dataclass(frozen=True)
class Photo:
    """One row of dataset.csv. `path` is relative to photos_dir, with forward slashes; photos that
    show one picture, or what `group_by` says belongs together, have one `group` and one split.
    """

    path: str
    label: str
    split: str
    sha256: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """An index of photos.

    Attributes:
        csv: the file it was read from or written to.
        photos_dir: absolute folder that the photos' paths start from.
        labels: sorted; their order is the order of the logits.
        photos: sorted by path.
        fractions: of train, validation and test; None where the photos came split.
        seed: of the split; without effect where the photos came split.
        dataset_id: sha256 of the csv's bytes.
        split_by: what the splits follow; `folders` where the photos came split.
        group_by: the regular expression by which photos belong together, if there was one.
        sealed: splits whose photos were taken out: nobody is to see them.
        fold: (i, k) where this is the i-th of k folds: 1 <= i <= k.
    """

    csv: Path
    photos_dir: Path
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    fractions: Fractions | None
    seed: int
    dataset_id: str
    split_by: SplitRule = "content"
    group_by: str | None = None
    fold: tuple[int, int] | None = None
    sealed: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Photos by split and label; every split and label is there, with 0 where it has none."""
        seen = Counter((photo.split, photo.label) for photo in self.photos)
        return {split: {label: seen[split, label] for label in self.labels} for split in SPLITS}

    def split(self, name: str) -> tuple[Photo, ...]:
        """The photos of "train", "validation" or "test", sorted by path.

        Raises:
            ValueError: there is no such split.
            DatasetError: it is sealed.
        """
        if name not in SPLITS:
            raise ValueError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")
        if name in self.sealed:
            raise DatasetError(
                f"the {name} photos of {self.csv} are sealed: who chooses settings must not see "
                "them.",
                fix="measure on them when the choice is made: kennel evaluate BUNDLE",
            )
        return tuple(photo for photo in self.photos if photo.split == name)

    def without(self, splits: Sequence[str]) -> Dataset:
        """The same index with the photos of those splits taken out, and the splits sealed."""
        if not splits:
            return self
        kept = tuple(photo for photo in self.photos if photo.split not in splits)
        return replace(self, photos=kept, sealed=(*self.sealed, *splits))

    def file(self, photo: Photo) -> Path:
        """Where a photo lies."""
        return self.photos_dir / photo.path


_SEALED: ContextVar[tuple[str, ...]] = ContextVar("sealed", default=())


@contextmanager
def sealing(*splits: str) -> Iterator[None]:
    """In this block every index that is read lacks the photos of those splits, whoever reads it:
    where settings are chosen, nobody sees test photos by mistake.
    """
    before = _SEALED.set((*_SEALED.get(), *splits))
    try:
        yield
    finally:
        _SEALED.reset(before)


def read_dataset(csv: Path) -> Dataset:
    """Reads an index back. Photos themselves are not looked at; see `sealing`.

    Raises:
        DatasetError: the csv or its json is missing, damaged, or changed since they were written;
            or the folder of photos is gone.
    """
    dataset = read_index(csv)
    beside = csv.parent.resolve() / dataset.photos_dir
    folder = beside if beside.is_dir() else Path.cwd() / dataset.photos_dir
    if not folder.is_dir():
        raise DatasetError(
            f"{beside}, where the photos of {csv} lay, is no longer there.",
            fix=f"put them back, or index them where they are: kennel index PHOTOS --to {csv}",
        )
    return replace(dataset, photos_dir=folder.resolve())


def read_index(csv: Path) -> Dataset:
    """The same, wherever the photos are now: `photos_dir` is what the json says.

    Raises:
        DatasetError: the csv or its json is missing, damaged, or changed since they were written.
    """
    again = f"index the photos again: kennel index PHOTOS --to {csv}"
    document = csv.with_suffix(".json")
    for file in (csv, document):
        if not file.is_file():
            raise DatasetError(f"{file} does not exist; an index is a csv and a json.", fix=again)
    try:
        content = csv.read_bytes()
        dataset = _from_json(csv, json.loads(document.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        said = f"{document} is not an index that kennel wrote: {error}."
        raise DatasetError(said, fix=again) from error
    if hashlib.sha256(content).hexdigest() != dataset.dataset_id:
        raise DatasetError(
            f"{csv} was changed since it was indexed: its sha256 is not the dataset_id.", fix=again
        )
    try:
        whole = replace(dataset, photos=_rows(content.decode("utf-8"), dataset.labels))
        return whole.without(_SEALED.get())
    except (ValueError, CsvError) as error:
        said = f"{csv} is not an index that kennel wrote: {error}."
        raise DatasetError(said, fix=again) from error


def write_dataset(dataset: Dataset, to: Path, *, project: Path) -> Dataset:
    """Writes an index; its labels and dataset_id become those of its photos.

    Args:
        dataset: `photos_dir` is absolute.
        to: the csv; the json is written beside it under the same stem.
        project: photos inside it are named relative to the json, so that the project can move.
    Returns: the index as written.
    Raises:
        DatasetError: it cannot be written.
    """
    text = io.StringIO()
    rows = writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    rows.writerows((p.path, p.label, p.split, p.sha256, p.group) for p in dataset.photos)
    written = replace(
        dataset,
        csv=to,
        labels=tuple(sorted({photo.label for photo in dataset.photos})),
        dataset_id=hashlib.sha256(text.getvalue().encode()).hexdigest(),
    )
    root, folder, home = dataset.photos_dir, to.parent.resolve(), project.resolve()
    movable = root.is_relative_to(home) and folder.is_relative_to(home)
    try:
        with replacing(to) as file:
            file.write(text.getvalue())
        write_json(
            to.with_suffix(".json"),
            {
                "labels": written.labels,
                "counts": written.counts,
                "photos_dir": os.path.relpath(root, folder) if movable else str(root),
                "fractions": written.fractions,
                "seed": written.seed,
                "split_by": written.split_by,
                "group_by": written.group_by,
                "fold": written.fold,
                "dataset_id": written.dataset_id,
                "kennel": __version__,
            },
        )
    except OSError as error:
        raise unwritable(to, error.strerror or str(error)) from error
    return written


def unwritable(to: Path, reason: str) -> DatasetError:
    """An index cannot be written there."""
    return DatasetError(
        f"{to} cannot be written: {reason}.", fix="name another place: --to FOLDER/dataset.csv"
    )


def _from_json(csv: Path, values: Any) -> Dataset:
    """The index without its photos, or a ValueError that says what is wrong with the json."""
    if not isinstance(values, dict):
        raise ValueError("it is not an object")
    kinds = {"labels": list, "photos_dir": str, "seed": int, "dataset_id": str}
    for name, kind in kinds.items():
        if not isinstance(values.get(name), kind):
            raise ValueError(f"{name} is {values.get(name)!r}")
    labels = tuple(values["labels"])
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) != len(labels):
        raise ValueError("labels are not distinct names")
    fractions: Fractions | None = None
    if values.get("fractions") is not None:
        try:
            fractions = check_fractions(values["fractions"])
        except (KennelError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"fractions are {values['fractions']!r}") from error
    # The last three are absent from indexes of the first days.
    split_by = values.get("split_by", "content" if fractions else "folders")
    if split_by not in get_args(SplitRule):
        raise ValueError(f"split_by is {split_by!r}")
    group_by, fold = values.get("group_by"), values.get("fold")
    if not isinstance(group_by, str | None):
        raise ValueError(f"group_by is {group_by!r}")
    if fold is not None and not _is_fold(fold):
        raise ValueError(f"fold is {fold!r}")
    return Dataset(
        csv=csv,
        photos_dir=Path(values["photos_dir"]),
        labels=labels,
        photos=(),
        fractions=fractions,
        seed=values["seed"],
        dataset_id=values["dataset_id"],
        split_by=split_by,
        group_by=group_by,
        fold=None if fold is None else (fold[0], fold[1]),
    )


def _is_fold(fold: Any) -> bool:
    whole = isinstance(fold, list) and len(fold) == 2 and all(type(n) is int for n in fold)
    return whole and 1 <= fold[0] <= fold[1]


def _rows(text: str, labels: Sequence[str]) -> tuple[Photo, ...]:
    """The photos of a csv, or a ValueError that names the line."""
    rows = reader(io.StringIO(text, newline=""), strict=True)
    if tuple(next(rows, ())) != HEADER:
        raise ValueError(f"its first line is not {','.join(HEADER)}")
    known = set(labels)
    photos = []
    for row in rows:
        if len(row) != len(HEADER):
            raise ValueError(f"line {rows.line_num} has {len(row)} fields, not {len(HEADER)}")
        photo = Photo(*row)
        if photo.split not in SPLITS or photo.label not in known:
            raise ValueError(
                f"line {rows.line_num} names split {photo.split!r} and label {photo.label!r}"
            )
        path = PurePosixPath(photo.path)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(
                f"line {rows.line_num} names {photo.path}, which lies outside the folder of photos"
            )
        photos.append(photo)
    unused = known - {photo.label for photo in photos}
    if unused:
        raise ValueError(f"no line has the label {names(sorted(unused))}, which the json lists")
    return tuple(photos)
