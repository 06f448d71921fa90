"""Body, head, ears and muzzle, painted part by part from back to front."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from kennel.sample.breeds import WHITE, Ear
from kennel.sample.dog import INK, SKIN, Dog, both_sides, mixed, oval
from kennel.sample.fur import Float, closed_curve, frayed
from kennel.sample.markings import paint_head_markings, paint_muzzle_markings
from kennel.sample.painting import Painting, Pose


def paint_coat(painting: Painting, pose: Pose, dog: Dog, rng: np.random.Generator) -> None:
    """Paints body, head, ears and muzzle, with the markings of the coat; no eyes, nose or mouth."""
    coat, r = dog.coat, pose.radius
    _body(painting, pose, dog, rng)
    for right, ear in enumerate(dog.ears):
        if _is_upright(ear):
            _ear(painting, pose, dog, bool(right), rng)
    if dog.mouth:
        _jaw(painting, pose, dog)
    outline = _head_outline(dog)
    curve = pose.place(closed_curve(outline))
    hairy = frayed(
        curve,
        rng,
        amount=r * (0.012 + 0.13 * dog.hair + 0.02 * dog.curl),
        lock=r * (0.035 + 0.11 * dog.curl + 0.04 * dog.hair),
        curl=dog.curl,
    )
    head = painting.part(curve, coat.head, base=-0.1 * r, rise=0.72 * r, fray=hairy)
    if dog.topknot > 0.12:
        head = _topknot(painting, pose, dog, rng)
    paint_head_markings(painting, pose, dog, head)
    _features_of_relief(painting, pose, dog)
    _muzzle(painting, pose, dog, rng)
    for right, ear in enumerate(dog.ears):
        if not _is_upright(ear):
            _ear(painting, pose, dog, bool(right), rng)


def _is_upright(ear: Ear) -> bool:
    return ear in ("prick", "tipped")


def _head_outline(dog: Dog) -> Float:
    h, k, j = dog.head_height, dog.skull, dog.jaw
    fluff = 0.08 * dog.hair * (1 - dog.curl)
    long = 0.14 * dog.muzzle_length
    return both_sides(
        [
            (0.0, -0.94 * h, 0.0),
            (0.5 * k, -0.88 * h, 0.0),
            (0.95 * k, -0.5 * h, -0.1),
            (0.98 + fluff, -0.02, -0.15),
            (0.44 + 0.5 * j + 1.5 * fluff, 0.42, -0.1),
            (j + 0.8 * fluff, 0.72, 0.05),
            (0.5 * j, 0.86 + long, 0.2),
            (0.0, 0.91 + long, 0.25),
        ]
    )


def _body(painting: Painting, pose: Pose, dog: Dog, rng: np.random.Generator) -> None:
    coat, r = dog.coat, pose.radius
    colour = coat.body or coat.head
    n, s = dog.neck, dog.shoulders
    lean = -0.5 * np.sin(pose.yaw) * float(rng.uniform(0.2, 1.2))
    turn = Pose(pose.centre, r, pose.yaw * 0.5, pose.pitch * 0.4, pose.roll * 0.35, pose.side)
    outline = both_sides(
        [(0, -0.4, -0.7), (n * 0.9, -0.2, -0.7), (n, 0.7, -0.6), (s * 0.86, 1.35, -0.6),
         (s, 2.2, -0.6), (s * 1.02, 4.2, -0.6), (0, 4.4, -0.4)]
    )  # fmt: skip
    outline[:, 0] += lean * np.clip(outline[:, 1], 0, 2)
    curve = turn.place(closed_curve(outline))
    hairy = frayed(
        curve,
        rng,
        amount=r * (0.015 + 0.17 * dog.hair),
        lock=r * (0.045 + 0.06 * dog.hair + 0.09 * dog.curl),
        curl=dog.curl,
    )
    mask = painting.part(curve, colour, base=-1.6 * r, rise=1.15 * r, fray=hairy)
    painting.swell(turn.spot(lean, 1.9, 0.2), (s * 0.6 * r, 1.0 * r), -1.1 * r, 0.7 * r)
    if coat.body is not None or coat.chest is not None:
        throat = coat.chest or coat.head
        wide = float(rng.uniform(0.4, 0.75))
        bib = np.array(
            [(-0.5 * n, 0.5), (0.5 * n, 0.5), (wide * n, 1.3), (wide * 0.8, 2.4), (0.1, 3.4),
             (-0.2, 3.3), (-wide * 0.8, 2.3), (-wide * n, 1.3)], np.float32
        )  # fmt: skip
        bib = np.column_stack(
            [bib[:, 0] + lean * bib[:, 1], bib[:, 1], np.full(8, -0.1, np.float32)]
        )
        painting.patch(
            turn.place(closed_curve(bib)), throat, soft=r * 0.12,
            strength=float(rng.uniform(0.7, 1.0)), within=mask,
        )  # fmt: skip


def _ear(painting: Painting, pose: Pose, dog: Dog, right: bool, rng: np.random.Generator) -> None:
    coat, r, side = dog.coat, pose.radius, 1.0 if right else -1.0
    ear = dog.ears[right]
    colour = coat.ears or coat.cap or coat.head
    length = dog.ear_length * float(rng.uniform(0.93, 1.07))
    spread = float(rng.uniform(-0.08, 0.14))
    mirror = np.array([side, 1, 1], np.float32)
    outline = EAR_OUTLINES[ear](dog, length, spread) * mirror
    curve = pose.place(closed_curve(outline))
    hairy = frayed(
        curve,
        rng,
        amount=r * (0.008 + 0.13 * dog.hair),
        lock=r * (0.035 + 0.05 * dog.hair + 0.09 * dog.curl),
        curl=dog.curl,
    )
    base, rise = EAR_RELIEF[ear]
    mask = painting.part(curve, colour, base=base * r, rise=rise * r, fray=hairy)
    if _is_upright(ear):
        middle = outline.mean(0)
        inside = middle + (outline - middle) * np.array([0.6, 0.72, 1.0], np.float32)
        lining = mixed(colour, SKIN if sum(colour) > 240 else INK, 0.55)
        painting.patch(pose.place(closed_curve(inside)), lining, soft=r * 0.04, within=mask)
        hollow = pose.spot(float(middle[0]), float(middle[1]) - 0.05, -0.1)
        painting.lift(hollow, (0.2 * r, 0.34 * r), -0.3 * r)
    if ear == "tipped":
        flap = pose.place(closed_curve(_flap(dog, length, spread) * mirror))
        painting.part(flap, mixed(colour, INK, 0.08), base=-0.1 * r, rise=0.2 * r)


# The right ear, as Float32[N, 3]; `length` and `spread` (how far it stands off) in head radii.


def _drop(dog: Dog, length: float, spread: float) -> Float:
    wide, k = dog.ear_width, dog.skull
    up = -min(dog.ear_set, 0.58 * dog.head_height)  # set higher, its root would leave the skull
    fold = up - 0.12
    return np.array(
        [(0.62 * k, fold - 0.14, 0.0), (0.84 * k, fold - 0.2, 0.05), (k + 0.12, fold, 0.05),
         (0.95 + 0.32 * wide + spread, up + 0.34 * length, 0.1),
         (0.96 + 0.42 * wide + spread, up + 0.74 * length, 0.15),
         (0.95 + 0.1 * wide + spread, up + length, 0.2),
         (0.98 - 0.4 * wide + spread, up + 0.8 * length, 0.22),
         (0.98 - 0.52 * wide, up + 0.42 * length, 0.2), (0.74 * k, up + 0.1, 0.15)], np.float32
    )  # fmt: skip


def _rose(dog: Dog, length: float, spread: float) -> Float:
    wide, up, k = dog.ear_width, -dog.ear_set, dog.skull
    return np.array(
        [(0.52 * k, up - 0.14, 0.0), (0.78 * k, up - 0.24, 0.0),
         (0.9 + 0.45 * wide, up - 0.12 + spread, -0.1),
         (0.94 + length * 0.62, up + 0.16 + spread, -0.15),
         (0.9 + 0.12 * wide, up + 0.24 + spread, 0.05), (0.84 * k, up + 0.16, 0.05),
         (0.68 * k, up + 0.02, 0.05)], np.float32
    )  # fmt: skip


def _prick(dog: Dog, length: float, spread: float) -> Float:
    wide, up, root = dog.ear_width, -dog.ear_set, 0.3 * dog.skull
    tip = 0.5 * dog.skull + spread + 0.14
    return np.array(
        [(root, up - 0.08, -0.1), (root + 0.2 * wide, up - 0.5 * length, -0.1),
         (tip + 0.14, up - length, -0.15), (tip + 0.3, up - 0.9 * length, -0.15),
         (root + 0.98 * wide, up - 0.45 * length, -0.15), (root + 1.16 * wide, up + 0.3, -0.2),
         (root + 0.5 * wide, up + 0.3, -0.1)], np.float32
    )  # fmt: skip


def _tipped(dog: Dog, length: float, spread: float) -> Float:
    outline = _prick(dog, length, spread)
    up, tip = -dog.ear_set, 0.5 * dog.skull + spread + 0.14
    outline[2] = (tip - 0.04, up - 0.66 * length, -0.1)
    outline[3] = (tip + 0.3, up - 0.62 * length, -0.1)
    return outline


def _flap(dog: Dog, length: float, spread: float) -> Float:
    """The tip of a tipped ear, hanging forward."""
    up, tip = -dog.ear_set, 0.5 * dog.skull + spread + 0.14
    return np.array(
        [(tip - 0.08, up - 0.64 * length, 0.0), (tip + 0.12, up - 0.74 * length, 0.0),
         (tip + 0.34, up - 0.6 * length, 0.0), (tip + 0.36, up - 0.36 * length, 0.1),
         (tip + 0.28, up - 0.2 * length, 0.15), (tip + 0.08, up - 0.4 * length, 0.1)], np.float32
    )  # fmt: skip


EAR_OUTLINES: dict[Ear, Callable[[Dog, float, float], Float]] = {
    "drop": _drop,
    "prick": _prick,
    "rose": _rose,
    "tipped": _tipped,
}
# Height of the edge, and how much higher the middle is.
EAR_RELIEF: dict[Ear, tuple[float, float]] = {
    "drop": (0.02, 0.38),
    "prick": (-0.5, 0.34),
    "rose": (0.1, 0.2),
    "tipped": (-0.5, 0.34),
}


def _jaw(painting: Painting, pose: Pose, dog: Dog) -> None:
    """The lower jaw of an open mouth."""
    r, reach = pose.radius, 0.3 + 0.72 * dog.muzzle_length
    wide, low = dog.muzzle_width * dog.muzzle_taper * 0.8, dog.muzzle_at + 0.1
    deep = low + 0.34 + 0.24 * dog.mouth
    outlines = [
        pose.place(
            oval(0, (low + deep) / 2 - 0.1 * back, reach * (1 - back), wide, (deep - low) / 2)
        )
        for back in (0.0, 0.25, 0.5, 0.75)
    ]
    colour = mixed(dog.coat.muzzle or dog.coat.points or dog.coat.head, INK, dog.mask * 0.6)
    for outline in reversed(outlines):
        painting.part(outline, colour, base=0.05 * r, rise=0.3 * r)


def _topknot(painting: Painting, pose: Pose, dog: Dog, rng: np.random.Generator) -> Image.Image:
    """Hair heaped on the skull; returns where head markings may go."""
    r, size, k, h = pose.radius, dog.topknot, dog.skull, dog.head_height
    puff = both_sides(
        [(0, -h * (0.92 + 0.42 * size), 0.05),
         (k * (0.42 + 0.34 * size), -h * (0.86 + 0.3 * size), 0.05),
         (k * (0.74 + 0.3 * size), -0.66 * h, 0.05), (k * 0.62, -0.38 * h, 0.2),
         (0, -0.28 * h, 0.3)]
    )  # fmt: skip
    curve = pose.place(closed_curve(puff))
    hairy = frayed(
        curve, rng, amount=r * (0.1 + 0.05 * dog.curl), lock=r * (0.08 + 0.08 * dog.curl),
        curl=dog.curl,
    )  # fmt: skip
    colour = dog.coat.cap or dog.coat.head
    painting.part(curve, mixed(colour, WHITE, 0.04), base=0.16 * r, rise=0.58 * r, fray=hairy)
    return painting.coverage


def _features_of_relief(painting: Painting, pose: Pose, dog: Dog) -> None:
    """Brows, eye sockets, cheeks and folds."""
    r, gap = pose.radius, dog.eye_gap
    for side in (-1.0, 1.0):
        painting.lift(pose.spot(side * gap, -0.1, 0.4), (0.24 * r, 0.19 * r), -0.13 * r)
        painting.lift(pose.spot(side * gap * 0.9, -0.36, 0.4), (0.24 * r, 0.13 * r), 0.07 * r)
        painting.lift(pose.spot(side * 0.62, 0.36, 0.2), (0.24 * r, 0.3 * r), 0.07 * r)
    if dog.wrinkles > 0.22:
        deep = 0.13 * dog.wrinkles * r
        for side in (-1.0, 1.0):
            for height, reach in ((-0.52, 0.34), (-0.68, 0.44)):
                fold = np.array([(0.06, height + 0.1, 0.4), (0.2, height - 0.02, 0.4),
                                 (reach, height + 0.06, 0.35)], np.float32)  # fmt: skip
                painting.groove(pose.place(fold * (side, 1, 1)), 0.07 * r, deep * 0.7)
            cheek = np.array([(0.14, 0.02, 0.5), (0.46, 0.16, 0.4), (0.72, 0.5, 0.2),
                              (0.7, 0.8, 0.2)], np.float32)  # fmt: skip
            painting.groove(pose.place(cheek * (side, 1, 1)), 0.08 * r, deep)
    painting.groove(
        pose.place(np.array([(0, -0.8, 0.3), (0, -0.15, 0.45)], np.float32)), 0.1 * r, 0.05 * r
    )


def _muzzle(painting: Painting, pose: Pose, dog: Dog, rng: np.random.Generator) -> None:
    r, at = pose.radius, dog.muzzle_at
    ovals: list[Float] = []
    domes: list[tuple[tuple[float, float], tuple[float, float], float]] = []
    for share in np.linspace(0.0, 1.0, 5).tolist():
        wide = dog.muzzle_width * (1 + (dog.muzzle_taper - 1) * share)
        reach = 0.4 + dog.muzzle_length * share
        high = wide * (0.82 - 0.06 * share)
        y = at - dog.muzzle_length * 0.3 * (1 - share)  # the bridge rises to between the eyes
        ovals.append(pose.place(oval(0, y, reach, wide, high)))
        centre = pose.spot(0, y, reach)
        height = (0.34 + 0.8 * dog.muzzle_length * share) * r
        domes.append((centre, (wide * r * 1.06, high * r * 1.06), height))
    tip = dog.muzzle_width * dog.muzzle_taper
    reach = 0.3 + dog.muzzle_length * 0.92
    for side in (-1.0, 1.0):  # upper lips
        low = at + 0.22 * tip + 0.34 * dog.flews * tip + 0.06
        lip = (side * tip * 0.5, low, reach, tip * 0.56, tip * (0.46 + 0.3 * dog.flews))
        ovals.append(pose.place(oval(*lip)))
        height = (0.32 + 0.6 * dog.muzzle_length) * r
        domes.append((pose.spot(*lip[:3]), (lip[3] * r, lip[4] * r), height))
    if not dog.mouth:
        chin = (0.0, at + 0.3 * tip + 0.36, reach - 0.12, tip * 0.5, 0.2)
        ovals.append(pose.place(oval(*chin)))
    if dog.beard > 0.05:
        ovals += _beard(pose, dog, rng)
    mask = painting.mask(*ovals)
    painting.coverage.paste(255, mask=mask)
    paint_muzzle_markings(painting, pose, dog, mask)
    for centre, half, base in domes:
        painting.swell(centre, half, base, 0.24 * r)


def _beard(pose: Pose, dog: Dog, rng: np.random.Generator) -> list[Float]:
    """Locks hanging from the muzzle, as outlines in pixels."""
    locks = []
    tip, at = dog.muzzle_width, dog.muzzle_at
    for place in np.linspace(-1.0, 1.0, 11).tolist():
        long = dog.beard * float(rng.uniform(0.42, 0.72)) * (1.0 - 0.25 * abs(place))
        x, y = place * tip * 1.1, at + 0.24 - 0.2 * abs(place)
        out = x * float(rng.uniform(1.25, 1.7))
        lock = np.array([(x - 0.15, y, 0.6), (x + 0.15, y, 0.6), (out + 0.08, y + 0.7 * long, 0.6),
                         (out, y + long + 0.16, 0.6),
                         (out - 0.08, y + 0.7 * long, 0.6)], np.float32)  # fmt: skip
        locks.append(pose.place(closed_curve(lock)))
    return locks
