"""Which parts of a photo spoke for a label, by hiding them one after another: needs the answers of
the model alone, no gradients.

H x W pixels of the input, n x n windows, K labels.

Source: occlusion sensitivity, M. Zeiler and R. Fergus, ECCV 2014, arXiv:1311.2901.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kennel.bundle import Preprocess
from kennel.images import normalise
from kennel.look import OKABE_ITO, rgb
from kennel.outputs import Classifier

GREY = 128  # of what hides
PIXELS_A_BATCH = 1 << 20  # 20 inputs of 224 x 224: larger batches are no faster on a processor
FOR, AGAINST = rgb(OKABE_ITO[5]), rgb(OKABE_ITO[4])
STRONGEST = 0.75  # share of colour where the part matters most
LEAST_SCALE = 0.5  # change of the log-odds; under it nothing mattered, and the colours stay pale
SHOWN_SIDE = 448  # pixels, at least, of the pictures

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Why:
    """What hiding did to one label.

    Attributes:
        pixels: UInt8[H, W, 3], what the model saw.
        label: the label asked about.
        probability: of it with nothing hidden, calibrated.
        hidden: Float64[n, n], probability with each window hidden; windows overlap by half.
        falls: Float64[n, n], by how much its log-odds fell; below 0 they rose.
        took_s: all of it.
    """

    pixels: UInt8
    label: str
    probability: float
    hidden: Float64
    falls: Float64
    took_s: float


def why(
    classifier: Classifier,
    pixels: UInt8,
    preprocess: Preprocess,
    *,
    label: str,
    temperature: float,
    windows: int = 13,
    on_window: Callable[[int, int], None] = lambda done, total: None,
    clock_s: Callable[[], float] = time.perf_counter,
) -> Why:
    """Hides a window of what the model saw under grey, asks again, and goes on to the next.

    Each window is twice as wide as the step from one to the next. Log-odds and not probabilities
    are compared: 0.9999 hardly moves, however much is hidden.

    Args:
        pixels: UInt8[H, W, 3], as `kennel.images.fit` gives them by `preprocess`.
        label: one of the classifier's.
        temperature: what the logits are divided by, > 0.
        windows: along each side, >= 1.
        on_window: called with how many are done, of how many.
        clock_s: seconds that only grow.
    Raises:
        ValueError: the classifier has no such label.
    """
    started_s = clock_s()
    at = classifier.labels.index(label)
    places = [
        (rows, columns)
        for rows in spans(len(pixels), windows)
        for columns in spans(len(pixels), windows)
    ]
    own = _log_odds(classifier, pixels[None], preprocess, at, temperature)[0]
    odds = np.empty(len(places), np.float64)
    step = max(1, PIXELS_A_BATCH // (pixels.shape[0] * pixels.shape[1]))
    for start in range(0, len(places), step):
        chunk = places[start : start + step]
        batch = np.repeat(pixels[None], len(chunk), axis=0)  # UInt8[N, H, W, 3]
        for picture, (rows, columns) in zip(batch, chunk, strict=True):
            picture[rows, columns] = GREY
        odds[start : start + len(chunk)] = _log_odds(classifier, batch, preprocess, at, temperature)
        on_window(start + len(chunk), len(places))
    shape = (windows, windows)
    return Why(
        pixels=pixels,
        label=label,
        probability=_probability(own),
        hidden=np.array([_probability(each) for each in odds]).reshape(shape),
        falls=(own - odds).reshape(shape),
        took_s=clock_s() - started_s,
    )


def spans(side: int, windows: int) -> list[slice]:
    """Windows along a side of so many pixels: each reaches over two steps, together over all."""
    edges = [round(i * side / (windows + 1)) for i in range(windows + 2)]
    return [slice(edges[i], max(edges[i + 2], edges[i] + 1)) for i in range(windows)]


def shares(falls: Float64) -> Float64:
    """How much each cell mattered: Float64[n, n] of windows -> Float64[n + 1, n + 1], -1..1.

    A cell is one step wide; its value is the mean of the windows that hid it.
    """
    n = len(falls)
    total, count = np.zeros((n + 1, n + 1)), np.zeros((n + 1, n + 1))
    for down in (0, 1):
        for right in (0, 1):
            total[down : down + n, right : right + n] += falls
            count[down : down + n, right : right + n] += 1
    mean = total / count
    scaled: Float64 = mean / max(float(np.abs(mean).max()), LEAST_SCALE)
    return scaled


def overlay(found: Why) -> Image.Image:
    """What spoke for the label in orange and against it in blue, over what the model saw, grey."""
    picture = shown(found.pixels)
    grey = np.asarray(picture.convert("L"), np.float32)[..., None].repeat(3, axis=2)
    cells = Image.fromarray(shares(found.falls).astype(np.float32))
    strength = np.asarray(cells.resize(picture.size, Image.Resampling.BILINEAR))[..., None]
    colour = np.where(strength > 0, FOR, AGAINST)
    share = STRONGEST * np.clip(np.abs(strength), 0, 1)
    return Image.fromarray((grey + (colour - grey) * share + 0.5).clip(0, 255).astype(np.uint8))


def shown(pixels: UInt8) -> Image.Image:
    """What the model saw, large enough to look at; whole times as large, so that nothing blurs."""
    times = max(1, math.ceil(SHOWN_SIDE / len(pixels)))
    picture = Image.fromarray(pixels)
    side = (picture.width * times, picture.height * times)
    return picture.resize(side, Image.Resampling.NEAREST if times > 4 else Image.Resampling.LANCZOS)


def _log_odds(
    classifier: Classifier, batch: UInt8, preprocess: Preprocess, at: int, temperature: float
) -> Float64:
    """UInt8[N, H, W, 3] -> Float64[N], of one label against all others together."""
    logits = classifier.outputs(normalise(batch, preprocess)).logits.astype(np.float64)
    logits /= temperature
    others = np.delete(logits, at, axis=1)
    most = others.max(axis=1)
    rest = most + np.log(np.exp(others - most[:, None]).sum(axis=1))
    return np.asarray(logits[:, at] - rest)


def _probability(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))
