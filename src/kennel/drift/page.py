"""The page of a comparison: one HTML file that needs nothing else, its plots drawn in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kennel import page
from kennel.drift.comparison import Comparison
from kennel.drift.panels import Panel, panels
from kennel.drift.words import medians
from kennel.errors import need
from kennel.report.plots import Plot, nice_top, percents

TEMPLATE = "drift/page.html.j2"
WIDTH, HEIGHT = 328, 180
LETTER = 6.6  # CSS pixels, of 12
LONGEST = 20  # letters of a label
ROW = 26  # height of a label's


def render(comparison: Comparison, outcome: Mapping[str, Any]) -> str:
    """The page. Names of labels and sources are data there, whatever they hold.

    Args:
        outcome: what `kennel.drift.words.document` says.
    Raises:
        MissingExtraError: the page cannot be made.
    """
    markup = need("markupsafe", extra="train").Markup
    tone = {"drifted": "bad", "no drift shown": "good", "too few photos": "doubtful"}
    return page.render(
        TEMPLATE,
        {
            "outcome": outcome,
            "tone": tone[outcome["verdict"]],
            "panels": [(each, markup(_svg(each))) for each in panels(comparison)],
            "rows": [(row, medians(comparison, row.figure)) for row in comparison.rows],
        },
    )


def _svg(panel: Panel) -> str:
    high = max(0.2, *panel.was, *panel.seen)
    top, step = nice_top(high)
    said = "; ".join(
        f"{each}: {_percent(was)}, seen {_percent(now)}"
        for each, was, now in zip(panel.each, panel.was, panel.seen, strict=True)
    )
    bars, kind = len(panel.was), "seen drifted" if panel.drifted else "seen"
    lying = len(panel.ticks) > 3  # labels: their names need room
    if lying:
        words = [words if len(words) <= LONGEST else f"{words[:18]}..." for _, words in panel.ticks]
        plot = Plot(
            x=(0, top),
            y=(bars, 0),
            x_ticks=percents(top / 2, top),
            height=ROW * bars + 40,
            margins=(LETTER * max(map(len, words)) + 12, 20, 8, 32),
        )
    else:
        words = []
        plot = Plot(
            x=(0, bars),
            y=(0, top),
            x_ticks=panel.ticks,
            y_ticks=percents(step, top),
            height=HEIGHT,
            margins=(44, 8, 12, 28),
        )
    for at, (was, now, each) in enumerate(zip(panel.was, panel.seen, panel.each, strict=True)):
        title = f"{each}: {_percent(was)}, seen {_percent(now)}"
        if lying:
            plot.box((0, at + 0.85), (now, at + 0.15), kind, title=title)
            plot.line([(was, at + 0.07), (was, at + 0.93)], "was")
            place = plot.at((0, at + 0.5))
            plot.words((place[0] - 6, place[1] + 4), words[at], anchor="end")
        else:
            plot.box((at + 0.07, 0), (at + 0.93, now), kind, title=title)
            plot.line([(at + 0.04, was), (at + 0.96, was)], "was")
    return plot.svg(f"{panel.title}. {said}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
