"""What a comparison says: the finding, a line a figure, and the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from kennel.drift.comparison import LEAST, Comparison, Row, Score
from kennel.look import in_words
from kennel.sketch import KNOWN, LABELS

COLUMN = 12
MOST_NAMED = 3  # in a finding
LONGEST = 27  # letters of what a line says last: 80 columns
# Lower, higher, and neither.
DIRECTIONS = {
    "megapixels": ("fewer pixels", "more pixels", "other sizes"),
    "aspect": ("taller", "wider", "other shapes"),
    "brightness": ("darker", "brighter", "other light"),
    "contrast": ("flatter", "more contrast", "other contrast"),
    "sharpness": ("less sharp", "sharper", "other sharpness"),
    "saturation": ("greyer", "more colourful", "other colours"),
    "confidence": ("less sure", "more sure", "otherwise sure"),
    "score": ("less familiar", "more familiar", "otherwise familiar"),
    KNOWN: ("more not known", "fewer not known", "known otherwise"),
    LABELS: ("other labels", "other labels", "other labels"),
}
FEATURES = ("other features",) * 3


def finding(comparison: Comparison) -> str:
    """The one line that all of it comes down to."""
    if not comparison.enough:
        few = min(comparison.sketch.n, comparison.reference.n)
        whose = "seen" if few == comparison.sketch.n else comparison.reference.split
        return f"Too few photos to say: {few} {whose}, and {LEAST} are needed"
    drifted = comparison.drifted
    if not drifted:
        return "No drift is shown"
    said = list(dict.fromkeys(direction(row) for row in drifted))
    rest = f" and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else ""
    words = ", ".join(said[:MOST_NAMED]) + rest
    return (
        f"{words[0].upper()}{words[1:]}: {len(drifted)} of {len(comparison.rows)} figures drifted"
    )


def direction(row: Row) -> str:
    """Where a figure went, in words."""
    lower, higher, otherwise = DIRECTIONS.get(row.figure, FEATURES)
    return {-1: lower, 1: higher, 0: otherwise}[row.direction]


def lines(comparison: Comparison, *, source: str, since: str | None) -> list[str]:
    """Aligned, 80 columns: the two sides, and a line a figure, the worst first."""
    reference, seen = comparison.reference, comparison.sketch
    after = f" since {since}" if since else ""
    said = [
        f"{'bundle':<{COLUMN}}{reference.bundle}",
        f"{'reference':<{COLUMN}}{reference.n:,} {reference.split} photos",
        f"{'seen':<{COLUMN}}{seen.n:,} photos{after}",
        f"{'by':<{COLUMN}}{source}",
        f"{'alarms':<{COLUMN}}{100 * comparison.false_alarms:g} % of looks where nothing changed",
        "",
        f"{'figure':<{COLUMN + 8}} {'PSI':>7} {'alarm':>6} {'shift':>7} {'alarm':>6}   was -> is",
    ]
    for row in comparison.rows:
        verdict = {True: "drifted", False: "", None: "too few"}[row.drifted]
        shift = f"{'':>7} {'':>6}" if row.shift is None else _score(row.shift)
        moved = " -> ".join(medians(comparison, row.figure))
        last = moved if len(moved) <= LONGEST else f"{moved[: LONGEST - 3]}..."
        said.append(f"{row.figure:<{COLUMN}}{verdict:<8} {_score(row.psi)} {shift}   {last}")
    return [*said, "", finding(comparison)]


def document(comparison: Comparison, *, source: str, since: str | None) -> dict[str, Any]:
    """The same for programs."""
    reference = comparison.reference
    figures = []
    for row in comparison.rows:
        was, now = medians(comparison, row.figure)
        figures.append(
            {
                "figure": row.figure,
                "drifted": row.drifted,
                "psi": row.psi.value,
                "psi_alarm": row.psi.alarm,
                "shift": None if row.shift is None else row.shift.value,
                "shift_alarm": None if row.shift is None else row.shift.alarm,
                "p": row.p,
                "says": direction(row) if row.drifted else None,
                "was": was,
                "now": now,
            }
        )
    verdict = "drifted" if comparison.drifted else "no drift shown"
    return {
        "bundle": reference.bundle,
        "reference": {"n": reference.n, "split": reference.split},
        "seen": {"n": comparison.sketch.n, "since": since, "source": source},
        "false_alarms": comparison.false_alarms,
        "verdict": verdict if comparison.enough else "too few photos",
        "finding": finding(comparison),
        "drifted": [row.figure for row in comparison.drifted],
        "figures": figures,
    }


def medians(comparison: Comparison, figure: str) -> tuple[str, str]:
    """The middle of a figure in the reference and in what was seen; for a yes or no its share, for
    labels that of the one that changed most.
    """
    reference, seen = comparison.reference, comparison.sketch
    if figure == LABELS:
        label = changed_most(reference.labels, seen.labels)[0]
        now = _share(seen.labels[label], seen.n)
        return _share(reference.labels[label], reference.n), f"{now} {in_words(label)}"
    if figure == KNOWN:
        return (
            _share(reference.counts[KNOWN][1], reference.n),
            _share(seen.counts[KNOWN][1], seen.n),
        )
    edges = reference.edges[figure]
    return _median(edges, reference.counts[figure]), _median(edges, seen.counts[figure])


def changed_most(was: Mapping[str, int], seen: Mapping[str, int]) -> list[str]:
    """Labels, the one whose share changed most first."""
    before, now = max(sum(was.values()), 1), max(sum(seen.values()), 1)
    return sorted(was, key=lambda label: -abs(seen[label] / now - was[label] / before))


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}"


def _median(edges: Sequence[float], counts: Sequence[int]) -> str:
    half = sum(counts) / 2
    if not half:
        return "none"
    at = next(n for n, upto in enumerate(accumulate(counts)) if upto >= half)
    if at == 0:
        return f"under {number(edges[0])}"
    if at == len(edges):
        return f"over {number(edges[-1])}"
    inside = (half - sum(counts[:at])) / counts[at]
    return number(edges[at - 1] + inside * (edges[at] - edges[at - 1]))


def _share(count: int, n: int) -> str:
    return f"{100 * count / n:.3g} %" if n else "none"


def _score(score: Score) -> str:
    return f"{score.value:>7.3f} {score.alarm:>6.3f}"
