"""Which photos show one picture: resized, saved again, cropped a little, mirrored, made brighter.

N photos, P pairs, S = SIDE. NumPy and Pillow only. Each step works on what the one before left:

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

from kennel.machine import usable_cores

SIDE = 64  # pixels of a sketch
SAME = 0.74  # least similarity of copies; the thresholds are measured: docs/decisions/0010
CANDIDATE = 0.74  # least cosine of two descriptions
SIDES = (0.92, 0.84)  # of the windows; crops between them are found too
BEST = 8  # candidates that are kept of a photo

_FREQUENCIES = 8  # a side
_FLAT = 3.0  # grey levels (standard deviation) under which a block or a sketch shows nothing
_BLOCK = 8  # pixels of a sketch
_FEW, _SURELY = 12, 0.9  # blocks that show something; the similarity that is asked of fewer
_ROUGH, _STEPS = 3, 6  # steps of the fit, before and after most pairs are dropped
_ROUGHLY = 0.75  # least correlation after the first
_ROWS, _COLUMNS, _PAIRS = 1024, 8192, 256  # worked on at once: some 100 MB
_CROWDED = 64 * _ROWS  # pairs of a block beyond which they are sifted before more are looked for

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]
Window = tuple[float, float, float, float]  # left, right, top, bottom; the whole is 0, 1, 0, 1

_WINDOWS: tuple[Window, ...] = (
    (0.0, 1.0, 0.0, 1.0),
    *(
        (x * (1 - side), x * (1 - side) + side, y * (1 - side), y * (1 - side) + side)
        for side in SIDES
        for x, y in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    ),
)


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
    candidates = _candidates(sketches, shows_something(sketches), say)
    chunks = [candidates[at : at + _PAIRS] for at in range(0, len(candidates), _PAIRS)]
    found = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        alike = pool.map(partial(_similarity, sketches), chunks)
        for done, (pairs, similarity) in enumerate(zip(chunks, alike, strict=True), start=1):
            for place in np.flatnonzero(similarity >= SAME):
                first, second = sorted(int(pairs[end][place]) for end in ("whole", "part"))
                mirrored = bool(pairs["mirrored"][place])
                found.append(Copy(first, second, float(similarity[place]), mirrored))
            say(0.5 + 0.5 * done / len(chunks))
    say(1.0)
    return sorted(found, key=lambda copy: (copy.first, copy.second))


def shows_something(sketches: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which sketches are more than one colour, UInt8[N, S, S] -> Bool[N]; others have no copies."""
    parts = [part.std(axis=(1, 2), dtype=np.float32) for part in _parts(sketches, _ROWS)]
    return np.concatenate([np.zeros(0), *parts]) >= _FLAT


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


# ---- Candidates

_PAIR = np.dtype(
    [
        ("whole", np.int64),
        ("part", np.int64),
        ("window", np.int8),
        ("mirrored", np.bool_),
        ("cosine", np.float32),
    ]
)


