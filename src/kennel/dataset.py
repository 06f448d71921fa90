"""A folder of photos -> an index with splits, and the index read back. Moves and copies nothing.

The split of a photo depends on its bytes, the seed and the fractions, and on nothing else: adding
photos never moves old ones, and byte-identical photos never part.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from csv import Error as CsvError
from csv import reader, writer
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from kennel import __version__
from kennel.bundle import replacing, write_json
from kennel.errors import DatasetError, KennelError, PhotoError, UsageError
from kennel.folders import Skipped, find_photos, names
from kennel.images import open_photo
from kennel.splits import FRACTIONS, SPLITS, Fractions, check_fractions, group_of, split_of

__all__ = ["SPLITS", "Dataset", "Indexed", "Photo", "Skipped", "index_photos", "read_dataset"]

HEADER = ("path", "label", "split", "sha256", "group")
MOST_CLASHES = 10  # photos under two labels that are named one by one; `kennel audit` names all


@dataclass(frozen=True)
class Photo:
    """One row of dataset.csv. `path` is relative to photos_dir, with forward slashes."""

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
    """

    csv: Path
    photos_dir: Path
    labels: tuple[str, ...]
    photos: tuple[Photo, ...]
    fractions: Fractions | None
    seed: int
    dataset_id: str

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Photos by split and label; every split and label is there, with 0 where it has none."""
        seen = Counter((photo.split, photo.label) for photo in self.photos)
        return {split: {label: seen[split, label] for label in self.labels} for split in SPLITS}

    def split(self, name: str) -> tuple[Photo, ...]:
        """The photos of "train", "validation" or "test", sorted by path.

        Raises:
            ValueError: there is no such split.
        """
        if name not in SPLITS:
            raise ValueError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")
        return tuple(photo for photo in self.photos if photo.split == name)

    def file(self, photo: Photo) -> Path:
        """Where a photo lies."""
        return self.photos_dir / photo.path


@dataclass(frozen=True)
class Indexed:
    """What indexing gave.

    Attributes:
        dataset: as written.
        skipped: files that look like photos but are left out, sorted by path.
        copies: photos whose bytes another photo of the index has already.
        warnings: what may make results worse, each with its remedy.
        passed_over: hidden files and files whose suffix is no photo's.
    """

    dataset: Dataset
    skipped: tuple[Skipped, ...]
    copies: int
    warnings: tuple[str, ...]
    passed_over: int = 0


def index_photos(
    photos_dir: Path,
    *,
    to: Path,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    project: Path | None = None,
    on_found: Callable[[int], None] | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> Indexed:
    """Indexes and splits a folder of photos, and writes the index: same photos, same bytes.

    Args:
        photos_dir: a folder a label; or train, validation (val, valid) and test above the labels,
            which are then the splits, and fractions and seed go unused.
        to: the csv; the json is written beside it under the same stem.
        fractions: of train, validation and test, each >= 0, train > 0, summing to 1 within 1e-6.
        seed: of the split.
        project: photos inside it are named relative to the json, so that the project can move; the
            working directory unless given.
        on_found: called once with how many photos will be read.
        on_photo: called with each file after it was read, in the order of the paths.
    Raises:
        UsageError: fractions or the suffix of `to` are wrong.
        DatasetError: the folder gives no dataset, or the index cannot be written.
    """
    shares = check_fractions(fractions)
    _check_target(to)
    found = find_photos(photos_dir)
    if on_found:
        on_found(len(found.photos))
    photos, skipped = [], list(found.skipped)
    files = [found.root / photo.path for photo in found.photos]
    with closing(_read_all(files)) as reads:
        for photo, file, read in zip(found.photos, files, reads, strict=True):
            if isinstance(read, _Unreadable):
                skipped.append(Skipped(photo.path, read.reason))
            else:
                group = group_of(read)
                split = photo.split or split_of(group, seed=seed, fractions=shares)
                photos.append(Photo(photo.path, photo.label, split, read, group))
            if on_photo:
                on_photo(file)
    skipped.sort(key=lambda photo: photo.path)
    _refuse_thin(photos, skipped, labels=sorted({photo.label for photo in found.photos}))
    dataset = _write(
        to,
        found.root,
        photos,
        fractions=None if found.presplit else shares,
        seed=seed,
        project=project or Path.cwd(),
    )
    return Indexed(
        dataset=dataset,
        skipped=tuple(skipped),
        copies=len(photos) - len({photo.sha256 for photo in photos}),
        warnings=(*found.warnings, *_warnings(dataset)),
        passed_over=found.passed_over,
    )


def read_dataset(csv: Path) -> Dataset:
    """Reads an index back. Photos themselves are not looked at.

    Raises:
        DatasetError: the csv or its json is missing, damaged, or changed since they were written;
            or the folder of photos is gone.
    """
    again = f"index the photos again: kennel index PHOTOS --to {csv}"
    document = csv.with_suffix(".json")
    for file in (csv, document):
        if not file.is_file():
            raise DatasetError(f"{file} does not exist; an index is a csv and a json.", fix=again)
    try:
        content = csv.read_bytes()
        values = json.loads(document.read_text(encoding="utf-8"))
        labels, photos_dir, fractions, seed, dataset_id = _values(values)
    except (OSError, ValueError) as error:
        said = f"{document} is not an index that kennel wrote: {error}."
        raise DatasetError(said, fix=again) from error
    if hashlib.sha256(content).hexdigest() != dataset_id:
        raise DatasetError(
            f"{csv} was changed since it was indexed: its sha256 is not the dataset_id.", fix=again
        )
    try:
        photos = _rows(content.decode("utf-8"), labels)
    except (ValueError, CsvError) as error:
        said = f"{csv} is not an index that kennel wrote: {error}."
        raise DatasetError(said, fix=again) from error
    beside = csv.parent.resolve() / photos_dir
    folder = beside if beside.is_dir() else Path.cwd() / photos_dir
    if not folder.is_dir():
        raise DatasetError(
            f"{beside}, where the photos of {csv} lay, is no longer there.",
            fix=f"put them back, or index them where they are: kennel index PHOTOS --to {csv}",
        )
    return Dataset(csv, folder.resolve(), labels, photos, fractions, seed, dataset_id)


@dataclass(frozen=True)
class _Unreadable:
    reason: str


def _read_all(files: Sequence[Path]) -> Generator[str | _Unreadable, None, None]:
    """`_read` of each file, in order, in as many threads as there are cores."""
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes without the interpreter's lock
    try:
        yield from pool.map(_read, files)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the rest is not waited for


def _read(file: Path) -> str | _Unreadable:
    """sha256 of a photo that decodes to its last byte."""
    if not file.is_file():
        lost = file.is_symlink() and not file.exists()
        return _Unreadable("a link to a file that is not there" if lost else "not a regular file")
    try:
        content = file.read_bytes()
        open_photo(content, at_least=32)  # a small scale is quick, and still reads to the end
    except PhotoError as error:
        return _Unreadable(error.message.rstrip("."))
    except OSError as error:
        return _Unreadable(f"cannot be opened: {error.strerror}")
    return hashlib.sha256(content).hexdigest()


def _refuse_thin(
    photos: Sequence[Photo], skipped: Sequence[Skipped], *, labels: Sequence[str]
) -> None:
    if not photos:
        raise DatasetError(
            f"none of {len(skipped)} photos can be read. {skipped[0].path}: {skipped[0].reason}",
            fix="see that the files are whole photos, not cut off and not something else renamed",
        )
    groups: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        groups[photo.label].add(photo.group)
    thin = [f"{label} ({len(groups[label])})" for label in labels if len(groups[label]) < 2]
    if thin:
        unread = f" {len(skipped)} files were left out." if skipped else ""
        raise DatasetError(
            f"a label needs two distinct photos, one to learn from and one to measure on; too few "
            f"that can be read: {names(thin)}.{unread}",
            fix="add photos to the folder, or move it out of the photos",
        )


def _warnings(dataset: Dataset) -> list[str]:
    fix = "add photos, or try another --seed or --fractions" if dataset.fractions else "add photos"
    warnings = []
    wanted = dict(zip(SPLITS, dataset.fractions or (1.0, 1.0, 1.0), strict=True))
    for split, counts in dataset.counts.items():
        share, missing = wanted[split], [label for label, n in counts.items() if n == 0]
        if share > 0 and missing:
            none = len(missing) == len(dataset.labels)
            what = f"{split} is empty" if none else f"{split} has no photo of {names(missing)}"
            warnings.append(f"{what}: {fix}")

    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in dataset.photos:
        groups[photo.group].append(photo)
    leaks = [pair for group in groups.values() if (pair := _apart(group, "split"))]
    if leaks:
        first, second = leaks[0]
        warnings.append(
            f"{len(leaks)} photos stand in more than one split, which flatters every figure "
            f"(such as {first.path} and {second.path}): keep each in one split only"
        )
    clashes = [pair for group in groups.values() if (pair := _apart(group, "label"))]
    for first, second in clashes[:MOST_CLASHES]:
        warnings.append(
            f"{first.path} and {second.path} are one photo under two labels: remove the wrong one"
        )
    if len(clashes) > MOST_CLASHES:
        warnings.append(f"{len(clashes) - MOST_CLASHES} more photos stand under two labels")
    return warnings


def _apart(group: Sequence[Photo], what: Literal["split", "label"]) -> tuple[Photo, Photo] | None:
    """Two photos of a group that differ in split or label, if there are any."""
    first = group[0]
    return next(((first, p) for p in group if getattr(p, what) != getattr(first, what)), None)


def _write(
    to: Path,
    root: Path,
    photos: Sequence[Photo],
    *,
    fractions: Fractions | None,
    seed: int,
    project: Path,
) -> Dataset:
    text = io.StringIO()
    rows = writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    rows.writerows((p.path, p.label, p.split, p.sha256, p.group) for p in photos)
    dataset_id = hashlib.sha256(text.getvalue().encode()).hexdigest()
    labels = tuple(sorted({photo.label for photo in photos}))
    dataset = Dataset(to, root, labels, tuple(photos), fractions, seed, dataset_id)
    folder, home = to.parent.resolve(), project.resolve()
    movable = root.is_relative_to(home) and folder.is_relative_to(home)
    try:
        with replacing(to) as file:
            file.write(text.getvalue())
        write_json(
            to.with_suffix(".json"),
            {
                "labels": labels,
                "counts": dataset.counts,
                "photos_dir": os.path.relpath(root, folder) if movable else str(root),
                "fractions": fractions,
                "seed": seed,
                "dataset_id": dataset_id,
                "kennel": __version__,
            },
        )
    except OSError as error:
        raise _unwritable(to, error.strerror or str(error)) from error
    return dataset


def _values(values: Any) -> tuple[tuple[str, ...], str, Fractions | None, int, str]:
    """labels, photos_dir, fractions, seed and dataset_id, or a ValueError that says what is not."""
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
        except (KennelError, TypeError, ValueError) as error:
            raise ValueError(f"fractions are {values['fractions']!r}") from error
    return labels, values["photos_dir"], fractions, values["seed"], values["dataset_id"]


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


def _check_target(to: Path) -> None:
    """Refuses before any photo was read what would be refused after all were."""
    if to.suffix != ".csv":
        raise UsageError(
            f"--to is {to}; the index is a .csv file.",
            fix=f"name one, such as --to {to}/dataset.csv",
        )
    if to.is_dir():
        raise _unwritable(to, "it is a folder")
    standing = next(
        folder for folder in (to.resolve().parent, *to.resolve().parents) if folder.exists()
    )
    if not standing.is_dir():
        raise _unwritable(to, f"{standing} is not a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise _unwritable(to, f"you may not write in {standing}")


def _unwritable(to: Path, reason: str) -> DatasetError:
    return DatasetError(
        f"{to} cannot be written: {reason}.", fix="name another place: --to FOLDER/dataset.csv"
    )
