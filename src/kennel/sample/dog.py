"""One dog: an individual drawn from its breed, and the shapes it is put together from.

Head coordinates: right, down, forward, in head radii; the eyes lie near y = -0.1, the chin near
y = 0.95.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kennel.sample.breeds import RGB, Breed, Coat, Ear, Range
from kennel.sample.fur import Float

INK: RGB = (34, 28, 27)
SKIN: RGB = (206, 160, 146)
STRAY = 0.25


@dataclass(frozen=True)
class Dog:
    """One individual. Lengths in head radii, the rest 0..1; see `Breed` for the meaning."""

    coat: Coat
    ears: tuple[Ear, Ear]
    ear_length: float
    ear_width: float
    ear_set: float
    skull: float
    jaw: float
    head_height: float
    muzzle_length: float
    muzzle_width: float
    muzzle_taper: float
    muzzle_at: float
    flews: float
    neck: float
    shoulders: float
    nose: float
    eye: float
    eye_gap: float
    wrinkles: float
    hair: float
    curl: float
    topknot: float
    beard: float
    mask: float
    blaze: bool
    patch: bool
    grey: float
    mouth: float


def meet(breed: Breed, rng: np.random.Generator) -> Dog:
    """Draws an individual of the breed."""

    def some(range_: Range) -> float:
        # A little beyond the range: individuals are less regular than their standard.
        low, high = range_
        stray = STRAY * (high - low)
        return max(0.0, float(rng.uniform(low - stray, high + stray)))

    weights = np.array([coat.weight for coat in breed.coats])
    coat = breed.coats[int(rng.choice(len(weights), p=weights / weights.sum()))]
    chances = np.array([weight for _, weight in breed.ears])
    ear = breed.ears[int(rng.choice(len(chances), p=chances / chances.sum()))][0]
    other: Ear = "tipped" if ear == "prick" and rng.random() < 0.1 else ear
    muzzle_length = some(breed.muzzle_length)
    return Dog(
        coat=_jittered(coat, rng),
        ears=(ear, other),
        ear_length=some(breed.ear_length),
        ear_width=some(breed.ear_width),
        ear_set=some(breed.ear_set),
        skull=some(breed.skull),
        jaw=some(breed.jaw),
        head_height=some(breed.head_height),
        muzzle_length=muzzle_length,
        muzzle_width=some(breed.muzzle_width),
        muzzle_taper=some(breed.muzzle_taper),
        muzzle_at=0.3 + 0.24 * muzzle_length + float(rng.uniform(-0.04, 0.04)),
        flews=min(1.0, some(breed.flews)),
        neck=some(breed.neck),
        shoulders=some(breed.shoulders),
        nose=some(breed.nose),
        eye=some(breed.eye),
        eye_gap=some(breed.eye_gap),
        wrinkles=some(breed.wrinkles),
        hair=min(1.0, some(breed.hair)),
        curl=breed.curl * float(rng.uniform(0.3, 1.0)),
        topknot=some(breed.topknot),
        beard=some(breed.beard),
        mask=min(1.0, some(coat.mask)),
        blaze=bool(rng.random() < coat.blaze),
        patch=bool(rng.random() < coat.patch),
        grey=float(max(0.0, rng.uniform(-2.2, 0.8))),
        mouth=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.4 else 0.0,
    )


def both_sides(right: list[tuple[float, float, float]]) -> Float:
    """Mirrors the right half of an outline, given from top to bottom."""
    half = np.array(right, np.float32)
    left = half[::-1] * np.array([-1, 1, 1], np.float32)
    inner = slice(1 if right[-1][0] == 0 else 0, -1 if right[0][0] == 0 else None)
    return np.concatenate([half, left[inner]])


def oval(x: float, y: float, z: float, wide: float, high: float) -> Float:
    """Float32[24, 3]: an oval facing forward."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.column_stack(
        [x + wide * np.cos(turn), y + high * np.sin(turn), np.full(24, z)]
    ).astype(np.float32)


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """A colour on the way from `one` (share 0) to the `other` (share 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _jittered(coat: Coat, rng: np.random.Generator) -> Coat:
    """The coat a little lighter or darker, warmer or colder, the same way all over."""
    light = float(rng.normal(1.0, 0.11))
    warm = float(rng.normal(0.0, 0.045))
    gain = np.array([light * (1 + warm), light, light * (1 - 1.4 * warm)])

    def shifted(colour: RGB | None) -> RGB | None:
        if colour is None:
            return None
        red, green, blue = np.clip(np.array(colour) * gain, 8, 248).round().astype(int).tolist()
        return red, green, blue

    return Coat(
        weight=coat.weight,
        head=shifted(coat.head) or coat.head,
        body=shifted(coat.body),
        ears=shifted(coat.ears),
        muzzle=shifted(coat.muzzle),
        chest=shifted(coat.chest),
        cap=shifted(coat.cap),
        points=shifted(coat.points),
        mask=coat.mask,
        blaze=coat.blaze,
        patch=coat.patch,
        brindle=coat.brindle,
    )
