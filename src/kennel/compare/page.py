"""The page of a comparison: one HTML file that needs nothing else, with the photos that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kennel import page
from kennel.compare.document import FIGURES, answer, in_words
from kennel.compare.duel import Differing, Duel

TEMPLATE = "compare/page.html.j2"
MOST_PHOTOS = 60  # of a section; some 7 KB each
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


def render(fought: Duel, *, margin: str) -> str:
    """The page. Names of files and labels are data there, whatever they hold.

    Args:
        margin: what is said of "not worse", in words.
    Raises:
        MissingExtraError: the page cannot be made.
    """
    return page.render(
        TEMPLATE,
        {
            "fought": fought,
            "test": fought.comparison.test,
            "subject": fought.subject,
            "verdict": in_words(fought),
            "margin": margin,
            "tone": TONES[fought.comparison.verdict],
            "figures": [(title, fought.comparison.figures[of]) for of, title in FIGURES.items()],
            "sections": _sections(fought),
        },
    )


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
        page.thumbnail((fought.subject.dataset.photos_dir / each.path).read_bytes),
        (answer(each.first), right[0]),
        (answer(each.second), right[1]),
    )
