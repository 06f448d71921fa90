"""A few coloured photos that a network can tell apart, and the words of runs that take a second."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from PIL import Image, ImageDraw

from kennel.dataset import Dataset
from kennel.index import index_photos
from kennel.learn.interruption import Interruption
from kennel.run import Run

COLOURS = {"Beagle": (190, 60, 50), "Boxer": (60, 170, 70), "Poodle": (60, 80, 190)}
PER_SPLIT = {"train": 9, "validation": 3, "test": 2}

CPU = (
    "trainer.accelerator=cpu",
    "data.num_workers=0",
    "callbacks.progress=null",
    "callbacks.summary=null",
)
TINY = (
    *CPU,
    "model=mambaout",
    "model.dims=[4,8]",
    "model.depths=[1,1]",
    "model.image.size=32",
    "data.batch_size=8",
    "trainer.max_epochs=2",
    "data.cache=null",
)
FROZEN = (*CPU, "experiment=quick", "model.image.size=64", "trainer.max_epochs=3")
NO_LOGGER = ("logger=none",)


def cached(cache: Path) -> tuple[str, ...]:
    """What is added to TINY for a run that decodes its photos into a cache."""
    return ("data.cache={max_gib: 1}", f"paths.cache_dir={cache}")


def draw_photos(folder: Path) -> Path:
    """Draws train/, validation/ and test/ of 27, 9 and 6 photos: a colour a label, on noise."""
    generator = np.random.default_rng(0)
    for split, count in PER_SPLIT.items():
        for label, colour in COLOURS.items():
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(0, 256, (40, 52, 3), dtype=np.uint8)
                photo = Image.fromarray(noise)
                x, y = (int(v) for v in generator.integers(0, 12, 2))
                ImageDraw.Draw(photo).ellipse((x, y, x + 38, y + 26), fill=colour)
                photo.save(folder / split / label / f"{number}.png")
    return folder


def draw_dataset(folder: Path) -> Dataset:
    """Such photos and their index, `folder`/dataset.csv: every time the same dataset_id."""
    return index_photos(draw_photos(folder / "photos"), to=folder / "dataset.csv").dataset


def train_with(words: Sequence[str], *, count: Callable[..., Any] | None = None) -> Run:
    """The run that `kennel train` makes of these words, without its output."""
    from kennel.learn.configure import with_settings
    from kennel.learn.train import train

    runs: list[Run] = []
    with_settings(words, lambda settings: runs.append(train(settings, count=count or silent)))
    return runs[0]


def silent(total: int, what: str) -> Callable[[Path], None]:
    """No progress."""
    return lambda _: None


def column(run: Run, name: str) -> list[float]:
    """Values of a column of metrics.csv, in order, without the empty ones."""
    with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


class Interrupting(Callback):
    """Presses Ctrl-C at the first batch of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


class Stopping(Callback):
    """Tells the run to stop, as a signal does, after that many steps of the optimiser."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step >= self.after:
            told = next(each for each in trainer.callbacks if isinstance(each, Interruption))
            told.tell("the test")


class Noticing(Callback):
    """Keeps the first training batch, and how many steps the optimiser took."""

    last: Noticing

    def __init__(self) -> None:
        Noticing.last = self
        self.batch: Any = None
        self.steps = 0
        self.planned = 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, _: int) -> None:
        if self.batch is None:
            self.batch = batch

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.steps, self.planned = trainer.global_step, module.total_steps


NOTICING = "+callbacks.noticing={_target_: pictures.Noticing}"
