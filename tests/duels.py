"""Coloured photos on which bundles of `bundles.py` differ as planned, and an index of them."""

from __future__ import annotations

import hashlib
from itertools import count
from pathlib import Path

from bundles import COLOURS, tiny_bundle
from PIL import Image

from kennel.bundle import Bundle
from kennel.dataset import Dataset, Photo, read_dataset, write_dataset

# A red that a bundle of equal gains knows, and one that takes green, or blue, too easily does not.
NEARLY_GREEN, NEARLY_BLUE = (200, 180, 0), (200, 0, 180)
EQUAL, GREENISH, BLUEISH, BLIND = (1.0, 1.0, 1.0), (1.0, 1.2, 1.0), (1.0, 1.0, 1.2), (0.0, 0.0, 0.0)


def coloured_index(
    folder: Path,
    *,
    easy: int = 150,
    nearly_green: int = 0,
    nearly_blue: int = 0,
    train: int = 3,
    name: str = "dataset",
) -> Dataset:
    """`folder`/NAME.csv and its photos, no two alike: in test, besides `train` in train.

    Args:
        easy: photos that every bundle but BLIND knows, a third of each colour.
        nearly_green: red ones that GREENISH takes for green.
        nearly_blue: red ones that BLUEISH takes for blue.
        train: easy ones more, in train.
    """
    numbers = count()
    rows: list[Photo] = []

    def add(label: str, colour: tuple[int, int, int], split: str) -> None:
        number = next(numbers)
        path = folder / name / label / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + number % 40, 8 + number // 40), colour).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(Photo(f"{label}/{path.name}", label, split, digest, digest[:16]))

    for split, n in (("test", easy), ("train", train)):
        for at in range(n):
            label = list(COLOURS)[at % 3]
            add(label, COLOURS[label], split)
    for _ in range(nearly_green):
        add("red", NEARLY_GREEN, "test")
    for _ in range(nearly_blue):
        add("red", NEARLY_BLUE, "test")
    return index_of(folder, sorted(rows, key=lambda row: row.path), name=name)


def index_of(folder: Path, rows: list[Photo], *, name: str = "dataset") -> Dataset:
    """Writes an index of photos that lie below `folder`/NAME, and reads it back."""
    (folder / name).mkdir(exist_ok=True)
    bare = Dataset(Path(), folder / name, (), tuple(rows), (0.7, 0.1, 0.2), 0, "")
    return read_dataset(write_dataset(bare, folder / f"{name}.csv", project=folder).csv)


def bundle_on(
    dataset: Dataset, folder: Path, gains: tuple[float, float, float] = EQUAL, **more: object
) -> Bundle:
    """A bundle that says it was trained on `dataset`; its bundle_id is its folder's name."""
    of_dataset = {"dataset_csv": str(dataset.csv), "dataset_id": dataset.dataset_id}
    words = {"bundle_id": folder.name, **of_dataset, **more}
    return tiny_bundle(folder, gains=gains, **words)  # type: ignore[arg-type]
