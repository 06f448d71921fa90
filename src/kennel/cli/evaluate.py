"""`kennel evaluate BUNDLE`: measures the model that will be served; writes report.json, a page and
confusion matrices.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import DatasetError, need

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.dataset import Dataset
    from kennel.infer import OnnxClassifier
    from kennel.report import Examination, Judged
    from kennel.slices import Slicing
    from kennel.strangers import Judge

EXAMPLE = "kennel evaluate bundles/<id> --strangers photos-of-cats"
LIBRARIES = ("numpy", "onnxruntime", "pillow", "matplotlib")
FALSE_REFUSALS = 0.05  # for the plain softmax, where the bundle has no rate of its own
SEED = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
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
        "--strangers",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="photos of none of the labels, to be refused; may be given again",
    )
    parser.add_argument(
        "--no-robustness",
        dest="robustness",
        action="store_false",
        help="do not measure spoiled photos, which asks for 36 answers for each of up to 100",
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="folder for the report (default: in the bundle)"
    )


def run(args: argparse.Namespace) -> int:
    need("matplotlib.figure", extra="train")
    from kennel.bundle import BUNDLE_JSON, MODEL_SIG, read_bundle, read_document
    from kennel.card import note_figures
    from kennel.cli.progress import Counter
    from kennel.evaluate import evaluate_split
    from kennel.infer import OnnxClassifier, temperature
    from kennel.machine import hardware, usable_cores, utc_now, versions
    from kennel.named import bundle_named
    from kennel.page import need_jinja
    from kennel.report import Birth, Judged, write_report
    from kennel.strangers import find_strangers

    need_jinja()
    args.bundle = bundle_named(args.bundle)
    bundle = read_bundle(args.bundle)
    dataset, own = _photos(bundle, args.data)
    for folder in args.strangers:
        find_strangers(folder)  # a wrong name is said before minutes have passed
    classifier = OnnxClassifier(bundle)
    splits = (
        [args.split]
        if args.split
        else [s for s, counts in dataset.counts.items() if sum(counts.values())]
    )
    judge = _judge(bundle, classifier)
    judged = []
    for split in splits:
        counter = Counter(len(dataset.split(split)), f"{split} photos answered")
        report = evaluate_split(
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
        counter.close()
        judged.append(Judged(report, bundle.rejection, bundle.conformal))
    examination = _examine(args, judge, judged, dataset)
    folder = args.to or bundle.path / ("report" if own else f"report-{dataset.dataset_id[:8]}")
    backbone = bundle.lineage.backbone
    document = write_report(
        folder,
        judged,
        Birth(
            bundle_id=bundle.bundle_id,
            dataset_id=dataset.dataset_id,
            created_utc=utc_now(),
            versions=versions(LIBRARIES),
            hardware=hardware(),
            seed=SEED,
            command=_command(args),
            backbone="" if backbone.weights == "random" else backbone.name,
        ),
        file=lambda path: dataset.photos_dir / path,
        preprocess=bundle.preprocess,
        examination=examination,
        own=own,
    )
    reports = [each.report for each in judged]
    if own:
        before = read_document(bundle.path)
        note_figures(bundle, reports)
        if (bundle.path / MODEL_SIG).exists() and read_document(bundle.path) != before:
            sys.stderr.write(
                f"the figures are in {BUNDLE_JSON} now, so its signature no longer holds; sign it "
                f"again: kennel sign {bundle.path} --key private.pem\n"
            )
    if args.json:
        print(document.read_text(encoding="utf-8"), end="")
        return 0
    _say(judged, examination)
    print(f"{'report':<12}{document}")
    print(f"{'page':<12}{folder / 'index.html'}")
    for split in splits:
        print(f"{'':<12}{folder / f'confusion_{split}.png'}")
    print(f"next: look at {folder / 'index.html'}; kennel predict {args.bundle} PHOTO")
    return 0


def _judge(bundle: Bundle, classifier: OnnxClassifier) -> Judge:
    """The bundle as strangers meet it."""
    from kennel.infer import temperature
    from kennel.strangers import Judge

    rejection = bundle.rejection
    return Judge(
        classifier=classifier,
        preprocess=bundle.preprocess,
        temperature=temperature(bundle),
        method=rejection.method if rejection else None,
        score=classifier.score,
        threshold=rejection.threshold if rejection else None,
        rate=rejection.false_refusal_rate if rejection else FALSE_REFUSALS,
    )


def _examine(
    args: argparse.Namespace, judge: Judge, judged: list[Judged], dataset: Dataset
) -> Examination:
    """All that is measured besides the splits, with progress."""
    from kennel.cli.progress import Counter
    from kennel.machine import usable_cores
    from kennel.report import Examination
    from kennel.report.document import HEADLINES
    from kennel.robustness import answers_asked, measure_robustness
    from kennel.strangers import drawn, find_strangers, known_photos, photographed
    from kennel.strangers.drawn import KINDS, PER_KIND

    by_split = {each.report.split: each for each in judged}
    headline = by_split[next(split for split in HEADLINES if split in by_split)]
    set_on = by_split.get("validation", headline)
    known = known_photos(judge, headline.report, set_on.report)

    groups = []
    for folder in args.strangers:
        counter = Counter(len(find_strangers(folder)), f"strangers of {folder} answered")
        names = [other.resolve().name for other in args.strangers]
        name = folder.resolve().name
        groups.append(
            photographed(
                judge,
                known,
                folder,
                name=name if names.count(name) == 1 else str(folder),
                seed=SEED,
                threads=usable_cores(),
                on_photo=counter.tick,
            )
        )
        counter.close()
    counter = Counter(PER_KIND * len(KINDS), "drawn strangers answered")
    for kind in KINDS:
        on = counter.tick
        groups.append(drawn(judge, known, kind, seed=SEED, threads=usable_cores(), on_photo=on))
    counter.close()

    robustness = None
    if args.robustness:
        counter = Counter(answers_asked(len(headline.report.paths)), "spoiled photos answered")
        robustness = measure_robustness(
            judge.classifier,
            headline.report,
            lambda path: dataset.photos_dir / path,
            judge.preprocess,
            seed=SEED,
            threads=usable_cores(),
            on_photo=counter.tick,
        )
        counter.close()
    return Examination(
        slicings=_slicings(headline, dataset),
        robustness=robustness,
        known=known,
        strangers=tuple(groups),
    )


def _slicings(judged: Judged, dataset: Dataset) -> tuple[Slicing, ...]:
    """The photos of a split by what `kennel audit` measures of them, and by source."""
    import numpy as np

    from kennel.audit import measure_photos
    from kennel.cli.progress import Counter
    from kennel.slices import by_source, by_value

    counter = Counter(len(judged.report.paths), "photos looked at")
    files = [dataset.photos_dir / path for path in judged.report.paths]
    measures = measure_photos(files, on_photo=counter.tick)
    counter.close()
    there = measures.readable
    right = judged.right[there]
    values = (
        ("size", "pixels of the short side", np.min(measures.size, axis=1)),
        ("brightness", "mean grey, 0 to 255", measures.brightness),
        ("sharpness", "variance of the Laplacian at 224 pixels", measures.sharpness),
    )
    found = [by_value(name, unit, value[there], right) for name, unit, value in values]
    source = by_source(judged.report.paths, judged.report.truth, judged.right)
    return tuple(found) + ((source,) if source else ())


def _command(args: argparse.Namespace) -> str:
    """The line that measures the same again."""
    words = ["kennel", "evaluate", str(args.bundle)]
    for option, value in (("--data", args.data), ("--split", args.split), ("--to", args.to)):
        words += [option, str(value)] if value else []
    for folder in args.strangers:
        words += ["--strangers", str(folder)]
    return shlex.join(words + ([] if args.robustness else ["--no-robustness"]))


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


def _say(judged: list[Judged], examination: Examination) -> None:
    reports = [each.report for each in judged]
    print(
        f"{'split':<12}{'n':>6}   {'top1':<22}{'macro F1':<22}{'log loss':<22}{'ece':<22}".rstrip()
    )
    for report in reports:
        f = report.figures
        cells = "".join(
            _figure(value, interval)
            for value, interval in (
                (f.top1, f.top1_interval),
                (f.macro_f1, f.macro_f1_interval),
                (f.log_loss, f.log_loss_interval),
                (f.ece, f.ece_interval),
            )
        )
        print(f"{report.split:<12}{f.n:>6}   {cells.rstrip()}")
    if examination.strangers:
        print(
            f"{'strangers':<15}{'n':>3}   {'refused':<22}{'by softmax':<22}{'auroc':<22}".rstrip()
        )
    for group in examination.strangers:
        by, plain = group.rejection, group.softmax
        refused = _figure(by.refused, by.refused_interval) if by else f"{'never':<22}"
        auroc = _figure(by.auroc, by.auroc_interval) if by else ""
        cells = refused + _figure(plain.refused, plain.refused_interval) + auroc
        print(f"{group.name:<14} {group.n:>3}   {cells.rstrip()}")
    robust = examination.robustness
    if robust:
        clean = _figure(robust.clean, robust.clean_interval).rstrip()
        print(f"{'spoiled':<12}{robust.n:>6}   top1 {robust.mean:.3f} over all ways, {clean} as is")
    for report in reports:
        for skipped in report.skipped:
            print(f"{'skipped':<12}{skipped.path}: {skipped.reason}")
    for group in examination.strangers:
        for skipped in group.skipped:
            print(f"{'skipped':<12}{group.name}: {skipped.path}: {skipped.reason}")


def _figure(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]  "
