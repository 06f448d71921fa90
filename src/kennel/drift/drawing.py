"""A comparison as one picture: reference and seen shares of each figure, the worst first."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from kennel.drift.comparison import Comparison
from kennel.drift.panels import Panel, panels
from kennel.drift.words import finding
from kennel.errors import need
from kennel.page import LIGHT
from kennel.writing import replacing

COLUMNS = 3
WIDTH, ROW_HEIGHT, DPI = 11.0, 2.3, 200  # inches; twice the 100 of a page
BAR = 0.86  # of its slot


def write_png(comparison: Comparison, path: Path) -> None:
    """Draws it into `path`, on light paper.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = need("matplotlib", extra="train")
    figures = need("matplotlib.figure", extra="train")
    drawn = panels(comparison)
    style = {
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": LIGHT["ink"],
        "axes.edgecolor": LIGHT["line"],
        "xtick.color": LIGHT["quiet"],
        "ytick.color": LIGHT["quiet"],
    }
    reference, seen = comparison.reference, comparison.sketch
    caption = (
        f"Bars: share of {seen.n:,} photos seen, between edges that part the {reference.n:,} "
        f"{reference.split} photos of {reference.bundle} into equal parts (line). Drifted figures "
        "are dark, and first."
    )
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = math.ceil(len(drawn) / COLUMNS)
        figure = figures.Figure(figsize=(WIDTH, ROW_HEIGHT * rows + 0.8), layout="constrained")
        figure.set_facecolor(LIGHT["paper"])
        figure.suptitle(finding(comparison), x=0.01, ha="left", fontsize=15, fontweight="bold")
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=LIGHT["quiet"])
        for number, panel in enumerate(drawn, start=1):
            _draw(figure.add_subplot(rows, COLUMNS, number), panel)
        with replacing(path, "wb") as file:
            figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})


def _draw(axes: Any, panel: Panel) -> None:
    bars = len(panel.was)
    axes.set_facecolor(LIGHT["paper"])
    axes.spines[["top", "right", "left"]].set_visible(False)
    colour = LIGHT["accent"] if panel.drifted else LIGHT["line"]
    axes.bar([at + 0.5 for at in range(bars)], panel.seen, width=BAR, color=colour)
    for at, share in enumerate(panel.was):
        axes.plot([at + 0.07, at + 0.93], [share, share], color=LIGHT["ink"], linewidth=1.5)
    axes.set_xlim(0, bars)
    axes.set_ylim(0, max(0.2, 1.1 * max(*panel.was, *panel.seen)))
    words = [words if len(words) <= 14 else f"{words[:12]}..." for _, words in panel.ticks]
    crowded = len(words) > 3
    axes.set_xticks(
        [at for at, _ in panel.ticks],
        words,
        rotation=60 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor",
        fontsize=7 if crowded else 9,
    )
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.tick_params(length=0)
    weight = "bold" if panel.drifted else "normal"
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight=weight)
    psi = panel.row.psi
    axes.set_title(f"PSI {psi.value:.2f}", loc="right", fontsize=8, color=LIGHT["quiet"])
