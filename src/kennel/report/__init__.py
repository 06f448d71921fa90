"""What was measured, written down: report.json, a page, every answer, and a confusion matrix a
split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kennel.bundle import Preprocess, replacing, write_json
from kennel.confusion import draw_confusion
from kennel.page import need_jinja
from kennel.report.answers import Judged, write_answers
from kennel.report.document import Birth, Examination, document
from kennel.report.page import render
from kennel.splits import SPLITS

__all__ = ["REPORT_JSON", "Birth", "Examination", "Judged", "draw_confusion", "write_report"]

REPORT_JSON = "report.json"
METRICS_JSON = "metrics.json"
ANSWERS_CSV = "answers.csv"
PAGE = "index.html"

HEADLINE = ("n", "top1", "macro_f1", "log_loss", "ece")


def write_report(
    folder: Path,
    splits: Sequence[Judged],
    birth: Birth,
    *,
    file: Callable[[str], Path],
    preprocess: Preprocess,
    examination: Examination | None = None,
    own: bool = True,
) -> Path:
    """Writes confusion_<split>.png for each split, index.html, answers.csv, metrics.json and
    report.json.

    Pictures of splits that were not measured are removed, so that all is of one evaluation.

    Args:
        folder: made where it does not exist; usually bundles/<id>/report.
        splits: one or more, all of the same classifier.
        birth: what the figures were measured on and with.
        file: where a photo of a split lies; the page shows some.
        preprocess: how the model sees them.
        examination: what was measured besides.
        own: whether the photos are those that the bundle was made from.
    Returns:
        Path of report.json, which is written last.
    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed; nothing was written.
        ValueError: no split, two of one name, or splits with different labels.
    """
    names = [judged.report.split for judged in splits]
    if not splits or len(set(names)) != len(names):
        raise ValueError(f"reports are of {names}; they must be of one or more different splits")
    labels = splits[0].report.labels
    if any(judged.report.labels != labels for judged in splits):
        raise ValueError("reports have different labels; they must be of one classifier")
    need_jinja()

    for judged in splits:
        picture = folder / _picture(judged.report.split)
        draw_confusion(judged.report, picture, bundle_id=birth.bundle_id)
    said = document(splits, examination or Examination(), birth, own=own)
    answers = {judged.report.split: judged.answers() for judged in splits}
    page = render(said, answers, file=file, preprocess=preprocess)
    said["answers"] = write_answers(folder / ANSWERS_CSV, labels, answers)
    with replacing(folder / PAGE) as index:
        index.write(page)
    write_json(folder / METRICS_JSON, {name: _headline(said["splits"][name]) for name in names})
    write_json(folder / REPORT_JSON, said)
    for split in set(SPLITS) - set(names):
        (folder / _picture(split)).unlink(missing_ok=True)
    return folder / REPORT_JSON


def _headline(split: dict[str, Any]) -> dict[str, Any]:
    """What two evaluations are compared by, and what `dvc metrics` shows."""
    return {name: split[name] for name in HEADLINE}


def _picture(split: str) -> str:
    return f"confusion_{split}.png"
