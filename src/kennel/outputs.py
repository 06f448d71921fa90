"""What a classifier gives: the one seam between those who answer photos and those who measure them.

N photos, K labels, D features, H x W pixels. A module of its own, so that who answers one photo
loads nothing of what measures many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a classifier gives for a batch, or without the N for one photo.

    Attributes:
        logits: Float32[N, K], before any temperature.
        features: Float32[N, D] that the logits were made of; None where it gives none.
    """

    logits: Float32
    features: Float32 | None = None


class Classifier(Protocol):
    """What answers photos: the ONNX and the torch classifier, and the fakes of the tests."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the K labels, in the order of the logits."""

    def outputs(self, batch: Float32) -> Outputs:
        """Float32[N, 3, H, W] -> its logits and features."""
