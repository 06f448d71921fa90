"""The plots of a report, each from its part of report.json, with a title that says the finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kennel.report.plots import Plot, nice_top, percents

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """A plot, what it says, and what it was measured on."""

    title: str
    svg: str
    caption: str


def percent(share: float, digits: int = 1) -> str:
    """A share in per cent, on one line."""
    return f"{100 * share:.{digits}f}\u00a0%"


def between(interval: Sequence[float], digits: int = 1) -> str:
    """An interval of shares in per cent."""
    return f"{100 * interval[0]:.{digits}f} to {100 * interval[1]:.{digits}f}\u00a0%"


def sentence(words: str) -> str:
    """The words as a sentence begins."""
    return words[:1].upper() + words[1:]


def reliability(split: Part, name: str) -> Drawing:
    """Promised and kept in bins of equal width, over how many photos each has."""
    bins = split["reliability"]["equal_width"]
    plot = Plot(x_ticks=percents(0.25), y_ticks=percents(0.25))
    most = max(each["n"] for each in bins)
    for each in bins:
        tall = 0.16 * each["n"] / most
        title = (
            f"{each['n']} photos between {percent(each['low'], 0)} and {percent(each['high'], 0)}"
        )
        plot.box((each["low"], 0), (each["high"], tall), "count", title=title)
    plot.line([(0, 0), (1, 1)], "ideal")
    _promised_and_kept(plot, bins)
    before, after = split["ece_before_temperature"], split["ece"]
    title = f"Probabilities are off by {100 * after:.1f} points on average"
    worth = (
        f"Without the temperature of {split['temperature']:.2f} they would be by "
        f"{100 * before:.1f} ({between(split['ece_before_temperature_interval'])}). "
        if split["temperature"] != 1
        else ""
    )
    return Drawing(
        title,
        plot.svg(title),
        f"{worth}Expected calibration error {between(split['ece_interval'])}. Bins of equal width, "
        f"95 % intervals; grey: how many photos. {name.capitalize()}, n {split['n']:,}.",
    )


def reliability_of_equal_counts(split: Part, name: str) -> Drawing:
    """The same in bins that have about as many photos each."""
    bins = split["reliability"]["equal_count"]
    plot = Plot(x_ticks=percents(0.25), y_ticks=percents(0.25))
    plot.line([(0, 0), (1, 1)], "ideal")
    _promised_and_kept(plot, bins)
    first = bins[0]
    title = (
        f"The least sure {percent(first['n'] / split['n'], 0)} promise "
        f"{percent(first['confidence'])} and keep {percent(first['right'])}"
    )
    few = min(each["n"] for each in bins), max(each["n"] for each in bins)
    return Drawing(
        title,
        plot.svg(title),
        f"The same in bins of {few[0]} to {few[1]} photos, from the least to the most sure. "
        f"{name.capitalize()}, n {split['n']:,}.",
    )


def _promised_and_kept(plot: Plot, bins: Sequence[Part]) -> None:
    for each in bins:
        x, (low, high) = each["confidence"], each["right_interval"]
        plot.line([(x, low), (x, high)], "whisker one")
        said = (
            f"{each['n']} photos: {percent(x)} promised, {percent(each['right'])} right "
            f"({between(each['right_interval'])})"
        )
        plot.dot((x, each["right"]), "one", title=said)
    plot.say((0.5, 0.5), "as promised", by=(8, 14))
    plot.axis_names("probability of the answer", "answered right")


def risk_coverage(split: Part, name: str) -> Drawing:
    """Mistakes among the photos that would be answered."""
    curves = split["risk_coverage"]
    top = max(max(curve["risk"]) for curve in curves.values())
    high, step = nice_top(min(1.0, top))
    plot = Plot(y=(0, high), x_ticks=percents(0.25), y_ticks=percents(step, high))
    names = {"probability": ("one", "by probability"), "rejection": ("two", "by rejection score")}
    for at, (key, curve) in enumerate(curves.items()):
        kind, words = names[key]
        points = list(zip(curve["coverage"], curve["risk"], strict=True))
        plot.line(points, f"line {kind}")
        x, y = 60, 42 + 17 * at
        plot.words((x + 22, y + 4), f"{words}, area {100 * curve['aurc']:.2f} %", kind="said")
        plot.swatch((x, y), kind)
    plot.axis_names("photos answered, surest first", "answered wrong")
    curve = curves["probability"]
    part = next(
        (
            risk
            for share, risk in zip(curve["coverage"], curve["risk"], strict=True)
            if share >= 0.9
        ),
        curve["risk"][-1],
    )
    whole = curve["risk"][-1]
    title = (
        f"The surest 90 % have {percent(part)} mistakes, all have {percent(whole)}"
        if whole
        else "There is no mistake to avoid"
    )
    areas = "; ".join(
        f"{names[key][1]} {100 * each['aurc']:.2f} % ({between(each['aurc_interval'], 2)})"
        for key, each in curves.items()
    )
    return Drawing(
        title,
        plot.svg(title),
        f"Area under the curve, less is better: {areas}. {name.capitalize()}, n {split['n']:,}.",
    )


def slices(slicing: Part) -> Drawing:
    """Top1 of each slice with its interval."""
    rows = slicing["slices"]
    low = min(each["top1_interval"][0] for each in rows)
    start = max(0.0, min(0.9, int(low * 10) / 10))
    step = 0.05 if start >= 0.8 else 0.1 if start >= 0.6 else 0.25
    start = start if step < 0.25 else (0.5 if start >= 0.5 else 0.0)
    height = 34 * len(rows) + 34
    plot = Plot(
        x=(start, 1),
        y=(len(rows), 0),
        x_ticks=percents(step, 1.0, start),
        height=height,
        margins=(112, 20, 4, 30),
    )
    for at, each in enumerate(rows):
        y = at + 0.5
        plot.line([(start, y), (1, y)], "grid")
        lower, upper = each["top1_interval"]
        plot.line([(lower, y), (upper, y)], "whisker one")
        said = f"{each['name']}: {percent(each['top1'])} ({between(each['top1_interval'])})"
        plot.dot((each["top1"], y), "one", title=f"{said}, n {each['n']}")
        name = each["name"] if len(each["name"]) <= 14 else each["name"][:13] + "…"
        plot.words((104, plot.at((0, y))[1] - 2), name, anchor="end", kind="said")
        plot.words((104, plot.at((0, y))[1] + 12), f"n {each['n']:,}", anchor="end")
    worst = min(rows, key=lambda each: each["top1"])
    title = f"{sentence(slicing['by'])}: no slice stands out"
    if slicing["differ"]:
        title = f"{sentence(slicing['by'])}: {worst['name']} is answered worse"
    return Drawing(title, plot.svg(title), f"{sentence(slicing['unit'])}.")


def robustness(found: Part) -> list[Drawing]:
    """A panel a corruption: top1 from the clean photos to the strongest."""
    panels = []
    for series in found["corruptions"]:
        levels = [
            {"top1": found["top1"], "top1_interval": found["top1_interval"]},
            *series["levels"],
        ]
        plot = Plot(
            x=(0, len(levels) - 1),
            y_ticks=percents(0.5),
            x_ticks=[(0, "as it is"), (len(levels) - 1, "strong")],
            width=240,
            height=150,
            margins=(44, 24, 10, 24),
        )
        ends = [
            [(at, level["top1_interval"][end]) for at, level in enumerate(levels)] for end in (0, 1)
        ]
        plot.band(ends[0], ends[1], "band one")
        plot.line([(at, level["top1"]) for at, level in enumerate(levels)], "line one")
        for at, level in enumerate(levels):
            said = f"{percent(level['top1'])} ({between(level['top1_interval'])})"
            if "value" in level:
                said = f"{series['unit'].format(level['value'])}: {said}"
            plot.dot((at, level["top1"]), "one", title=said, radius=3)
        values = ", ".join(f"{level['value']:g}" for level in series["levels"])
        last = levels[-1]["top1"]
        title = f"{sentence(series['name'])}: down to {percent(last, 0)}"
        panels.append(Drawing(title, plot.svg(title), series["unit"].replace("{:g}", values)))
    return panels


def hardest(found: Part) -> Part:
    """The corruption under which fewest answers are right, over all strengths."""

    def mean(series: Part) -> float:
        shares: list[float] = [level["top1"] for level in series["levels"]]
        return sum(shares) / len(shares)

    worst: Part = min(found["corruptions"], key=mean)
    return worst
