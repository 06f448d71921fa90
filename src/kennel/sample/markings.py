"""What the coat is marked with: cap, points, eye patch, blaze, dark or grey face."""

from __future__ import annotations

from PIL import Image

from kennel.sample.breeds import RGB, WHITE
from kennel.sample.dog import INK, Dog, both_sides, mixed, oval
from kennel.sample.fur import closed_curve
from kennel.sample.painting import Painting, Pose

GREY: RGB = (206, 200, 194)


def paint_head_markings(painting: Painting, pose: Pose, dog: Dog, head: Image.Image) -> None:
    """Marks the head, inside its coverage."""
    coat, r, gap = dog.coat, pose.radius, dog.eye_gap
    if coat.cap is not None:
        h, k = dog.head_height, dog.skull
        cap = both_sides([(0, -1.2 * h, 0), (k, -1.0 * h, 0), (k * 1.15, -0.3, 0),
                           (0.5 * k, -0.42, 0.2), (0, -0.12, 0.35)])  # fmt: skip
        painting.patch(
            pose.place(closed_curve(cap)), coat.cap, soft=r * 0.14, strength=0.8, within=head
        )
    if coat.points is not None:
        for side in (-1.0, 1.0):
            dot = oval(side * gap * 0.84, -0.36, 0.38, 0.1, 0.075)
            painting.patch(pose.place(dot), coat.points, soft=r * 0.035, within=head)
            cheek = oval(side * 0.56, 0.5, 0.15, 0.3, 0.26)
            painting.patch(pose.place(cheek), coat.points, soft=r * 0.1, within=head)
    if dog.patch:
        colour = coat.cap or mixed(coat.head, INK if sum(coat.head) > 330 else WHITE, 0.45)
        painting.patch(
            pose.place(oval(gap * 1.1, -0.18, 0.3, 0.36, 0.42)), colour, soft=r * 0.06, within=head
        )
    if dog.blaze:
        top = -0.9 * dog.head_height
        blaze = both_sides([(0, top, 0.05), (0.1, top * 0.7, 0.2), (0.09, -0.25, 0.4),
                             (0.16, 0.05, 0.5), (0.36, 0.3, 0.5), (0, 0.6, 0.5)])  # fmt: skip
        painting.patch(pose.place(closed_curve(blaze)), WHITE, soft=r * 0.035, within=head)
    if dog.mask > 0.02:
        dark = both_sides([(0, -0.26, 0.4), (gap + 0.12, -0.2, 0.35), (0.62, 0.2, 0.2),
                            (0.6, 0.7, 0.2), (0, 1.0, 0.3)])  # fmt: skip
        painting.patch(
            pose.place(closed_curve(dark)), INK, soft=r * 0.17, strength=dog.mask * 0.75,
            within=head,
        )  # fmt: skip


def paint_muzzle_markings(painting: Painting, pose: Pose, dog: Dog, muzzle: Image.Image) -> None:
    """Marks the muzzle, whose coverage is given, and what lies around it."""
    coat, r, at = dog.coat, pose.radius, dog.muzzle_at
    tip = dog.muzzle_width * dog.muzzle_taper
    if coat.muzzle is not None:
        painting.dye(coat.muzzle, muzzle)
        broad = oval(0, at + 0.1, 0.5, dog.muzzle_width * 1.16, dog.muzzle_width * 1.02)
        painting.patch(pose.place(broad), coat.muzzle, soft=r * 0.08, within=painting.coverage)
    elif coat.points is not None:
        for side in (-1.0, 1.0):
            flank = oval(side * dog.muzzle_width * 0.74, at + 0.16, 0.62, 0.2, 0.22)
            painting.patch(pose.place(flank), coat.points, soft=r * 0.06, within=muzzle)
    for colour, strength, reach, soft in (
        (INK, dog.mask, 0.4 + 0.7 * dog.muzzle_length, 0.1),
        (GREY, dog.grey, 0.5 + 0.5 * dog.muzzle_length, 0.13),
    ):
        if strength > 0.02:
            face = pose.place(oval(0, at + 0.16, reach, tip * 1.22, tip * 1.1))
            painting.patch(face, colour, soft=r * soft, strength=strength, within=painting.coverage)
