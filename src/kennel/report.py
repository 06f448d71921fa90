"""What was measured, written down: report.json, and beside it a confusion matrix a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kennel.bundle import write_json
from kennel.confusion import draw_confusion
from kennel.evaluate import SplitReport
from kennel.splits import SPLITS

__all__ = ["REPORT_JSON", "draw_confusion", "write_report"]

REPORT_JSON = "report.json"
METRICS_JSON = "metrics.json"
SCHEMA_VERSION = 1


def write_report(
    folder: Path,
    reports: Sequence[SplitReport],
    *,
    bundle_id: str,
    dataset_id: str,
    created_utc: str,
    versions: Mapping[str, str],
    hardware: Mapping[str, str],
    seed: int,
) -> Path:
    """Writes confusion_<split>.png for each split, report.json, and its figures as metrics.json.

    Pictures of splits that are not in `reports` are removed, so that all is of one evaluation.

    Args:
        folder: made where it does not exist; usually bundles/<id>/report.
        reports: one a split, all of the same classifier.
        created_utc: ISO 8601.
        versions: of the libraries that took part.
        hardware: that the speed was measured on.
        seed: of the bootstrap behind the intervals.
    Returns:
        Path of report.json.
    Raises:
        MissingExtraError: matplotlib is not installed; nothing was written.
        ValueError: no report, two of one split, or reports with different labels.
    """
    splits = [report.split for report in reports]
    if not reports or len(set(splits)) != len(splits):
        raise ValueError(f"reports are of {splits}; they must be of one or more different splits")
    labels = reports[0].labels
    if any(report.labels != labels for report in reports):
        raise ValueError("reports have different labels; they must be of one classifier")

    for report in reports:
        draw_confusion(report, folder / _picture(report.split), bundle_id=bundle_id)
    document = {
        "schema_version": SCHEMA_VERSION,
        "bundle_id": bundle_id,
        "dataset_id": dataset_id,
        "labels": list(labels),
        "created_utc": created_utc,
        "versions": dict(versions),
        "hardware": dict(hardware),
        "seed": seed,
        "splits": {report.split: _split_document(report) for report in reports},
    }
    write_json(folder / REPORT_JSON, document)
    headlines = {report.split: _headline(report) for report in reports}
    write_json(folder / METRICS_JSON, headlines)
    for split in set(SPLITS) - set(splits):
        (folder / _picture(split)).unlink(missing_ok=True)
    return folder / REPORT_JSON


def _headline(report: SplitReport) -> dict[str, float]:
    """What two evaluations are compared by, and what `dvc metrics` shows."""
    f = report.figures
    return {
        "n": f.n,
        "top1": f.top1,
        "macro_f1": f.macro_f1,
        "log_loss": f.log_loss,
        "ece": f.ece,
    }


def _split_document(report: SplitReport) -> dict[str, Any]:
    figures = report.figures
    return {
        "n": figures.n,
        "top1": figures.top1,
        "top1_interval": list(figures.top1_interval),
        "top3": figures.top3,
        "top3_interval": list(figures.top3_interval),
        "macro_f1": figures.macro_f1,
        "macro_f1_interval": list(figures.macro_f1_interval),
        "log_loss": figures.log_loss,
        "log_loss_interval": list(figures.log_loss_interval),
        "ece": figures.ece,
        "ece_interval": list(figures.ece_interval),
        "brier": figures.brier,
        "brier_interval": list(figures.brier_interval),
        "temperature": report.temperature,
        "images_per_s": report.images_per_s,
        "confusion": figures.confusion.tolist(),
        "per_label": [
            {
                "label": label,
                "precision": of.precision,
                "recall": of.recall,
                "recall_interval": list(of.recall_interval),
                "f1": of.f1,
                "support": of.support,
            }
            for label, of in zip(report.labels, figures.per_label, strict=True)
        ],
        "skipped": [{"path": str(photo.path), "reason": photo.reason} for photo in report.skipped],
    }


def _picture(split: str) -> str:
    return f"confusion_{split}.png"
