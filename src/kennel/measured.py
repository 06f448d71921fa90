"""report.json, read back: what the model card and a pedigree tell of an evaluation.

Fields that are not there are None. Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from kennel.bundle import Bundle, build

REPORT = "report"  # folder in a bundle
REPORT_JSON = "report.json"

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class LabelFigures:
    """One label of one split; `support` is how many photos have it."""

    label: str
    support: int
    precision: float | None = None
    precision_interval: Interval = None
    recall: float | None = None
    recall_interval: Interval = None
    f1: float | None = None
    f1_interval: Interval = None


@dataclass(frozen=True)
class Refused:
    """Share of a split's photos that are called "not one I know", and top1 of the others."""

    refused: float
    refused_interval: Interval = None
    known_n: int | None = None
    known_top1: float | None = None
    known_top1_interval: Interval = None


@dataclass(frozen=True)
class Told:
    """Strangers told from the known: share that is refused, and figures of the score alone."""

    refused: float
    refused_interval: Interval = None
    auroc: float | None = None
    auroc_interval: Interval = None
    fpr95: float | None = None
    fpr95_interval: Interval = None


@dataclass(frozen=True)
class Group:
    """Strangers of one kind; `rejection` is None where the bundle refuses nothing."""

    name: str
    n: int
    rejection: Told | None = None


@dataclass(frozen=True)
class Strangers:
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One split, its figures with 95 % intervals."""

    n: int
    top1: float
    top1_interval: Interval = None
    k: int | None = None
    topk: float | None = None
    topk_interval: Interval = None
    macro_f1: float | None = None
    macro_f1_interval: Interval = None
    log_loss: float | None = None
    log_loss_interval: Interval = None
    ece: float | None = None
    ece_interval: Interval = None
    brier: float | None = None
    brier_interval: Interval = None
    rejection: Refused | None = None
    per_label: tuple[LabelFigures, ...] = ()
    temperature: float | None = None
    images_per_s: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()  # rows truth, columns answer, in label order


@dataclass(frozen=True)
class Evaluation:
    """A report of a bundle on its own photos.

    Attributes:
        strangers: what it does with photos of nothing that it knows.
        path: of report.json; no part of the document.
    """

    bundle_id: str
    dataset_id: str
    created_utc: str
    splits: dict[str, Measured]
    strangers: Strangers | None = None
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    path: Path = field(default=Path(), compare=False)


def evaluation_of(bundle: Bundle) -> Evaluation | None:
    """The report in a bundle's folder; None where there is none, or one of something else."""
    path = bundle.path / REPORT / REPORT_JSON
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found: Evaluation = build(Evaluation, {**values, "path": path})
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    own = (bundle.bundle_id, bundle.lineage.dataset_id)
    return found if (found.bundle_id, found.dataset_id) == own else None
