"""A comment as Markdown: the verdict first, figures and changes to be seen, the rest folded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import kennel
from kennel.comment.facts import certificate, cost, other_figures
from kennel.comment.markup import code, folded
from kennel.comment.matrix import confusion
from kennel.comment.parts import dataset, difference, figures, flattering, labels, settings
from kennel.comment.told import JUDGING, Comment
from kennel.intervals import LEVEL
from kennel.registry.entry import MARGIN

MARKER = "<!-- kennel-report -->"  # by which a workflow finds its one comment again
# GitHub takes 65,536 characters, and some who tried say bytes; a workflow may add a line.
MOST_BYTES = 60_000
TITLES = {
    "better": "Better",
    "worse": "Worse",
    "not shown to differ": "No difference shown",
    "not comparable": "Not comparable",
}


@dataclass(frozen=True)
class Section:
    """A part of the text. `name` says what it is where there was no room for it."""

    name: str
    text: str

    @property
    def bytes(self) -> int:
        return len(self.text.encode())


def text_of(comment: Comment) -> str:
    """The text, at most MOST_BYTES long. Labels, names and values of a bundle are words there and
    nothing else, whatever they hold.
    """
    first = [MARKER, _title(comment), *_judged(comment)]
    sections = [each for each in _sections(comment) if each.text]
    left_out: list[str] = []
    while sections:
        end = _end(comment, left_out)
        text = "\n\n".join([*first, *(each.text for each in sections), end]) + "\n"
        if len(text.encode()) <= MOST_BYTES:
            return text
        longest = max(sections, key=lambda each: each.bytes)
        sections.remove(longest)
        left_out.append(longest.name)
    return "\n\n".join([*first, _end(comment, left_out)]) + "\n"


def _sections(comment: Comment) -> Iterator[Section]:
    yield Section("figures", figures(comment, JUDGING))
    yield Section("labels", labels(comment))
    yield Section("settings", settings(comment))
    yield Section("photos", dataset(comment))
    yield Section("cost", cost(comment))
    yield Section("confusion matrix", confusion(comment.second))
    yield Section("other splits", flattering(comment))
    yield Section("refusals, sets and parity", other_figures(comment))
    yield Section("birth certificate", folded("Birth certificate", certificate(comment)))


def _title(comment: Comment) -> str:
    verdict, second = comment.verdict, comment.second
    pairs = comment.pairs.get(JUDGING)
    if verdict.word == "nothing to compare":
        for split in (JUDGING, "validation"):
            if split in second.figures:
                of = second.figures[split]
                interval = of.top1_interval
                between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
                return f"### top1 {of.top1:.3f}{between} on {of.n:,} {split} photos"
        return "### Nothing was measured yet"
    if pairs is None or isinstance(pairs, str):
        return f"### {TITLES[verdict.word]}: {verdict.why}"
    top1 = pairs.comparison.figures["top1"]
    photos = f"on {pairs.comparison.test.n:,} {JUDGING} photos"
    return f"### {TITLES[verdict.word]}: top1 {difference(top1.difference, top1.interval)} {photos}"


def _judged(comment: Comment) -> Iterator[str]:
    """Who is who, what the test says, and what weakens it."""
    first, second, verdict = comment.first, comment.second, comment.verdict
    kind = "run" if second.bundle is None else "bundle"
    who = f"**this** is {kind} {code(second.name)}"
    if first is not None:
        other = "run" if first.bundle is None else "bundle"
        who += f", **the other** {other} {code(first.name)}"
    yield f"{who[0].upper()}{who[1:]}.".replace("**this**", "**This**", 1)
    pairs = comment.pairs.get(JUDGING)
    if pairs is not None and not isinstance(pairs, str):
        test = pairs.comparison.test
        said = [
            f"{test.only_b:,} photos are right by this alone, {test.only_a:,} by the other alone: "
            f"exact McNemar p {test.p:.2g}."
        ]
        if verdict.why:
            said.append(f"{verdict.why[0].upper()}{verdict.why[1:]}: they cannot differ.")
        if verdict.not_worse is not None:
            shown = "shown" if verdict.not_worse else "not shown"
            said.append(
                f"It is {shown} to lose less than {100 * MARGIN:g} points of top1, which "
                "`kennel promote` asks."
            )
        yield " ".join(said)
    elif first is not None:
        yield (
            "There is no paired test, so figures stand side by side with their own intervals: "
            "where two overlap, nothing is shown."
        )
    notes = [*comment.remarks, *_opened(comment)]
    if notes:
        yield "\n".join(f"- {each}" for each in notes)


def _opened(comment: Comment) -> Iterator[str]:
    n = len(comment.opened)
    if n > 1:
        yield (
            f"These test photos were opened for {n} bundles that lie here: whichever is chosen by "
            "them is flattered by the choice."
        )


def _end(comment: Comment, left_out: list[str]) -> str:
    said = (
        f"<sub>Intervals are at {LEVEL:.0%}. Nothing was fitted or chosen on test photos to write "
        f"this. kennel {kennel.__version__}: <code>kennel report --markdown</code>.</sub>"
    )
    if left_out:
        what = ", ".join(left_out)
        said = f"Left out, as a comment has room for 65,536 characters: {what}.\n\n{said}"
    return said