def _candidates(
    sketches: NDArray[np.uint8], shows: NDArray[np.bool_], say: Callable[[float], None]
) -> NDArray[np.void]:
    """Pairs worth a second look, `_PAIR`s: at most BEST for each photo as a whole, each once.

    Args:
        shows: Bool[N]; the others are in no pair.
    """
    n = len(sketches)
    none = np.zeros((0, len(_MIRROR)), np.float32)
    parts = _parts(sketches, _COLUMNS)
    whole = np.concatenate([none, *(_describe(part, _WINDOWS[0]) for part in parts)])
    whole[~shows] = 0  # as like to nothing as to another
    # All rows beside a block of columns before the next block: its windows are described once.
    kept = [np.zeros(0, _PAIR) for _ in range(0, n, _ROWS)]
    least = np.full(n, CANDIDATE, np.float32)
    for column in range(0, n, _COLUMNS):
        block = sketches[column : column + _COLUMNS]
        shown = shows[column : column + _COLUMNS]
        windows = [_describe(block, window).T * shown for window in _WINDOWS]
        for place, row in enumerate(range(0, n, _ROWS)):
            rows = whole[row : row + _ROWS]
            found = [kept[place]]
            for mirrored, these in ((False, rows), (True, rows * _MIRROR)):
                for window, those in enumerate(windows):
                    cosine = np.asarray(these @ those, np.float32)
                    pairs = _pairs(cosine, least[row : row + _ROWS])
                    pairs["whole"] += row
                    pairs["part"] += column
                    pairs["window"], pairs["mirrored"] = window, mirrored
                    found.append(pairs[pairs["whole"] != pairs["part"]])
                    if sum(map(len, found)) > _CROWDED:  # look-alikes by the thousand
                        found = [_few_best(np.concatenate(found))]
                        _raise_least(least, found[0])
            kept[place] = _few_best(np.concatenate(found))
            _raise_least(least, kept[place])
        say(0.5 * (column + len(block)) / n)
    return _once(np.concatenate([np.zeros(0, _PAIR), *kept]))


def _once(pairs: NDArray[np.void]) -> NDArray[np.void]:
    """Of a pair that stands there both ways round, the better one."""
    low, high = np.minimum(pairs["whole"], pairs["part"]), np.maximum(pairs["whole"], pairs["part"])
    order = np.lexsort((-pairs["cosine"], high, low))
    new = np.ones(len(pairs), bool)
    new[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    once: NDArray[np.void] = pairs[order[new]]
    return once


def _pairs(cosine: Floats, least: Floats) -> NDArray[np.void]:
    """Places in a block, Float32[rows, columns], that have at least their row's least cosine."""
    places = np.flatnonzero(cosine >= least[:, None])
    pairs = np.zeros(len(places), _PAIR)
    pairs["whole"], pairs["part"] = np.divmod(places, cosine.shape[1])
    pairs["cosine"] = cosine.ravel()[places]
    return pairs


def _few_best(pairs: NDArray[np.void]) -> NDArray[np.void]:
    """The best window of each pair, and of each whole the BEST pairs."""
    best = np.lexsort((-pairs["cosine"], pairs["part"], pairs["whole"]))
    pairs = pairs[best]
    new = np.ones(len(pairs), bool)
    new[1:] = (np.diff(pairs["whole"]) != 0) | (np.diff(pairs["part"]) != 0)
    pairs = pairs[new]
    pairs = pairs[np.lexsort((-pairs["cosine"], pairs["whole"]))]
    start = np.searchsorted(pairs["whole"], pairs["whole"])
    few: NDArray[np.void] = pairs[np.arange(len(pairs)) - start < BEST]
    return few


def _raise_least(least: Floats, pairs: NDArray[np.void]) -> None:
    """Who has his BEST takes only better ones from now on."""
    wholes, start, number = np.unique(pairs["whole"], return_index=True, return_counts=True)
    full = number == BEST
    least[wholes[full]] = pairs["cosine"][start[full] + BEST - 1]


_AXIS = np.arange(_FREQUENCIES, dtype=np.float32)
_FREQUENCY = np.hypot(_AXIS[:, None], _AXIS)
_KEPT = (_FREQUENCY > 0) & (_FREQUENCY < _FREQUENCIES)
# What a mirror does to a description: waves that are odd from left to right change sign.
_MIRROR = np.where(np.broadcast_to(_AXIS % 2, _KEPT.shape)[_KEPT], -1, 1).astype(np.float32)


def _parts(sketches: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    return [sketches[at : at + size] for at in range(0, len(sketches), size)]


def _describe(sketches: NDArray[np.uint8], window: Window) -> Floats:
    """Low frequencies of a window of each sketch, without the mean: Float32[N, F], of unit length.

    Weighted by frequency: in photos the amplitude falls with it, and all should count alike.
    """
    across, down = _cosines(*window[:2]), _cosines(*window[2:])
    values = (down @ sketches.astype(np.float32) @ across.T * _FREQUENCY)[:, _KEPT]
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-6), np.float32)


