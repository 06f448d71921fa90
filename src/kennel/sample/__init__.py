"""A practice set: portraits of dogs of ten breeds, drawn, so that nothing need be downloaded.

These are drawings, not photographs. What a model learns from them says nothing about real dogs;
they are there to learn the way from photos to a served model, and to test it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from kennel import __version__
from kennel.bundle import replacing, write_json
from kennel.errors import KennelError, UsageError
from kennel.folders import SAMPLE_JSON
from kennel.sample.breeds import BREEDS, Breed
from kennel.sample.portrait import draw_portrait

MAX_PER_LABEL = 10_000
JPEG_QUALITY = 88

__all__ = ["contact_sheet", "draw_sample"]


def draw_sample(
    to: Path,
    *,
    labels: int = 10,
    per_label: int = 60,
    seed: int = 0,
    on_photo: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Draws a practice set of dog portraits, a folder a breed. They are drawings, not photographs.

    Each picture depends on seed, breed and its number alone: a larger set with the same seed
    contains the smaller one. The same call gives the same bytes with the same Pillow and NumPy on
    the same kind of processor. `sample.json` says how the set was drawn: a set that was interrupted
    is gone on with, and what is there already stays.

    Args:
        to: folder to draw into; new, empty, or drawn before with the same three numbers.
        labels: breeds, 2..10.
        per_label: pictures of each breed, 1..10000.
        seed: any integer >= 0.
        on_photo: called with the path of each picture once it is there.
    Returns:
        The pictures, sorted by breed and number.
    Raises:
        UsageError: a number lies outside its range.
        KennelError: the folder holds something else, or cannot be written.
    """
    _check_ranges(labels, per_label, seed)
    document: dict[str, Any] = {
        "seed": seed,
        "labels": labels,
        "per_label": per_label,
        "kennel": __version__,
    }
    planned = {
        to / breed.label / f"{breed.label.lower()}_{number:04d}.jpg": (breed, number)
        for breed in BREEDS[:labels]
        for number in range(1, per_label + 1)
    }
    try:
        _refuse_foreign(to, set(planned), document)
        write_json(to / SAMPLE_JSON, document)  # first: an interrupted set can then be gone on with
        for path, (breed, number) in planned.items():
            if not path.is_file():
                image = draw_portrait(breed, _generator(seed, breed, number))
                with replacing(path, "wb") as file:
                    image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
            if on_photo is not None:
                on_photo(path)
    except OSError as error:
        raise KennelError(
            f"{to} cannot be written: {error.strerror or error}.",
            fix="name a folder that you may write to, on a disk with room: kennel sample photos",
        ) from error
    return list(planned)


def contact_sheet(paths: Sequence[Path], *, columns: int = 10, height: int = 96) -> Image.Image:
    """Pictures side by side in rows, all of the same height, none stretched.

    Args:
        paths: one or more pictures.
        columns: pictures in a row, >= 1.
        height: of each picture, pixels, >= 8.
    Returns:
        Mode RGB; rows are as wide as their pictures, the sheet as its widest row.
    Raises:
        ValueError: no paths, or a number outside its range.
    """
    if not paths or columns < 1 or height < 8:
        raise ValueError(f"{len(paths)} pictures in {columns} columns, {height} pixels high")
    gap, paper = 4, (250, 247, 242)
    pictures = []
    for path in paths:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        width = max(1, round(picture.width * height / picture.height))
        pictures.append(picture.resize((width, height), Image.Resampling.LANCZOS))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    across = max(sum(p.width for p in row) + gap * (len(row) + 1) for row in rows)
    sheet = Image.new("RGB", (across, len(rows) * (height + gap) + gap), paper)
    for number, row in enumerate(rows):
        left = gap
        for picture in row:
            sheet.paste(picture, (left, gap + number * (height + gap)))
            left += picture.width + gap
    return sheet


def _check_ranges(labels: int, per_label: int, seed: int) -> None:
    for name, value, low, high in (
        ("labels", labels, 2, len(BREEDS)),
        ("per-label", per_label, 1, MAX_PER_LABEL),
    ):
        if not low <= value <= high:
            raise UsageError(
                f"--{name} is {value}; it must lie in {low}..{high}.",
                fix=f"choose a number in {low}..{high}: --{name} {min(max(value, low), high)}",
            )
    if seed < 0:
        raise UsageError(f"--seed is {seed}; it must not be negative.", fix="--seed 0")


def _generator(seed: int, breed: Breed, number: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{breed.label}/{number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _refuse_foreign(to: Path, planned: set[Path], document: dict[str, Any]) -> None:
    """Lets nothing be drawn among files that are not of this sample; hidden files do not count.

    Raises:
        KennelError: the folder holds another set, or files that are not of a set.
    """
    if to.exists() and not to.is_dir():
        raise KennelError(
            f"{to} is a file, not a folder.", fix="name a folder: kennel sample photos"
        )
    name = (
        f"{to.resolve().name}-{document['labels']}x{document['per_label']}-seed{document['seed']}"
    )
    other, mark = to.parent / name, to / SAMPLE_JSON
    drawn_before = mark.is_file()
    if drawn_before:
        settings = {key: document[key] for key in ("seed", "labels", "per_label")}
        found = _settings(mark)
        if found != settings:
            raise KennelError(
                f"{to} holds another sample: {_told(found)}; asked for was {_told(settings)}.",
                fix=f"draw into another folder: kennel sample {other}",
            )
    foreign = sorted(
        path
        for path in to.rglob("*")
        if not path.is_dir()
        and not path.name.startswith(".")
        and path != mark
        and not (drawn_before and path in planned)
    )
    if foreign:
        raise KennelError(
            f"{to} holds files that are not of this sample: {foreign[0].relative_to(to)}"
            + (f" and {len(foreign) - 1} more." if len(foreign) > 1 else "."),
            fix=f"draw into a new or empty folder: kennel sample {other}",
        )


def _settings(mark: Path) -> dict[str, int] | None:
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        return {key: int(found[key]) for key in ("seed", "labels", "per_label")}
    except (ValueError, KeyError, TypeError):
        return None


def _told(settings: dict[str, int] | None) -> str:
    if settings is None:
        return f"its {SAMPLE_JSON} cannot be read"
    return ", ".join(f"{key} {value}" for key, value in settings.items())
