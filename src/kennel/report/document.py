"""report.json: all that was measured, in one document whose names stay.

Shares and figures stand beside `<name>_interval`, at 95 %; null is what the photos cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kennel.confidence import RiskCoverage, reliability, risk_coverage
from kennel.evaluate import SplitReport
from kennel.intervals import bootstrap, wilson
from kennel.metrics import calibration_error, softmax
from kennel.report.answers import Answered, Judged
from kennel.robustness import Robustness
from kennel.separation import Separation
from kennel.slices import Slicing
from kennel.strangers import Group, Known

SCHEMA_VERSION = 1
MOST_MISTAKES = 500  # of a split that are named

HEADLINES = ("test", "validation", "train")  # the first that was measured stands in large


@dataclass(frozen=True)
class Birth:
    """What the figures were measured on and with."""

    bundle_id: str
    dataset_id: str
    created_utc: str
    versions: Mapping[str, str]
    hardware: Mapping[str, str]
    seed: int
    command: str = ""
    backbone: str = ""


@dataclass(frozen=True, eq=False)
class Examination:
    """What was measured besides the splits; empty or None where it was not."""

    slicings: tuple[Slicing, ...] = ()
    robustness: Robustness | None = None
    known: Known | None = None
    strangers: tuple[Group, ...] = ()


def document(
    splits: Sequence[Judged], examination: Examination, birth: Birth, *, own: bool
) -> dict[str, Any]:
    """The document, ready for JSON.

    Args:
        splits: one or more, of one classifier.
        own: whether the photos are those that the bundle was made from.
    """
    by_split = {judged.report.split: judged for judged in splits}
    headline = next(split for split in HEADLINES if split in by_split)
    labels = splits[0].report.labels
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle_id": birth.bundle_id,
        "dataset_id": birth.dataset_id,
        "own_photos": own,
        "labels": list(labels),
        "created_utc": birth.created_utc,
        "versions": dict(birth.versions),
        "hardware": dict(birth.hardware),
        "seed": birth.seed,
        "command": birth.command,
        "headline": headline,
        "flattered": flattered(list(by_split), birth.backbone, own=own),
        "splits": {split: split_document(judged, birth.seed) for split, judged in by_split.items()},
        "slices": [
            {
                "by": each.by,
                "unit": each.unit,
                "split": headline,
                "differ": each.differ,
                "slices": [_plain(part) for part in each.slices],
            }
            for each in examination.slicings
        ],
        "robustness": _robustness(examination.robustness),
        "strangers": _strangers(examination),
    }


def flattered(splits: Sequence[str], backbone: str, *, own: bool) -> list[str]:
    """In words, which figures are better than they should be believed, and why."""
    said = []
    if not own:
        said.append(
            "These are other photos than the bundle was made from: some may have been in its "
            "training."
        )
    else:
        if "train" in splits:
            said.append("Train flatters: the model has learned these photos.")
        if "validation" in splits:
            said.append(
                "Validation flatters: the best epoch, the temperature and the threshold of "
                "“not one I know” were chosen on it."
            )
        said.append(
            "Test was opened by kennel evaluate alone."
            if "test" in splits
            else "Test was not measured: no figure here says how the model does on new photos."
        )
    if backbone:
        said.append(
            f"The backbone, {backbone}, was pretrained on photos of its own; where some of these "
            "were among them, all figures flatter, and that cannot be seen from here."
        )
    return said


def split_document(judged: Judged, seed: int) -> dict[str, Any]:
    """The figures of one split."""
    report, figures = judged.report, judged.report.figures
    document: dict[str, Any] = {"n": figures.n}
    for name in ("top1", "topk", "macro_f1", "log_loss", "ece", "brier"):
        document[name] = getattr(figures, name)
        document[f"{name}_interval"] = list(getattr(figures, f"{name}_interval"))
    before, before_interval = _before_temperature(report, seed)
    mistakes = judged.mistakes()
    width, count = reliability(judged.confidence, judged.right)
    return {
        **document,
        "k": figures.k,
        "temperature": report.temperature,
        "ece_before_temperature": before,
        "ece_before_temperature_interval": list(before_interval),
        "reliability": {
            "equal_width": [_plain(each) for each in width],
            "equal_count": [_plain(each) for each in count],
        },
        "risk_coverage": _risk_coverage(judged, seed),
        **_refused(judged),
        "prediction_sets": _sets(judged, seed),
        "images_per_s": report.images_per_s,
        "confusion": figures.confusion.tolist(),
        "per_label": [
            {"label": label, **_plain(of)}
            for label, of in zip(report.labels, figures.per_label, strict=True)
        ],
        "mistakes": [_mistake(each, report.labels) for each in mistakes[:MOST_MISTAKES]],
        "mistakes_n": len(mistakes),
        "skipped": [{"path": str(photo.path), "reason": photo.reason} for photo in report.skipped],
    }


def _before_temperature(report: SplitReport, seed: int) -> tuple[float, tuple[float, float]]:
    if report.temperature == 1:
        return report.figures.ece, report.figures.ece_interval
    probabilities = softmax(report.logits)
    right = report.logits.argmax(axis=1) == report.truth
    return calibration_error(probabilities.max(axis=1), right, seed=seed)


def _risk_coverage(judged: Judged, seed: int) -> dict[str, Any]:
    curves = {"probability": risk_coverage(judged.confidence, judged.right, seed=seed)}
    if judged.report.scores is not None:
        curves["rejection"] = risk_coverage(judged.report.scores, judged.right, seed=seed)
    return {name: _curve(curve) for name, curve in curves.items()}


def _curve(curve: RiskCoverage) -> dict[str, Any]:
    return {
        "aurc": curve.aurc,
        "aurc_interval": list(curve.aurc_interval),
        "coverage": [round(value, 6) for value in curve.coverage.tolist()],
        "risk": [round(value, 6) for value in curve.risk.tolist()],
    }


def _refused(judged: Judged) -> dict[str, Any]:
    """How many photos are "not one I know", and how good the other answers are."""
    known, rejection = judged.known, judged.rejection
    if known is None or rejection is None:
        return {"rejection": None}
    n, kept = len(known), int(known.sum())
    hits = int((known & judged.right).sum())
    return {
        "rejection": {
            "method": rejection.method,
            "threshold": rejection.threshold,
            "refused": (n - kept) / n,
            "refused_interval": list(wilson(n - kept, n)),
            "known_n": kept,
            "known_top1": hits / kept if kept else None,
            "known_top1_interval": list(wilson(hits, kept)) if kept else None,
        }
    }


def _sets(judged: Judged, seed: int) -> dict[str, Any] | None:
    """How often the labels named hold the truth, and how many they are."""
    sets, conformal = judged.sets, judged.conformal
    if sets is None or conformal is None:
        return None
    n = len(sets)
    held = int(sets[np.arange(n), judged.report.truth].sum())
    sizes = sets.sum(axis=1)
    mean, interval = bootstrap(lambda index: sizes[index].mean(axis=1), n, seed=seed)
    return {
        "promised": conformal.coverage,
        "threshold": conformal.threshold,
        "coverage": held / n,
        "coverage_interval": list(wilson(held, n)),
        "mean_size": mean,
        "mean_size_interval": list(interval),
        "sizes": np.bincount(sizes).tolist(),
    }


def _mistake(each: Answered, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "path": each.path,
        "label": labels[each.truth],
        "answer": labels[each.answer],
        "probability": each.probability,
        "probability_of_label": each.of_truth,
        "known": each.known,
    }


def _robustness(found: Robustness | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "split": found.split,
        "n": found.n,
        "of": found.of,
        "seed": found.seed,
        "top1": found.clean,
        "top1_interval": list(found.clean_interval),
        "mean_top1": found.mean,
        "corruptions": [_plain(series) for series in found.series],
    }


def _strangers(examination: Examination) -> dict[str, Any] | None:
    known = examination.known
    if known is None or not examination.strangers:
        return None
    return {
        "known": {
            "split": known.split,
            "n": len(known.confidence),
            "softmax_threshold": known.confidence_threshold,
            "softmax_threshold_set_on": {"split": known.set_on, "n": known.set_on_n},
        },
        "groups": [
            {
                "name": group.name,
                "source": group.source,
                "seed": group.seed,
                "n": group.n,
                "rejection": _separation(group.rejection),
                "softmax": _separation(group.softmax),
                "most_known": [_plain(each) for each in group.strangers[:12]],
                "skipped": [_plain(each) for each in group.skipped],
            }
            for group in examination.strangers
        ],
    }


def _separation(found: Separation | None) -> dict[str, Any] | None:
    return None if found is None else _plain(found)


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it: tuples become lists when they are written."""
    plain: dict[str, Any] = asdict(value)
    return plain
