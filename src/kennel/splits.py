"""Which split a photo belongs to: a matter of its group, a seed and three fractions.

Why so, and what it costs: docs/decisions/0003-splits-by-content.md.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from kennel.errors import UsageError

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.7, 0.1, 0.2)

Fractions = tuple[float, float, float]


def group_of(sha256: str) -> str:
    """The group of a photo that has no copies: one group never stands in two splits.

    Args:
        sha256: of the photo's bytes, 64 hexadecimal digits.
    Returns:
        16 hexadecimal digits.
    """
    return sha256[:16]


def shares_of(fractions: Fractions, *, folds: int | None = None) -> dict[str, float]:
    """The parts that groups are given to, and how much each gets, in this order.

    Args:
        fractions: of train, validation and test.
        folds: None: the parts are the splits. Else what is not test is shared by so many folds,
            "fold1" and on, each of them validation in its turn.
    """
    if folds is None:
        return {name: share for name, share in zip(SPLITS, fractions, strict=True) if share > 0}
    test = {"test": fractions[2]} if fractions[2] > 0 else {}
    return {f"fold{at + 1}": (1 - fractions[2]) / folds for at in range(folds)} | test


def part_of(group: str, *, seed: int, shares: Mapping[str, float]) -> str:
    """The part of a group by its content alone: where u, a hash in [0, 1), lies among the shares.

    Args:
        group: what `group_of` gave.
        seed: any integer; another seed draws all parts anew.
        shares: of the parts, each > 0, summing to 1.
    """
    u, edge = _hashed(group, seed), 0.0
    *first, last = shares
    for name in first:
        edge += shares[name]
        if u < edge:
            return name
    return last


def split_of(group: str, *, seed: int, fractions: Fractions) -> str:
    """One of SPLITS: u < f0 train, u < f0 + f1 validation, else test; none whose fraction is 0."""
    return part_of(group, seed=seed, shares=shares_of(fractions))


def stratified(
    labels: Mapping[str, str],
    *,
    seed: int,
    shares: Mapping[str, float],
    kept: Mapping[str, str],
) -> dict[str, str]:
    """Parts of groups such that each label has its shares, rounded: exact where nothing is kept.

    Each label has at least one group in every part if it has as many groups as there are parts.

    Args:
        labels: label by group.
        seed, shares: as of `part_of`.
        kept: part by group, for groups that stay where they are; new ones fill what is missing.
    """
    parts = {group: part for group, part in kept.items() if group in labels and part in shares}
    by_label: dict[str, list[str]] = {}
    for group in sorted(labels, key=lambda group: (_hashed(group, seed), group)):
        by_label.setdefault(labels[group], []).append(group)
    for groups in by_label.values():
        missing = Counter(_rounded(len(groups), shares))
        missing.subtract(parts[group] for group in groups if group in parts)
        for group in groups:
            if group not in parts:
                parts[group] = max(shares, key=lambda part: missing[part])
                missing[parts[group]] -= 1
    return parts


def _rounded(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """n in whole numbers by shares, none of them 0 if n allows: largest remainders first."""
    least = 1 if n >= len(shares) else 0
    counts = {part: max(math.floor(n * share), least) for part, share in shares.items()}
    while (left := n - sum(counts.values())) != 0:
        gap = {part: n * share - counts[part] for part, share in shares.items()}
        if left > 0:
            counts[max(gap, key=lambda part: gap[part])] += 1
        else:
            counts[min(gap, key=lambda part: (counts[part] <= least, gap[part]))] -= 1
    return counts


def _hashed(group: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    # 53 bits are what a float holds exactly: with more, u could round up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


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
