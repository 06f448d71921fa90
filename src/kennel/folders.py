"""What a folder of photos holds: files, labels, and splits where they came split. Opens no photo.

Found recursively and in order. Hidden files and files that are no photos are counted; what looks
like a photo and cannot be used is named.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kennel.errors import DatasetError
from kennel.images import PHOTO_SUFFIXES

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}

MOST_DEEP = 100  # folders one within another

SAMPLE_JSON = "sample.json"  # what `kennel sample` leaves beside its folders
DRAWN = "pictures that kennel sample drew"  # where such photos come from
SOURCE_JSON = "source.json"  # what `kennel fetch` leaves there

Parts = tuple[str, ...]  # a path below the folder of photos


@dataclass(frozen=True)
class Skipped:
    """A photo that is left out, and why. `path` is relative to the folder that was indexed."""

    path: str
    reason: str


@dataclass(frozen=True)
class Labelled:
    """A photo file. `split` is None unless the photos came split."""

    path: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Found:
    """What a folder of photos holds.

    Attributes:
        root: the folder, links resolved.
        photos: sorted by path.
        presplit: whether train, validation or test stand above the labels.
        skipped: what looks like a photo and cannot be used.
        warnings: folders that may be read otherwise than they were meant.
        passed_over: hidden files and folders, and files whose suffix is no photo's; what
            `kennel sample` and `kennel fetch` leave is not worth a word.
    """

    root: Path
    photos: tuple[Labelled, ...]
    presplit: bool
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    passed_over: int


@dataclass(frozen=True)
class Origin:
    """Where photos come from and under which licence, where that was written down beside them."""

    source: str | None = None
    licence: str | None = None


def origin_of(photos_dir: Path) -> Origin:
    """What `kennel fetch` or `kennel sample` left in the folder says; nothing where they did not
    or it cannot be read.
    """
    if (photos_dir / SAMPLE_JSON).is_file():
        return Origin(source=DRAWN)
    try:
        values = json.loads((photos_dir / SOURCE_JSON).read_text(encoding="utf-8"))
        said = {name: values.get(name) for name in ("name", "homepage", "url", "licence")}
    except (OSError, ValueError, RecursionError, AttributeError):
        return Origin()
    said = {name: value for name, value in said.items() if isinstance(value, str) and value}
    where = said.get("homepage", said.get("url"))
    named = [each for each in (said.get("name"), where) if each]
    return Origin(source=", ".join(named) or None, licence=said.get("licence"))


def find_photos(photos_dir: Path) -> Found:
    """Finds the photos of a folder and says their labels.

    The labels are its folders, or the folders inside train, validation (val, valid) and test, if no
    other folder there has photos. Links are followed, but not back to a folder that holds them.

    Raises:
        DatasetError: it is no folder, holds no photos, or its folders are not two or more labels.
    """
    if not photos_dir.is_dir():
        what = "is not a folder" if photos_dir.exists() else "does not exist"
        raise DatasetError(
            f"{photos_dir} {what}.",
            fix="name a folder with a folder of photos for each label, or draw one to practise on: "
            "kennel sample photos",
        )
    walk = _Walk(photos_dir.resolve())
    walk.enter((), frozenset(_identity(folder) for folder in (walk.root, *walk.root.parents)))
    if not walk.photos:
        unusable = "".join(f" {each.path}: {each.reason}." for each in walk.skipped[:1])
        raise DatasetError(
            f"{photos_dir} holds no photos; {walk.passed_over} other files were passed over."
            + unusable,
            fix="put a folder of photos for each label into it; photos end in "
            f"{', '.join(sorted(PHOTO_SUFFIXES))}",
        )
    return _labelled(walk)


def names(items: Sequence[str], most: int = 8) -> str:
    """The items in a sentence; beyond `most` only how many."""
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest


@dataclass
class _Walk:
    root: Path
    photos: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    passed_over: int = 0

    def enter(self, parts: Parts, above: frozenset[tuple[int, int]]) -> None:
        """Notes all below a folder. `above` are those on the way here: no link back is followed."""
        try:
            inside = sorted(os.listdir(self.root.joinpath(*parts)))  # noqa: PTH208 - names, not paths
        except OSError as error:
            self.skip(parts, f"the folder cannot be opened: {error.strerror}")
            return
        for name in inside:
            self.note((*parts, name), above)

    def note(self, parts: Parts, above: frozenset[tuple[int, int]]) -> None:
        name, path = parts[-1], self.root.joinpath(*parts)
        if name.startswith("."):
            self.passed_over += 1
        # Not Path.is_dir, which raises for links that lead out of reach; this is then False.
        elif os.path.isdir(path):  # noqa: PTH112
            identity = _identity(path)
            if len(parts) > MOST_DEEP:
                self.skip(parts, f"the folder lies in {MOST_DEEP} others")
            elif identity in above:
                self.skip(parts, "the folder is a link to one that holds it")
            else:
                self.folders.append(parts)
                self.enter(parts, above | {identity})
        elif path.suffix.lower() not in PHOTO_SUFFIXES:
            self.passed_over += parts not in ((SAMPLE_JSON,), (SOURCE_JSON,))
        elif not _writable(name):
            self.skip(parts, "its name has control characters or is not UTF-8")
        else:
            self.photos.append(parts)

    def skip(self, parts: Parts, reason: str) -> None:
        self.skipped.append(Skipped(_shown(parts), reason))


def _labelled(walk: _Walk) -> Found:
    tops = sorted({parts[0] for parts in walk.photos if len(parts) > 1})
    splits = [top for top in tops if top.casefold() in SPLIT_FOLDERS]
    others = [top for top in tops if top not in splits]
    if len(splits) > 1 and others:
        raise DatasetError(
            f"{walk.root} holds split folders ({names(splits)}) beside others ({names(others)}).",
            fix="move the others into a split or away, or rename the splits if they are labels",
        )
    presplit = bool(splits) and not others
    depth = 1 if presplit else 0  # of the folder that is the label

    photos = []
    for parts in sorted(walk.photos, key="/".join):
        if len(parts) < depth + 2:
            walk.skip(parts, "it lies in no label's folder")
            continue
        split = SPLIT_FOLDERS[parts[0].casefold()] if presplit else None
        photos.append(Labelled("/".join(parts), parts[depth], split))
    if not photos:
        where = walk.root.joinpath(*splits[:1])
        raise DatasetError(
            f"the photos lie directly in {where}, in no label's folder.",
            fix=f"move the photos into a folder for each label, such as {where / 'Beagle'}",
        )
    nested = any(len(parts) > depth + 2 for parts in walk.photos)
    _refuse_labels(walk.root, sorted({photo.label for photo in photos}), nested=nested)

    warnings = []
    if splits and others:
        warnings.append(
            f"{splits[0]} is read as a label, as folders that are no splits stand beside it"
        )
    filled = {parts[: depth + 1] for parts in walk.photos}
    empty = [_shown(f) for f in walk.folders if len(f) == depth + 1 and f not in filled]
    if empty:
        warnings.append(
            f"no photos in {names(empty)}, so no label: add photos, or remove the folder"
        )
    return Found(
        root=walk.root,
        photos=tuple(photos),
        presplit=presplit,
        skipped=tuple(walk.skipped),
        warnings=tuple(warnings),
        passed_over=walk.passed_over,
    )


def _refuse_labels(root: Path, labels: Sequence[str], *, nested: bool) -> None:
    for label in labels:
        if not _writable(label):
            raise DatasetError(
                f"the folder {_shown((label,))} cannot name a label: "
                "it has control characters or is not UTF-8.",
                fix="rename the folder",
            )
    spellings: dict[str, str] = {}
    for label in labels:
        # Also one name in two Unicode forms, as macOS and Linux write accents: they look the same.
        other = spellings.setdefault(unicodedata.normalize("NFC", label).casefold(), label)
        if other != label:
            raise DatasetError(
                f"the labels {other} and {label} differ only in capitals or accents' encoding.",
                fix=f"move the photos of {label} into {other}, or rename one of the folders",
            )
    if len(labels) == 1:
        inside = root / labels[0]
        hint = (
            f"if the labels are the folders inside it: kennel index {inside}; else "
            if nested
            else ""
        )
        raise DatasetError(
            f"{root} holds one label only ({labels[0]}); a classifier tells two or more apart.",
            fix=f"{hint}add a folder of photos for each further label",
        )


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _writable(name: str) -> bool:
    """Whether a name can stand in a csv: no control characters, no bytes that are not UTF-8."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def _shown(parts: Parts) -> str:
    """A path for people, whatever its bytes."""
    path = "/".join(parts)
    return path if _writable(path) else path.encode("unicode_escape").decode("ascii")
