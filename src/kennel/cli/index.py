"""`kennel index PHOTOS`: lists and splits a folder of photos; writes dataset.csv and dataset.json.

A folder a label; or train, validation and test above the labels. Photos are neither moved nor
copied. Photos that show one picture (copied, resized, cropped a little, mirrored) share a split,
and adding photos moves no old one, unless it is a copy of photos in two splits.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kennel.dataset import Dataset
    from kennel.index import Indexed

EXAMPLE = "kennel index photos --to data/dataset.csv"
COLUMN = 12  # where the facts begin
WIDEST = 32  # characters of a label in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="folder of photos")
    parser.add_argument(
        "--to",
        metavar="CSV",
        type=Path,
        default=Path("data/dataset.csv"),
        help="index to write (default: %(default)s)",
    )
    parser.add_argument(
        "--fractions",
        metavar="F,F,F",
        help="shares of train, validation and test (default: 0.7,0.1,0.2)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="another seed, another split (default: 0)"
    )
    parser.add_argument(
        "--split-by",
        choices=["content", "stratified"],
        default="content",
        help="content: a photo's split depends on nothing else, in any index; stratified: every "
        "label has its shares as exactly as whole groups allow, and photos that such an index at "
        "--to has stay where they are (default: content)",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="photos in whose paths it finds the same share a split, such as those of one dog: "
        r"'(\w+)_\d+\.jpg$' for Beagle/rex_01.jpg, Beagle/rex_02.jpg",
    )
    parser.add_argument(
        "--folds",
        metavar="K",
        type=int,
        help="writes K indexes, dataset.fold1.csv and so on, for cross-validation: one test split, "
        "and every other photo is a validation photo in one of them",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.cli.progress import Counter
    from kennel.index import index_folds, index_photos
    from kennel.splits import FRACTIONS

    read, compared = Counter(0, "photos read"), Counter(0, "photos compared")

    def found(photos: int) -> None:
        read.total = photos

    def comparing(done: int, total: int) -> None:
        if not compared.total:
            read.close()
        compared.total = total
        compared.reach(done)

    options: dict[str, Any] = {
        "to": args.to,
        "fractions": FRACTIONS if args.fractions is None else _fractions(args.fractions),
        "seed": args.seed,
        "split_by": args.split_by,
        "group_by": args.group_by,
        "project": Path.cwd(),
        "on_found": found,
        "on_photo": read.tick,
        "on_compared": comparing,
    }
    if args.folds is None:
        every = [index_photos(args.photos, **options)]
    else:
        every = list(index_folds(args.photos, folds=args.folds, **options))
    (compared if compared.total else read).close()
    indexed, warnings = every[0], list(dict.fromkeys(w for one in every for w in one.warnings))
    if args.fractions is not None and indexed.dataset.fractions is None:
        warnings.append("the photos came split, so --fractions went unused")
    files = [one.dataset.csv for one in every]
    if args.json:
        print(json.dumps(_document(indexed, warnings) | {"files": list(map(str, files))}, indent=2))
    else:
        print("\n".join(_lines(indexed, warnings, files)))
    return 0


def _fractions(words: str) -> list[float]:
    from kennel.errors import UsageError

    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise UsageError(
            f"--fractions is {words}; it must be three numbers with commas between them.",
            fix="--fractions 0.7,0.1,0.2",
        ) from None


def _document(indexed: Indexed, warnings: list[str]) -> dict[str, object]:
    dataset = indexed.dataset
    return {
        "dataset": str(dataset.csv),
        "dataset_id": dataset.dataset_id,
        "photos": len(dataset.photos),
        "distinct": len(dataset.photos) - indexed.copies,
        "pictures": indexed.pictures,
        "labels": dataset.labels,
        "counts": dataset.counts,
        "skipped": [{"path": each.path, "reason": each.reason} for each in indexed.skipped],
        "passed_over": indexed.passed_over,
        "warnings": warnings,
    }


def _lines(indexed: Indexed, warnings: list[str], files: list[Path]) -> list[str]:
    dataset = indexed.dataset
    lines = [
        *_photos(indexed),
        _fact("labels", f"{len(dataset.labels):,}"),
        _fact("split", _rule(dataset)),
        "",
        *_table(dataset),
        "",
    ]
    if indexed.skipped:
        lines.append(_fact("skipped", f"{len(indexed.skipped):,} that cannot be used:"))
        lines += [f"  {each.path}: {each.reason}" for each in indexed.skipped]
    if indexed.passed_over:
        lines.append(_fact("passed over", f"{indexed.passed_over:,} hidden or not photos"))
    lines += [_fact("warning", f"{warning}.") for warning in warnings]
    for file in files:
        lines.append(_fact("wrote", f"{file} {file.with_suffix('.json')}"))
    csvs = ",".join(map(str, files))
    several = "-m " if len(files) > 1 else ""
    lines.append(f"next: kennel train {several}{shlex.quote(f'data.csv={csvs}')}")
    return lines


def _photos(indexed: Indexed) -> list[str]:
    """How many files, and how many pictures they are of: the second is what there is to learn."""
    files, distinct = len(indexed.dataset.photos), len(indexed.dataset.photos) - indexed.copies
    if indexed.pictures == files:
        return [_fact("photos", f"{files:,}, all distinct")]
    near = "" if indexed.pictures == distinct else f" ({distinct:,} different files)"
    line = _fact(
        "photos", f"{files:,} files, which show {indexed.pictures:,} distinct pictures{near}"
    )
    return [line, _fact("", "copies share a split: they teach and prove nothing new")]


def _rule(dataset: Dataset) -> str:
    if dataset.fractions is None:
        return "as the folders say"
    shares = " ".join(f"{share:.4g}" for share in dataset.fractions)
    rule = {"content": "by content", "stratified": "stratified"}[dataset.split_by]
    fold = f", fold {dataset.fold[0]} of {dataset.fold[1]}" if dataset.fold else ""
    grouped = f", grouped by {dataset.group_by}" if dataset.group_by else ""
    return f"{rule}, {shares}, seed {dataset.seed}{fold}{grouped}"


def _table(dataset: Dataset) -> list[str]:
    counts = dataset.counts
    widest = min(max(len("label"), *map(len, dataset.labels)), WIDEST)

    def row(name: str, cells: list[str]) -> str:
        short = name if len(name) <= widest else f"{name[: widest - 1]}…"
        return f"{short:<{widest}}" + "".join(f"{cell:>12}" for cell in cells)

    lines = [row("label", list(counts))]
    for label in dataset.labels:
        lines.append(row(label, [f"{of_split[label]:,}" for of_split in counts.values()]))
    lines.append(row("all", [f"{sum(of_split.values()):,}" for of_split in counts.values()]))
    return lines


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"
