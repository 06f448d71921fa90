"""How sure a figure is: Wilson's interval for proportions, else the bootstrap. NumPy only.

N photos, B resamples of which b are in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
RESAMPLES = 1000
# Photos drawn at a time by the bootstrap: some 50 MB, however many photos and resamples.
CHUNK = 1 << 20

Interval = tuple[float, float]


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson interval for a proportion.

    Args:
        hits: successes, 0 <= hits <= n.
        n: trials, n >= 1.
        level: confidence, 0 < level < 1.
    Returns:
        (low, high), both in [0, 1]; hits / n lies between them.
    Raises:
        ValueError: an argument lies outside its range.
    Source: E. B. Wilson, JASA 22(158):209-212, 1927.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits is {hits} of n = {n}; it must be 0 <= hits <= n, n >= 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie in (0, 1)")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At 0 and n the bounds are exactly 0 and 1; rounding would leave 1e-18 and let p fall outside.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high


def redrawn(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of n photos drawn with replacement, Int64[b, N], the b summing to `resamples`."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // n)
    for start in range(0, resamples, step):
        yield rng.integers(0, n, size=(min(step, resamples - start), n))


def percentiles(draws: np.ndarray, figure: float, *, perfect_n: int | None = None) -> Interval:
    """The middle 95 % of a figure's resamples, widened, where needed, to hold the figure itself.

    On few photos ECE is larger in nearly every resample than in the split it was drawn from. And a
    figure that is perfect, 0 or 1, is so in every resample, which says nothing of other photos.

    Args:
        draws: Float64[B], B >= 1.
        perfect_n: photos that a perfect figure rests on; its interval is then Wilson's for as many
            of as many, or for none of them.
    """
    if perfect_n and figure in (0.0, 1.0) and bool((draws == figure).all()):
        return wilson(perfect_n if figure else 0, perfect_n)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), figure), max(float(high), figure)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, *, seed: int, resamples: int = RESAMPLES
) -> tuple[float, Interval]:
    """A figure of n photos, and its interval.

    Args:
        statistic: Int64[b, N], indexes of photos -> Float64[b].
        n: photos, >= 1.
        seed: the same gives the same interval.
        resamples: B, >= 1; time grows with N * B, memory with neither.
    Source: B. Efron, Annals of Statistics 7(1):1-26, 1979.
    """
    figure = float(statistic(np.arange(n)[None])[0])
    draws = np.concatenate([statistic(index) for index in redrawn(n, resamples, seed)])
    return figure, percentiles(draws, figure)
