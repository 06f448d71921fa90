"""Photos that say where they were taken: others would see somebody's door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.ExifTags import IFD

from kennel.errors import UsageError

SHOWN = 3


def refuse_whereabouts(photos: Sequence[Path]) -> None:
    """Refuses photos with a place in their EXIF: a Space shows each file as it is.

    Raises:
        UsageError: there is such a photo.
    """
    found = [path for path in photos if _has_place(path)]
    if found:
        named = ", ".join(path.name for path in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UsageError(
            f"--examples: {named}{more} say in their EXIF where they were taken, and whoever sees "
            "the Space could read it.",
            fix="take it out of copies of them: exiftool -gps:all= FILE; or other photos",
        )


def _has_place(path: Path) -> bool:
    try:
        with Image.open(path) as photo:
            return bool(photo.getexif().get_ifd(IFD.GPSInfo))
    except (OSError, ValueError, SyntaxError):
        return False  # no EXIF that can be read; the photo itself was read before
