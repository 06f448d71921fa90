"""The photos of a run: an index, or a folder that is indexed, or drawn pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from kennel.dataset import Dataset, read_dataset
from kennel.errors import DatasetError, UsageError
from kennel.index import index_photos

log = logging.getLogger(__name__)
PhotoCount = Callable[[int, str], Callable[[Path], None]]


def open_dataset(settings: DictConfig, out: Path, count: PhotoCount) -> Dataset:
    """The index that the settings name, or that of the photos they name, written into `out`.

    Raises:
        KennelError: there is none, or a split or a label is empty.
    """
    data = settings.data
    if data.csv is not None and data.photos is not None:
        raise UsageError("data.csv and data.photos are both given.", fix="give one of them")
    if data.csv is not None:
        dataset = read_dataset(Path(data.csv))
    else:
        photos = Path(data.photos) if data.photos is not None else _draw(settings, count)
        fractions = tuple(data.fractions)
        if len(fractions) != 3:
            raise UsageError(
                f"data.fractions is {list(fractions)}.",
                fix="three shares: data.fractions=[0.7,0.1,0.2]",
            )
        counting = Counting(count, "photos indexed")
        indexed = index_photos(
            photos,
            to=out / "dataset.csv",
            fractions=fractions,
            seed=data.seed,
            on_found=counting.found,
            on_photo=counting.photo,
        )
        for skipped in indexed.skipped:
            log.warning("left out %s: %s", skipped.path, skipped.reason)
        for warning in indexed.warnings:
            log.warning("%s", warning)
        dataset = indexed.dataset
    again = (
        "index again with other --fractions or another --seed, or with more photos"
        if data.csv is not None
        else "other data.fractions or another data.seed, or more photos"
    )
    for split in ("train", "validation"):
        if not dataset.split(split):
            raise DatasetError(
                f"{dataset.csv} has no {split} photo.",
                fix=again,
            )
    idle = set(dataset.labels) - {photo.label for photo in dataset.split("train")}
    if idle:
        raise DatasetError(
            f"{', '.join(sorted(idle))}: no photo in the train split.",
            fix=again,
        )
    return dataset


class Counting:
    """Counts towards a total that is known only later."""

    def __init__(self, count: PhotoCount, what: str) -> None:
        self._count, self._what = count, what

    def found(self, total: int) -> None:
        self._tick = self._count(total, self._what)

    def photo(self, path: Path) -> None:
        self._tick(path)


def _draw(settings: DictConfig, count: PhotoCount) -> Path:
    """The drawn pictures that stand in for photos; they are kept, and found again by the next
    run.
    """
    from kennel.sample import draw_sample

    sample = settings.data.sample
    folder = (
        Path(settings.paths.data_dir) / f"sample-{sample.labels}x{sample.per_label}-{sample.seed}"
    )
    log.warning("no data.csv or data.photos: training on drawn pictures in %s", folder)
    draw_sample(
        folder,
        labels=sample.labels,
        per_label=sample.per_label,
        seed=sample.seed,
        on_photo=count(sample.labels * sample.per_label, "pictures drawn"),
    )
    return folder
