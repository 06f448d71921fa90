"""Each photo of a split with what was said of it: the rows behind figures, mistakes and matrix.

N photos, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kennel.bundle import Conformal, Rejection
from kennel.calibration import prediction_sets
from kennel.evaluate import SplitReport
from kennel.metrics import softmax


@dataclass(frozen=True)
class Answered:
    """A photo and its answer. `truth` and `answer` index the labels; `known` is None where the
    bundle never refuses.
    """

    path: str
    truth: int
    answer: int
    probability: float
    of_truth: float
    known: bool | None

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
        return [
            Answered(
                path,
                int(report.truth[at]),
                int(answer[at]),
                float(probabilities[at, answer[at]]),
                float(probabilities[at, report.truth[at]]),
                None if known is None else bool(known[at]),
            )
            for at, path in enumerate(report.paths)
        ]

    def mistakes(self) -> list[Answered]:
        """Photos answered wrong: first those that are not refused, then the surest."""
        wrong = [each for each in self.answers() if not each.right]
        return sorted(wrong, key=lambda each: (each.known is False, -each.probability, each.path))

    def _probabilities(self) -> np.ndarray:  # Float64[N, K]
        return softmax(self.report.logits / np.float32(self.report.temperature))
