"""The ten breeds of the practice set, as drawing parameters.

Lengths are in head radii (half the width of the head at the cheeks). Ranges of neighbouring breeds
overlap on purpose: a single number, above all a colour, must not give the breed away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RGB = tuple[int, int, int]
Range = tuple[float, float]
Ear = Literal["drop", "prick", "rose", "tipped"]

CREAM: RGB = (226, 203, 164)
GOLD: RGB = (200, 152, 92)
FOX: RGB = (168, 112, 70)
FAWN: RGB = (196, 150, 104)
RED: RGB = (146, 88, 58)
TAN: RGB = (180, 124, 78)
RUST: RGB = (150, 94, 58)
BROWN: RGB = (104, 68, 46)
BLACK: RGB = (46, 42, 42)
STEEL: RGB = (92, 92, 100)
SILVER: RGB = (164, 160, 158)
WHITE: RGB = (228, 222, 212)


@dataclass(frozen=True)
class Coat:
    """One colouring of a breed. `None` stands for "as the head"; chances lie in 0..1.

    Attributes:
        weight: how often it is drawn, relative to the breed's other coats.
        head, body, ears, muzzle, chest: colours before jitter.
        cap: of the top of the skull, fading downwards.
        points: of the dots above the eyes and the cheeks.
        mask: range of the strength of a dark face, 0..1.
        blaze: chance of a white stripe between the eyes.
        patch: chance of a patch of `cap` colour (or a darker head colour) around one eye.
        brindle: strength of dark stripes, 0..1.
    """

    weight: float
    head: RGB
    body: RGB | None = None
    ears: RGB | None = None
    muzzle: RGB | None = None
    chest: RGB | None = None
    cap: RGB | None = None
    points: RGB | None = None
    mask: Range = (0.0, 0.0)
    blaze: float = 0.0
    patch: float = 0.0
    brindle: float = 0.0


@dataclass(frozen=True)
class Breed:
    """How to draw one breed; ranges are (low, high), drawn evenly, and are strayed from a little.

    Attributes:
        label: folder name.
        coats: its colourings.
        ears: (shape, weight) pairs.
        ear_length, ear_width: of the flap.
        ear_set: height of its root above the eyes.
        skull, jaw: half widths of forehead and lower face.
        head_height: of the forehead above the middle of the face.
        muzzle_length, muzzle_width: forward reach and half width at the face.
        muzzle_taper: width at the nose over width at the face.
        flews: how far the upper lips hang, 0..1.
        nose, eye, eye_gap: half widths, and the distance of an eye from the middle.
        wrinkles: strength of folds, 0..1.
        hair: length of the coat, 0..1.
        curl: at most, 0 straight .. 1 curly.
        topknot: size of the hair on the skull, 0..1.
        beard: length of the hair on the muzzle, 0..1.
        neck, shoulders: half widths.
    """

    label: str
    coats: tuple[Coat, ...]
    ears: tuple[tuple[Ear, float], ...]
    ear_length: Range
    ear_width: Range
    ear_set: Range
    skull: Range
    jaw: Range
    head_height: Range
    muzzle_length: Range
    muzzle_width: Range
    muzzle_taper: Range
    flews: Range
    neck: Range
    shoulders: Range
    nose: Range = (0.19, 0.25)
    eye: Range = (0.115, 0.145)
    eye_gap: Range = (0.37, 0.44)
    wrinkles: Range = (0.0, 0.15)
    hair: Range = (0.08, 0.22)
    curl: float = 0.0
    topknot: Range = (0.0, 0.0)
    beard: Range = (0.0, 0.0)


BREEDS: tuple[Breed, ...] = (
    Breed(
        label="Beagle",
        coats=(
            Coat(5, TAN, body=BLACK, ears=RED, muzzle=WHITE, chest=WHITE, blaze=0.75, patch=0.1),
            Coat(2, FOX, muzzle=WHITE, chest=WHITE, blaze=0.65),
            Coat(1, GOLD, body=WHITE, muzzle=WHITE, chest=WHITE, blaze=0.8),
            Coat(
                1, BROWN, body=BLACK, ears=BROWN, points=TAN, muzzle=WHITE, chest=WHITE, blaze=0.4
            ),
        ),
        ears=(("drop", 1),),
        ear_length=(1.15, 1.5),
        ear_width=(0.46, 0.6),
        ear_set=(0.3, 0.48),
        skull=(0.76, 0.9),
        jaw=(0.52, 0.68),
        head_height=(0.98, 1.14),
        muzzle_length=(0.48, 0.72),
        muzzle_width=(0.36, 0.46),
        muzzle_taper=(0.76, 0.9),
        flews=(0.28, 0.55),
        neck=(0.62, 0.78),
        shoulders=(1.1, 1.45),
        eye=(0.13, 0.16),
    ),
    Breed(
        label="Boxer",
        coats=(
            Coat(4, FAWN, chest=WHITE, mask=(0.55, 1.0), blaze=0.4),
            Coat(2, RED, chest=WHITE, mask=(0.6, 1.0), blaze=0.35),
            Coat(3, BROWN, chest=WHITE, mask=(0.4, 0.9), blaze=0.45, brindle=0.6),
            Coat(1, WHITE, patch=0.4),
        ),
        ears=(("drop", 5), ("prick", 1), ("tipped", 1)),
        ear_length=(0.62, 0.9),
        ear_width=(0.42, 0.55),
        ear_set=(0.62, 0.8),
        skull=(0.76, 0.9),
        jaw=(0.7, 0.88),
        head_height=(0.98, 1.12),
        muzzle_length=(0.24, 0.46),
        muzzle_width=(0.48, 0.62),
        muzzle_taper=(0.88, 1.0),
        flews=(0.55, 0.95),
        neck=(0.68, 0.86),
        shoulders=(1.25, 1.65),
        nose=(0.22, 0.28),
        wrinkles=(0.25, 0.7),
    ),
    Breed(
        label="Bulldog",
        coats=(
            Coat(3, FAWN, muzzle=WHITE, chest=WHITE, blaze=0.6, mask=(0.0, 0.3)),
            Coat(2, RED, muzzle=WHITE, chest=WHITE, blaze=0.6),
            Coat(2, WHITE, patch=0.7, cap=FAWN),
            Coat(2, BROWN, muzzle=WHITE, chest=WHITE, blaze=0.5, brindle=0.6),
            Coat(1, FAWN, mask=(0.4, 0.8)),
        ),
        ears=(("rose", 4), ("drop", 1)),
        ear_length=(0.42, 0.62),
        ear_width=(0.36, 0.5),
        ear_set=(0.62, 0.8),
        skull=(0.86, 1.0),
        jaw=(0.84, 1.04),
        head_height=(0.8, 0.96),
        muzzle_length=(0.12, 0.3),
        muzzle_width=(0.56, 0.72),
        muzzle_taper=(0.9, 1.0),
        flews=(0.7, 1.0),
        neck=(0.85, 1.02),
        shoulders=(1.5, 1.9),
        nose=(0.21, 0.29),
        eye=(0.105, 0.135),
        eye_gap=(0.42, 0.52),
        wrinkles=(0.6, 1.0),
    ),
    Breed(
        label="Dachshund",
        coats=(
            Coat(4, RED),
            Coat(3, BLACK, points=TAN, chest=RUST),
            Coat(2, BROWN, points=TAN, chest=TAN),
            Coat(1, GOLD, mask=(0.0, 0.3)),
        ),
        ears=(("drop", 1),),
        ear_length=(1.1, 1.5),
        ear_width=(0.44, 0.6),
        ear_set=(0.3, 0.5),
        skull=(0.68, 0.82),
        jaw=(0.42, 0.56),
        head_height=(1.0, 1.2),
        muzzle_length=(0.78, 1.08),
        muzzle_width=(0.29, 0.38),
        muzzle_taper=(0.62, 0.76),
        flews=(0.08, 0.3),
        neck=(0.52, 0.68),
        shoulders=(0.95, 1.3),
        nose=(0.16, 0.21),
        hair=(0.08, 0.5),
    ),
    Breed(
        label="German_Shepherd",
        coats=(
            Coat(5, TAN, body=BLACK, cap=BLACK, chest=FAWN, mask=(0.6, 1.0)),
            Coat(3, FAWN, body=BROWN, cap=BROWN, mask=(0.5, 0.9)),
            Coat(1, BLACK, points=RUST, chest=BLACK),
            Coat(1, CREAM, mask=(0.0, 0.2)),
        ),
        ears=(("prick", 8), ("tipped", 1)),
        ear_length=(0.8, 1.15),
        ear_width=(0.5, 0.64),
        ear_set=(0.6, 0.8),
        skull=(0.74, 0.88),
        jaw=(0.48, 0.62),
        head_height=(0.98, 1.14),
        muzzle_length=(0.74, 1.0),
        muzzle_width=(0.34, 0.44),
        muzzle_taper=(0.62, 0.76),
        flews=(0.08, 0.26),
        neck=(0.74, 0.92),
        shoulders=(1.2, 1.6),
        hair=(0.3, 0.62),
    ),
    Breed(
        label="Golden_Retriever",
        coats=(
            Coat(3, GOLD, chest=CREAM),
            Coat(2, CREAM),
            Coat(2, FOX, chest=GOLD),
            Coat(1, (214, 176, 122), chest=CREAM),
        ),
        ears=(("drop", 1),),
        ear_length=(0.88, 1.18),
        ear_width=(0.46, 0.6),
        ear_set=(0.4, 0.58),
        skull=(0.84, 0.96),
        jaw=(0.56, 0.72),
        head_height=(0.96, 1.12),
        muzzle_length=(0.54, 0.78),
        muzzle_width=(0.4, 0.5),
        muzzle_taper=(0.74, 0.87),
        flews=(0.22, 0.45),
        neck=(0.82, 1.02),
        shoulders=(1.3, 1.75),
        hair=(0.42, 0.9),
    ),
    Breed(
        label="Labrador_Retriever",
        coats=(
            Coat(3, CREAM),
            Coat(2, GOLD),
            Coat(1, FOX),
            Coat(3, BLACK),
            Coat(2, BROWN),
        ),
        ears=(("drop", 1),),
        ear_length=(0.78, 1.05),
        ear_width=(0.44, 0.56),
        ear_set=(0.46, 0.64),
        skull=(0.84, 0.97),
        jaw=(0.58, 0.75),
        head_height=(0.96, 1.1),
        muzzle_length=(0.52, 0.76),
        muzzle_width=(0.42, 0.53),
        muzzle_taper=(0.76, 0.9),
        flews=(0.24, 0.48),
        neck=(0.74, 0.92),
        shoulders=(1.25, 1.65),
        hair=(0.12, 0.46),
    ),
    Breed(
        label="Poodle",
        coats=(
            Coat(3, WHITE),
            Coat(2, BLACK),
            Coat(2, (206, 156, 108)),
            Coat(2, BROWN),
            Coat(1, SILVER),
            Coat(1, RED),
        ),
        ears=(("drop", 1),),
        ear_length=(1.05, 1.5),
        ear_width=(0.5, 0.72),
        ear_set=(0.2, 0.42),
        skull=(0.7, 0.86),
        jaw=(0.4, 0.56),
        head_height=(1.02, 1.24),
        muzzle_length=(0.7, 1.0),
        muzzle_width=(0.27, 0.36),
        muzzle_taper=(0.64, 0.8),
        flews=(0.05, 0.2),
        neck=(0.58, 0.8),
        shoulders=(1.0, 1.5),
        nose=(0.16, 0.21),
        hair=(0.5, 0.9),
        curl=1.0,
        topknot=(0.1, 1.0),
        beard=(0.0, 0.3),
    ),
    Breed(
        label="Rottweiler",
        coats=(
            Coat(7, BLACK, points=RUST, chest=RUST),
            Coat(3, BLACK, points=TAN, chest=TAN, ears=BLACK),
            Coat(1, BROWN, points=RUST, chest=RUST),
        ),
        ears=(("drop", 1),),
        ear_length=(0.64, 0.9),
        ear_width=(0.42, 0.54),
        ear_set=(0.58, 0.76),
        skull=(0.88, 1.02),
        jaw=(0.66, 0.84),
        head_height=(0.9, 1.04),
        muzzle_length=(0.46, 0.7),
        muzzle_width=(0.44, 0.55),
        muzzle_taper=(0.8, 0.92),
        flews=(0.34, 0.62),
        neck=(0.88, 1.05),
        shoulders=(1.5, 1.9),
        nose=(0.21, 0.27),
        wrinkles=(0.05, 0.35),
    ),
    Breed(
        label="Yorkshire_Terrier",
        coats=(
            Coat(5, TAN, body=STEEL, ears=RUST),
            Coat(2, GOLD, body=SILVER, ears=GOLD, cap=CREAM),
            Coat(2, RUST, body=BLACK, ears=BROWN, cap=BROWN),
            Coat(1, STEEL, body=STEEL, points=TAN, muzzle=TAN),
        ),
        ears=(("prick", 4), ("tipped", 2), ("drop", 1)),
        ear_length=(0.55, 0.85),
        ear_width=(0.4, 0.54),
        ear_set=(0.55, 0.75),
        skull=(0.8, 0.95),
        jaw=(0.6, 0.78),
        head_height=(0.9, 1.06),
        muzzle_length=(0.34, 0.54),
        muzzle_width=(0.29, 0.38),
        muzzle_taper=(0.66, 0.82),
        flews=(0.05, 0.2),
        neck=(0.62, 0.85),
        shoulders=(1.0, 1.45),
        nose=(0.16, 0.21),
        eye=(0.135, 0.165),
        hair=(0.55, 1.0),
        topknot=(0.0, 0.5),
        beard=(0.15, 1.0),
    ),
)
