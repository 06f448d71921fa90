"""The page of a comparison: one HTML file that needs nothing else, with the photos that differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from kennel import look
from kennel.compare.document import FIGURES, answer, in_words
from kennel.compare.duel import Differing, Duel
from kennel.decoding import open_photo
from kennel.errors import PhotoError, need

TEMPLATE = "page.html.j2"
MOST_PHOTOS = 60  # of a section; some 7 KB each
HEIGHT, WIDEST = 150, 300  # pixels of a thumbnail
QUALITY = 72
DOUBTFUL_WORDS = "#8A5A12"  # look.DOUBTFUL is 3.4:1 on paper, too little for words

LIGHT = {
    "paper": look.PAPER,
    "ink": look.INK,
    "quiet": look.QUIET_INK,
    "line": look.LINE,
    "good": look.GOOD,
    "doubtful": DOUBTFUL_WORDS,
    "bad": look.BAD,
}
DARK = {
    "paper": look.DARK_PAPER,
    "ink": look.DARK_INK,
    "quiet": look.mix(look.DARK_PAPER, look.DARK_INK, 0.65),
    "line": look.mix(look.DARK_PAPER, look.DARK_INK, 0.16),
    "good": look.mix(look.GOOD, look.DARK_INK, 0.4),
    "doubtful": look.mix(look.DOUBTFUL, look.DARK_INK, 0.2),
    "bad": look.mix(look.BAD, look.DARK_INK, 0.4),
}
TONES = {"better": "good", "worse": "bad", "not shown to differ": "doubtful"}


@dataclass(frozen=True)
class Shown:
    """A photo on the page. `src` is a data URI, or "" where it cannot be shown; replies are words,
    and whether they are right.
    """

    path: str
    truth: str
    src: str
    first: tuple[str, bool]
    second: tuple[str, bool]


@dataclass(frozen=True)
class Section:
    """Photos on which the bundles differ in one way; `more` are not shown."""

    title: str
    photos: tuple[Shown, ...]
    count: int
    more: int


def need_jinja() -> None:
    """Raises:
    MissingExtraError: the page cannot be made.
    """
    need("jinja2", extra="train")


def render(fought: Duel, *, margin: str) -> str:
    """The page. Names of files and labels are data there, whatever they hold.

    Args:
        margin: what is said of "not worse", in words.
    """
    jinja2 = need("jinja2", extra="train")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = files("kennel.compare").joinpath(TEMPLATE).read_text(encoding="utf-8")
    values: dict[str, Any] = {
        "fought": fought,
        "test": fought.comparison.test,
        "subject": fought.subject,
        "verdict": in_words(fought),
        "margin": margin,
        "tone": TONES[fought.comparison.verdict],
        "figures": [(title, fought.comparison.figures[name]) for name, title in FIGURES.items()],
        "sections": _sections(fought),
        "light": LIGHT,
        "dark": DARK,
        "height": HEIGHT,
    }
    page: str = environment.from_string(text).render(values)
    return page


def _sections(fought: Duel) -> list[Section]:
    titles = {
        (True, False): "Right by the first alone",
        (False, True): "Right by the second alone",
        (False, False): "Wrong by both, in different ways",
        (True, True): "Right by both, and refused by one",
    }
    sections = []
    for right, title in titles.items():
        some = [each for each in fought.differing if each.right == right]
        if some:
            shown = tuple(_shown(fought, each) for each in some[:MOST_PHOTOS])
            sections.append(Section(title, shown, len(some), len(some) - len(shown)))
    return sections


def _shown(fought: Duel, each: Differing) -> Shown:
    right: Sequence[bool] = each.right
    return Shown(
        each.path,
        each.truth,
        _thumbnail(fought.subject.dataset.photos_dir / each.path),
        (answer(each.first), right[0]),
        (answer(each.second), right[1]),
    )


def _thumbnail(path: Path) -> str:
    """A data URI, "" where the file went away since it was looked at."""
    try:
        image = open_photo(path.read_bytes(), at_least=HEIGHT)
    except (OSError, PhotoError):
        return ""
    scale = min(HEIGHT / image.height, WIDEST / image.width)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
