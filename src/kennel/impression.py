"""What one photo is like, in a dozen figures: its size, its light, and what the model made of it.

NumPy only. D features, H x W pixels of the model's input.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

PROJECTIONS = 4  # of the features
HAIR = 1e-7  # what is added to a figure at most, so that no two photos have the same
KNOWN = "known"  # a yes or no: 1 or 0

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """The figures of a photo before it was answered, and the hair that is added to each: at most
    HAIR, and decided by the photo's own bytes. Sizes repeat, and equal figures would spoil what
    `kennel.drift` promises of ranks.
    """

    figures: dict[str, float]
    hair: float


def look(*, width: int, height: int, pixels: npt.NDArray[np.uint8]) -> Look:
    """How a photo looks: 0.35 ms for 224 x 224 pixels.

    Args:
        width, height: of the photo as it was sent, upright, in pixels: `kennel.images.full_size`.
        pixels: UInt8[H, W, 3], what `kennel.images.fit` gave.
    """
    luma = np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)  # [H, W]
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    colour = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    figures = {
        "megapixels": width * height / 1e6,
        "aspect": width / height,
        "brightness": float(luma.mean()) / 255,
        "contrast": float(luma.std()) / 255,
        "sharpness": _sharpness(luma) / 255,
        "saturation": float(colour.mean()) / 255,
    }
    return Look(figures, HAIR * zlib.crc32(np.ascontiguousarray(pixels).data) / 2**32)


def answered(
    looked: Look,
    *,
    features: npt.NDArray[np.float32] | None,
    probability: float,
    score: float | None,
    known: bool,
    seed: int = 0,
) -> dict[str, float]:
    """All figures of a photo, by name.

    Args:
        features: Float32[D]; None where the model gives none.
        probability: of the label that was answered, calibrated.
        score: how known it looks, by the bundle's rejection; None where it has none.
        known: whether the answer says so.
        seed: of the directions on which features are laid, `Reference.seed`.
    """
    found = {**looked.figures, "confidence": float(probability)}
    if score is not None:
        found["score"] = float(score)
    if features is not None:
        for number, length in enumerate(directions(len(features), seed) @ features, start=1):
            found[f"feature_{number}"] = float(length)
    found = {name: value + looked.hair for name, value in found.items()}
    if score is not None:
        found[KNOWN] = float(known)
    return found


@lru_cache(maxsize=8)
def directions(features: int, seed: int) -> Vectors:
    """Float32[PROJECTIONS, D], rows of length 1 whose signs a hash decides: the same on any
    machine, in any version of NumPy.
    """
    bits = PROJECTIONS * features
    drawn = hashlib.shake_256(f"kennel sketch {seed}".encode()).digest(-(-bits // 8))
    signs = np.unpackbits(np.frombuffer(drawn, np.uint8))[:bits].reshape(PROJECTIONS, features)
    return np.asarray((2.0 * signs - 1.0) / np.sqrt(features), np.float32)


def _sharpness(luma: npt.NDArray[np.float32]) -> float:
    """Standard deviation of how far each pixel is from its four neighbours' mean."""
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((luma[1:-1, 1:-1] - around / 4).std())
