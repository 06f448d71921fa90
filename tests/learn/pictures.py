"""A few coloured photos that a network can tell apart, and the words of a run that takes a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image, ImageDraw

from kennel.dataset import Dataset, index_photos

COLOURS = {"Beagle": (190, 60, 50), "Boxer": (60, 170, 70), "Poodle": (60, 80, 190)}
PER_SPLIT = {"train": 9, "validation": 3, "test": 2}

TINY = (
    "model=mambaout",
    "model.dims=[4,8]",
    "model.depths=[1,1]",
    "model.image.size=32",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "callbacks.progress=null",
    "callbacks.summary=null",
)
FROZEN = (
    "experiment=quick",
    "model.image.size=64",
    "trainer.accelerator=cpu",
    "callbacks.progress=null",
    "callbacks.summary=null",
)


def draw_photos(folder: Path, *, seed: int = 0) -> Path:
    """Draws train/, validation/ and test/ of 27, 9 and 6 photos: a colour a label, on noise."""
    generator = np.random.default_rng(seed)
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
    """Such photos with their index in `folder`/dataset.csv, and no test photo on disk any more."""
    dataset = index_photos(draw_photos(folder / "photos"), to=folder / "dataset.csv").dataset
    for photo in dataset.split("test"):
        dataset.file(photo).unlink()
    return dataset


def settings_of(words: Sequence[str]) -> DictConfig:
    """The checked settings that `kennel train` makes of these words."""
    from kennel.learn.configure import with_settings

    composed: list[DictConfig] = []
    with_settings(words, composed.append)
    return composed[0]


def no_count(total: int, what: str) -> Callable[[Path], None]:
    return lambda _: None
