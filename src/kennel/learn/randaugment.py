"""RandAugment on batches: each photo gets changes of its own, from torchvision's list.

N photos, S x S pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kennel.learn import colour
from kennel.learn.augment import Draw, Float64, amounts, on_some
from kennel.learn.resample import move

MAGNITUDES = 31

Recolour = Callable[[Tensor, Tensor], Tensor]
# At full magnitude, with a random sign: torchvision's shear, translation and rotation, here as
# what is added to the matrix from the new picture to the old.
_SHEAR, _TRANSLATION, _ROTATION = 0.3, 2 * 150 / 331, np.deg2rad(30.0)
# At full magnitude, with a random sign, around 1.
_ENHANCE = 0.9
_ENHANCEMENTS: dict[str, Recolour] = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "sharpness": colour.sharpness,
}
_MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
CHANGES = ("identity", *_MOVES, *_ENHANCEMENTS, "posterise", "solarise", "stretch", "equalise")


@dataclass(frozen=True)
class RandAugment:
    """A number of changes in a row, each drawn from CHANGES.

    Attributes:
        num_ops: changes of each photo, >= 0.
        magnitude: how strong, 0..30.

    Source: E. Cubuk et al., "RandAugment", NeurIPS 2020; ranges as in torchvision.
    """

    num_ops: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if self.num_ops < 0:
            raise ValueError(f"num_ops is {self.num_ops}; it must be 0 or more")
        if not 0 <= self.magnitude < MAGNITUDES:
            raise ValueError(f"magnitude is {self.magnitude}; it must be in 0..{MAGNITUDES - 1}")

    def vary(self, photos: Tensor, draw: Draw) -> Tensor:
        drawn = draw.uniform(2 * self.num_ops)
        for number in range(self.num_ops):
            chosen = (drawn[:, 2 * number] * len(CHANGES)).astype(np.int64)
            signs = np.where(drawn[:, 2 * number + 1] < 0.5, -1.0, 1.0)
            photos = self.change(photos, chosen, signs, draw)
        return photos

    def change(
        self, photos: Tensor, chosen: np.ndarray, signs: Float64, draw: Draw
    ) -> Tensor:  # UInt8[N, 3, S, S], Int64[N], Float64[N]
        """Each photo changed by its number in CHANGES, in the direction of its sign."""
        share = self.magnitude / (MAGNITUDES - 1)
        names = np.array(CHANGES)[chosen]
        matrices = np.stack(
            [_matrix(n, s * share) for n, s in zip(names, signs, strict=True)]
        )  # Float64[N, 2, 3]
        photos = on_some(
            photos,
            np.isin(names, _MOVES),
            lambda some, which: move(some, matrices[which], draw.fill),
        )
        for name, enhance in _ENHANCEMENTS.items():
            photos = on_some(
                photos,
                names == name,
                lambda some, which, enhance=enhance: enhance(
                    some, amounts(1 + _ENHANCE * share * signs[which], some)
                ),
            )
        bits = 8.0 - round(self.magnitude / ((MAGNITUDES - 1) / 4))
        for name, recolour, amount in (
            ("posterise", colour.posterise, bits),
            ("solarise", colour.solarise, 1.0 - share),
        ):
            photos = on_some(
                photos,
                names == name,
                lambda some, which, recolour=recolour, amount=amount: recolour(
                    some, amounts(np.full(len(which), amount), some)
                ),
            )
        photos = on_some(photos, names == "stretch", lambda some, _: colour.stretch(some))
        return on_some(photos, names == "equalise", lambda some, _: colour.equalise(some))


def _matrix(name: str, amount: float) -> Float64:  # Float64[2, 3]
    """The move, as `kennel.learn.resample.move` takes it; -1 <= amount <= 1."""
    matrix = np.eye(2, 3)
    if name == "rotate":
        cos, sin = np.cos(amount * _ROTATION), np.sin(amount * _ROTATION)
        matrix[:, :2] = [[cos, -sin], [sin, cos]]
    elif name == "shear_x":
        matrix[0, 1] = amount * _SHEAR
    elif name == "shear_y":
        matrix[1, 0] = amount * _SHEAR
    elif name == "translate_x":
        matrix[0, 2] = amount * _TRANSLATION
    elif name == "translate_y":
        matrix[1, 2] = amount * _TRANSLATION
    return matrix
