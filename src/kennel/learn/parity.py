"""The gate: every format answers photo files as the trained network does, or nothing is exported.

A format is opened from what was written, and reads the photos as its own files say: a wrong mean in
one of them is a wrong answer here, as it would be for whoever uses that file.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from kennel.bundle import ParityPhotos, ParityRow, Preprocess
from kennel.dataset import Dataset
from kennel.errors import ParityError, PhotoError
from kennel.images import read_photo
from kennel.learn.formats import Opened
from kennel.machine import usable_cores
from kennel.metrics import softmax
from kennel.outputs import Classifier

PHOTOS = 200
SEED = 0
BATCH = 4  # on one thread EfficientNet-Lite0 takes 32 ms a photo, and 43 in batches of 16
# Largest difference of a probability. Other kernels in float32 stay under 1e-5. Eight bits move
# doubtful answers further; what that may cost is measured on validation, by kennel.learn.int8.
TOLERANCES = {"int8": 0.25}
TOLERANCE = 1e-4


@dataclass
class Comparison:
    """One format beside the trained network, photo by photo."""

    format: str
    labels: tuple[str, ...]
    tolerance: float
    photos: int = 0
    max_abs_diff: float = 0.0
    label_flips: int = 0
    worst: str = ""
    _worst: tuple[bool, float] = (False, -1.0)

    def add(self, photo: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Counts one photo: probabilities Float64[K] of the trained network and of the format."""
        self.photos += 1
        difference = float(np.abs(ours - theirs).max())
        if not np.isfinite(difference):
            difference = np.inf
        second, first = np.sort(ours)[-2:]
        flips = ours.argmax() != theirs.argmax() and bool(first - second > self.tolerance)
        self.max_abs_diff = max(self.max_abs_diff, difference)
        self.label_flips += int(flips)
        if (flips, difference) > self._worst:
            self._worst = (flips, difference)
            ours_in_words, theirs_in_words = (
                f"{self.labels[p.argmax()]} {p.max():.4f}" for p in (ours, theirs)
            )
            self.worst = f"{photo}, trained {ours_in_words}, {self.format} {theirs_in_words}"

    @property
    def agrees(self) -> bool:
        return self.max_abs_diff <= self.tolerance and not self.label_flips

    @property
    def row(self) -> ParityRow:
        """As bundle.json keeps it."""
        return ParityRow(
            format=self.format,
            photos=self.photos,
            max_abs_diff=self.max_abs_diff,
            label_flips=self.label_flips,
            tolerance=self.tolerance,
        )

    def in_words(self) -> str:
        """What differs most."""
        return (
            f"largest difference of a probability {self.max_abs_diff:.2g} "
            f"(allowed {self.tolerance:g}), {self.label_flips} other labels, on {self.photos} "
            f"photos; worst: {self.worst}"
        )

    def refusal(self) -> ParityError:
        return ParityError(
            f"{self.format} answers differently from the trained network: {self.in_words()}.",
            fix="nothing was exported; report it with the run's config.yaml",
        )


def parity_files(
    dataset: Dataset, awkward: Iterable[Path], *, seed: int = SEED
) -> Iterator[tuple[str, Path]]:
    """Photo files in the order in which they are compared, each with where it is from: the awkward
    ones, then those of validation and of train, shuffled by `seed`. Never one of test.
    """
    yield from (("awkward", path) for path in awkward)
    for split in ("validation", "train"):
        photos = dataset.split(split)
        for index in np.random.default_rng(seed).permutation(len(photos)):
            yield split, dataset.file(photos[index])


def compare(
    trained: Classifier,
    opened: Mapping[str, Opened],
    files: Iterable[tuple[str, Path]],
    *,
    preprocess: Preprocess,
    temperature: float,
    seed: int = SEED,
    on_photo: Callable[[Path], None] | None = None,
) -> tuple[dict[str, Comparison], ParityPhotos]:
    """Compares each format with the trained network on the first `PHOTOS` files that can be read;
    on all where there are fewer.

    Args:
        opened: formats by name; each reads the files by its own preprocessing, once for all that
            have the same.
        files: see `parity_files`.
        preprocess: what the trained network was trained with.
        temperature: divides the logits of all before the softmax.
        on_photo: called with each file that was compared.
    Raises:
        ParityError: a format has other labels.
    """
    for name, each in opened.items():
        if each.labels != trained.labels:
            raise ParityError(
                f"{name} names the labels {', '.join(each.labels)}; the trained network has "
                f"{', '.join(trained.labels)}.",
                fix="nothing was exported; report it with the run's config.yaml",
            )
    comparisons = {
        name: Comparison(name, trained.labels, TOLERANCES.get(name, TOLERANCE)) for name in opened
    }
    counts: Counter[str] = Counter()
    files = iter(files)
    doors = [
        Opened(trained.labels, preprocess, lambda batch: trained.outputs(batch).logits),
        *opened.values(),
    ]
    with _one_thread_each(), ThreadPoolExecutor(usable_cores()) as workers:
        while chunk := list(islice(files, min(BATCH, PHOTOS - counts.total()))):
            seen = _read(workers, [path for _, path in chunk], preprocess)
            chunk = [found for found, photo in zip(chunk, seen, strict=True) if photo is not None]
            if not chunk:
                continue
            batches = {preprocess: np.stack([photo for photo in seen if photo is not None])}
            for own in {door.preprocess for door in doors} - set(batches):
                again = _read(workers, [path for _, path in chunk], own)
                batches[own] = np.stack([photo for photo in again if photo is not None])
            logits = [workers.submit(door.logits, batches[door.preprocess]) for door in doors]
            ours, *others = (softmax(each.result() / temperature) for each in logits)
            for comparison, theirs in zip(comparisons.values(), others, strict=True):
                for (kind, path), our, their in zip(chunk, ours, theirs, strict=True):
                    said = f"{path.name} (drawn)" if kind == "awkward" else str(path)
                    comparison.add(said, our, their)
            for kind, path in chunk:
                counts[kind] += 1
                if on_photo is not None:
                    on_photo(path)
    return comparisons, ParityPhotos(
        seed=seed,
        validation=counts["validation"],
        train=counts["train"],
        awkward=counts["awkward"],
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """The trained network and the formats answer side by side, each on a thread of its own: threads
    that share a layer wait for each other, minutes where others work on the machine too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read(
    workers: ThreadPoolExecutor, paths: list[Path], preprocess: Preprocess
) -> list[npt.NDArray[np.float32] | None]:
    """Float32[3, H, W] of each file; None where it cannot be read."""

    def read(path: Path) -> npt.NDArray[np.float32] | None:
        try:
            return read_photo(path, preprocess)
        except PhotoError:
            return None

    return list(workers.map(read, paths))
