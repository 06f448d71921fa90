"""`kennel evaluate BUNDLE`: measures the model that will be served; writes report.json and
confusion matrices.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import DatasetError, need

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.dataset import Dataset
    from kennel.evaluate import SplitReport

EXAMPLE = "kennel evaluate bundles/<id>"
LIBRARIES = ("numpy", "onnxruntime", "pillow", "matplotlib")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", type=Path, help="folder that kennel export wrote"
    )
    parser.add_argument(
        "--data",
        metavar="CSV",
        type=Path,
        help="index to measure on (default: the one it was trained on)",
    )
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        help="only this one (default: every split that has photos)",
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="folder for the report (default: in the bundle)"
    )


def run(args: argparse.Namespace) -> int:
    need("matplotlib.figure", extra="train")
    from kennel.bundle import read_bundle
    from kennel.card import note_figures
    from kennel.cli.progress import Counter
    from kennel.evaluate import evaluate_split
    from kennel.infer import OnnxClassifier, temperature
    from kennel.machine import hardware, usable_cores, utc_now, versions
    from kennel.report import write_report

    bundle = read_bundle(args.bundle)
    dataset, own = _photos(bundle, args.data)
    classifier = OnnxClassifier(bundle)
    splits = (
        [args.split]
        if args.split
        else [s for s, counts in dataset.counts.items() if sum(counts.values())]
    )
    reports = []
    for split in splits:
        counter = Counter(len(dataset.split(split)), f"{split} photos answered")
        reports.append(
            evaluate_split(
                classifier,
                dataset,
                split,
                bundle.preprocess,
                temperature=temperature(bundle),
                score=classifier.score,
                batch_size=16,
                threads=usable_cores(),
                on_photo=counter.tick,
            )
        )
        counter.close()
    folder = args.to or bundle.path / ("report" if own else f"report-{dataset.dataset_id[:8]}")
    document = write_report(
        folder,
        reports,
        bundle_id=bundle.bundle_id,
        dataset_id=dataset.dataset_id,
        created_utc=utc_now(),
        versions=versions(LIBRARIES),
        hardware=hardware(),
        seed=0,
    )
    if own:
        note_figures(bundle, reports)
    if args.json:
        print(document.read_text(encoding="utf-8"), end="")
        return 0
    _say(reports)
    print(f"{'report':<12}{document}")
    for split in splits:
        print(f"{'':<12}{folder / f'confusion_{split}.png'}")
    print(f"next: kennel predict {args.bundle} PHOTO")
    return 0


def _photos(bundle: Bundle, csv: Path | None) -> tuple[Dataset, bool]:
    """The photos to measure on, and whether they are those that the bundle was made from."""
    from kennel.dataset import read_dataset

    if csv is None and not Path(bundle.lineage.dataset_csv).is_file():
        raise DatasetError(
            f"the index it was trained on, {bundle.lineage.dataset_csv}, is not on this machine.",
            fix="name one: --data data/dataset.csv",
        )
    dataset = read_dataset(csv or Path(bundle.lineage.dataset_csv))
    own = dataset.dataset_id == bundle.lineage.dataset_id
    if csv is None and not own:
        raise DatasetError(
            f"{dataset.csv} changed since the bundle was trained on it.",
            fix=f"measure on it all the same with --data {dataset.csv}; photos it was trained "
            "on may be in any split",
        )
    if not own:
        sys.stderr.write(
            "these are other photos than it was trained on: their splits mean nothing to it\n"
        )
    return dataset, own


def _say(reports: list[SplitReport]) -> None:
    print(f"{'split':<12}{'n':>6}   {'top1':<22}{'macro F1':<22}{'log loss':<22}{'ece':<22}")
    for report in reports:
        f = report.figures
        cells = "".join(
            f"{value:.3f} [{low:.3f}, {high:.3f}]  "
            for value, (low, high) in (
                (f.top1, f.top1_interval),
                (f.macro_f1, f.macro_f1_interval),
                (f.log_loss, f.log_loss_interval),
                (f.ece, f.ece_interval),
            )
        )
        print(f"{report.split:<12}{f.n:>6}   {cells.rstrip()}")
    for report in reports:
        for skipped in report.skipped:
            print(f"{'skipped':<12}{skipped.path}: {skipped.reason}")
