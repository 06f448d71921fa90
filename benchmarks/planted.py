"""Plants copies of photos whose truth is known: what benchmarks/audit.py measures on.

Each kind is a function (picture, random numbers) -> (picture, how it is saved). The same seed
plants the same copies. Originals are copied byte for byte; nothing is written beside them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from kennel.images import open_photo

Saved = dict[str, object]
Kind = Callable[[Image.Image, random.Random], tuple[Image.Image, Saved]]
JPEG: Saved = {"format": "JPEG", "quality": 90}
SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True)
class Planted:
    """A folder with originals and variants of some.

    Attributes:
        files: names in the folder, originals first.
        original: for each file the place of the original it shows (its own for an original).
        kind: for each file the kind of its variant, "" for an original.
        sources: for each original the file it is a copy of.
    """

    folder: Path
    files: tuple[str, ...]
    original: tuple[int, ...]
    kind: tuple[str, ...]
    sources: tuple[Path, ...]


def plant(photos: Sequence[Path], folder: Path, *, per_kind: int, seed: int) -> Planted:
    """Copies photos into a folder, and `per_kind` variants of every kind beside them.

    A photo is drawn at most once a kind, and may have variants of several kinds or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files, original, kind = [], list(range(len(photos))), [""] * len(photos)
    for place, photo in enumerate(photos):
        name = f"{place:06d}_{photo.parent.name}_{photo.stem}{photo.suffix.lower()}"
        shutil.copyfile(photo, folder / name)
        files.append(name)
    for name, make in KINDS.items():
        rng = random.Random(f"{seed} {name}")  # noqa: S311 - not for secrets
        for place in sorted(rng.sample(range(len(photos)), min(per_kind, len(photos)))):
            picture, saved = make(open_photo(photos[place]), rng)
            suffix = SUFFIX[str(saved["format"])]
            variant = f"{place:06d}_{name.translate(_PLAIN)}{suffix}"
            picture.save(folder / variant, **saved)  # type: ignore[arg-type]
            files.append(variant)
            original.append(place)
            kind.append(name)
    return Planted(folder, tuple(files), tuple(original), tuple(kind), tuple(photos))


_PLAIN = str.maketrans({" ": "-", "%": "", ",": "", "+": "and", "/": "-"})


def _resized(across: float, down: float | None = None) -> Kind:
    def make(picture: Image.Image, _: random.Random) -> tuple[Image.Image, Saved]:
        return _scale(picture, across, down or across), JPEG

    return make


def _jpeg(quality: int) -> Kind:
    return lambda picture, _: (picture, {"format": "JPEG", "quality": quality})


