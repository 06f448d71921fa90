"""The kinds of findings: how bad each is, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kennel.errors import UsageError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """A kind of finding. `removable`: it is about single files, which an index may leave out."""

    name: str
    severity: Severity
    title: str
    means: str
    to_do: str
    removable: bool = True


# In the order in which they are shown, and decide what is removed.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "leak",
            "error",
            "Copies across splits",
            "One picture stands in two splits. What was learned by heart is measured as if it were "
            "understood, and every figure is too good.",
            "Keep each picture in one split: --apply keeps it in test, else in validation. Photos "
            "that are indexed without train/ and test/ folders are split without leaks.",
        ),
        Kind(
            "random_leak",
            "error",
            "A random split would leak",
            "So many files are copies that a split at random puts the same pictures into train and "
            "test: a model that learned photos by heart would look as if it understood them.",
            "Split with kennel index, which keeps all copies of a picture in one split, or leave "
            "the copies out: --apply does both.",
            removable=False,
        ),
        Kind(
            "two_labels",
            "error",
            "One picture under two labels",
            "At least one of the labels is wrong, and the model is taught both.",
            "Look which label is right and remove the others. --apply removes all of them, as it "
            "cannot know.",
        ),
        Kind(
            "missing",
            "error",
            "Missing files",
            "The index lists files that are not there.",
            "Bring them back, or index the photos again.",
        ),
        Kind(
            "changed",
            "error",
            "Changed files",
            "The bytes are not those that were indexed, so figures of then and now are of "
            "different photos.",
            "Bring the old files back (dvc checkout), or index the photos again.",
        ),
        Kind(
            "unreadable",
            "error",
            "Unreadable files",
            "These files cannot be decoded to their last byte: cut off, damaged, or no photos.",
            "Copy them again from where they came, or leave them out.",
        ),
        Kind(
            "wrong_label",
            "warning",
            "Likely wrong labels",
            "A classifier that saw neither the photo nor a copy of it is surer of another label "
            "than it is on photos that have that label.",
            "Look at each: some are right as they are. Move the wrong ones to the folder of their "
            "label and index again. --apply removes them only with --remove default,wrong_label.",
        ),
        Kind(
            "exact_copy",
            "warning",
            "Exact copies",
            "Files with the same bytes. They add no information, and in a measured split they "
            "count one answer several times.",
            "Keep one of each: --apply does.",
        ),
        Kind(
            "near_copy",
            "warning",
            "Near copies",
            "Files that show one picture, resized, saved again, cropped, mirrored or brighter.",
            "Keep the best one of each: --apply keeps the one with most pixels.",
        ),
        Kind(
            "thin_label",
            "warning",
            "Thin labels",
            "Labels with few distinct pictures: little to learn from, and wide intervals.",
            "Add photos of these labels that show something new.",
            removable=False,
        ),
        Kind(
            "imbalance",
            "warning",
            "Imbalance",
            "One label has many times the pictures of another: always answering it looks good.",
            "Add photos of the rare labels, read macro F1 beside top1, or train with "
            "recipe.class_weights=true.",
            removable=False,
        ),
        Kind(
            "blank",
            "warning",
            "Blank photos",
            "Almost one colour all over: there is nothing to learn from.",
            "Leave them out: --apply does.",
        ),
        Kind(
            "blurred",
            "warning",
            "Blurred photos",
            "Blurred also at the size that a model sees.",
            "Keep them only if the photos to be answered are like this.",
        ),
        Kind(
            "tiny",
            "warning",
            "Tiny photos",
            "So few pixels that breeds can hardly be told apart.",
            "Find larger originals, or leave them out.",
        ),
        Kind(
            "extreme_aspect",
            "note",
            "Extreme shapes",
            "Much longer than wide, or wider than long: banners and strips. A crop sees little of "
            "them, a letterbox shows them small.",
            "Crop them by hand, or leave them out.",
        ),
        Kind(
            "exposure",
            "note",
            "Very dark or very light photos",
            "Almost black or almost white nearly everywhere.",
            "Keep them only if the photos to be answered are like this.",
        ),
        Kind(
            "lost_area",
            "note",
            "Lost area",
            "The resize rule cuts off more than half of these photos before the model sees them.",
            "Use model.image.resize=letterbox, which loses nothing.",
        ),
        Kind(
            "place",
            "note",
            "Photos that say where they were taken",
            "A GPS position in the metadata: often somebody's home. The position itself is not "
            "repeated here.",
            "Strip it before the photos are shared: exiftool -gps:all= -xmp:geotag= FOLDER",
        ),
        Kind(
            "serial",
            "note",
            "Photos that name the camera",
            "The serial number of a camera or lens, which ties photos to one person. The number "
            "itself is not repeated here.",
            "Strip it before the photos are shared: exiftool -*SerialNumber= FOLDER",
        ),
    )
}

DEFAULT_REMOVED = (
    "leak",
    "two_labels",
    "missing",
    "changed",
    "unreadable",
    "exact_copy",
    "near_copy",
    "blank",
)


def kinds_to_remove(words: str) -> tuple[str, ...]:
    """The kinds that a list with commas names; `default` stands for those that go anyway.

    Raises:
        UsageError: there is no such kind, or it is about labels and not files.
    """
    named: list[str] = []
    for word in filter(None, (word.strip() for word in words.split(","))):
        named += DEFAULT_REMOVED if word == "default" else (word,)
    known = [kind.name for kind in KINDS.values() if kind.removable]
    for name in named:
        if name not in known:
            raise UsageError(
                f"--remove names {name}, which is no finding that files can be removed for.",
                fix=f"choose from default, {', '.join(known)}",
            )
    return tuple(dict.fromkeys(named))


def worst(severities: Sequence[Severity]) -> Severity | None:
    """The worst of them."""
    return min(severities, key=SEVERITIES.index, default=None)
