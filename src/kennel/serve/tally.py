"""What a server has counted, over all its processes, though each counts alone.

A tally is a document of counters: objects of objects of numbers or of lists of numbers, so that two
are added by adding what has the same name. Each worker writes its own into its slot of a piece of
memory that all share; who is asked adds them up. Nothing is on disk. A worker that takes another's
place goes on with its slot, so that no counter ever falls.
"""

from __future__ import annotations

import json
import mmap
import time
from bisect import bisect_left
from typing import Any

# Upper bounds of the histograms, seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOT = 2**20  # bytes of a worker, in two halves


def empty() -> dict[str, Any]:
    """The tally of a worker that has counted nothing."""
    return {
        "requests": {},  # "POST /predict 200": n
        "stages": {},  # "decode": a histogram
        "answers": {},  # label: n, of photos that are known
        "unknown": 0,
        "reloads": {"done": 0, "refused": 0},
        "photo_bytes": 0,
        "sketches": {},  # of drift, by the bundle they are of
        "now": {},  # gauges of this moment
    }


def count(counters: dict[str, float], name: str, by: float = 1) -> None:
    counters[name] = counters.get(name, 0) + by


def observe(histograms: dict[str, list[float]], name: str, seconds: float) -> None:
    """Adds to a histogram: a count for each of BOUNDS and one beyond, then the sum."""
    histogram = histograms.setdefault(name, [0.0] * (len(BOUNDS) + 2))
    histogram[bisect_left(BOUNDS, seconds)] += 1
    histogram[-1] += seconds


def added(one: Any, other: Any) -> Any:
    """Two tallies, or parts of them, as one."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(name for name in other if name not in one)]
        return {
            name: added(one[name], other[name])
            if name in one and name in other
            else one.get(name, other.get(name))
            for name in names
        }
    if isinstance(one, list) and isinstance(other, list):
        return [added(a, b) for a, b in zip(one, other, strict=True)]
    return one + other


class Slots:
    """Memory that workers share, made before they are forked.

    A slot has two halves and a byte that says which of them is whole: who is killed while he writes
    leaves the other one.
    """

    def __init__(self, workers: int) -> None:
        self.workers, self.began = workers, time.time()
        self._memory = mmap.mmap(-1, workers * SLOT)

    def write(self, worker: int, tally: dict[str, Any]) -> bool:
        """Publishes a worker's tally; False where it does not fit, and the last one stays."""
        content = json.dumps(tally, separators=(",", ":")).encode()
        start, half = worker * SLOT, (SLOT - 16) // 2
        if len(content) > half - 4:
            return False
        turn = 1 - self._memory[start]
        at = start + 16 + turn * half
        self._memory[at : at + 4] = len(content).to_bytes(4, "little")
        self._memory[at + 4 : at + 4 + len(content)] = content
        self._memory[start] = turn
        return True

    def read(self, worker: int) -> dict[str, Any]:
        """What a worker published last; an empty tally if it never did."""
        start, half = worker * SLOT, (SLOT - 16) // 2
        for _ in range(100):  # a writer can lap a reader
            turn = self._memory[start]
            at = start + 16 + turn * half
            size = int.from_bytes(self._memory[at : at + 4], "little")
            if not size:
                return empty()
            try:
                found: dict[str, Any] = json.loads(self._memory[at + 4 : at + 4 + size])
            except ValueError:
                continue
            if self._memory[start] == turn:
                return found
        return empty()