def _cosines(low: float, high: float) -> Floats:
    """Float32[F, S]: samples the window linearly and takes its discrete cosine transform."""
    samples = _between((low + (high - low) * _centres(SIDE))[None])[0]
    return np.asarray(np.cos(np.pi * _AXIS[:, None] * _centres(SIDE)) @ samples, np.float32)


# ---- Two photos beside each other


def _similarity(sketches: NDArray[np.uint8], pairs: NDArray[np.void]) -> Floats:
    """How alike the whole and the window of each pair are: Float32[P], 0 where they are not."""
    mirrored = pairs["mirrored"][:, None, None]
    ours = sketches[pairs["whole"]].astype(np.float32)
    ours = np.where(mirrored, ours[:, :, ::-1], ours)
    theirs = sketches[pairs["part"]].astype(np.float32)
    edges = np.array(_WINDOWS, np.float32)[pairs["window"]]  # Float32[P, 4]

    small, small_theirs = _halved(ours), _halved(theirs)
    edges = _fitted(small, small_theirs, edges, _ROUGH)
    seen, inside = _sample(small_theirs, edges)
    roughly = _standard(small, inside)[0] * _standard(seen, inside)[0]
    near = np.flatnonzero(roughly.sum(axis=(1, 2)) >= _ROUGHLY * inside.sum(axis=(1, 2)))
    out = np.zeros(len(pairs), np.float32)
    if len(near):
        fine = _fitted(small[near], small_theirs[near], edges[near], _STEPS)
        out[near] = _alike(ours[near], *_sample(theirs[near], fine))
    return out


_LEAST, _MOST = np.array([-0.15, 0.65, -0.15, 0.65]), np.array([0.35, 1.15, 0.35, 1.15])


def _fitted(ours: Floats, theirs: Floats, edges: Floats, steps: int) -> Floats:
    """Edges of the window of theirs, moved to where it looks like ours: Float32[P, 4]."""
    side = ours.shape[1]
    ours, theirs = _smooth(ours), _smooth(theirs)
    far = _centres(side)
    ends = np.stack([1 - far, far])  # Float32[2, S]: how a pixel moves with either edge
    for _ in range(steps):
        seen, inside = _sample(theirs, edges)
        other, spread = _standard(seen, inside)
        gap = _standard(ours, inside)[0] - other
        # What differs much, such as a text bar, must not pull.
        weight = inside / (1 + np.square(2 * gap))
        width, height = edges[:, 1] - edges[:, 0], edges[:, 3] - edges[:, 2]
        x = _slope(seen, 2) / (spread * width[:, None, None])
        y = _slope(seen, 1) / (spread * height[:, None, None])
        square = np.empty((len(edges), 4, 4), np.float32)
        square[:, :2, :2] = np.einsum("ps,as,bs->pab", (weight * x * x).sum(axis=1), ends, ends)
        square[:, 2:, 2:] = np.einsum("ps,as,bs->pab", (weight * y * y).sum(axis=2), ends, ends)
        square[:, 2:, :2] = ends @ (weight * x * y) @ ends.T
        square[:, :2, 2:] = square[:, 2:, :2].transpose(0, 2, 1)
        # 5 % of the pixels' number on the diagonal: where a picture has no slope, nothing moves.
        square += np.float32(0.05 * side * side) * np.eye(4, dtype=np.float32)
        pull_x = (weight * x * gap).sum(axis=1) @ ends.T
        pull_y = (weight * y * gap).sum(axis=2) @ ends.T
        pull = np.concatenate([pull_x, pull_y], axis=1)
        step = np.linalg.solve(square, pull[..., None])[..., 0]
        edges = np.clip(edges + np.clip(step, -0.05, 0.05), _LEAST, _MOST).astype(np.float32)
    return edges


