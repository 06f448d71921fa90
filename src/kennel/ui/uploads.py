"""What was dropped: photos, folders of photos and zips of photos -> photos with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kennel.ui.answers import photo_bytes
from kennel.ui.zips import Named, ZipError, is_zip, open_zip

MOST_PHOTOS = 1000
MOST_LETTERS = 240  # of a name


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded: what its owner calls it, and where it lies for now."""

    name: str
    path: Path


@dataclass(frozen=True)
class Dropped:
    """What is to be answered.

    Attributes:
        photos: with names, in the order they came.
        others: files in zips that are not called photos.
        refused: what was refused as a whole, in words.
    """

    photos: tuple[Named, ...]
    others: int
    refused: tuple[str, ...]


def photos_of(uploads: Sequence[Upload], *, most_photos: int = MOST_PHOTOS) -> Dropped:
    """The photos among uploads. A zip is known by its first bytes; every other file has a row of
    its own, whatever it is.
    """
    photos: list[Named] = []
    refused: list[str] = []
    others = 0
    for upload in uploads:
        name, room = shown_name(upload.name), most_photos - len(photos)
        try:
            if not _is_zip(upload.path):
                if room < 1:
                    raise ZipError(
                        f"From {name} on, nothing is answered: {most_photos:,} photos are enough.",
                        fix="drop fewer at once, or use kennel predict",
                    )
                photos.append(Named(name, partial(photo_bytes, upload.path)))
                continue
            opened = open_zip(upload.path, name=name, most_photos=room)
        except ZipError as error:
            refused.append(f"{error.message} What now: {error.fix}.")
            if room < 1:
                break
            continue
        photos += [Named(shown_name(f"{name}/{each.name}"), each.load) for each in opened.photos]
        others += opened.others
    return Dropped(tuple(photos), others, tuple(refused))


def shown_name(name: str) -> str:
    """A name in one line that shows all it has: nothing that turns round or hides what follows."""
    seen = "".join(letter if letter.isprintable() else "?" for letter in name)
    return seen if len(seen) <= MOST_LETTERS else f"...{seen[3 - MOST_LETTERS :]}"


def _is_zip(path: Path) -> bool:
    try:
        return is_zip(path)
    except OSError:
        return False  # its row says that it is gone
