"""Each photo of a split with what was said of it: the rows behind figures, mistakes and matrix;
written into answers.csv, and read back.

N photos, K labels.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kennel.bundle import Conformal, Rejection, file_sha256, replacing
from kennel.calibration import prediction_sets
from kennel.evaluate import SplitReport
from kennel.metrics import logsumexp, softmax

COLUMNS = (
    "split",
    "path",
    "sha256",
    "label",
    "answer",
    "probability",
    "probability_of_label",
    "loss",
    "known",
)
KNOWN = {"": None, "true": True, "false": False}


@dataclass(frozen=True)
class Answered:
    """A photo and its answer. `truth` and `answer` index the labels; `known` is None where the
    bundle never refuses; `loss` is -log of the truth's probability, nats; `sha256` is "" where
    nobody wrote it down.
    """

    path: str
    truth: int
    answer: int
    probability: float
    of_truth: float
    known: bool | None
    loss: float
    sha256: str = ""

    @property
    def right(self) -> bool:
        return self.truth == self.answer


@dataclass(frozen=True, eq=False)
class Judged:
    """A split's report, and what the bundle makes of it.

    Attributes:
        report: of the split.
        rejection: when a photo is refused; None where the bundle never refuses.
        conformal: which labels a set names; None where the bundle promises none.
    """

    report: SplitReport
    rejection: Rejection | None = None
    conformal: Conformal | None = None

    @property
    def known(self) -> np.ndarray | None:  # Bool[N]
        """Which photos are not refused."""
        if self.rejection is None or self.report.scores is None:
            return None
        return np.asarray(self.report.scores >= self.rejection.threshold)

    @property
    def sets(self) -> np.ndarray | None:  # Bool[N, K]
        """The labels that each photo's set names."""
        if self.conformal is None:
            return None
        return prediction_sets(self._probabilities(), self.conformal.threshold)

    @property
    def confidence(self) -> np.ndarray:  # Float64[N]
        """Probability of each photo's answer."""
        return np.asarray(self._probabilities().max(axis=1))

    @property
    def right(self) -> np.ndarray:  # Bool[N]
        """Which photos are answered right."""
        return np.asarray(self.report.logits.argmax(axis=1) == self.report.truth)

    def answers(self) -> list[Answered]:
        """One a photo, in the order of the report."""
        report, probabilities = self.report, self._probabilities()
        answer, known = report.logits.argmax(axis=1), self.known
        scaled = report.logits.astype(np.float64) / report.temperature
        loss = logsumexp(scaled) - scaled[np.arange(len(scaled)), report.truth]
        sha256s = report.sha256s or ("",) * len(report.paths)
        return [
            Answered(
                path,
                int(report.truth[at]),
                int(answer[at]),
                float(probabilities[at, answer[at]]),
                float(probabilities[at, report.truth[at]]),
                None if known is None else bool(known[at]),
                float(loss[at]),
                sha256s[at],
            )
            for at, path in enumerate(report.paths)
        ]

    def mistakes(self) -> list[Answered]:
        """Photos answered wrong, as `mistakes_among` orders them."""
        return mistakes_among(self.answers())

    def _probabilities(self) -> np.ndarray:  # Float64[N, K]
        return softmax(self.report.logits / np.float32(self.report.temperature))


def mistakes_among(answers: Sequence[Answered]) -> list[Answered]:
    """Those that are wrong: first what is not refused, then the surest."""
    wrong = [each for each in answers if not each.right]
    return sorted(wrong, key=lambda each: (each.known is False, -each.probability, each.path))


def write_answers(
    path: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Answered]]
) -> dict[str, Any]:
    """Writes a row a photo, in the order given.

    Returns:
        what report.json says of the file: its name, sha256 and rows.
    """
    n = 0
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for split, answers in splits.items():
            for each in answers:
                n += 1
                words = each.path, each.sha256, labels[each.truth], labels[each.answer]
                numbers = each.probability, each.of_truth, each.loss
                known = "" if each.known is None else str(each.known).lower()
                table.writerow((split, *words, *map(repr, numbers), known))
    return {"file": path.name, "sha256": file_sha256(path), "rows": n}


def read_answers(content: bytes, labels: Sequence[str]) -> dict[str, list[Answered]]:
    """What `write_answers` wrote, by split.

    Args:
        content: bytes of the file.
        labels: of the report that names it.
    Raises:
        ValueError: it is not such a file, or has other labels.
    """
    number = {label: at for at, label in enumerate(labels)}
    splits: dict[str, list[Answered]] = {}
    table = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    if tuple(next(table, ())) != COLUMNS:
        raise ValueError(f"its first line is not {','.join(COLUMNS)}")
    for row in table:
        split, path, sha256, truth, answer, *numbers, known = row
        probability, of_truth, loss = map(float, numbers)
        if not (truth in number and answer in number and known in KNOWN and math.isfinite(loss)):
            raise ValueError(f"line {table.line_num} is not a photo of the report's labels")
        said = number[truth], number[answer], probability, of_truth, KNOWN[known], loss, sha256
        splits.setdefault(split, []).append(Answered(path, *said))
    return splits
