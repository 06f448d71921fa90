"""What in an index may make results worse, in words, each with its remedy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from kennel.dataset import Dataset, Photo
from kennel.folders import names
from kennel.splits import SPLITS

MOST_CLASHES = 10  # photos under two labels that are named one by one; `kennel audit` names all


def warnings_of(dataset: Dataset) -> list[str]:
    """Empty splits, photos in several, photos under two labels."""
    fix = "add photos, or try another --seed or --fractions" if dataset.fractions else "add photos"
    warnings = []
    wanted = dict(zip(SPLITS, dataset.fractions or (1.0, 1.0, 1.0), strict=True))
    for split, counts in dataset.counts.items():
        share, missing = wanted[split], [label for label, n in counts.items() if n == 0]
        if share > 0 and missing:
            none = len(missing) == len(dataset.labels)
            what = f"{split} is empty" if none else f"{split} has no photo of {names(missing)}"
            warnings.append(f"{what}: {fix}")

    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in dataset.photos:
        groups[photo.group].append(photo)
    leaks = [pair for group in groups.values() if (pair := _apart(group, "split"))]
    if leaks:
        first, second = leaks[0]
        warnings.append(
            f"{len(leaks)} photos stand in more than one split, which flatters every figure "
            f"(such as {first.path} and {second.path}): keep each in one split only"
        )
    clashes = [pair for group in groups.values() if (pair := _clash(group))]
    for first, second in clashes[:MOST_CLASHES]:
        same = first.sha256 == second.sha256
        warnings.append(
            f"{first.path} and {second.path} are "
            + (
                "one photo under two labels: remove the wrong one"
                if same
                else "one group (one picture, one of --group-by, or joined by others) under two "
                "labels: look which is right"
            )
        )
    if len(clashes) > MOST_CLASHES:
        warnings.append(f"{len(clashes) - MOST_CLASHES} more photos stand under two labels")
    return warnings


def _clash(group: Sequence[Photo]) -> tuple[Photo, Photo] | None:
    """Two photos of a group under two labels; the same photo, if one is there twice."""
    files: dict[str, list[Photo]] = defaultdict(list)
    for photo in group:
        files[photo.sha256].append(photo)
    same = (pair for photos in files.values() if (pair := _apart(photos, "label")))
    return next(same, None) or _apart(group, "label")


def _apart(group: Sequence[Photo], what: Literal["split", "label"]) -> tuple[Photo, Photo] | None:
    """Two photos of a group that differ in split or label, if there are any."""
    first = group[0]
    return next(((first, p) for p in group if getattr(p, what) != getattr(first, what)), None)
