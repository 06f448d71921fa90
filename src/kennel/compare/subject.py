"""Which photos may judge two bundles: those whose label both know, and that neither learned from.

A photo counts as learned from where it, or what the index says belongs together with it, stands in
the training split of a bundle's own index. Where that index is not at hand it cannot be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kennel.bundle import Bundle
from kennel.dataset import Dataset, Photo, read_dataset, read_index
from kennel.errors import BundleError, DatasetError, UsageError
from kennel.folders import names
from kennel.splits import SPLITS

ALL = "all"
Split = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True)
class LeftOut:
    """Photos that may not judge: `n` of them, and why, in words."""

    n: int
    why: str


@dataclass(frozen=True)
class Subject:
    """The photos that judge.

    Attributes:
        dataset: the index they are from.
        split: of that index, or "all".
        photos: one or more, sorted by path.
        labels: that all bundles know, in the order of the first: two or more.
        left_out: photos of the split that may not judge.
        remarks: what weakens the outcome, in words.
    """

    dataset: Dataset
    split: Split
    photos: tuple[Photo, ...]
    labels: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]


def choose_photos(bundles: Sequence[Bundle], *, csv: Path | None, split: Split) -> Subject:
    """The photos of a split that may judge bundles.

    Args:
        bundles: one or two.
        csv: index to take them from; None for the one that all of them were trained on.
        split: of that index, or "all".
    Raises:
        UsageError: bundles of different photos, and no index was named.
        BundleError: the bundles have fewer than two labels in common.
        DatasetError: the index is not at hand, or none of its photos may judge.
    """
    labels = _labels(bundles)
    dataset = _dataset(bundles, csv)
    photos = _of_split(dataset, split)
    taken = {photo.path: why for photo in photos if (why := _strange(photo, bundles))}
    remarks = []
    for bundle in bundles:
        own = _own_index(bundle, dataset)
        if own is None:
            remarks.append(
                f"the index that {bundle.bundle_id} was trained on is not at hand: whether it "
                "learned from some of these photos is not known"
            )
            continue
        learned = _Seen(own, "train")
        for photo in photos:
            if photo in learned and photo.path not in taken:
                taken[photo.path] = f"{bundle.bundle_id} was trained on them, or on copies of them"
        chosen = _Seen(own, "validation")
        n = sum(photo in chosen for photo in photos if photo.path not in taken)
        if n:
            remarks.append(
                f"{bundle.bundle_id} was chosen and calibrated on {n} of these photos, which "
                "flatters it"
            )
    left = tuple(photo for photo in photos if photo.path not in taken)
    left_out = tuple(LeftOut(n, why) for why, n in Counter(taken.values()).items())
    if not left:
        reasons = "; ".join(f"{each.n}: {each.why}" for each in left_out)
        raise DatasetError(
            f"none of the {len(photos)} photos ({split}) of {dataset.csv} may judge: {reasons}.",
            fix="name an index of photos that none of the bundles was trained on: --data CSV",
        )
    return Subject(dataset, split, left, labels, left_out, tuple(dict.fromkeys(remarks)))


def same_model(first: Bundle, second: Bundle) -> bool:
    """Whether both give the same answers by their bytes: figures and model card do not count."""

    def function(bundle: Bundle) -> tuple[object, ...]:
        files = {name: each.sha256 for name, each in bundle.files.items() if name != "README.md"}
        return bundle.labels, bundle.preprocess, bundle.calibration, bundle.rejection, files

    return function(first) == function(second)


class _Seen:
    """The photos of a split, and what belongs together with them."""

    def __init__(self, index: Dataset, split: str) -> None:
        photos = index.split(split)
        self._sha256 = {photo.sha256 for photo in photos}
        self._groups = {photo.group for photo in photos}

    def __contains__(self, photo: Photo) -> bool:
        return photo.sha256 in self._sha256 or photo.group in self._groups


def _labels(bundles: Sequence[Bundle]) -> tuple[str, ...]:
    labels = tuple(
        label for label in bundles[0].labels if all(label in each.labels for each in bundles)
    )
    if len(labels) < 2:
        first, second = bundles
        raise BundleError(
            f"{first.bundle_id} and {second.bundle_id} have {len(labels)} of their labels in "
            f"common: {names(first.labels)}; {names(second.labels)}.",
            fix="compare bundles that tell the same things apart",
        )
    return labels


def _dataset(bundles: Sequence[Bundle], csv: Path | None) -> Dataset:
    if csv is not None:
        return read_dataset(csv)
    if len({bundle.lineage.dataset_id for bundle in bundles}) > 1:
        first, second = bundles
        raise UsageError(
            f"{first.bundle_id} and {second.bundle_id} were trained on different photos.",
            fix="name the index whose photos shall judge, such as the newer one: --data "
            f"{second.lineage.dataset_csv}",
        )
    for bundle in bundles:
        path = Path(bundle.lineage.dataset_csv)
        if path.is_file():
            dataset = read_dataset(path)
            if dataset.dataset_id == bundle.lineage.dataset_id:
                return dataset
    path = Path(bundles[-1].lineage.dataset_csv)
    if path.is_file():
        raise DatasetError(
            f"{path} changed since {bundles[-1].bundle_id} was trained on it.",
            fix=f"compare on it all the same: --data {path}",
        )
    raise DatasetError(
        f"the index that {bundles[-1].bundle_id} was trained on, {path}, is not on this machine.",
        fix="name one: --data data/dataset.csv",
    )


def _of_split(dataset: Dataset, split: Split) -> tuple[Photo, ...]:
    photos = dataset.photos if split == ALL else dataset.split(split)
    if not photos:
        filled = [name for name in SPLITS if dataset.split(name)]
        raise DatasetError(
            f"{dataset.csv} has no {split} photos; it has {names(filled) or 'none at all'}.",
            fix=f"name another: --split {filled[-1] if filled else 'validation'}; or all: "
            "--split all",
        )
    return photos


def _strange(photo: Photo, bundles: Sequence[Bundle]) -> str | None:
    for bundle in bundles:
        if photo.label not in bundle.labels:
            return f"{bundle.bundle_id} does not know {photo.label}"
    return None


def _own_index(bundle: Bundle, dataset: Dataset) -> Dataset | None:
    """The index a bundle was trained on, where it is at hand."""
    if dataset.dataset_id == bundle.lineage.dataset_id:
        return dataset
    try:
        own = read_index(Path(bundle.lineage.dataset_csv))
    except DatasetError:
        return None
    return own if own.dataset_id == bundle.lineage.dataset_id else None
