"""Answers as the page shows them: HTML in which labels and names of a stranger are text, whatever
they hold.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from kennel.annotate import NOT_KNOWN
from kennel.bundle import Bundle
from kennel.errors import KennelError
from kennel.look import in_words
from kennel.page import data_uri
from kennel.ui.answers import Said
from kennel.ui.several import percent
from kennel.ui.why import LEAST_SCALE, Why, overlay, shown

# Besides what HTML reads: gr.HTML hands what it shows through JavaScript's template strings and
# Handlebars, where a label called ${...} or {{...}} would be run.
_TEMPLATES = {ord(mark): f"&#{ord(mark)};" for mark in "$`{}\\"}
MOST_LABELS = 12  # named in the head of the page


def safe(text: str) -> str:
    """Text as HTML shows it, letter by letter."""
    return html.escape(text).translate(_TEMPLATES)


def head(bundle: Bundle) -> str:
    """What the page is for, and how good the bundle is at it."""
    labels = [in_words(label) for label in bundle.labels]
    named = ", ".join(labels[:MOST_LABELS])
    if len(labels) > MOST_LABELS:
        named += f" and {len(labels) - MOST_LABELS} more"
    test = bundle.metrics.get("test")
    measured = (
        f"Right on {percent(test.top1)} of {test.n} test photos "
        f"({percent(test.top1_interval[0])} to {percent(test.top1_interval[1])})."
        if test
        else "Nobody measured yet how often it is right on new photos."
    )
    return (
        f'<header class="k-head"><h1>What is on your photo?</h1>'
        f"<p>This model tells {len(labels)} labels apart: {safe(named)}. {safe(measured)}</p>"
        f'<p class="k-quiet">Photos are answered where this page comes from, sent nowhere else, '
        f"and deleted within the hour.</p></header>"
    )


INVITATION = (
    '<section class="k-answer"><p class="k-quiet">Drop a photo, paste it, take one, or choose an '
    "example. The answer stands here.</p></section>"
)


def answer(said: Said, bundle: Bundle) -> str:
    """The answer in large and bars under it; or, in the same place, that it is not one it knows."""
    found = said.answer
    if found.known:
        bars = "".join(_bar(label, probability) for label, probability in found.top)
        body = f'<h2>{safe(in_words(found.label))}</h2><ol class="k-bars">{bars}</ol>'
        if found.among is not None and bundle.conformal is not None:
            one_of = " or ".join(in_words(label) for label in found.among)
            sure = f"{bundle.conformal.coverage:.0%} sure: {one_of}"
            body += f'<p class="k-sure">{safe(sure)}</p>'
    else:
        body = (
            f"<h2>{safe(NOT_KNOWN)}</h2><p>This does not look like the photos that I learned from, "
            "so I had better not guess. The nearest of my labels is "
            f"<strong>{safe(in_words(found.label))}</strong>: a hint, not an answer.</p>"
        )
    foot = f"{said.took_ms:.0f} ms, bundle {bundle.bundle_id}"
    return (
        f'<section class="k-answer" aria-live="polite">{body}'
        f'<p class="k-quiet">{safe(foot)}</p></section>'
    )


def refusal(error: KennelError) -> str:
    """What went wrong and what now, where the answer would stand."""
    message = error.message[:1].upper() + error.message[1:]
    return (
        f'<section class="k-answer" role="alert"><h2>No answer</h2><p>{safe(message)}</p>'
        f'<p class="k-quiet">What now: {safe(error.fix)}.</p></section>'
    )


def notice(text: str) -> str:
    """A quiet line."""
    return f'<section class="k-answer"><p class="k-quiet">{safe(text)}</p></section>'


def reasons(found: Why, bundle: Bundle) -> str:
    """What the model saw, what spoke for a label, and what it is worth."""
    label, odds = in_words(found.label), found.falls
    at_worst, at_best = float(found.hidden.min()), float(found.hidden.max())
    title = f"Why {label}?"
    told = (
        f"As it is, {label} has {percent(found.probability)}. With the part hidden that spoke for "
        f"it most, {percent(at_worst)}; with the part hidden that spoke against it most, "
        f"{percent(at_best)}."
    )
    if abs(odds).max() < LEAST_SCALE:
        told += " No part alone matters much: the colours are pale for that reason."
    how = (
        f"{odds.size} parts, one after another, hidden under grey: {found.took_s:.1f} s. Orange "
        f"spoke for {label}, blue against. It shows what this answer hung on, not what makes a "
        f"{label}. Bundle {bundle.bundle_id}."
    )
    pictures = "".join(
        f'<figure><img src="{data_uri(picture, quality=90)}" alt="{safe(words)}">'
        f"<figcaption>{safe(words)}</figcaption></figure>"
        for picture, words in (
            (shown(found.pixels), "What the model saw"),
            (overlay(found), f"What spoke for {label}"),
        )
    )
    return (
        f'<section class="k-answer" aria-live="polite"><h2>{safe(title)}</h2><p>{safe(told)}</p>'
        f'<div class="k-pair">{pictures}</div><p class="k-quiet">{safe(how)}</p></section>'
    )


def summary(done: int, total: int, unread: int, took_s: float, notes: Iterable[str]) -> str:
    """How far many photos are, and what was refused."""
    words = f"{done} of {total} photos answered" if done < total else f"{done} photos answered"
    words += f" in {took_s:.1f} s ({done / max(took_s, 1e-3):.0f}/s)"
    if unread:
        words += f", of which {unread} could not be read; their rows say why"
    lines = "".join(f"<li>{safe(note)}</li>" for note in notes)
    listed = f'<ul class="k-notes">{lines}</ul>' if lines else ""
    return f'<section class="k-answer" aria-live="polite"><p>{safe(words)}.</p>{listed}</section>'


def _bar(label: str, probability: float) -> str:
    return (
        f'<li><span class="k-label">{safe(in_words(label))}</span>'
        f'<span class="k-percent">{percent(probability)}</span>'
        f'<span class="k-track"><span class="k-fill" style="width:{100 * probability:.2f}%">'
        f"</span></span></li>"
    )
