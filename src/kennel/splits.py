"""Which split a photo belongs to: a matter of its content, a seed and three fractions alone.

Why so, and what it costs: docs/decisions/0003-splits-by-content.md.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from kennel.errors import UsageError

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.7, 0.1, 0.2)

Fractions = tuple[float, float, float]


def group_of(sha256: str) -> str:
    """The group of a photo: one group never stands in two splits. Today it is the bytes.

    Args:
        sha256: of the photo's bytes, 64 hexadecimal digits.
    Returns:
        16 hexadecimal digits.
    """
    return sha256[:16]


def split_of(group: str, *, seed: int, fractions: Sequence[float]) -> str:
    """The split of a group: u < f0 train, u < f0 + f1 validation, else test; u is a hash in [0, 1).

    Args:
        group: what `group_of` gave.
        seed: any integer; another seed draws all splits anew.
        fractions: of train, validation and test, each >= 0, summing to 1.
    Returns:
        One of SPLITS; never one whose fraction is 0.
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    # 53 bits are what a float holds exactly: with more, u could round up to 1.
    u = (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)
    wanted = [(name, share) for name, share in zip(SPLITS, fractions, strict=True) if share > 0]
    edge = 0.0
    for name, share in wanted[:-1]:
        edge += share
        if u < edge:
            return name
    return wanted[-1][0]


def check_fractions(fractions: Sequence[float]) -> Fractions:
    """The fractions, if they can split photos: three, each >= 0, train > 0, sum 1 within 1e-6.

    Raises:
        UsageError: they cannot.
    """
    fix = "give three numbers for train, validation and test that sum to 1: --fractions 0.7,0.1,0.2"
    said = ", ".join(f"{share:g}" for share in fractions)
    counted = len(fractions) == len(SPLITS)
    if not counted or not all(math.isfinite(share) and share >= 0 for share in fractions):
        raise UsageError(f"fractions are {said}; they must be three numbers of 0 or more.", fix=fix)
    if abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(f"fractions are {said}, which sum to {sum(fractions):g}, not 1.", fix=fix)
    train, validation, test = (float(share) for share in fractions)
    if train == 0:
        raise UsageError(f"fractions are {said}: nothing is left to learn from.", fix=fix)
    return train, validation, test
