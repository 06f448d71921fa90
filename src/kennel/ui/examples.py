"""Photos to try. A bundle has none in it: they are the user's own, or drawn where the bundle was
trained on drawings.
"""

from __future__ import annotations

from pathlib import Path

from kennel.bundle import Bundle
from kennel.errors import PhotoError, UsageError
from kennel.folders import DRAWN
from kennel.images import PHOTO_SUFFIXES, open_photo
from kennel.sample import draw_sample
from kennel.sample.breeds import BREEDS

MOST = 8
SEED = 7860  # not the one of the practice set: the model has not seen these


def examples_in(folder: Path) -> list[Path]:
    """At most MOST photos of a folder, spread over all of it, in order.

    Raises:
        UsageError: it is no folder, or has no photo that can be read.
    """
    if not folder.is_dir():
        raise UsageError(f"--examples {folder} is not a folder.", fix="name a folder of photos")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES and path.name[0] != "." and path.is_file()
    )
    step = max(1, len(found) / MOST)
    chosen = [found[int(i * step)] for i in range(min(MOST, len(found)))]
    readable = [path for path in chosen if _can_be_read(path)]
    if not readable:
        raise UsageError(
            f"--examples {folder} has no photo that can be read.",
            fix=f"photos end in {', '.join(PHOTO_SUFFIXES)}",
        )
    return readable


def drawn_examples(bundle: Bundle, folder: Path) -> list[Path]:
    """A drawing of each label, where the bundle was trained on drawings; else none.

    Args:
        folder: new or empty; they are drawn into it.
    """
    places = {breed.label: place for place, breed in enumerate(BREEDS, 1)}
    if bundle.lineage.data_source != DRAWN or not set(bundle.labels) <= set(places):
        return []
    count = max(2, *(places[label] for label in bundle.labels))
    drawn = draw_sample(folder, labels=count, per_label=1, seed=SEED)
    return [path for path in drawn if path.parent.name in bundle.labels][:MOST]


def _can_be_read(path: Path) -> bool:
    try:
        open_photo(path, at_least=64)
    except PhotoError:
        return False
    return True
