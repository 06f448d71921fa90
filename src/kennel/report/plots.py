"""Small plots as SVG, in the page's own colours: no library, no script, legible on a phone.

Lengths are CSS pixels: a plot is drawn about as wide as it is shown. y grows upwards in data and
downwards on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]
Range = tuple[float, float]

WIDTH, HEIGHT = 328, 240
STRIP_WIDTH, STRIP_HEIGHT = 132, 20


class Plot:
    """Axes, and what is drawn between them; `svg` closes it.

    Args:
        x, y: ranges of the data.
        x_ticks, y_ticks: value and words.
        margins: left, right, top, bottom.
    """

    def __init__(
        self,
        *,
        x: Range = (0.0, 1.0),
        y: Range = (0.0, 1.0),
        x_ticks: Sequence[tuple[float, str]] = (),
        y_ticks: Sequence[tuple[float, str]] = (),
        width: float = WIDTH,
        height: float = HEIGHT,
        margins: tuple[float, float, float, float] = (44, 20, 28, 40),
    ) -> None:
        self._x, self._y, self._width, self._height = x, y, width, height
        self._left, self._right, self._top, self._bottom = margins
        self._parts: list[str] = []
        floor = height - self._bottom
        for value, words in y_ticks:
            at = self.at((x[0], value))[1]
            self._line((self._left, at), (width - self._right, at), "grid")
            self.words((self._left - 6, at + 4), words, anchor="end")
        for value, words in x_ticks:
            at = self.at((value, y[0]))[0]
            self._line((at, floor), (at, floor + 4), "axis")
            self.words((at, floor + 17), words, anchor="middle")
        self._line((self._left, floor), (width - self._right, floor), "axis")

    def at(self, point: Point) -> Point:
        """Where a point of the data lies in the picture."""
        (x0, x1), (y0, y1) = self._x, self._y
        across = (point[0] - x0) / ((x1 - x0) or 1)
        up = (point[1] - y0) / ((y1 - y0) or 1)
        inner = self._width - self._left - self._right, self._height - self._top - self._bottom
        return self._left + across * inner[0], self._top + (1 - up) * inner[1]

    def line(self, points: Sequence[Point], kind: str) -> None:
        """A line through points of the data."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(self.at, points))
        self._parts.append(f'<path class="{kind}" d="M{path}"/>')

    def band(self, low: Sequence[Point], high: Sequence[Point], kind: str) -> None:
        """The area between two lines."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(self.at, [*low, *reversed(high)]))
        self._parts.append(f'<path class="{kind}" d="M{path}Z"/>')

    def dot(self, point: Point, kind: str, *, title: str = "", radius: float = 3.5) -> None:
        """A dot, with words for who points at it."""
        x, y = self.at(point)
        said = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{said}</circle>'
        )

    def box(self, low: Point, high: Point, kind: str, *, title: str = "") -> None:
        """A rectangle between two corners of the data."""
        (left, bottom), (right, top) = self.at(low), self.at(high)
        said = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0):.1f}"'
            f' height="{max(bottom - top, 0):.1f}">{said}</rect>'
        )

    def say(self, point: Point, words: str, *, anchor: str = "start", by: Point = (0, 0)) -> None:
        """Words at a point of the data, moved by some pixels."""
        x, y = self.at(point)
        self.words((x + by[0], y + by[1]), words, anchor=anchor, kind="said")

    def words(self, at: Point, words: str, *, anchor: str = "start", kind: str = "tick") -> None:
        """Words at a place of the picture."""
        self._parts.append(
            f'<text class="{kind}" x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def swatch(self, at: Point, kind: str) -> None:
        """A short line of one kind at a place of the picture, before words that explain it."""
        self._line(at, (at[0] + 16, at[1]), f"line {kind}")

    def axis_names(self, x: str, y: str) -> None:
        """What the axes count: x under its axis, y above the plot's left edge."""
        self.words((self._width - self._right, self._height - 6), x, anchor="end")
        self.words((2, 12), y)

    def svg(self, label: str) -> str:
        """The picture; `label` is what it shows, for who cannot see it."""
        return (
            f'<svg class="plot" viewBox="0 0 {self._width:g} {self._height:g}" role="img" '
            f'aria-label="{escape(label)}" style="max-width:{self._width:g}px">'
            + "".join(self._parts)
            + "</svg>"
        )

    def _line(self, one: Point, other: Point, kind: str) -> None:
        self._parts.append(
            f'<path class="{kind}" d="M{one[0]:.1f} {one[1]:.1f}L{other[0]:.1f} {other[1]:.1f}"/>'
        )


def percents(step: float, high: float = 1.0, low: float = 0.0) -> list[tuple[float, str]]:
    """Ticks in per cent from low to high."""
    n = round((high - low) / step)
    digits = 0 if step >= 0.01 else 1
    return [(low + i * step, f"{100 * (low + i * step):.{digits}f} %") for i in range(n + 1)]


def nice_top(value: float) -> tuple[float, float]:
    """A round number at or above a share, and the step of about four ticks up to it."""
    for step in (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25):
        if value <= 4 * step:
            return 4 * step, step
    return 1.0, 0.25


def strip(value: float, interval: Range, *, low: float = 0.0, label: str = "") -> str:
    """An interval and its figure on a short line from `low` to 1, for a row of a table."""

    def at(x: float) -> float:
        return 4 + (STRIP_WIDTH - 8) * max(0.0, x - low) / (1 - low)

    y = STRIP_HEIGHT / 2
    return (
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {STRIP_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}"><path class="grid" d="M4 {y}H{STRIP_WIDTH - 4}"/>'
        f'<path class="whisker" d="M{at(interval[0]):.1f} {y}H{at(interval[1]):.1f}"/>'
        f'<circle class="point" cx="{at(value):.1f}" cy="{y}" r="4"/></svg>'
    )
