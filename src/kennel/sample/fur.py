"""Curves, noise and hair: the small mathematics under the drawing.

H x W pixels of the picture, N points of an outline. Arrays are float32 unless said otherwise.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

Float = npt.NDArray[np.float32]

CURVE_STEPS = 6


def closed_curve(points: Float) -> Float:
    """A smooth closed curve through the points.

    Args:    points: Float32[N, D], N >= 3.
    Returns: Float32[N * CURVE_STEPS, D].
    Source:  Catmull and Rom, "A class of local interpolating splines", 1974.
    """
    count = len(points)
    around = (np.arange(count)[:, None] + np.arange(-1, 3)) % count
    curve: Float = _catmull_rom() @ points.astype(np.float32)[around]
    return curve.reshape(-1, points.shape[1])


def frayed(
    outline: Float, rng: np.random.Generator, *, amount: float, lock: float, curl: float = 0.0
) -> Float:
    """The outline with hair sticking out of it.

    Args:
        outline: Float32[N, 2], pixels, closed.
        amount: length of the hair, pixels.
        lock: width of a lock, pixels.
        curl: 0 pointed locks .. 1 round ones.
    Returns: Float32[M, 2], about one point per half lock.
    """
    steps = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(12, int(along[-1] / lock))
    # Locks of uneven width, or the outline reads as a saw.
    starts = np.cumsum(rng.uniform(0.4, 1.6, count))
    starts *= along[-1] / starts[-1]
    widths = np.diff(starts, append=starts[0] + along[-1])
    at = (starts[:, None] + widths[:, None] * np.array([0.0, 0.3, 0.55, 0.8])).ravel()
    at = np.sort(at % along[-1])
    x = np.interp(at, along, np.append(outline[:, 0], outline[0, 0]))
    y = np.interp(at, along, np.append(outline[:, 1], outline[0, 1]))
    wide_x, wide_y = (np.concatenate([v[-1:], v, v[:1]]) for v in (x, y))
    step_x, step_y = wide_x[2:] - wide_x[:-2], wide_y[2:] - wide_y[:-2]
    clockwise = 1.0 if np.sum(x * step_y - y * step_x) > 0 else -1.0
    normal_x, normal_y = clockwise * step_y, -clockwise * step_x
    length = np.maximum(np.hypot(normal_x, normal_y), 1e-6)
    pointed, rounded = np.array([0.0, 0.45, 1.0, 0.3]), np.array([0.0, 0.75, 1.0, 0.75])
    size = rng.uniform(0.1, 1.0, count)[:, None]
    reach = (amount * size * ((1 - curl) * pointed + curl * rounded)).ravel()
    hang = (1 - curl) * 0.6  # straight hair falls
    return np.stack(
        [x + normal_x / length * reach, y + (normal_y / length + hang) * reach], axis=1
    ).astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Float:
    """Smooth noise of about unit deviation: Float32[H, W], blobs about `cell` pixels wide."""
    rows, columns = max(2, round(shape[0] / cell) + 1), max(2, round(shape[1] / cell) + 1)
    return enlarged(rng.standard_normal((rows, columns), dtype=np.float32), shape)


def enlarged(field: Float, shape: tuple[int, int]) -> Float:
    """Float32[h, w] -> Float32[H, W], smoothly."""
    # Bicubic shows no cells; at twice the size or less bilinear shows none either, and is faster.
    near = shape[0] <= 2 * field.shape[0] and shape[1] <= 2 * field.shape[1]
    rule = Image.Resampling.BILINEAR if near else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(field).resize((shape[1], shape[0]), rule))


def strands(
    rng: np.random.Generator, along: tuple[Float, Float], *, steps: int, grain: float = 1.0
) -> Float:
    """Noise smeared along a field of directions, which reads as hair.

    Args:
        along: unit vectors, x and y, each Float32[H, W].
        steps: half length of a strand, pixels, 1..7.
        grain: width of a strand, pixels, >= 1.
    Returns:
        Float32[H, W], of unit deviation.
    Source: Cabral and Leedom, "Imaging vector fields using line integral convolution", 1993.
    """
    height, width = along[0].shape
    pad = 8
    padded = (height + 2 * pad, width + 2 * pad)
    grains = rng.standard_normal(padded, dtype=np.float32)
    if grain > 1.0:
        grains = grains + 1.6 * noise(rng, padded, grain * 1.6)
    flat = grains.ravel()
    rows = np.arange(pad, pad + height, dtype=np.int32)[:, None] * padded[1]
    here = rows + np.arange(pad, pad + width, dtype=np.int32)[None, :]
    total: Float = flat[here]
    for step in np.arange(1.0, steps + 0.5, 1.5).tolist():  # between neighbours hair differs little
        away = np.rint(along[1] * step).astype(np.int32) * padded[1]
        away += np.rint(along[0] * step).astype(np.int32)
        total += flat[here + away]
        total += flat[here - away]
    total *= 1.0 / max(float(total.std()), 1e-6)
    return total


def combed(pixels: Image.Image, along: tuple[Float, Float], reach: Float) -> Float:
    """Every pixel taken from `reach` pixels up its strand, so that edges of colour look hairy.

    Args:    pixels: mode RGBA, W x H.   along: as in `strands`.   reach: Float32[H, W], pixels.
    Returns: Float32[4, H, W], 0..255.
    """
    height, width = reach.shape
    y = np.arange(height, dtype=np.float32)[:, None] - along[1] * reach
    x = np.arange(width, dtype=np.float32)[None, :] - along[0] * reach
    at = np.clip(np.rint(y), 0, height - 1).astype(np.int32) * width
    at += np.clip(np.rint(x), 0, width - 1).astype(np.int32)
    packed = np.frombuffer(pixels.tobytes(), np.uint32).take(at)
    channels = packed.view(np.uint8).reshape(height, width, 4)
    planes: Float = np.moveaxis(channels, 2, 0).astype(np.float32, order="C")
    return planes


@functools.cache
def _catmull_rom() -> Float:
    """Float32[CURVE_STEPS, 4]: weights of the four points around a stretch of the curve."""
    t = np.arange(CURVE_STEPS) / CURVE_STEPS
    powers = np.stack([np.ones_like(t), t, t**2, t**3], axis=1)
    matrix = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return (powers @ matrix).astype(np.float32)
