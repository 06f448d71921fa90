"""How well a score tells photos of known labels from strangers. NumPy only.

N known photos, M strangers; higher scores are more known.
"""

from __future__ import annotations

import math

import numpy as np


def auroc(known: np.ndarray, strangers: np.ndarray) -> float:
    """Probability that a known photo scores higher than a stranger; of equal scores half counts.

    Args:
        known: Float[N], N >= 1.
        strangers: Float[M], M >= 1.
    Returns:
        0..1; 0.5 is chance.
    Raises:
        ValueError: one is empty, or a score is not a number.
    Source: J. A. Hanley, B. J. McNeil, Radiology 143(1):29-36, 1982.
    """
    known, strangers = _checked(known, strangers)
    ordered = np.sort(strangers)
    below = np.searchsorted(ordered, known, side="left")
    up_to = np.searchsorted(ordered, known, side="right")
    return float((below + up_to).sum() / (2 * len(known) * len(strangers)))


def fpr95(known: np.ndarray, strangers: np.ndarray) -> float:
    """Share of strangers taken for known where at least 95 % of the known photos are.

    Args:
        known: Float[N], N >= 1.
        strangers: Float[M], M >= 1.
    Returns:
        0..1; 0 is best.
    Raises:
        ValueError: one is empty, or a score is not a number.
    Source: S. Liang et al., ICLR 2018, arXiv:1706.02690.
    """
    known, strangers = _checked(known, strangers)
    threshold = np.sort(known)[len(known) - math.ceil(0.95 * len(known))]
    return float((strangers >= threshold).mean())


def _checked(known: np.ndarray, strangers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known, strangers = np.asarray(known, np.float64), np.asarray(strangers, np.float64)
    if not len(known) or not len(strangers):
        raise ValueError(
            f"{len(known)} known photos and {len(strangers)} strangers: both are needed"
        )
    if np.isnan(known).any() or np.isnan(strangers).any():
        raise ValueError("a score is not a number")
    return known, strangers