def _alike(ours: Floats, theirs: Floats, inside: Floats) -> Floats:
    """Mean of two correlations, Float32[P]: of the blocks that show something, and of details."""
    one, other = _blocks(ours), _blocks(theirs)
    one, other = (x - x.mean(axis=2, keepdims=True) for x in (one, other))
    spread_one, spread_other = one.std(axis=2), other.std(axis=2)
    correlation = (one * other).mean(axis=2) / np.maximum(spread_one * spread_other, 1e-3)
    # A block that is flat in one of them only is a difference, whatever its noise correlates to.
    correlation[np.minimum(spread_one, spread_other) < _FLAT / 6] = 0
    shows = (np.maximum(spread_one, spread_other) > _FLAT) & (_blocks(inside).mean(axis=2) > 0.9)
    counted = shows.sum(axis=1)
    ranked = np.sort(np.where(shows, correlation, np.inf), axis=1)
    median = ranked[np.arange(len(ranked)), np.maximum(counted - 1, 0) // 2]
    details = [_standard(x - _smooth(x, times=2), inside)[0] for x in (ours, theirs)]
    detail = (details[0] * details[1]).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    alike = np.where(counted > 0, (median + detail) / 2, 0)
    return np.where((counted >= _FEW) | (alike >= _SURELY), alike, 0).astype(np.float32)


def _sample(pictures: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """A window of each picture, linearly, and where it lies inside it: Float32[P, S, S] both."""
    side = pictures.shape[1]
    x = edges[:, :1] + (edges[:, 1:2] - edges[:, :1]) * _centres(side)
    y = edges[:, 2:3] + (edges[:, 3:] - edges[:, 2:3]) * _centres(side)
    inside = ((y >= 0) & (y <= 1))[:, :, None] & ((x >= 0) & (x <= 1))[:, None, :]
    across, down = _between(x).transpose(0, 2, 1), _between(y)
    return np.asarray(down @ pictures @ across, np.float32), inside.astype(np.float32)


def _between(places: Floats) -> Floats:
    """Shares of the pixels that places, 0..1, lie between: Float32[P, S] -> Float32[P, S, S]."""
    side = places.shape[1]
    at = np.clip(places * side - 0.5, 0, side - 1)[:, :, None]
    shares: Floats = np.maximum(1 - np.abs(at - np.arange(side, dtype=np.float32)), 0)
    return shares


def _centres(side: int) -> Floats:
    """Centres of so many pixels, 0..1."""
    centres: Floats = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    return centres


def _slope(pictures: Floats, axis: int) -> Floats:
    """How a picture changes along an axis of pixels, per its whole length."""
    return np.asarray(np.gradient(pictures, 1 / pictures.shape[axis], axis=axis), np.float32)


def _halved(pictures: Floats) -> Floats:
    rows = pictures[:, ::2] + pictures[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) / 4)


def _smooth(pictures: Floats, times: int = 1) -> Floats:
    """Each pixel half itself and a quarter each neighbour, down and across."""
    side = pictures.shape[1]
    shares = np.eye(side) / 2 + np.eye(side, k=1) / 4 + np.eye(side, k=-1) / 4
    shares[[0, -1], [0, -1]] = 0.75  # beyond the edge it goes on as at the edge
    shares = np.linalg.matrix_power(shares, times).astype(np.float32)
    return np.asarray(shares @ pictures @ shares.T, np.float32)


def _standard(pictures: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Mean 0 and spread 1 over the pixels inside, and what the spread was."""
    number = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    mean = (pictures * inside).sum(axis=(1, 2), keepdims=True) / number
    centred = (pictures - mean) * inside
    spread = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True) / number) + 1e-3
    return centred / spread, spread


def _blocks(pictures: Floats) -> Floats:
    """Float32[P, S, S] -> Float32[P, blocks, pixels]."""
    k = SIDE // _BLOCK
    tiles = pictures.reshape(-1, k, _BLOCK, k, _BLOCK).transpose(0, 1, 3, 2, 4)
    return tiles.reshape(len(pictures), k * k, _BLOCK * _BLOCK)
