"""The page of a report: one HTML file that needs nothing else, made from report.json, answers and
photos.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kennel import look
from kennel.bundle import Preprocess
from kennel.confusion import finding
from kennel.errors import PhotoError, need
from kennel.images import fit, open_photo, working_short_side
from kennel.page import HEIGHT, data_uri, picture, thumbnail
from kennel.page import render as render_page
from kennel.report import drawings
from kennel.report.answers import Answered, mistakes_among
from kennel.report.matrix import matrix, most_wanted, shades
from kennel.report.plots import strip
from kennel.report.script import SCRIPT
from kennel.strangers.drawn import draw_strangers

TEMPLATE = "report/page.html.j2"
MOST_MISTAKES = 24  # shown as pictures
MOST_STRANGERS = 5  # of a group
CELL_HEIGHT, CELL_QUALITY = 96, 65
ROOM = 2_400_000  # bytes for the photos of the matrices; the page stays under 5 MB
MOST_PATHS = 4000  # photos that the matrices name


@dataclass(frozen=True)
class Mistake:
    """A photo answered wrong. `src` is the photo, `seen` what the model saw of it."""

    path: str
    label: str
    answer: str
    probability: float
    known: bool | None
    src: str
    seen: str


@dataclass(frozen=True)
class Strangers:
    """A group of strangers on the page."""

    name: str
    n: int
    part: Mapping[str, Any]
    shown: tuple[tuple[str, str, float, bool | None], ...]  # src, answer, probability, refused


def render(
    said: Mapping[str, Any],
    answers: Mapping[str, Sequence[Answered]],
    *,
    file: Callable[[str], Path],
    stranger: Callable[[str, str], Path] = Path,
    preprocess: Preprocess,
) -> str:
    """The page. Names of files and labels are data there, whatever they hold.

    Args:
        said: report.json.
        answers: by split; the photos that the page may show.
        file: where a photo of a split lies; one that is gone is shown as gone.
        stranger: where a stranger's photo lies, by its folder and name in the report.
        preprocess: how the model sees photos.
    """
    markup = need("markupsafe", extra="train").Markup
    part = said["splits"][said["headline"]]
    names = [name for name in ("test", "validation", "train") if name in said["splits"]]
    mistakes = mistakes_among(answers.get(said["headline"], ()))
    confusion = {name: np.array(said["splits"][name]["confusion"], np.int64) for name in names}
    robust = said["robustness"]
    plots = [drawings.reliability(part, said["headline"])]
    plots.append(drawings.risk_coverage(part, said["headline"]))
    values = {
        "said": said,
        "part": part,
        "split": said["headline"],
        "names": names,
        "labels": [look.in_words(label) for label in said["labels"]],
        "matrices": [
            {
                "matrix": matrix(name, confusion[name], said["labels"]),
                "finding": finding(confusion[name], said["labels"]),
            }
            for name in names
        ],
        "shades": shades(),
        "photos": markup(_embedded(_photos(answers, said["labels"], file))),
        "mistakes": [
            _mistake(each, said["labels"], file, preprocess) for each in mistakes[:MOST_MISTAKES]
        ],
        "mistakes_n": part["mistakes_n"],
        "per_label": sorted(part["per_label"], key=lambda row: (row["f1"] is None, row["f1"] or 0)),
        "plots": plots,
        "equal_count": drawings.reliability_of_equal_counts(part, said["headline"]),
        "slices": [drawings.slices(each) for each in said["slices"]],
        "robustness": drawings.robustness(robust) if robust else [],
        "hardest": drawings.hardest(robust) if robust else None,
        "strangers": [
            _strangers(group, stranger)
            for group in (said["strangers"]["groups"] if said["strangers"] else ())
        ],
        "percent": drawings.percent,
        "between": drawings.between,
        "strip": lambda *words, **more: markup(strip(*words, **more)),
        "svg": markup,
    }
    return render_page(TEMPLATE, values, script=SCRIPT)


def _photos(
    splits: Mapping[str, Sequence[Answered]], labels: Sequence[str], file: Callable[[str], Path]
) -> dict[str, Any]:
    """What the script shows when a cell is chosen."""
    shown: dict[str, list[list[Any]]] = {}
    room, paths = ROOM, MOST_PATHS
    for key, each in most_wanted(splits):
        if not paths:
            break
        paths -= 1
        src = ""
        if room > 0:
            src = thumbnail(file(each.path).read_bytes, height=CELL_HEIGHT, quality=CELL_QUALITY)
            room -= len(src)
        shown.setdefault(key, []).append([each.path, src, round(each.probability, 4), each.known])
    return {"labels": [look.in_words(label) for label in labels], "cells": shown}


def _embedded(document: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element, whatever its strings hold."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _mistake(
    each: Answered, labels: Sequence[str], file: Callable[[str], Path], preprocess: Preprocess
) -> Mistake:
    path = file(each.path)
    seen = ""
    try:
        at_least = working_short_side(preprocess)
        seen = picture(fit(open_photo(path, at_least=at_least, fill=preprocess.fill), preprocess))
    except PhotoError:
        pass  # it went away since it was answered
    return Mistake(
        each.path,
        look.in_words(labels[each.truth]),
        look.in_words(labels[each.answer]),
        each.probability,
        each.known,
        thumbnail(path.read_bytes, height=HEIGHT),
        seen,
    )


def _strangers(group: Mapping[str, Any], stranger: Callable[[str, str], Path]) -> Strangers:
    """A group with the pictures that look most known."""
    shown = []
    drawn = None
    if group["seed"] is not None:
        drawn = list(draw_strangers(group["name"], n=group["n"], seed=group["seed"]))
    for each in group["most_known"][:MOST_STRANGERS]:
        if drawn is None:
            path = stranger(group["source"], each["path"])
            src = thumbnail(path.read_bytes, height=CELL_HEIGHT)
        else:
            image = drawn[int(each["path"])]
            image.thumbnail((2 * CELL_HEIGHT, CELL_HEIGHT))
            src = data_uri(image)
        words = look.in_words(each["answer"])
        shown.append((src, words, each["probability"], each["refused"]))
    return Strangers(group["name"], group["n"], group, tuple(shown))
