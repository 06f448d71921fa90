"""Whether every photo of an index has the bytes that were indexed. Decodes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kennel.audit.reading import read_all
from kennel.bundle import file_sha256
from kennel.dataset import Dataset
from kennel.errors import DatasetError
from kennel.folders import find_photos


@dataclass(frozen=True)
class Verified:
    """What the bytes say. Paths as the index has them, sorted.

    Attributes:
        n: photos of the index.
        bytes: that were read.
        missing: files that are not there or cannot be opened.
        changed: files with another sha256 than was indexed.
        extra: photos that lie beside them and are not in the index: left out, removed by an audit,
            or added since. They change no result.
    """

    n: int
    bytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether all photos of the index are as they were."""
        return not self.missing and not self.changed


def verify(dataset: Dataset, *, on_photo: Callable[[Path], None] | None = None) -> Verified:
    """Reads every byte of every photo, in as many threads as there are cores.

    Sizes and times of files are not asked: a flipped bit changes neither.

    Args:
        on_photo: called with each file after it was read, in order.
    """
    missing, changed, read = [], [], 0
    files = [dataset.file(photo) for photo in dataset.photos]
    for photo, file, (sha256, size) in zip(
        dataset.photos, files, read_all(_sum, files), strict=True
    ):
        read += size
        if sha256 is None:
            missing.append(photo.path)
        elif sha256 != photo.sha256:
            changed.append(photo.path)
        if on_photo:
            on_photo(file)
    listed = {photo.path for photo in dataset.photos}
    try:
        lying = {photo.path for photo in find_photos(dataset.photos_dir).photos}
    except DatasetError:  # what is left is no folder of labels; the missing files say so
        lying = set()
    extra = tuple(sorted(lying - listed))
    return Verified(len(files), read, tuple(missing), tuple(changed), extra)


def _sum(file: Path) -> tuple[str | None, int]:
    try:
        if not file.is_file():  # a pipe would be waited for
            return None, 0
        return file_sha256(file), file.stat().st_size
    except OSError:
        return None, 0
