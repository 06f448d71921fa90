"""What both steps of looking for copies know of a sketch, and how a window of one is sampled.

P pairs, S pixels of a side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels of a sketch
FLAT = 3.0  # grey levels (standard deviation) under which a block or a sketch shows nothing
SIDES = (0.92, 0.84)  # of the windows; crops between them are found too

Floats = NDArray[np.float32]
Window = tuple[float, float, float, float]  # left, right, top, bottom; the whole is 0, 1, 0, 1

WINDOWS: tuple[Window, ...] = (
    (0.0, 1.0, 0.0, 1.0),
    *(
        (x * (1 - side), x * (1 - side) + side, y * (1 - side), y * (1 - side) + side)
        for side in SIDES
        for x, y in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))
    ),
)


def between(places: Floats) -> Floats:
    """Shares of the pixels that places, 0..1, lie between: Float32[P, S] -> Float32[P, S, S]."""
    side = places.shape[1]
    at = np.clip(places * side - 0.5, 0, side - 1)[:, :, None]
    shares: Floats = np.maximum(1 - np.abs(at - np.arange(side, dtype=np.float32)), 0)
    return shares


def centres(side: int) -> Floats:
    """Centres of so many pixels, 0..1."""
    places: Floats = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    return places
