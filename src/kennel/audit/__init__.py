"""What is wrong with photos before anything is learned from them. Neither torch nor onnxruntime.

read_subject    an index or a folder
measure_photos  one pass over the files
find_pictures   how many different pictures they show
check_labels    which labels are likely wrong; the features come from outside
judge           findings, worst first, and which files an index would do better without
write_audit     findings.csv, findings.json, index.html
verify          only: does each file have the bytes that were indexed
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kennel.audit.document import Audit, write_documents
from kennel.audit.findings import (
    LabelCheck,
    Thresholds,
    check_labels,
    find,
    lost_under,
)
from kennel.audit.kinds import DEFAULT_REMOVED
from kennel.audit.measures import Measures, measure_photos
from kennel.audit.page import render
from kennel.audit.pictures import Pictures, find_pictures
from kennel.audit.removal import removals
from kennel.audit.subject import Subject, read_subject
from kennel.audit.verify import Verified, verify
from kennel.bundle import Preprocess
from kennel.errors import DatasetError

__all__ = [
    "Audit",
    "LabelCheck",
    "Measures",
    "Pictures",
    "Subject",
    "Thresholds",
    "Verified",
    "check_labels",
    "find_pictures",
    "judge",
    "measure_photos",
    "read_subject",
    "refuse_folder",
    "verify",
    "write_audit",
]


def judge(
    subject: Subject,
    measures: Measures,
    pictures: Pictures,
    labels: LabelCheck,
    *,
    preprocess: Preprocess,
    seed: int,
    versions: Mapping[str, str],
    remove: Sequence[str] = DEFAULT_REMOVED,
    thresholds: Thresholds | None = None,
) -> Audit:
    """What was measured -> what was found.

    Args:
        preprocess: what the model will see of each photo, for lost area.
        seed: of the folds behind `labels`.
        remove: kinds of findings that files would be removed for.
    """
    limits = thresholds or Thresholds()
    findings = find(subject, measures, pictures, labels, preprocess=preprocess, thresholds=limits)
    return Audit(
        subject=subject,
        measures=measures,
        pictures=pictures,
        findings=tuple(findings),
        labels=labels,
        removed=removals(subject, measures, pictures, findings, kinds=remove),
        remove=tuple(remove),
        thresholds=limits,
        resize=preprocess.resize,
        lost=lost_under(measures, size=preprocess.size, least=limits.least_kept),
        seed=seed,
        versions=versions,
    )


def write_audit(audit: Audit, to: Path) -> None:
    """Writes findings.csv, index.html and findings.json into a folder.

    Raises:
        MissingExtraError: jinja2 is not installed; nothing was written.
        DatasetError: the folder cannot be written.
    """
    page = render(audit)
    try:
        write_documents(audit, to, page)
    except OSError as error:
        raise _unwritable(to, error.strerror or str(error)) from error


def refuse_folder(to: Path) -> None:
    """Refuses before any photo was read what could not be written after all were.

    Raises:
        DatasetError: it cannot be written.
    """
    standing = next(folder for folder in (to.resolve(), *to.resolve().parents) if folder.exists())
    if not standing.is_dir():
        raise _unwritable(to, f"{standing} is not a folder")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise _unwritable(to, f"you may not write in {standing}")


def _unwritable(to: Path, reason: str) -> DatasetError:
    return DatasetError(f"{to} cannot be written: {reason}.", fix="name another folder: --to DIR")
