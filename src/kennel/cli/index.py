"""`kennel index PHOTOS`: lists and splits a folder of photos; writes dataset.csv and dataset.json.

A folder a label; or train, validation and test above the labels. Photos are neither moved nor
copied. The split of a photo depends on its bytes, the seed and the fractions only, so adding photos
never moves old ones.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.dataset import Dataset, Indexed

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


def run(args: argparse.Namespace) -> int:
    from kennel.cli.progress import Counter
    from kennel.dataset import index_photos
    from kennel.splits import FRACTIONS

    counter = Counter(0, "photos read")

    def found(photos: int) -> None:
        counter.total = photos

    indexed = index_photos(
        args.photos,
        to=args.to,
        fractions=FRACTIONS if args.fractions is None else _fractions(args.fractions),
        seed=args.seed,
        project=Path.cwd(),
        on_found=found,
        on_photo=counter.tick,
    )
    counter.close()
    warnings = list(indexed.warnings)
    if args.fractions is not None and indexed.dataset.fractions is None:
        warnings.append("the photos came split, so --fractions went unused")
    if args.json:
        print(json.dumps(_document(indexed, warnings), indent=2))
    else:
        print("\n".join(_lines(indexed, warnings)))
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
        "labels": dataset.labels,
        "counts": dataset.counts,
        "skipped": [{"path": each.path, "reason": each.reason} for each in indexed.skipped],
        "passed_over": indexed.passed_over,
        "warnings": warnings,
    }


def _lines(indexed: Indexed, warnings: list[str]) -> list[str]:
    dataset = indexed.dataset
    copies = f", {indexed.copies:,} of them copies" if indexed.copies else ", all distinct"
    lines = [
        _fact("photos", f"{len(dataset.photos):,}{copies}"),
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
    lines.append(_fact("wrote", f"{dataset.csv} {dataset.csv.with_suffix('.json')}"))
    lines.append(f"next: kennel train {shlex.quote(f'data.csv={dataset.csv}')}")
    return lines


def _rule(dataset: Dataset) -> str:
    if dataset.fractions is None:
        return "as the folders say"
    shares = " ".join(f"{share:g}" for share in dataset.fractions)
    return f"by content, {shares}, seed {dataset.seed}"


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
