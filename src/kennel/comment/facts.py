"""What is said of a model besides its figures: cost, refusals, parity, birth certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from kennel.comment.markup import code, folded, table, words
from kennel.comment.parts import NOTHING, figure_of
from kennel.comment.side import Side
from kennel.comment.told import JUDGING, Comment, Cost, parity_of

MOST_FACTS = 16  # versions, formats, strangers


def cost(comment: Comment) -> str:
    """Time, money and size."""
    before, now = comment.cost
    rows = list(_cost_rows(now, before, priced=comment.price is not None))
    if not rows:
        return ""
    head = ["cost", "this", "the other"]
    said = table(head if before else head[:2], rows if before else [row[:2] for row in rows])
    notes = []
    if comment.price is not None:
        price = comment.price
        notes.append(f"Money at {price.usd_per_hour:g} USD an hour, {price.source}.")
        if before is not None and before.usd is None and before.duration_s is not None:
            notes.append("The other was trained on other hardware: the price is not its.")
    else:
        notes.append("No price was named, so there is no sum: `--price USD_PER_HOUR`.")
    return f"{said}\n\n{' '.join(notes)}"


def other_figures(comment: Comment) -> str:
    """Temperature, refusals, strangers, and whether every format answers as the network."""
    rows: list[list[str]] = []
    sides = [comment.second] + ([comment.first] if comment.first is not None else [])
    facts = [dict(_facts(side)) for side in sides]
    for name in dict.fromkeys(name for each in facts for name in each):
        rows.append([name, *(each.get(name, NOTHING) for each in facts)])
    if not rows:
        return ""
    head = ["", "this", "the other"][: 1 + len(sides)]
    return folded("Refusals, calibration, strangers and parity", table(head, rows))


def certificate(comment: Comment) -> str:
    """What each figure was measured on and with."""
    sides = [comment.second] + ([comment.first] if comment.first is not None else [])
    facts = [dict(_certified(side)) for side in sides]
    rows = [
        [name, *(each.get(name, NOTHING) for each in facts)]
        for name in dict.fromkeys(name for each in facts for name in each)
    ]
    said = table(["", "this", "the other"][: 1 + len(sides)], rows)
    notes = [
        "Intervals at 95 %: Wilson for shares, the bootstrap over photos (1,000 resamples) for the "
        "rest."
    ]
    for split, pairs in comment.pairs.items():
        if not isinstance(pairs, str):
            c = pairs.comparison
            notes.append(
                f"Differences on {split} photos: Newcombe for shares, the paired bootstrap "
                f"({c.resamples:,} resamples, seed {c.seed}) for the rest, n {c.test.n:,}."
            )
    return f"{said}\n\n{' '.join(notes)}"


def _cost_rows(now: Cost, before: Cost | None, *, priced: bool) -> Iterator[list[str]]:
    def row(title: str, read: Callable[[Cost], str]) -> Iterator[list[str]]:
        said = [read(each) if each is not None else "" for each in (now, before)]
        if any(each not in ("", NOTHING) for each in said):
            yield [title, *said]

    yield from row("training", lambda of: _hours(of.duration_s))
    if priced:
        yield from row("money", lambda of: NOTHING if of.usd is None else f"{of.usd:.2g} USD")
    yield from row("photos learned a second", lambda of: _rate(of.images_per_s))
    yield from row("trained on", lambda of: _machine(of.trained_on))
    yield from row(f"{JUDGING} photos measured a second", lambda of: _rate(of.answers_per_s))
    yield from row("measured on", lambda of: _machine(of.measured_on))
    for name in dict.fromkeys([*now.bytes, *(before.bytes if before else ())]):
        yield from row(f"size, {name}", lambda of, name=name: _bytes(of.bytes.get(name)))  # type: ignore[misc]
    yield from row("size, all files", lambda of: _bytes(of.total_bytes))


def _facts(side: Side) -> Iterator[tuple[str, str]]:
    bundle, evaluation = side.bundle, side.evaluation
    if bundle is None:
        return
    if bundle.calibration is not None:
        c = bundle.calibration
        yield "temperature", f"{c.temperature:.3f}, fitted on {c.n:,} {words(c.split)} photos"
    if bundle.rejection is not None:
        yield "not one I know", words(bundle.rejection.method)
    measured = side.figures.get(JUDGING)
    if measured is not None and measured.rejection is not None:
        r = measured.rejection
        if r.known_n:
            yield (
                "top1 of what is not refused",
                f"{figure_of((r.known_top1, r.known_top1_interval))}, n {r.known_n:,}",
            )
    strangers = evaluation.strangers.groups if evaluation and evaluation.strangers else ()
    for group in islice(strangers, MOST_FACTS):
        if group.rejection is not None:
            told = group.rejection
            yield (
                f"strangers refused: {words(group.name)}",
                f"{figure_of((told.refused, told.refused_interval))}, n {group.n:,}",
            )
    for row in islice(parity_of(side), MOST_FACTS):
        yield (
            f"parity, {words(row.format)}",
            f"{row.max_abs_diff:.1e} of {row.tolerance:.0e} allowed, {row.label_flips:,} other "
            f"labels, {row.photos:,} photos",
        )


def _certified(side: Side) -> Iterator[tuple[str, str]]:
    said, evaluation = side.said, side.evaluation
    yield ("run" if side.bundle is None else "bundle"), code(side.name)
    if side.bundle is not None:
        yield "of run", code(said.run_id)
    commit = code(said.git_commit[:12]) if said.git_commit else "not known"
    yield "commit", f"{commit}, with uncommitted changes" if said.dirty else commit
    yield "dataset", code(said.dataset_id[:16])
    yield "settings", code((said.config_sha256 or "not known")[:16])
    yield "seed", str(said.seed)
    yield "backbone", f"{code(said.backbone.name)}, licence {words(said.backbone.licence)}"
    yield "labels", f"{len(side.labels):,}"
    yield "trained with", _versions(said.versions)
    if evaluation is not None:
        n = [f"{words(split)} {of.n:,}" for split, of in evaluation.splits.items()]
        yield "measured", f"{words(evaluation.created_utc)}, n: {', '.join(n[:MOST_FACTS])}"
        yield "measured with", _versions(evaluation.versions)
        if evaluation.seed is not None:
            yield "seed of the intervals", str(evaluation.seed)


def _versions(versions: Mapping[str, str]) -> str:
    shown = [f"{name} {version}" for name, version in islice(versions.items(), MOST_FACTS)]
    return ", ".join(code(each) for each in shown) or NOTHING


def _machine(hardware: Mapping[str, str]) -> str:
    named = [hardware[key] for key in ("gpu", "cpu") if key in hardware][:1]
    n = hardware.get("cores")
    cores = [] if n is None else [f"{n} core" if n == "1" else f"{n} cores"]
    return code(", ".join([*named, *cores])) if named else NOTHING


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def _rate(rate: float | None) -> str:
    return NOTHING if rate is None else f"{rate:,.1f}"


def _bytes(n: int | None) -> str:
    if n is None:
        return NOTHING
    return f"{n / 1e6:,.2f} MB" if n >= 1e5 else f"{n:,} bytes"
