"""What a deployment costs, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kennel.cloud.cost import Answers, Cost, Sum, Worst
from kennel.cloud.cost.answers import Size, cheapest, sizes
from kennel.prices import book

SCHEMA_VERSION = 1


def memories(cost: Cost, within_ms: float) -> tuple[Size, ...]:
    """The first kind of answer, by functions of several memories."""
    if not cost.answers:
        return ()
    first = cost.answers[0]
    return sizes(first.function, first.work, cost.measured, book(), within_ms=within_ms)


def document(cost: Cost, beside: Cost | None, within_ms: float) -> dict[str, Any]:
    found = memories(cost, within_ms)
    best = cheapest(found)
    return {
        "schema_version": SCHEMA_VERSION,
        "region": cost.region,
        "elsewhere": cost.elsewhere or None,
        "measured": cost.measured.source,
        "idle": _summed(cost.idle),
        "answers": [_answered(each) for each in cost.answers],
        "requests": cost.requests,
        "month_usd": cost.month.usd,
        "memory": {
            "within_ms": within_ms,
            "cheapest_mb": best and best.memory_mb,
            "sizes": [asdict(each) for each in found],
        },
        "training": [
            {
                "resource": each.resource,
                "machine": each.machine,
                "on_demand": each.on_demand and _summed(each.on_demand),
                "spot": each.spot and _summed(each.spot),
                "hours": each.hours,
                "forgotten_usd": each.forgotten_usd,
            }
            for each in cost.training
        ],
        "worst": [_worst(each) for each in cost.worst],
        "tutorial": beside
        and {
            "answers": [_answered(each) for each in beside.answers],
            "worst": [_worst(each) for each in beside.worst],
        },
        "not_priced": [{"resource": name, "what": what} for name, what in cost.not_priced],
        "unknown": dict(cost.unknown),
        "by_use": dict(cost.by_use),
        "free": dict(cost.free),
        "notes": list(cost.notes),
        "prices": [asdict(each) for each in book().prices.values()],
    }


def _summed(found: Sum) -> dict[str, Any]:
    lines = [asdict(each) for each in found.lines]
    return {"usd": found.usd, "usd_from": found.usd_from, "lines": lines}


def _answered(each: Answers) -> dict[str, Any]:
    return {
        "function": each.function.name,
        "memory_mb": each.function.memory_mb,
        "name": each.work.name,
        "core_ms": each.work.core_ms,
        "duration_ms": each.duration_ms,
        "per_1000_usd": each.per_1000,
        "per_million_usd": each.per_million,
        "one": _summed(each.one),
    }


def _worst(each: Worst) -> dict[str, Any]:
    return {
        "function": each.function,
        "open_to": each.open_to,
        "at_once": each.at_once,
        "bounded": each.bounded,
        "hour": _summed(each.hour),
        "from_outside_usd": each.from_outside_usd,
        "one_request_usd": each.one_request_usd,
    }
