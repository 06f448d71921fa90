"""Which files an index would do better without, and that index. Photos are never touched."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kennel.audit.findings import Finding
from kennel.audit.kinds import KINDS
from kennel.audit.measures import Measures
from kennel.audit.pictures import Pictures
from kennel.audit.subject import Subject
from kennel.dataset import Dataset, write_dataset
from kennel.errors import DatasetError, UsageError
from kennel.folders import names

LEAST_GROUPS = 2  # of a label: one to learn from, one to measure on, as `kennel index` asks
_KEPT_FIRST = ("test", "validation", "train", "")
_COPIES = ("leak", "exact_copy", "near_copy")


def removals(
    subject: Subject,
    measures: Measures,
    pictures: Pictures,
    findings: Sequence[Finding],
    *,
    kinds: Collection[str],
) -> dict[str, str]:
    """The files to leave out, and the kind of finding that decides, by path.

    All of a picture under two labels goes, as nobody but a person knows which is right. Of other
    copies the best stays: that of the test split, then validation; then the one with most pixels,
    most bytes, first path.

    Args:
        kinds: names of KINDS that files are removed for.
    """
    photos = subject.photos
    removed: dict[str, str] = {}
    listed = {photo.path for photo in photos}
    for name in (name for name in KINDS if name in kinds and name not in _COPIES):
        for finding in findings:
            if finding.kind == name:
                for path in listed.intersection(finding.paths):
                    removed.setdefault(path, name)
    area = measures.size.astype(np.int64).prod(axis=1)

    def rank(at: int) -> tuple[int, int, int, str]:
        split = _KEPT_FIRST.index(photos[at].split)
        return split, -int(area[at]), -int(measures.bytes[at]), photos[at].path

    for rows in pictures.rows.values():
        if len({photos[at].label for at in rows}) > 1:
            continue
        splits: set[str] = set()
        contents: set[str] = set()
        left = sorted((at for at in rows if photos[at].path not in removed), key=rank)
        for at in left:
            photo, sha256 = photos[at], measures.sha256[at]
            if "leak" in kinds and splits and photo.split not in splits:
                removed[photo.path] = "leak"
                continue
            if "exact_copy" in kinds and sha256 in contents:
                removed[photo.path] = "exact_copy"
            elif "near_copy" in kinds and contents and sha256 not in contents:
                removed[photo.path] = "near_copy"
            splits.add(photo.split)
            contents.add(sha256)
    return removed


def unresolved(
    subject: Subject, findings: Sequence[Finding], removed: Collection[str]
) -> list[Finding]:
    """Errors that still hold for the photos that are not removed."""
    by_path = {photo.path: photo for photo in subject.photos}
    still = []
    for finding in findings:
        left = [by_path[path] for path in finding.paths if path in by_path and path not in removed]
        apart = {
            "leak": len({photo.split for photo in left}) > 1,
            "two_labels": len({photo.label for photo in left}) > 1,
            "random_leak": False,  # an index keeps copies in one split
        }
        if finding.severity == "error" and apart.get(finding.kind, bool(left)):
            still.append(finding)
    return still


def read_decisions(file: Path, paths: Collection[str]) -> dict[str, str]:
    """What a findings.csv says of each file, after somebody looked: the kind of the row that
    removes it, by path.

    Args:
        paths: that the index lists.
    Raises:
        DatasetError: it is no findings.csv, or two of its rows contradict each other.
    """
    fix = "hand back the findings.csv that kennel audit wrote, with yes or no under remove"
    removed: dict[str, str] = {}
    said: dict[str, tuple[str, int]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, strict=True)
            if not {"path", "kind", "remove"} <= set(rows.fieldnames or ()):
                raise DatasetError(
                    f"{file} has no columns path, kind and remove: it is no findings.csv.", fix=fix
                )
            for row in rows:
                path, word = (row["path"] or "").removeprefix("./"), _word(row["remove"])
                if not path or not word:
                    continue
                where = f"line {rows.line_num} of {file}"
                if word not in ("yes", "no"):
                    raise DatasetError(
                        f"{where} says remove {word!r}; it is yes, no or empty.", fix=fix
                    )
                if path not in paths:
                    raise DatasetError(
                        f"{where} names {path}, which the index does not list.", fix=fix
                    )
                before, line = said.setdefault(path, (word, rows.line_num))
                if before != word:
                    raise DatasetError(
                        f"{path} is to be removed on one line of {file} and kept on another: "
                        f"{line} and {rows.line_num}.",
                        fix="say the same on both, or empty one of them",
                    )
                if word == "yes":
                    removed.setdefault(path, row["kind"] or "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} cannot be read: {error}.", fix=fix) from error
    return removed


def refuse_target(to: Path, index: Path | None) -> None:
    """Refuses what cannot be written, before any photo was read.

    Raises:
        UsageError: no .csv, or the index that is audited itself.
    """
    if to.suffix != ".csv" or to.is_dir():
        raise UsageError(
            f"--apply is {to}; an index is a .csv file.", fix="name one: --apply data/clean.csv"
        )
    if index is not None and to.resolve() == index.resolve():
        raise UsageError(
            f"--apply would write over {index}, which then could not be audited again.",
            fix=f"name another: --apply {index.with_name('clean.csv')}",
        )


def apply(dataset: Dataset, removed: Mapping[str, str], *, to: Path, project: Path) -> Dataset:
    """Writes an index without the removed files; splits and groups stay as they are.

    Args:
        removed: as of `removals` or `read_decisions`.
        project: photos inside it are named relative to the index, so that the project can move.
    Raises:
        DatasetError: a label would be left with too few photos, or the index cannot be written.
    """
    photos = tuple(photo for photo in dataset.photos if photo.path not in removed)
    groups: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        groups[photo.label].add(photo.group)
    thin = [
        f"{label} ({len(groups[label])})"
        for label in dataset.labels
        if len(groups[label]) < LEAST_GROUPS
    ]
    if thin:
        raise DatasetError(
            f"without {len(dataset.photos) - len(photos):,} of {len(dataset.photos):,} files too "
            f"few distinct photos would be left of {names(thin)}; a label needs {LEAST_GROUPS}.",
            fix="add photos, or remove less: --remove exact_copy, or edit the column remove of "
            "findings.csv and hand it back with --decisions",
        )
    return write_dataset(replace(dataset, photos=photos), to, project=project)


def _word(cell: str | None) -> str:
    return (cell or "").strip().casefold()
