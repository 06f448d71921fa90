"""The confusion matrix of a split as a picture whose title says what it shows.

K labels; a confusion matrix is Int64[K, K], rows truth, columns answer. Lengths are in points, 1/72
inch, from the page's lower left corner.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kennel.bundle import replacing
from kennel.errors import need
from kennel.evaluate import SplitReport
from kennel.look import ACCENT, INK, LINE, PAPER, QUIET_INK, in_words, mix, text_on

ORDERED_ABOVE = 20  # labels; up to here they stand in dataset order

DPI = 200  # twice the 100 that a page shows it at
MARGIN = 24.0
GAP = 6.0
LEAST_WIDTH = 400.0
LARGEST_CELL = 64.0
LARGEST_MATRIX = 1728.0  # 4,800 pixels: 120 labels at 14.4 points
LEAST_COUNTED_CELL = 7.0  # in smaller cells no count is written
TITLE, LARGEST_TITLE = 15.0, 28.0
SMALLEST_TYPE, LARGEST_TYPE = 5.0, 11.0  # in and around the matrix
LONGEST_LABEL = 32  # characters
CHESTNUT_AT = 0.65  # share of a row


def draw_confusion(report: SplitReport, path: Path, *, bundle_id: str) -> None:
    """Draws a split's confusion matrix as a PNG, shaded by row share, with counts, zeros blank.

    Up to twenty labels stand in the order of the classifier, more by similarity. The same report
    gives the same bytes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    draw_matrix(report.figures.confusion, report.labels, path, caption=_caption(report, bundle_id))


