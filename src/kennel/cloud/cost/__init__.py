"""What a deployment costs, from its templates and measured milliseconds, before it exists.

    lines      prices times quantities      kinds      what costs while nothing is asked
    measured   milliseconds, and the model  functions  what Lambda bills by
    answers    one answer, and the memory   abuse      the worst hour
    training   machines with a GPU          leftover   what one thing costs a month

Prices are those of the book (`kennel.prices`), of one region; no free tier is taken off. What the
book does not have is named and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kennel.cloud.cost.abuse import Worst, worst
from kennel.cloud.cost.answers import one_answer, ready_all_month
from kennel.cloud.cost.functions import Function, answering, functions_in
from kennel.cloud.cost.kinds import Kept, idle, known
from kennel.cloud.cost.leftover import Monthly, monthly
from kennel.cloud.cost.lines import Line, Sum, times
from kennel.cloud.cost.measured import Measured, Work
from kennel.cloud.cost.training import Training, training
from kennel.cloud.cost.types_known import BY_USE, FREE
from kennel.cloud.deployment import Deployment
from kennel.cloud.runner import MOST_HOURS
from kennel.cloud.template import Resource, Template, template_of
from kennel.prices import Book, book

__all__ = [
    "Answers",
    "Cost",
    "Kept",
    "Line",
    "Measured",
    "Monthly",
    "Sum",
    "Training",
    "Work",
    "Worst",
    "cost_of",
    "monthly",
]

USUAL_MACHINE = "g4dn.xlarge"  # what kennel cloud runner rents where nothing else is said


@dataclass(frozen=True)
class Answers:
    """One kind of request, answered by one function.

    Attributes:
        one: what a single answer costs.
    """

    function: Function
    work: Work
    duration_ms: float
    one: Sum

    @property
    def per_1000(self) -> float:
        """US dollars for a thousand."""
        return self.one.usd * 1e3

    @property
    def per_million(self) -> float:
        """US dollars for a million."""
        return self.one.usd * 1e6


@dataclass(frozen=True)
class Cost:
    """What a deployment costs, in US dollars.

    Attributes:
        region: whose prices these are. elsewhere: where it is to be, if that is another.
        idle: a month in which nothing is asked.
        answers: by function and kind of request; the first is what is asked for in `month`.
        requests: a month. month: idle and those.
        training: an hour of each machine. worst: an hour of abuse of each function.
        free: types that cost nothing, with how many. by_use: types that cost by use.
        not_priced: (resource, what the book has no price for). unknown: types that nobody here
            knows, with how many: they may cost.
        notes: what was taken for granted.
    """

    region: str
    elsewhere: str
    measured: Measured
    idle: Sum
    answers: tuple[Answers, ...]
    requests: int
    month: Sum
    training: tuple[Training, ...]
    worst: tuple[Worst, ...]
    free: tuple[tuple[str, int], ...]
    by_use: tuple[tuple[str, int], ...]
    not_priced: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]


def cost_of(
    what: Deployment | Sequence[Template],
    measured: Measured,
    *,
    requests: int = 0,
    memory_mb: int | None = None,
    kept: Kept | None = None,
    hours: float | None = None,
    prices: Book | None = None,
) -> Cost:
    """What it costs.

    Args:
        what: a deployment that was synthesised, or templates of anybody's.
        requests: answers a month, >= 0.
        memory_mb: instead of what the templates give the functions that answer.
        kept: what lies in buckets and repositories.
        hours: the limit of a rented machine; None takes the settings', else the longest there is.
        prices: the book.
    """
    prices, kept = prices or book(), kept or Kept()
    templates, region, said, types = _parts(what)
    resources = [each for template in templates for each in template.resources]
    functions = functions_in(resources)
    asked = answering(functions)
    if memory_mb is not None:
        chosen = {each.name for each in asked}
        functions = tuple(
            each.of_memory(memory_mb) if each.name in chosen else each for each in functions
        )
        asked = answering(functions)
    lines, missing = _idle(resources, prices, kept)
    for function in functions:
        lines += ready_all_month(function, prices)
    answers = tuple(
        Answers(
            function,
            work,
            work.duration_ms(function.memory_mb),
            one_answer(function, work, measured, prices),
        )
        for function in asked
        for work in measured.works
    )
    machines = training(
        resources, prices, hours=hours or said or MOST_HOURS, otherwise=USUAL_MACHINE, also=types
    )
    missing += [(each.resource, what) for each in machines for what in each.not_priced]
    at_rest = Sum(tuple(each for each in lines if each.quantity))
    month = at_rest + (times(answers[0].one.lines, requests) if answers and requests else Sum())
    return Cost(
        region=prices.region,
        elsewhere="" if region in ("", prices.region) else region,
        measured=measured,
        idle=at_rest,
        answers=answers,
        requests=requests,
        month=month,
        training=machines,
        worst=tuple(worst(each, measured, prices) for each in asked),
        free=_counted(each for each in resources if each.type in FREE),
        by_use=_counted(each for each in resources if each.type in BY_USE),
        not_priced=tuple(dict.fromkeys(missing)),
        unknown=_counted(each for each in resources if not known(each.type)),
        notes=tuple(note for template in templates for note in template.notes),
    )


def _parts(
    what: Deployment | Sequence[Template],
) -> tuple[tuple[Template, ...], str, float | None, tuple[str, ...]]:
    """Templates, region, and of the settings a machine's limit and its types."""
    if not isinstance(what, Deployment):
        return tuple(what), "", None, ()
    runner = what.settings.get("runner")
    runner = runner if isinstance(runner, dict) else {}
    hours, types = runner.get("hours"), runner.get("types")
    limit = float(hours) if isinstance(hours, (int, float)) and hours > 0 else None
    templates = tuple(template_of(each.name, each.template) for each in what.stacks)
    kinds = tuple(map(str, types)) if isinstance(types, (list, tuple)) else ()
    return templates, what.region, limit, kinds


def _idle(
    resources: Sequence[Resource], prices: Book, kept: Kept
) -> tuple[list[Line], list[tuple[str, str]]]:
    lines: list[Line] = []
    missing: list[tuple[str, str]] = []
    for each in resources:
        for found in idle(each, prices, kept):
            if isinstance(found, str):
                missing.append((each.name, found))
            else:
                lines.append(found)
    return lines, missing


def _counted(resources: Iterator[Resource]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for each in resources:
        counts[each.type] = counts.get(each.type, 0) + 1
    return tuple(sorted(counts.items()))
