"""Photos to send: JPEGs of 500 x 375 and of 12 megapixels, and the label that each must get."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIZES = {"500x375": (500, 375), "12MP": (4000, 3000)}
MANY = {"500x375": 32, "12MP": 8}
GRAIN = 3.0  # standard deviation: an enlarged photo has none, and would be too easy to decode


def make_photos(work: Path) -> dict[str, list[Path]]:
    """Files by size: real photos where KENNEL_PHOTOS has dogs10/, else drawn by kennel sample."""
    made = {}
    for size, (width, height) in SIZES.items():
        folder = work / f"photos-{size}"
        files = [folder / f"{n:02d}.jpg" for n in range(MANY[size])]
        if not all(file.is_file() for file in files):
            folder.mkdir(parents=True, exist_ok=True)
            for n, (file, source) in enumerate(zip(files, _sources(work), strict=False)):
                with Image.open(source) as opened:
                    photo = ImageOps.fit(opened.convert("RGB"), (width, height))
                grain = np.random.default_rng(n).normal(0, GRAIN, (height, width, 1))
                pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(file, quality=90)
        made[size] = files
    return made


def labels_of(bundle: Path, photos: dict[str, list[Path]]) -> dict[str, list[str]]:
    """The label of each photo by the bundle itself, without a server."""
    from kennel.bundle import read_bundle
    from kennel.evaluate import classify_files
    from kennel.infer import OnnxClassifier

    classifier = OnnxClassifier(read_bundle(bundle), threads=1)
    preprocess = classifier.bundle.preprocess
    return {
        size: [
            classifier.answer(outputs, top=1).label
            for _, outputs in classify_files(classifier, files, preprocess, batch_size=1, threads=1)
        ]
        for size, files in photos.items()
    }


def _sources(work: Path) -> list[Path]:
    real = sorted(Path(os.environ.get("KENNEL_PHOTOS", "-"), "dogs10").glob("*/*.jpg"))
    if real:
        return real[:: max(1, len(real) // 32)][:32]
    from kennel.sample import draw_sample

    drawn = work / "drawn"
    if not drawn.is_dir():
        draw_sample(drawn, labels=8, per_label=4, seed=0)
    return sorted(drawn.glob("*/*.jpg"))
