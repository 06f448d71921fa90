"""Scores for "not one I know" beside each other, on strangers that no bundle has seen.

    python benchmarks/rejection.py BUNDLE DIR [DIR ...]

Each DIR holds photos of none of the labels. Known photos are those of the bundle's test split; each
score refuses 5 % of its validation photos. `max_softmax` is what a plain classifier would do;
`mahalanobis` is that of directions, with a shrunk covariance (O. Ledoit, M. Wolf, 2004), which a
bundle does not carry. `left out` is the AUROC by which an export chooses, without any stranger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf

from kennel.bundle import Rejection, read_bundle
from kennel.calibration import refusal_threshold
from kennel.dataset import Photo, read_dataset
from kennel.errors import PhotoError
from kennel.evaluate import classify_files
from kennel.images import PHOTO_SUFFIXES
from kennel.infer import OnnxClassifier
from kennel.learn.judge import linear_head
from kennel.machine import hardware, usable_cores, versions
from kennel.metrics import softmax, wilson
from kennel.rejection import METHODS, Answered, Scorer, directions, fit_rejection, measure_methods
from kennel.separation import auroc, fpr95

RATE = 0.05
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("strangers", type=Path, nargs="+")
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    classifier = OnnxClassifier(bundle)
    dataset = read_dataset(Path(bundle.lineage.dataset_csv))
    number = {label: at for at, label in enumerate(bundle.labels)}

    def answered(files: Sequence[Path], photos: Sequence[Photo] = ()) -> Answered:
        said = classify_files(
            classifier, files, bundle.preprocess, batch_size=8, threads=usable_cores()
        )
        each = [outputs for _, outputs in said if not isinstance(outputs, PhotoError)]
        features = [outputs.features for outputs in each if outputs.features is not None]
        truth = np.array([number[photo.label] for photo in photos], np.int64)
        return Answered(np.stack([o.logits for o in each]), np.stack(features), truth)

    train, validation, test = (
        answered([dataset.file(photo) for photo in dataset.split(split)], dataset.split(split))
        for split in ("train", "validation", "test")
    )
    folders = {
        folder.name: answered(
            sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
        )
        for folder in args.strangers
    }
    scores: dict[str, Score] = {
        "max_softmax": lambda logits, features: softmax(logits).max(axis=1),
        "mahalanobis": _mahalanobis(train),
    }
    for method in METHODS:
        rejection, bank = fit_rejection(
            train, validation, rate=RATE, fit_head=linear_head, method=method
        )
        scores[method] = _scorer(rejection, bank)
    left_out = {
        candidate.method: candidate.auroc
        for candidate in measure_methods(train, validation, fit_head=linear_head)
    }

    print(f"{bundle.bundle_id}: {len(test.truth)} test photos, {len(validation.truth)} validation")
    head = ["score", "left out", "test refused"]
    head += [f"{name} ({len(a.logits)}): {f}" for name, a in folders.items() for f in FIGURES]
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for name, score in scores.items():
        threshold = refusal_threshold(score(validation.logits, validation.features), RATE)
        known = score(test.logits, test.features)
        row = [name, f"{left_out[name]:.3f}" if name in left_out else "", _share(known, threshold)]
        for of in folders.values():
            strange = score(of.logits, of.features)
            row += [_share(strange, threshold), f"{auroc(known, strange):.3f}"]
            row.append(f"{fpr95(known, strange):.3f}")
        print("| " + " | ".join(row) + " |")
    print({**hardware(), **versions(("numpy", "onnxruntime", "pillow", "torch"))})


FIGURES = ("refused", "AUROC", "FPR95")


def _share(scores: np.ndarray, threshold: float) -> str:
    hits, n = int((scores < threshold).sum()), len(scores)
    low, high = wilson(hits, n)
    return f"{hits / n:.3f} [{low:.3f}, {high:.3f}]"


def _scorer(rejection: Rejection, bank: np.ndarray | None) -> Score:
    return Scorer(rejection, bank)


def _mahalanobis(train: Answered) -> Score:
    """Distance to the nearest label's mean by the covariance within labels, negated."""
    rows = directions(train.features).astype(np.float64)
    means = np.stack([rows[train.truth == label].mean(axis=0) for label in np.unique(train.truth)])
    places = np.searchsorted(np.unique(train.truth), train.truth)
    covariance, _ = ledoit_wolf(rows - means[places], assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    whiten = vectors / np.sqrt(values)

    def score(logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        photos, centres = directions(features) @ whiten, means @ whiten
        gaps = ((photos[:, None] - centres[None]) ** 2).sum(axis=2)
        return -gaps.min(axis=1)

    return score


if __name__ == "__main__":
    main()
