"""Pictures that differ from each other, and folders of them with faults planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("Beagle", "Boxer", "Poodle")


def scene(number: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture with shapes large and small; another number, another picture."""
    rng = np.random.default_rng(number)
    layers = np.zeros((size[1], size[0], 3), np.float32)
    for cells, strength in ((3, 90), (7, 60), (48, 25)):
        grid = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            band = Image.fromarray(np.ascontiguousarray(grid[..., channel]))
            layers[..., channel] += np.asarray(band.resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(layers + 128, 0, 255).astype(np.uint8))


def labelled_scenes(folder: Path, *, per_label: int = 6) -> Path:
    """Beagle/0.jpg ... Poodle/5.jpg in `folder`, all different."""
    for row, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for n in range(per_label):
            scene(100 * row + n).save(folder / label / f"{n}.jpg", quality=92)
    return folder


def split_scenes(folder: Path, *, per_label: int = 4) -> Path:
    """The same below train/ and test/, without a leak."""
    for place, split in enumerate(("train", "test")):
        for row, label in enumerate(LABELS):
            (folder / split / label).mkdir(parents=True)
            for n in range(per_label):
                picture = scene(1000 * place + 100 * row + n)
                picture.save(folder / split / label / f"{n}.jpg", quality=92)
    return folder
