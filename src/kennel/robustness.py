"""How many answers stay right when photos are spoiled: any classifier, seven ways, five strengths.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from kennel.bundle import Preprocess
from kennel.corruptions import CORRUPTIONS, STRENGTHS, Corruption, corrupt, shrunk
from kennel.errors import PhotoError
from kennel.evaluate import SplitReport, classify_all
from kennel.images import fit, normalise, open_photo, working_short_side
from kennel.intervals import Interval, wilson
from kennel.outputs import Classifier

Float32 = npt.NDArray[np.float32]

MOST_PHOTOS = 100  # with 36 answers a photo some 20 to 40 seconds on two cores


@dataclass(frozen=True)
class Level:
    """Answers for photos spoiled at one strength. `value` is what the strength means."""

    value: float
    top1: float
    top1_interval: Interval


@dataclass(frozen=True)
class Series:
    """One way to spoil photos, from weak to strong."""

    name: str
    unit: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Robustness:
    """A classifier on spoiled photos.

    Attributes:
        split: that the photos are of.
        n: photos measured, drawn by `seed` from `of` photos of the split.
        clean, clean_interval: top1 on the same photos as they are.
        series: one for each of `kennel.corruptions.CORRUPTIONS`.
        mean: top1 over all ways and strengths.
    """

    split: str
    n: int
    of: int
    seed: int
    clean: float
    clean_interval: Interval
    series: tuple[Series, ...]

    @property
    def mean(self) -> float:
        """Top1 over all ways and strengths."""
        levels = [level.top1 for series in self.series for level in series.levels]
        return float(np.mean(levels))


@dataclass(frozen=True, eq=False)
class _Task:
    """A picture to be answered; `kind` is None where it is left as it is."""

    path: str
    at: int
    image: Image.Image
    kind: Corruption | None
    number: int
    strength: int

    def __str__(self) -> str:
        return f"{self.path}, spoiled by {self.kind.name}" if self.kind else self.path


def answers_asked(n: int, *, most: int = MOST_PHOTOS) -> int:
    """How many answers `measure_robustness` asks for, of a split with n photos."""
    return min(n, most) * (1 + STRENGTHS * len(CORRUPTIONS))


def measure_robustness(
    classifier: Classifier,
    report: SplitReport,
    file: Callable[[str], Path],
    preprocess: Preprocess,
    *,
    most: int = MOST_PHOTOS,
    seed: int = 0,
    batch_size: int = 32,
    threads: int = 2,
    on_photo: Callable[[str], None] | None = None,
) -> Robustness:
    """Spoils photos of a split that was measured, and asks again.

    Strengths count pixels of the model's input: a larger photo is first made as small as the model
    sees it. Those pictures stay in memory, some 0.3 MB each.

    Args:
        file: where a photo of the report lies.
        most: photos used, >= 1; more are drawn from.
        seed: of the draw and of what the spoiling leaves to chance.
        on_photo: called after each answer.
    Raises:
        PhotoError: a photo that could be read for the report no longer can.
    """
    rng = np.random.default_rng(seed)
    n = min(most, len(report.paths))
    chosen = np.sort(rng.permutation(len(report.paths))[:n])
    short_side = round(preprocess.size / (preprocess.crop if preprocess.resize == "crop" else 1))
    at_least = working_short_side(preprocess)
    pictures = [
        shrunk(
            open_photo(file(report.paths[at]), at_least=at_least, fill=preprocess.fill), short_side
        )
        for at in chosen
    ]

    def tasks() -> Iterator[_Task]:
        ways = [(None, 0, 0)] + [
            (kind, number, strength)
            for number, kind in enumerate(CORRUPTIONS)
            for strength in range(1, STRENGTHS + 1)
        ]
        for kind, number, strength in ways:
            for at, image in zip(chosen.tolist(), pictures, strict=True):
                yield _Task(report.paths[at], at, image, kind, number, strength)

    def read(task: _Task) -> Float32:
        image = task.image
        if task.kind is not None:
            at = (seed, task.number, task.strength, task.at)
            image = corrupt(image, task.kind, task.strength, seed=at)
        return normalise(fit(image, preprocess), preprocess)

    right = np.zeros((1 + len(CORRUPTIONS) * STRENGTHS, n), np.bool_)
    answers = classify_all(classifier, tasks(), read, batch_size=batch_size, threads=threads)
    for place, (task, answer) in enumerate(answers):
        assert not isinstance(answer, PhotoError)  # what is read here was decoded before
        right.flat[place] = int(answer.logits.argmax()) == report.truth[task.at]
        if on_photo is not None:
            on_photo(task.path)

    hits = iter(right.sum(axis=1).tolist())
    clean = next(hits)
    return Robustness(
        split=report.split,
        n=n,
        of=len(report.paths),
        seed=seed,
        clean=clean / n,
        clean_interval=wilson(clean, n),
        series=tuple(
            Series(
                kind.name,
                kind.unit,
                tuple(
                    Level(v, h / n, wilson(h, n)) for v, h in zip(kind.values, hits, strict=False)
                ),
            )
            for kind in CORRUPTIONS
        ),
    )
