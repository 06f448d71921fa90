"""What happens to photos on their way to a model, done on purpose at five strengths.

A picture is altered before the one preprocessing, as the camera, the network or a shaky hand would
have altered it. NumPy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

STRENGTHS = 5

_Rng = np.random.Generator
_Alter = Callable[[Image.Image, float, _Rng], Image.Image]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil a photo.

    Attributes:
        name: "blur".
        unit: what `values` count, with a place for the value.
        values: from weak to strong, STRENGTHS of them.
        alter: picture, value, random generator -> picture; mode RGB both.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    alter: _Alter


def corrupt(
    image: Image.Image, kind: Corruption, strength: int, *, seed: tuple[int, ...]
) -> Image.Image:
    """A picture as it looks after it was spoiled.

    Args:
        image: mode RGB; it is not changed.
        kind: of CORRUPTIONS.
        strength: 1..STRENGTHS.
        seed: of what is left to chance; the same gives the same pixels.
    Raises:
        ValueError: no such strength.
    """
    if not 1 <= strength <= STRENGTHS:
        raise ValueError(f"strength is {strength}; it must lie in 1..{STRENGTHS}")
    return kind.alter(image, kind.values[strength - 1], np.random.default_rng(seed))


def shrunk(image: Image.Image, short_side: int) -> Image.Image:
    """The picture at the scale that a model sees it at; a smaller one is left as it is.

    A blur of two pixels would not be seen in a photo of 4,000: strengths count pixels of the input.
    """
    scale = short_side / min(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _jpeg(image: Image.Image, quality: float, rng: _Rng) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file, formats=("JPEG",)).convert("RGB")


def _blur(image: Image.Image, sigma: float, rng: _Rng) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(sigma))


def _noise(image: Image.Image, deviation: float, rng: _Rng) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(255 * deviation)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _light(image: Image.Image, factor: float, rng: _Rng) -> Image.Image:
    return image.point([min(255, round(level * factor)) for level in range(256)] * 3)


def _crop(image: Image.Image, share: float, rng: _Rng) -> Image.Image:
    width, height = (max(1, round(side * share)) for side in image.size)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _rotate(image: Image.Image, degrees: float, rng: _Rng) -> Image.Image:
    angle = degrees if rng.random() < 0.5 else -degrees
    return image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))


# JPEG, noise and blur as in the source; the others are ours.
# Source: D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to Common
# Corruptions and Perturbations, ICLR 2019, arXiv:1903.12261.
CORRUPTIONS = (
    Corruption("JPEG", "quality {:g}", (25, 18, 15, 10, 7), _jpeg),
    Corruption("blur", "sigma {:g} px", (1, 2, 3, 4, 6), _blur),
    Corruption("noise", "deviation {:g}", (0.08, 0.12, 0.18, 0.26, 0.38), _noise),
    Corruption("darker", "{:g} of the light", (0.7, 0.5, 0.35, 0.22, 0.12), _light),
    Corruption("brighter", "{:g} of the light", (1.3, 1.7, 2.2, 2.8, 3.5), _light),
    Corruption("crop", "{:g} of each side", (0.9, 0.75, 0.6, 0.45, 0.3), _crop),
    Corruption("rotation", "{:g} degrees", (10, 20, 30, 45, 60), _rotate),
)
