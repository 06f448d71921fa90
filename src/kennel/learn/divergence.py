"""A loss that is no number any more, or that stays far above what guessing costs."""

from __future__ import annotations

import math
from pathlib import Path

import lightning as L

from kennel.errors import RunError
from kennel.learn.best_weights import BestWeights
from kennel.run import checkpoints_of

# Times the loss of a network that knows nothing and says so, which is ln K for K labels.
FAR_ABOVE = 3.0


class LossWatch:
    """Looks at losses of training, as many of them as it is shown.

    A run diverges where every loss looked at is above FAR_ABOVE * ln K for `patience` steps: those
    who guess lose ln K, so what such a network learned is worse than nothing. A first loss that is
    high, or a peak, is no divergence.

    Args:
        labels: K >= 1.
        patience: optimiser steps; 0: divergence is not looked for.
    """

    def __init__(self, labels: int, *, patience: int) -> None:
        self.most, self.patience = FAR_ABOVE * math.log(max(labels, 2)), patience
        self.above_since: int | None = None

    def fault(self, loss: float, step: int) -> str | None:
        """What is wrong with the loss of this step; None where nothing is."""
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if loss <= self.most or not self.patience:
            self.above_since = None
            return None
        if self.above_since is None:
            self.above_since = step
        if step - self.above_since < self.patience:
            return None
        return (
            f"the loss diverged: {loss:.3g} now, above {self.most:.3g} for "
            f"{step - self.above_since} steps, where guessing costs {self.most / FAR_ABOVE:.3g}"
        )


def diverged(trainer: L.Trainer, what: str) -> RunError:
    """The error that says `what` went wrong, and names what is left of the run that is good."""
    return RunError(
        f"{what}.",
        fix="; ".join(
            ["a lower optimizer.lr, or trainer.gradient_clip_val=1.0", *kept(trainer)],
        ),
    )


def kept(trainer: L.Trainer) -> list[str]:
    """The weights and the checkpoint that a run which failed leaves behind, in words."""
    words = []
    best = next((c for c in trainer.callbacks if isinstance(c, BestWeights)), None)  # type: ignore[attr-defined]
    if best is not None and best.epoch is not None and best.path.is_file():
        words.append(f"the best weights, of epoch {best.epoch}, are {best.path}")
    for last in checkpoints_of(Path(trainer.default_root_dir))[:1]:
        words.append(f"the last good checkpoint is {last}")
    return words or ["no epoch was completed, so no checkpoint is there"]
