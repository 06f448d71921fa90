"""What is audited: an index, or a folder of photos that was not indexed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kennel.dataset import Dataset, Photo, read_dataset
from kennel.errors import DatasetError
from kennel.folders import Skipped, find_photos


@dataclass(frozen=True)
class Subject:
    """Photos to look at.

    Attributes:
        asked: what the user named, a csv or a folder.
        photos: sorted by path. Of a folder, sha256 and group are "", and split too unless it came
            split.
        photos_dir: absolute folder that the photos' paths start from.
        left_out: files of a folder that look like photos and cannot be listed at all.
        index: where it is one.
    """

    asked: Path
    photos: tuple[Photo, ...]
    photos_dir: Path
    left_out: tuple[Skipped, ...] = ()
    index: Dataset | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({photo.label for photo in self.photos}))

    @property
    def is_split(self) -> bool:
        """Whether the photos have splits, and so can leak."""
        return any(photo.split for photo in self.photos)

    def file(self, photo: Photo) -> Path:
        """Where a photo lies."""
        return self.photos_dir / photo.path

    def with_sha256s(self, sha256s: Sequence[str]) -> Dataset:
        """The photos as an index that stands in no file, with what their bytes are now."""
        photos = tuple(
            Photo(photo.path, photo.label, photo.split, sha256, photo.group)
            for photo, sha256 in zip(self.photos, sha256s, strict=True)
        )
        csv = self.index.csv if self.index else Path("dataset.csv")
        return Dataset(csv, self.photos_dir, self.labels, photos, None, 0, "")


def read_subject(asked: Path) -> Subject:
    """Lists what is to be audited, and opens no photo.

    Raises:
        DatasetError: neither an index nor a folder of labelled photos.
    """
    if asked.is_dir():
        found = find_photos(asked)
        photos = tuple(Photo(p.path, p.label, p.split or "", "", "") for p in found.photos)
        return Subject(asked, photos, found.root, found.skipped)
    if asked.suffix != ".csv":
        what = "is neither a folder nor a .csv" if asked.exists() else "does not exist"
        raise DatasetError(
            f"{asked} {what}.",
            fix="name a folder of photos, or the csv that kennel index wrote",
        )
    index = read_dataset(asked)
    return Subject(asked, index.photos, index.photos_dir, index=index)
