"""Which photos show one picture: resized, saved again, cropped a little, mirrored, made brighter.

N photos, S = SIDE. NumPy and Pillow only. Each step works on what the one before left:

    describe   56 low frequencies of each sketch, of unit length: the whole of one photo beside the
               whole or a window of every other, mirrored and not. A photo's few best are kept.
    fit        the window is moved to a fraction of a pixel at half the resolution.
    compare    block by block, where a text bar costs its blocks only; and by what is left when the
               two are sharpened, where a like composition has nothing in common.

Sources: the hash of low frequencies is C. Zauner's, "Implementation and benchmarking of perceptual
image hash functions", 2010, kept as numbers instead of bits. The fit is that of B. D. Lucas and T.
Kanade, "An iterative image registration technique", 1981.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.copies.candidates import candidate_pairs, parts_of
from kennel.copies.likeness import similarity
from kennel.copies.sketches import FLAT, SIDE
from kennel.machine import usable_cores

__all__ = ["SAME", "SIDE", "Copy", "clusters", "find_copies", "shows_something", "sketch"]

SAME = 0.74  # least similarity of copies; the thresholds are measured: docs/decisions/0010
PAIRS = 256  # compared at once


@dataclass(frozen=True)
class Copy:
    """Two photos that show one picture: their places among the sketches, first < second.

    `similarity`, SAME..1, is the mean of two correlations: the median of their blocks', and that of
    their details. `mirrored` says that one is the other in a mirror.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def sketch(image: Image.Image) -> NDArray[np.uint8]:
    """What is remembered of a photo to find its copies: its greys, bent to a small square.

    Args:
        image: as `kennel.images.open_photo` gives it; `at_least=SIDE` is enough.
    Returns: UInt8[S, S].
    """
    size = (SIDE, SIDE)
    grey = image.convert("L").resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(grey)


def find_copies(
    sketches: NDArray[np.uint8], *, on_share: Callable[[float], None] | None = None
) -> list[Copy]:
    """Pairs of photos that show one picture, enough of them to join all copies of each.

    Every two photos are compared, which takes time N^2, but in memory N: of each photo the `BEST`
    candidates are kept. Copies are joined by way of each other where there are more.

    Args:
        sketches: UInt8[N, S, S].
        on_share: called with the share of the work that is done, 0..1.
    Returns: sorted by first, second. A photo that shows nothing (one colour) has no copies.
    """
    say = on_share or (lambda share: None)
    pairs = candidate_pairs(sketches, shows_something(sketches), say)
    chunks = [pairs[at : at + PAIRS] for at in range(0, len(pairs), PAIRS)]
    found = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        alike = pool.map(partial(similarity, sketches), chunks)
        for done, (chunk, likeness) in enumerate(zip(chunks, alike, strict=True), start=1):
            for place in np.flatnonzero(likeness >= SAME):
                first, second = sorted(int(chunk[end][place]) for end in ("whole", "part"))
                mirrored = bool(chunk["mirrored"][place])
                found.append(Copy(first, second, float(likeness[place]), mirrored))
            say(0.5 + 0.5 * done / len(chunks))
    say(1.0)
    return sorted(found, key=lambda copy: (copy.first, copy.second))


def shows_something(sketches: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which sketches are more than one colour, UInt8[N, S, S] -> Bool[N]; others have no copies."""
    parts = [part.std(axis=(1, 2), dtype=np.float32) for part in parts_of(sketches, 1024)]
    return np.concatenate([np.zeros(0), *parts]) >= FLAT


def clusters(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The smallest place in the cluster of each of n items, where pairs join items."""
    parent = list(range(n))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for pair in pairs:
        low, high = sorted(map(root, pair))
        parent[high] = low
    return [root(item) for item in range(n)]
