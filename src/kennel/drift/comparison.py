"""Whether photos that were answered are like the validation photos, at a false-alarm rate that is
true for any distribution and any number of photos.

The edges of a reference are figures of its own photos. Of N photos they are order statistics, and
whatever the figures are like, the shares of all photos that lie between them are then spread as
Dirichlet(spacings): the counts of n new photos of the same kind are Dirichlet-multinomial. So what
a score does by chance is drawn from that, exactly, with no formula for large n. Shares of labels
have no order: which of all photos were the reference is drawn anew instead (a permutation test).

S simulations, B bins of one figure.

Sources: distribution of spacings: S. S. Wilks, Mathematical Statistics, 1962, 8.7; p of simulated
scores: B. Phipson and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9(1):39, 2010.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kennel.sketch import KNOWN, LABELS, Reference, Sketch, psi, spacings

FALSE_ALARMS = 0.01  # of a look at all figures
LEAST_FALSE_ALARMS, MOST_FALSE_ALARMS = 0.001, 0.5  # that so many simulations can tell
SIMULATIONS = 100_000
LEAST = 30  # photos, on both sides; with fewer only a change beyond all doubt would be found
AT_ONCE = 10_000  # simulations in memory
MOST_POOLED = 10**9  # what NumPy's hypergeometric draws from
ROUNDING = 1e-9  # scores that differ by less are the same, summed in another order

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Statistic = Callable[[Int64, Int64], Float64]  # seen Int[S, B], spacings Int[S or 1, B] -> [S]


@dataclass(frozen=True)
class Score:
    """How far a figure is from where it was, and the least that would be an alarm: above it."""

    value: float
    alarm: float
    p: float


@dataclass(frozen=True)
class Row:
    """One figure, compared.

    Attributes:
        figure: its name.
        psi: population stability index: whether the bins hold other shares.
        shift: mean squared distance of the cumulative shares in binomial standard deviations
            (Anderson and Darling's, at the edges): whether figures moved to one side. None where
            the bins have no order, or are two.
        direction: -1 the figures are lower, 1 higher, 0 neither: spread otherwise.
        drifted: whether one of the two scores is above its alarm; None: too few photos to say.
    """

    figure: str
    psi: Score
    shift: Score | None
    direction: int
    drifted: bool | None = None

    @property
    def p(self) -> float:
        """Chance of as much without any drift, for this figure alone."""
        if self.shift is None:
            return self.psi.p
        return min(1.0, 2 * min(self.psi.p, self.shift.p))

    @property
    def times_the_alarm(self) -> float:
        """The larger of its scores, in units of what would be an alarm: above 1."""
        scores = (self.psi,) if self.shift is None else (self.psi, self.shift)
        return max(each.value / max(each.alarm, ROUNDING) for each in scores)


@dataclass(frozen=True, eq=False)
class Comparison:
    """All figures, those that drifted first, and of these the worst.

    Attributes:
        false_alarms: chance that any figure is said to have drifted though the photos are of the
            same kind and came independently; at most.
    """

    reference: Reference
    sketch: Sketch
    rows: tuple[Row, ...]
    false_alarms: float

    @property
    def drifted(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.drifted)

    @property
    def enough(self) -> bool:
        """Whether there are photos enough for a verdict."""
        return min(self.sketch.n, self.reference.n) >= LEAST


def compare(
    sketch: Sketch,
    *,
    false_alarms: float = FALSE_ALARMS,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> Comparison:
    """Compares a sketch with its reference.

    Each of the F figures may give a false alarm in false_alarms / F of the looks (Bonferroni), and
    of its two scores each in half of these.

    Args:
        false_alarms: LEAST_FALSE_ALARMS to MOST_FALSE_ALARMS.
        simulations: draws of what chance does; some 0.5 s for 100,000.
        seed: of them: the same sketch gets the same verdict.
    Raises:
        ValueError: false_alarms out of range.
    """
    if not LEAST_FALSE_ALARMS <= false_alarms <= MOST_FALSE_ALARMS:
        raise ValueError(
            f"false_alarms is {false_alarms}; it must lie in "
            f"[{LEAST_FALSE_ALARMS}, {MOST_FALSE_ALARMS}]"
        )
    reference = sketch.reference
    share = false_alarms / (len(reference.counts) + 1)
    rows = [_labels(sketch, share, simulations, seed)]
    for name in reference.counts:
        rows.append(_figure(name, sketch, share, simulations, seed))
    if min(sketch.n, reference.n) >= LEAST:
        rows = [replace(row, drifted=row.p <= share) for row in rows]
    rows.sort(key=lambda row: (not row.drifted, -row.times_the_alarm))
    return Comparison(reference, sketch, tuple(rows), false_alarms)


def shift(seen: Int64, spans: Int64) -> Float64:
    """How far figures moved to one side: Int[S, B], Int[S or 1, B] -> Float64[S]."""
    gaps, expected = _gaps(seen, spans)
    return np.asarray((gaps**2 / (expected * (1 - expected))).mean(axis=-1), np.float64)


def _gaps(seen: Int64, spans: Int64) -> tuple[Float64, Float64]:
    """Cumulative shares seen minus expected at the edges, and those expected: [S, B - 1] each."""
    expected = np.cumsum(spans, axis=-1)[..., :-1] / spans.sum(axis=-1, keepdims=True)
    found = np.cumsum(seen, axis=-1)[..., :-1] / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    return found - expected, expected


def _direction(seen: Int64, spans: Int64) -> int:
    """On which side most of the distance lies: -1, 1, or 0 where both sides have their part."""
    gaps = _gaps(seen, spans)[0][0]
    total = float(np.abs(gaps).sum())
    net = float(gaps.sum()) / total if total else 0.0
    return -1 if net > 0.5 else 1 if net < -0.5 else 0  # more below the edges means lower


def _figure(name: str, sketch: Sketch, share: float, simulations: int, seed: int) -> Row:
    seen = np.array([sketch.counts[name]], np.int64)
    spans = spacings(sketch.reference.counts[name])[None]
    chance = _by_chance(tuple(spans[0].tolist()), max(sketch.n, 1), simulations, seed)
    direction = _direction(seen, spans)
    if name == KNOWN:
        return Row(name, _score(psi(seen, spans)[0], chance[0], share), None, direction)
    by_psi = _score(psi(seen, spans)[0], chance[0], share / 2)
    by_shift = _score(shift(seen, spans)[0], chance[1], share / 2)
    return Row(name, by_psi, by_shift, direction)


def _score(value: float, chance: Float64, share: float) -> Score:
    """A score beside what chance gave, Float64[S] ascending, for an alarm in `share` of the looks.

    p counts the score itself among those of chance: so it is true for any number of simulations.
    """
    value = float(value)
    simulations = len(chance)
    as_far = simulations - int(np.searchsorted(chance, value * (1 - ROUNDING), side="left"))
    may = math.floor(share * (simulations + 1) + ROUNDING) - 1  # draws that may be as far
    alarm = float(chance[simulations - 1 - may]) if may >= 0 else math.inf
    return Score(value, alarm, (as_far + 1) / (simulations + 1))


@lru_cache(maxsize=16)
def _by_chance(
    spans: tuple[int, ...], n: int, simulations: int, seed: int
) -> tuple[Float64, Float64]:
    """Both scores of n photos of the same kind, Float64[S] each, ascending."""
    rng = np.random.default_rng(seed)
    expected = np.array([spans], np.int64)
    by_psi, by_shift = [], []
    for start in range(0, simulations, AT_ONCE):
        shares = rng.dirichlet(spans, size=min(AT_ONCE, simulations - start))
        seen = rng.multinomial(n, shares)
        by_psi.append(psi(seen, expected))
        by_shift.append(shift(seen, expected))
    return np.sort(np.concatenate(by_psi)), np.sort(np.concatenate(by_shift))


def _labels(sketch: Sketch, share: float, simulations: int, seed: int) -> Row:
    own = np.array(list(sketch.reference.labels.values()), np.int64)
    seen = np.array([sketch.labels[label] for label in sketch.reference.labels], np.int64)
    rng = np.random.default_rng(seed)
    pooled, n = own + seen, int(own.sum())
    total = int(pooled.sum())
    chance = []
    for start in range(0, simulations, AT_ONCE):
        size = min(AT_ONCE, simulations - start)
        if total < MOST_POOLED:
            drawn = rng.multivariate_hypergeometric(pooled, n, size=size)
        else:  # so many that it makes no difference whether one is put back
            drawn = np.minimum(rng.multinomial(n, pooled / total, size=size), pooled)
        chance.append(psi(pooled - drawn, drawn + 0.5))
    score = _score(float(psi(seen, own + 0.5)), np.sort(np.concatenate(chance)), share)
    return Row(LABELS, score, None, 0)
