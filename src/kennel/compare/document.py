"""A comparison, written down: as JSON, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kennel.compare.duel import Differing, Duel, Reply

COLUMN = 12
MOST_LINES = 20  # photos named in a terminal
FIGURES = {
    "top1": "top1",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "refused": "refused",
}


def document(
    fought: Duel,
    *,
    margin: float,
    hardware: Mapping[str, str],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """The whole outcome; the same photos and bundles give the same document.

    Args:
        margin: of top1, for "not worse".
    """
    subject, comparison, test = fought.subject, fought.comparison, fought.comparison.test
    return {
        "first": {"bundle": fought.first.bundle_id, "path": str(fought.first.path)},
        "second": {"bundle": fought.second.bundle_id, "path": str(fought.second.path)},
        "dataset": str(subject.dataset.csv),
        "dataset_id": subject.dataset.dataset_id,
        "split": subject.split,
        "labels": list(subject.labels),
        "n": test.n,
        "left_out": [{"n": each.n, "why": each.why} for each in subject.left_out],
        "skipped": [{"path": str(each.path), "reason": each.reason} for each in fought.skipped],
        "remarks": list(subject.remarks),
        "same_model": fought.same,
        "only_first": test.only_a,
        "only_second": test.only_b,
        "p": test.p,
        "figures": {
            name: {
                "first": each.first,
                "second": each.second,
                "difference": each.difference,
                "interval": list(each.interval),
                "bootstrap_interval": list(each.bootstrap),
            }
            for name, each in comparison.figures.items()
        },
        "seed": comparison.seed,
        "resamples": comparison.resamples,
        "verdict": comparison.verdict,
        "in_words": in_words(fought),
        "not_worse": {"margin": margin, "shown": fought.not_worse(margin)},
        "differing": [_row(each) for each in fought.differing],
        "hardware": dict(hardware),
        "versions": dict(versions),
    }


def lines(fought: Duel) -> list[str]:
    """What a terminal says of it, without the last line."""
    subject, test = fought.subject, fought.comparison.test
    said = [
        _fact("first", f"{fought.first.path}  {fought.first.bundle_id}"),
        _fact("second", f"{fought.second.path}  {fought.second.bundle_id}"),
        _fact("photos", f"{test.n} of {subject.dataset.csv}, split {subject.split}"),
    ]
    said += [_fact("left out", f"{each.n}: {each.why}") for each in subject.left_out]
    said += [_fact("skipped", f"{each.path}: {each.reason}") for each in fought.skipped]
    said += [_fact("note", each) for each in subject.remarks]
    said.append(f"{'':<{COLUMN}}{'first':>8}{'second':>8}   second - first, 95 %")
    for name, title in FIGURES.items():
        f = fought.comparison.figures[name]
        low, high = f.interval
        said.append(
            f"{title:<{COLUMN}}{f.first:>8.3f}{f.second:>8.3f}   {f.difference:+.3f} "
            f"[{low:+.3f}, {high:+.3f}]"
        )
    said.append(
        _fact(
            "McNemar",
            f"p {test.p:.2g}: {_photos(test.only_a)} right by the first alone, "
            f"{test.only_b} by the second",
        )
    )
    for each in fought.differing[:MOST_LINES]:
        said.append(_fact("differ", f"{each.path}  {each.truth}"))
        said.append(_fact("", f"first {answer(each.first)}, second {answer(each.second)}"))
    if len(fought.differing) > MOST_LINES:
        more = len(fought.differing) - MOST_LINES
        said.append(_fact("differ", f"{_photos(more)} more: --json or --to DIR lists them"))
    said.append(_fact("verdict", in_words(fought)))
    return said


def in_words(fought: Duel) -> str:
    """The verdict as a sentence about the second."""
    test, verdict = fought.comparison.test, fought.comparison.verdict
    if fought.same:
        return "both are one model: they cannot differ"
    if not fought.differing:
        return f"not shown to differ: both say the same of {_photos(test.n, every=True)}"
    if verdict != "not shown to differ":
        return f"the second is {verdict}"
    if test.only_a == test.only_b:
        each = f"each has {test.only_a} right that the other has wrong"
        return f"not shown to differ: {each if test.only_a else 'both are right equally often'}"
    return f"not shown to differ: {_photos(test.n)} are too few to tell"


def margin_in_words(fought: Duel, margin: float) -> str:
    """Whether the second is shown not to be worse."""
    shown = "shown" if fought.not_worse(margin) else "not shown"
    return f"{shown} to lose less than {100 * margin:g} points of top1"


def answer(reply: Reply) -> str:
    """What a bundle said of a photo."""
    said = f"{reply.label} {reply.probability:.1%}"
    return said if reply.known else f"not one I know (nearest: {said})"


def _row(each: Differing) -> dict[str, Any]:
    def reply(said: Reply) -> dict[str, Any]:
        return {"label": said.label, "probability": said.probability, "known": said.known}

    return {
        "path": each.path,
        "truth": each.truth,
        "first": reply(each.first),
        "second": reply(each.second),
    }


def _photos(n: int, *, every: bool = False) -> str:
    return f"{'all ' if every and n > 1 else ''}{n:,} {'photo' if n == 1 else 'photos'}"


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"
