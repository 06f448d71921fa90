"""What a deployment costs, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kennel.cloud.cost import Answers, Cost, Sum, Training, Worst
from kennel.cloud.cost.answers import cheapest
from kennel.cloud.cost.document import memories
from kennel.prices import book

COLUMN = 12


def lines(cost: Cost, beside: Cost | None, within_ms: float) -> list[str]:
    """All of it. `beside` is the tutorial's, priced by the same code."""
    said = [_row("prices", _book_words(cost)), _row("measured", cost.measured.source)]
    if cost.elsewhere:
        said.append(
            _row("note", f"this is to be in {cost.elsewhere}, where prices differ: no book for it")
        )
    said.append(_row("at rest", f"{_usd(cost.idle.usd)} a month, with nothing asked"))
    said += _sum_lines(cost.idle)
    said += _answer_lines(cost.answers, beside)
    if cost.requests:
        said.append(
            _row("a month", f"{_usd(cost.month.usd)}, at rest and {cost.requests:,} photos")
        )
    said += _memory_lines(cost, within_ms)
    said += _training_lines(cost.training)
    said += _worst_lines((*cost.worst, *(beside.worst if beside else ())), beside)
    said += _row_each("not priced", (f"{name}: {what}" for name, what in cost.not_priced))
    said += _row_each("unknown", (f"{kind} ({n}): may cost" for kind, n in cost.unknown))
    said += _row_each("note", cost.notes)
    said.append(_row("by use", _counted(cost.by_use)))
    said.append(_row("free", _counted(cost.free)))
    return said


def _book_words(cost: Cost) -> str:
    seen = sorted(each.seen for each in book().prices.values())
    return f"{cost.region}, seen {seen[0]} to {seen[-1]}; no free tier taken off; $ without tax"


def _sum_lines(found: Sum) -> list[str]:
    return [
        f"  {_usd(each.usd):>10}  {each.resource}: {each.what}"
        for each in sorted(found.lines, key=lambda each: -each.usd)
    ]


def _answer_lines(answers: Sequence[Answers], beside: Cost | None) -> list[str]:
    least = beside.answers[0].per_million if beside else None
    lines = []
    for each in (*answers, *(beside.answers if beside else ())):
        of = f", 1/{least / each.per_million:.1f} of the tutorial's" if least else ""
        if beside and each in beside.answers:
            of = ""
        lines.append(
            f"  {each.work.name:<40}{each.duration_ms:>6.0f} ms at {each.function.memory_mb:,} MB  "
            f"{_usd(each.per_1000, 5)} a 1,000  {_usd(each.per_million)} a million{of}"
        )
    return [_row("answers", f"{len(answers)} kinds"), *lines] if answers else []


def _memory_lines(cost: Cost, within_ms: float) -> list[str]:
    found = memories(cost, within_ms)
    if not found:
        return []
    best = cheapest(found)
    words = (
        f"{best.memory_mb:,} MB is the cheapest within {within_ms:,.0f} ms"
        if best
        else f"no size answers within {within_ms:,.0f} ms"
    )
    return [
        _row("memory", f"{words}: {cost.answers[0].work.name}"),
        *(
            f"  {each.memory_mb:>7,} MB {each.duration_ms:>7.0f} ms  {_usd(each.per_million)} a "
            f"million{'' if each.enough else ', not enough'}"
            for each in found
        ),
    ]


def _training_lines(machines: Iterable[Training]) -> list[str]:
    lines = []
    for each in machines:
        if each.on_demand is None:
            continue
        spot = each.spot and f"{_usd(each.spot.usd_from)} to {_usd(each.spot.usd)} on spot"
        lines.append(
            _row(
                "training",
                f"{each.machine}, an hour with disk and address: {_usd(each.on_demand.usd)} on "
                f"demand{f', {spot}' if spot else ''}",
            )
        )
        lines.append(
            _row("", f"forgotten: {_usd(each.forgotten_usd)} at most, {each.hours:g} hours")
        )
    return lines


def _worst_lines(found: Sequence[Worst], beside: Cost | None) -> list[str]:
    lines = []
    for each in found:
        bound = f"{each.at_once:,} at once" + (
            "" if each.bounded else ", the account's limit alone"
        )
        whose = "tutorial's" if beside and each in beside.worst else each.function
        outside = f"{_usd(each.from_outside_usd)} an hour from outside"
        inside = "" if each.open_to == "anybody" else f"; {_usd(each.hour.usd)} by {each.open_to}"
        if each.open_to == "nobody":
            inside = ", it has no address"
        lines.append(_row("worst", f"{outside}{inside}; {bound}: {whose}"))
    return lines


def _row(name: str, words: str) -> str:
    return f"{name:<{COLUMN}}{words}"


def _row_each(name: str, all_words: Iterable[str]) -> list[str]:
    return [_row(name, words) for words in all_words]


def _counted(found: Sequence[tuple[str, int]]) -> str:
    return ", ".join(kind + (f" ({n})" if n > 1 else "") for kind, n in found) or "nothing"


def _usd(usd: float | None, digits: int = 2) -> str:
    if usd is None:
        return "not priced"
    small = usd and usd < 10**-digits / 2
    return f"below {10**-digits:.{digits}f} $" if small else f"{usd:,.{digits}f} $"