def _one_side(share: float) -> Kind:
    """Cuts a share off one side, drawn at random."""

    def make(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
        edges = [0.0, 0.0, 0.0, 0.0]
        edges[rng.randrange(4)] = share
        return _cut(picture, *edges), JPEG

    return make


def _both_ways(share: float) -> Kind:
    """Cuts a share off the width and the same off the height; where from is drawn at random."""

    def make(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
        x, y = rng.random() * share, rng.random() * share
        return _cut(picture, x, y, share - x, share - y), JPEG

    return make


def _mirrored(picture: Image.Image, _: random.Random) -> tuple[Image.Image, Saved]:
    return ImageOps.mirror(picture), JPEG


def _enhanced(by: Callable[[Image.Image], ImageEnhance._Enhance], factor: float) -> Kind:
    return lambda picture, _: (by(picture).enhance(factor), JPEG)


def _gamma(power: float) -> Kind:
    table = [round(255 * (value / 255) ** power) for value in range(256)] * 3
    return lambda picture, _: (picture.point(table), JPEG)


def _turned(degrees: float) -> Kind:
    """Turned either way and cut to what has no empty corner, as programs straighten a horizon."""

    def make(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
        angle = degrees * rng.choice((-1, 1))
        turned = picture.rotate(angle, Image.Resampling.BICUBIC)
        slope = abs(degrees) * 3.14159 / 180
        x, y = (
            slope * picture.height / picture.width / 2,
            slope * picture.width / picture.height / 2,
        )
        return _cut(turned, x, y, x, y), JPEG

    return make


def _text_bar(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
    """A bar over the lowest eighth, or the highest, with a line of text."""
    picture, height = picture.copy(), picture.height // 8
    top = rng.choice((0, picture.height - height))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, top, picture.width, top + height), fill=rng.choice(("black", "white")))
    font = ImageFont.load_default(max(height * 0.7, 8))
    draw.text((4, top + height * 0.1), "Dogs of the year  example.org", fill="grey", font=font)
    return picture, JPEG


def _watermark(picture: Image.Image, _: random.Random) -> tuple[Image.Image, Saved]:
    """Half-transparent letters across the middle, a fifth of the photo high."""
    layer = Image.new("L", picture.size, 0)
    font = ImageFont.load_default(max(picture.height / 5, 8))
    middle = (picture.width / 2, picture.height / 2)
    ImageDraw.Draw(layer).text(middle, "SAMPLE", fill=128, font=font, anchor="mm")
    return Image.composite(Image.new("RGB", picture.size, "white"), picture, layer), JPEG


def _bordered(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
    """A frame of a twentieth of the short side."""
    colour = rng.choice(("white", "black"))
    return ImageOps.expand(picture, min(picture.size) // 20, colour), JPEG


def _letterboxed(picture: Image.Image, _: random.Random) -> tuple[Image.Image, Saved]:
    """Black bars above and below, a tenth of the height each."""
    bar = picture.height // 10
    return ImageOps.expand(picture, (0, bar, 0, bar), "black"), JPEG


def _noisy(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
    noise = Image.frombytes("RGB", picture.size, rng.randbytes(3 * picture.width * picture.height))
    return Image.blend(picture, noise, 0.12), JPEG  # 9 grey levels, standard deviation


def _then(*steps: Kind) -> Kind:
    """One after the other; saved as the last says."""

    def make(picture: Image.Image, rng: random.Random) -> tuple[Image.Image, Saved]:
        saved = JPEG
        for step in steps:
            picture, saved = step(picture, rng)
        return picture, saved

    return make


def _scale(picture: Image.Image, across: float, down: float) -> Image.Image:
    size = max(1, round(picture.width * across)), max(1, round(picture.height * down))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    box = (left * width, top * height, width - right * width, height - bottom * height)
    return picture.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]


# What is promised first (ASKED), then what else happens to photos on the web.
KINDS: dict[str, Kind] = {
    "half the size": _resized(0.5),
    "three quarters": _resized(0.75),
    "half as large again": _resized(1.5),
    "JPEG quality 60": _jpeg(60),
    "JPEG quality 30": _jpeg(30),
    "crop 2 %, a side": _one_side(0.02),
    "crop 5 %, a side": _one_side(0.05),
    "crop 10 %, a side": _one_side(0.10),
    "crop 5 % both ways": _both_ways(0.05),
    "crop 10 % both ways": _both_ways(0.10),
    "mirrored": _mirrored,
    "brightness x 0.7": _enhanced(ImageEnhance.Brightness, 0.7),
    "brightness x 1.3": _enhanced(ImageEnhance.Brightness, 1.3),
    "mirrored, half, JPEG 60": _then(_mirrored, _resized(0.5), _jpeg(60)),
    "crop 5 % both, JPEG 60": _then(_both_ways(0.05), _jpeg(60)),
    "crop 5 %, x 1.3, mirrored": _then(
        _both_ways(0.05), _enhanced(ImageEnhance.Brightness, 1.3), _mirrored
    ),
    "contrast x 0.6": _enhanced(ImageEnhance.Contrast, 0.6),
    "contrast x 1.4": _enhanced(ImageEnhance.Contrast, 1.4),
    "gamma 1.5": _gamma(1.5),
    "grey": _enhanced(ImageEnhance.Color, 0.0),
    "blurred, 1 px": lambda picture, _: (picture.filter(ImageFilter.GaussianBlur(1)), JPEG),
    "noise, 9 levels": _noisy,
    "PNG": lambda picture, _: (picture, {"format": "PNG"}),
    "WebP quality 75": lambda picture, _: (picture, {"format": "WEBP", "quality": 75}),
    "20 % wider": _resized(1.2, 1.0),
    "turned 1 degree": _turned(1),
    "turned 2 degrees": _turned(2),
    "text bar, 1/8": _text_bar,
    "watermark": _watermark,
    "frame of 1/20": _bordered,
    "bars of 1/10": _letterboxed,
    "crop 20 % both ways": _both_ways(0.20),
}
ASKED = 16
