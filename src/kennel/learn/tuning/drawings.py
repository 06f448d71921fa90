"""A study as pictures: history, parallel coordinates, importances, learning curves.

Each is drawn on light and on dark paper, as SVG for the page, and on light paper as PNG.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kennel.errors import need
from kennel.learn.tuning.space import Parameter, Space
from kennel.page import LIGHT
from kennel.writing import replacing

WIDTH, HEIGHT, DPI = 9.0, 3.6, 200  # inches; PNG at twice the 100 of a page
CROWDED = 7  # axes side by side
Palette = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """A trial that is over.

    Attributes:
        figure: its own; of a pruned one the last it told.
        curve: figures by epoch, or by run of the trial.
    """

    number: int
    figure: float
    pruned: bool
    values: dict[str, Any]
    curve: dict[int, float]


@dataclass(frozen=True)
class Drawing:
    """A picture under its `name`, with the finding that stands above it and what is said below."""

    name: str
    title: str
    caption: str
    draw: Callable[[Any, Palette], None]  # axes, colours


def drawings(
    rows: Sequence[Row],
    space: Space,
    importances: Mapping[str, float],
    *,
    monitor: str,
    maximise: bool,
    step: str,
) -> list[Drawing]:
    """The pictures that the trials carry.

    Args:
        rows: one or more that are done, by number.
        importances: share of each parameter, 0..1; empty where there are too few trials.
        step: what a curve counts: "epoch", "fold", "seed" or "rung".
    """
    done = [row for row in rows if not row.pruned]
    best = (max if maximise else min)(done, key=lambda row: row.figure)
    counted = f"{len(done)} trials done, {len(rows) - len(done)} pruned"
    found = [
        Drawing(
            "history",
            f"Trial {best.number} is the best: {monitor} {best.figure:.4g}",
            f"{counted}. The line is the best so far; crosses: pruned, where they stopped.",
            lambda axes, ink: _history(axes, ink, rows, monitor, maximise=maximise),
        ),
        Drawing(
            "parallel_coordinates",
            "What the trials tried, and what came of it",
            f"{len(done)} trials done; the best in colour, the better half darker than the rest.",
            lambda axes, ink: _parallel(
                axes, ink, done, space.parameters, monitor, maximise=maximise
            ),
        ),
    ]
    if importances:
        first = next(iter(importances))
        found.append(
            Drawing(
                "importances",
                f"{first} mattered most, as far as {len(done)} trials can tell",
                "Share of the figures' variance by each parameter (fANOVA); a hint, not a "
                "measurement.",
                lambda axes, ink: _importances(axes, ink, importances),
            )
        )
    if any(len(row.curve) > 1 for row in rows):
        found.append(
            Drawing(
                "learning_curves",
                f"{monitor.capitalize()} by {step}",
                f"{counted}. The best in colour; dots are where a trial was pruned.",
                lambda axes, ink: _curves(axes, ink, rows, best, monitor=monitor, step=step),
            )
        )
    return found


def as_svg(drawing: Drawing, colours: Palette) -> str:
    """The picture as an SVG document; the same bytes for the same study."""
    figure = _figure(drawing, colours, titled=False)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def write_png(drawing: Drawing, folder: Path) -> Path:
    """The picture as `folder`/<name>.png, on light paper, with its title."""
    figure = _figure(drawing, LIGHT, titled=True)
    path = folder / f"{drawing.name}.png"
    with replacing(path, "wb") as file:
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return path


def _figure(drawing: Drawing, colours: Palette, *, titled: bool) -> Any:
    matplotlib = need("matplotlib", extra="train")
    figures = need("matplotlib.figure", extra="train")
    style = {
        "svg.hashsalt": drawing.name,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": colours["ink"],
        "axes.labelcolor": colours["ink"],
        "axes.edgecolor": colours["line"],
        "xtick.color": colours["quiet"],
        "ytick.color": colours["quiet"],
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = figures.Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        figure.set_facecolor(colours["paper"])
        axes = figure.add_subplot()
        axes.set_facecolor(colours["paper"])
        axes.spines[["top", "right"]].set_visible(False)
        drawing.draw(axes, colours)
        if titled:
            axes.set_title(drawing.title, loc="left", fontweight="bold")
            figure.supxlabel(drawing.caption, fontsize=8, color=colours["quiet"], x=0.01, ha="left")
        figure.canvas.draw_idle()
        return figure


def _history(axes: Any, ink: Palette, rows: Sequence[Row], monitor: str, *, maximise: bool) -> None:
    done = [row for row in rows if not row.pruned]
    pruned = [row for row in rows if row.pruned]
    better = np.maximum.accumulate if maximise else np.minimum.accumulate
    axes.step(
        [row.number for row in done],
        better([row.figure for row in done]),
        where="post",
        color=ink["accent"],
        linewidth=2,
    )
    axes.plot([r.number for r in done], [r.figure for r in done], "o", color=ink["ink"], ms=5)
    axes.plot([r.number for r in pruned], [r.figure for r in pruned], "x", color=ink["quiet"], ms=5)
    _within(axes, [row.figure for row in rows])
    axes.set_xlabel("trial")
    axes.set_ylabel(monitor)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _parallel(
    axes: Any,
    ink: Palette,
    done: Sequence[Row],
    parameters: Sequence[Parameter],
    monitor: str,
    *,
    maximise: bool,
) -> None:
    figures = [row.figure for row in done]
    order = sorted(done, key=lambda row: row.figure, reverse=not maximise)  # the best on top
    used = [each for each in parameters if any(each.path in row.values for row in done)]
    scales = [_Scale.of(each, done) for each in used] + [_Scale.linear(monitor, figures)]
    for rank, row in enumerate(order):
        heights = [scale.at(row.values.get(scale.path)) for scale in scales[:-1]]
        heights.append(scales[-1].at(row.figure))
        # Past an axis whose condition did not hold: the line goes on to the next.
        there = [at for at, height in enumerate(heights) if math.isfinite(height)]
        top, upper = rank == len(order) - 1, rank >= len(order) // 2
        axes.plot(
            there,
            [heights[at] for at in there],
            color=ink["accent"] if top else ink["ink"] if upper else ink["quiet"],
            alpha=1.0 if top else 0.55 if upper else 0.3,
            linewidth=2.5 if top else 1.0,
            zorder=3 if top else 2,
        )
    for at, scale in enumerate(scales):
        axes.axvline(at, color=ink["line"], linewidth=1, zorder=1)
        for height, text in scale.marks:
            axes.annotate(
                text, (at, height), (4, 0), "data", "offset points",
                fontsize=7.5 if len(scales) <= CROWDED else 6.5, color=ink["quiet"], va="center",
            )  # fmt: skip
    axes.set_xticks(range(len(scales)), [_broken(scale.path) for scale in scales])
    axes.tick_params(axis="x", labelsize=8, length=0, labelcolor=ink["ink"])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.1, len(scales) - 0.4)


@dataclass(frozen=True)
class _Scale:
    """An axis of parallel coordinates: where a value stands, 0..1, and what is written beside."""

    path: str
    places: Mapping[str, float] | None
    low: float
    high: float
    log: bool
    marks: tuple[tuple[float, str], ...]

    @staticmethod
    def of(each: Parameter, rows: Sequence[Row]) -> _Scale:
        if each.choices is None:
            return _Scale.linear(each.path, [each.low, each.high], log=each.log)
        many = max(len(each.choices) - 1, 1)
        places = {_short(choice): at / many for at, choice in enumerate(each.choices)}
        return _Scale(each.path, places, 0, 1, False, tuple((y, t) for t, y in places.items()))

    @staticmethod
    def linear(path: str, values: Sequence[float], *, log: bool = False) -> _Scale:
        low, high = min(values), max(values)
        marks = ((0.0, f"{low:.3g}"), (1.0, f"{high:.3g}"))
        return _Scale(path, None, low, high, log, marks)

    def at(self, value: Any) -> float:
        if value is None and self.places is None:
            return math.nan  # its condition did not hold
        if self.places is not None:
            return self.places.get(_short(value), math.nan)
        low, high, here = self.low, self.high, float(value)
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return 0.5 if high <= low else (here - low) / (high - low)


def _broken(path: str) -> str:
    """A path on several short lines, so that neighbours do not touch."""
    return path.replace(".", ".\n").replace("_", "_\n")


def _short(choice: Any) -> str:
    return str(choice).replace(" ", "")


def _importances(axes: Any, ink: Palette, importances: Mapping[str, float]) -> None:
    names = list(importances)[::-1]
    shares = [importances[name] for name in names]
    axes.barh(names, shares, color=ink["accent"], height=0.6)
    for at, share in enumerate(shares):
        axes.annotate(f" {share:.2f}", (share, at), va="center", fontsize=9)
    axes.set_xlim(0, max(shares) * 1.12 or 1)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelcolor=ink["ink"])
    axes.spines[["bottom", "left"]].set_visible(False)


def _curves(
    axes: Any, ink: Palette, rows: Sequence[Row], best: Row, *, monitor: str, step: str
) -> None:
    for row in rows:
        steps, figures = list(row.curve), list(row.curve.values())
        chosen = row.number == best.number
        axes.plot(
            steps,
            figures,
            color=ink["accent"] if chosen else ink["quiet"],
            linewidth=2.5 if chosen else 1,
            alpha=1 if chosen else 0.6,
            zorder=3 if chosen else 2,
        )
        if row.pruned and steps:
            axes.plot(steps[-1:], figures[-1:], ".", color=ink["quiet"])
    _within(axes, [figure for row in rows for figure in row.curve.values()])
    axes.set_xlabel(step)
    axes.set_ylabel(monitor)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _within(axes: Any, figures: Sequence[float]) -> None:
    """Shows the figures but a few that went far astray, which would flatten the rest."""
    finite = np.asarray([each for each in figures if math.isfinite(each)])
    if len(finite) < 4:
        return
    low, middle, high = np.percentile(finite, [0, 50, 95])
    top = max(high, middle + (middle - low))
    margin = 0.06 * max(top - low, 1e-9)
    if finite.max() > top + 4 * margin:
        axes.set_ylim(low - margin, top + margin)