def draw_matrix(confusion: np.ndarray, labels: Sequence[str], path: Path, *, caption: str) -> None:
    """Draws any confusion matrix as `draw_confusion` draws a split's.

    Args:
        confusion: Int64[K, K], rows truth, columns answer.
        labels: length K.
        caption: what was measured, with n and interval.
    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    order = list(range(len(confusion)))
    if len(order) > ORDERED_ABOVE:
        order = order_by_similarity(confusion)
    picture = _Picture(
        counts=confusion[np.ix_(order, order)],
        labels=[_shortened(in_words(labels[index])) for index in order],
        title=finding(confusion, labels),
        caption=caption,
    )
    with warnings.catch_warnings():
        # DejaVu Sans lacks some scripts; a box in place of a letter is all that happens.
        warnings.filterwarnings("ignore", message="(?s)Glyph .* missing from font")
        _draw(picture, path)


def finding(confusion: np.ndarray, labels: Sequence[str]) -> str:
    """What a confusion matrix says in one sentence: the label most often taken for one other.

    "Most often" is by share of the label's photos, then by their number, then by label order.

    Args:
        confusion: Int64[K, K], rows truth, columns answer.
        labels: length K.
    """
    wrong = confusion * (1 - np.eye(len(labels), dtype=np.int64))
    if not wrong.any():
        return "Every photo is answered right"
    shares = _row_shares(confusion)
    truth, answer = max(
        np.argwhere(wrong).tolist(), key=lambda at: (shares[at[0], at[1]], wrong[at[0], at[1]])
    )
    return (
        f"{in_words(labels[truth])} is taken for {in_words(labels[answer])} "
        f"in {wrong[truth, answer]} of {confusion[truth].sum()}"
    )


def order_by_similarity(confusion: np.ndarray) -> list[int]:
    """An order of the labels in which those that are taken for each other stand together.

    Pairs are joined from the most to the least confused; the runs of labels that a pair joins are
    turned so that it meets. The same matrix always gives the same order.

    Args:
        confusion: Int64[K, K], rows truth, columns answer.
    Returns:
        0..K-1 in the new order.
    """
    shares = _row_shares(confusion)
    likeness = np.triu(shares + shares.T, k=1)  # Float64[K, K], each pair once
    pairs = sorted(np.argwhere(likeness).tolist(), key=lambda pair: -likeness[pair[0], pair[1]])
    run_of = {label: [label] for label in range(len(confusion))}
    for one, other in pairs:
        left, right = run_of[one], run_of[other]
        if left is right:
            continue
        if left.index(one) < (len(left) - 1) / 2:
            left.reverse()
        if right.index(other) > (len(right) - 1) / 2:
            right.reverse()
        left.extend(right)
        run_of.update(dict.fromkeys(right, left))
    runs = {id(run): run for run in run_of.values()}  # each once, by its first label
    return [label for run in runs.values() for label in run]


@dataclass(frozen=True)
class _Picture:
    counts: np.ndarray  # Int64[K, K], in the order drawn
    labels: list[str]
    title: str
    caption: str


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1].rstrip() + "…"


def _row_shares(confusion: np.ndarray) -> np.ndarray:  # Int64[K, K] -> Float64[K, K]
    """Counts as shares of their row; rows without photos are zero."""
    shares: np.ndarray = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def _caption(report: SplitReport, bundle_id: str) -> str:
    figures = report.figures
    low, high = (100 * end for end in figures.top1_interval)
    unread = f" {_photos(len(report.skipped))} could not be read." if report.skipped else ""
    return (
        f"{report.split.capitalize()} split, {_photos(figures.n)}: "
        f"{100 * figures.top1:.1f} % answered right, 95 % interval {low:.1f} to {high:.1f} %."
        f"{unread} Bundle {bundle_id}."
    )


def _photos(n: int) -> str:
    return "1 photo" if n == 1 else f"{n:,} photos"


def _draw(picture: _Picture, path: Path) -> None:
    """Lays the page out around the matrix from the measured sizes of its words, then draws it."""
    k = len(picture.counts)
    fonts = _Fonts()
    cell = _cell_size(k)
    side = cell * k
    small = min(LARGEST_TYPE, max(SMALLEST_TYPE, cell * 0.55))
    large = min(LARGEST_TITLE, max(TITLE, side / 60))  # readable when a large page is shown small
    middle = large * 0.65
    label_width = max(fonts.width(label, small) for label in picture.labels)
    on_end = (
        label_width > cell - GAP
    )  # column labels stand on end unless all fit into their columns
    totals = [f"{total:,}" for total in picture.counts.sum(axis=1).tolist()]
    total_width = max(fonts.width(words, small) for words in [*totals, "photos"])

    before = MARGIN + middle + 3 * GAP + label_width
    after = GAP + total_width + MARGIN
    page_width = max(before + side + after, LEAST_WIDTH)
    room = page_width - 2 * MARGIN
    title = _wrapped(picture.title, room, lambda words: fonts.width(words, large, bold=True))
    caption = _wrapped(picture.caption, room, lambda words: fonts.width(words, middle))
    answer_at = MARGIN + middle * 1.5 * len(caption) + 2 * GAP
    bottom = answer_at + middle + 2 * GAP + (label_width if on_end else small) + GAP
    left = before + (page_width - before - side - after) / 2
    top = bottom + side
    title_at = top + small + 4 * GAP + large * 1.3 * (len(title) - 1)
    page = _Page(fonts, page_width, title_at + large + MARGIN)

    for index, line in enumerate(title):
        page.write(MARGIN, title_at - large * 1.3 * index, line, large, bold=True)
    for index, line in enumerate(caption):
        line_at = MARGIN + middle * 1.5 * (len(caption) - 1 - index)
        page.write(MARGIN, line_at, line, middle, colour=QUIET_INK)
    page.write(left + side / 2, answer_at, "answer", middle, colour=QUIET_INK, ha="center")
    truth_at = left - label_width - 3 * GAP
    page.write(
        truth_at, bottom + side / 2, "truth", middle, colour=QUIET_INK, ha="center", on_end=True
    )

    _draw_cells(page, picture.counts, left=left, top=top, cell=cell, size=small)
    end = left + side + GAP + total_width
    page.write(end, top + GAP, "photos", small, colour=QUIET_INK, ha="right")
    # Every label as long as they fit beside each other, which is up to about 300.
    for index in range(0, k, math.ceil(small * 1.05 / cell)):
        x, y = left + (index + 0.5) * cell, top - (index + 0.5) * cell
        label = picture.labels[index]
        page.write(left - GAP, y, label, small, ha="right", va="center_baseline")
        page.write(end, y, totals[index], small, colour=QUIET_INK, ha="right", va="center_baseline")
        if on_end:
            page.write(x, bottom - GAP, label, small, ha="right", va="center_baseline", on_end=True)
        else:
            page.write(x, bottom - GAP - small, label, small, ha="center")
    page.save(path)


def _draw_cells(
    page: _Page, counts: np.ndarray, *, left: float, top: float, cell: float, size: float
) -> None:
    k = len(counts)
    shares = _row_shares(counts)
    for row, column in np.argwhere(counts).tolist():
        ground = shade(float(shares[row, column]))
        x, y = left + column * cell, top - (row + 1) * cell
        page.box(x, y, cell, ground)
        count = f"{counts[row, column]:,}"
        fitting = min(size, size * 0.9 * cell / page.fonts.width(count, size))
        if cell >= LEAST_COUNTED_CELL and fitting >= 0.8 * SMALLEST_TYPE:
            middle = x + cell / 2, y + cell / 2
            page.write(
                *middle, count, fitting, colour=text_on(ground), ha="center", va="center_baseline"
            )
    for index in range(k + 1):
        at = index * cell
        page.rule((left, left + k * cell), (top - at, top - at), width=min(0.75, cell * 0.06))
        page.rule((left + at, left + at), (top - k * cell, top), width=min(0.75, cell * 0.06))


def _cell_size(k: int) -> float:
    """Side of a cell: roomy for few labels, 14.4 points for 120; whole pixels where it matters."""
    size = min(LARGEST_CELL, max(14.4, 520 / k), LARGEST_MATRIX / k)
    pixels = size * DPI / 72
    return (math.floor(pixels) if pixels >= 8 else pixels) * 72 / DPI


def shade(share: float) -> str:
    """Ground of a cell that holds photos, darker with its share of the row.

    Starts at a tint that one photo of many still shows, reaches chestnut at `CHESTNUT_AT` and goes
    on darker: numbers turn from dark to light about there, not within a good model's diagonal.
    """
    if share <= CHESTNUT_AT:
        return mix(PAPER, ACCENT, 0.1 + 0.9 * share / CHESTNUT_AT)
    return mix(ACCENT, INK, 0.3 * (share - CHESTNUT_AT) / (1 - CHESTNUT_AT))


def _wrapped(words: str, room: float, width: Callable[[str], float]) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


class _Fonts:
    """DejaVu Sans from the files that matplotlib brings, and how wide words are in it."""

    def __init__(self) -> None:
        matplotlib = need("matplotlib", extra="train")
        self._properties = need("matplotlib.font_manager", extra="train").FontProperties
        self._files = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        canvas = need("matplotlib.backends.backend_agg", extra="train").FigureCanvasAgg
        self._renderer = canvas(
            need("matplotlib.figure", extra="train").Figure(dpi=72)
        ).get_renderer()

    def font(self, size: float, *, bold: bool = False) -> Any:
        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        return self._properties(fname=str(self._files / name), size=size)

    def width(self, words: str, size: float, *, bold: bool = False) -> float:
        font = self.font(size, bold=bold)
        return float(self._renderer.get_text_width_height_descent(words, font, ismath=False)[0])


class _Page:
    """A figure on a canvas of its own: no pyplot, and a user's matplotlibrc changes nothing."""

    def __init__(self, fonts: _Fonts, width: float, height: float) -> None:
        self.fonts = fonts
        figure = need("matplotlib.figure", extra="train").Figure(
            figsize=(width / 72, height / 72), dpi=DPI, facecolor=PAPER, edgecolor=PAPER
        )
        self._canvas = need("matplotlib.backends.backend_agg", extra="train").FigureCanvasAgg(
            figure
        )
        self._rectangle = need("matplotlib.patches", extra="train").Rectangle
        self._axes = figure.add_axes((0, 0, 1, 1), frameon=False)
        self._axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])

    def write(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        *,
        colour: str = INK,
        bold: bool = False,
        ha: str = "left",
        va: str = "baseline",
        on_end: bool = False,
    ) -> None:
        self._axes.text(
            x,
            y,
            words,
            fontproperties=self.fonts.font(size, bold=bold),
            color=colour,
            ha=ha,
            va=va,
            rotation=90 if on_end else 0,
            rotation_mode="anchor",
            parse_math=False,  # a label may hold a dollar sign
            usetex=False,
        )

    def box(self, x: float, y: float, side: float, colour: str) -> None:
        # Without antialiasing, so that neighbours meet on whole pixels and no seam of paper shows.
        box = self._rectangle((x, y), side, side, facecolor=colour, linewidth=0, antialiased=False)
        self._axes.add_patch(box)

    def rule(self, x: tuple[float, float], y: tuple[float, float], *, width: float) -> None:
        self._axes.plot(x, y, color=LINE, linewidth=width, linestyle="-", marker="")

    def save(self, path: Path) -> None:
        with replacing(path, "wb") as file:
            # Without the version of matplotlib: the bytes are those of the picture.
            self._canvas.print_png(file, metadata={"Software": None})
