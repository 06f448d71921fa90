"""How often a schedule of EventBridge fires: rate(...), cron(...), at(...)."""

from __future__ import annotations

import re

HOURS = 730.0  # of a month
DAYS = HOURS / 24
RATE = re.compile(r"rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)")
MINUTES = {"minute": 1, "hour": 60, "day": 1440}
RANGES = ((0, 59), (0, 23))  # of a cron's minutes and hours
WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
ONCE_A_MINUTE = HOURS * 60


def runs_a_month(expression: object) -> float:
    """How often it fires in a month of 730 hours.

    Args:
        expression: as a template has it. What cannot be read is taken for once a minute, which is
            the most that EventBridge does.
    """
    if not isinstance(expression, str):
        return ONCE_A_MINUTE
    if found := RATE.fullmatch(expression.strip()):
        return ONCE_A_MINUTE / max(1, int(found[1]) * MINUTES[found[2]])
    if expression.startswith("at("):
        return 0.0  # once, and never again
    fields = expression.strip().removeprefix("cron(").removesuffix(")").split()
    if len(fields) != 6:
        return ONCE_A_MINUTE
    try:
        times = 1.0
        for field, (low, high) in zip(fields, RANGES, strict=False):
            times *= len(_chosen(field, low, high))
        return times * _days(fields[2], fields[4]) * _months(fields[3])
    except ValueError:
        return ONCE_A_MINUTE


def _days(of_month: str, of_week: str) -> float:
    if of_week not in ("*", "?"):
        names = of_week.upper()
        for place, name in enumerate(WEEK, 1):
            names = names.replace(name, str(place))
        if "#" in names or "L" in names:
            return 1.0
        return DAYS * len(_chosen(names, 1, 7)) / 7
    if of_month in ("*", "?"):
        return DAYS
    return 1.0 if of_month in ("L", "LW") else float(len(_chosen(of_month, 1, 31)))


def _months(field: str) -> float:
    return 1.0 if field == "*" else len(_chosen(field, 1, 12)) / 12


def _chosen(field: str, low: int, high: int) -> set[int]:
    """Which numbers a field of a cron names.

    Raises:
        ValueError: it is no such field.
    """
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
        begin = int(first)
        end = int(last) if dash else (high if step else begin)
        if not low <= begin <= end <= high:
            raise ValueError(field)
        found.update(range(begin, end + 1, int(step) if step else 1))
    return found
