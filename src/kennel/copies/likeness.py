"""How alike two photos are: the window is fitted to a fraction of a pixel, then block beside block.

P pairs, S = SIDE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kennel.copies.sketches import FLAT, SIDE, WINDOWS, Floats, between, centres

_BLOCK = 8  # pixels of a sketch
_FEW, _SURELY = 12, 0.9  # blocks that show something; the similarity that is asked of fewer
_ROUGH, _STEPS = 3, 6  # steps of the fit, before and after most pairs are dropped
_ROUGHLY = 0.75  # least correlation after the first


def similarity(sketches: NDArray[np.uint8], pairs: NDArray[np.void]) -> Floats:
    """How alike the whole and the window of each pair are: Float32[P], 0 where they are not."""
    mirrored = pairs["mirrored"][:, None, None]
    ours = sketches[pairs["whole"]].astype(np.float32)
    ours = np.where(mirrored, ours[:, :, ::-1], ours)
    theirs = sketches[pairs["part"]].astype(np.float32)
    edges = np.array(WINDOWS, np.float32)[pairs["window"]]  # Float32[P, 4]

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
    far = centres(side)
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
    correlation[np.minimum(spread_one, spread_other) < FLAT / 6] = 0
    shows = (np.maximum(spread_one, spread_other) > FLAT) & (_blocks(inside).mean(axis=2) > 0.9)
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
    x = edges[:, :1] + (edges[:, 1:2] - edges[:, :1]) * centres(side)
    y = edges[:, 2:3] + (edges[:, 3:] - edges[:, 2:3]) * centres(side)
    inside = ((y >= 0) & (y <= 1))[:, :, None] & ((x >= 0) & (x <= 1))[:, None, :]
    across, down = between(x).transpose(0, 2, 1), between(y)
    return np.asarray(down @ pictures @ across, np.float32), inside.astype(np.float32)


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
