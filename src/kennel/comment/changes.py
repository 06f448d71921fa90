"""What differs between two runs besides their figures: settings, and photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kennel.comment.side import PLACES, Side, public
from kennel.splits import SPLITS

NOT_SET = ""  # where a key is not there at all


@dataclass(frozen=True)
class Change:
    """A setting; NOT_SET where one of both has no such key."""

    key: str
    before: str
    now: str


@dataclass(frozen=True)
class Settings:
    """What changed; `remark` says in words what cannot be told, and "" where all can."""

    changed: tuple[Change, ...]
    compared: int
    remark: str


@dataclass(frozen=True)
class Photos:
    """The index of both.

    Attributes:
        same: whether it is the same.
        before: photos by split, None where nobody wrote them down; `now` likewise.
        added: labels that are new. gone: labels that are no more.
        labels: label, photos before, photos now: those whose number changed, most first.
    """

    same: bool
    before: dict[str, int] | None
    now: dict[str, int] | None
    added: tuple[str, ...]
    gone: tuple[str, ...]
    labels: tuple[tuple[str, int, int], ...]


def settings_changed(first: Side, second: Side) -> Settings:
    """From the first to the second: the whole configuration where both runs are at hand, else what
    the commands named.
    """
    if first.settings is not None and second.settings is not None:
        before, now, remark = first.settings, second.settings, ""
    else:
        both = (("this", second), ("the other", first))
        why = "; ".join(
            f"of {which} {side.why_no_settings}" for which, side in both if side.settings is None
        )
        before, now = _told(first), _told(second)
        remark = (
            "Only what stands in both bundles and in the words of both commands is compared, not "
            f"the whole configuration: {why}."
        )
    keys = dict.fromkeys([*now, *before])
    changed = (Change(key, before.get(key, NOT_SET), now.get(key, NOT_SET)) for key in keys)
    return Settings(
        tuple(sorted((each for each in changed if each.before != each.now), key=lambda c: c.key)),
        len(keys),
        remark,
    )


def photos_changed(first: Side, second: Side) -> Photos:
    """From the first to the second."""
    before, now = _of_labels(first.counts), _of_labels(second.counts)
    differ = []
    if first.counts and second.counts:
        both = dict.fromkeys([*second.labels, *first.labels])
        differ = [(label, before.get(label, 0), now.get(label, 0)) for label in both]
        differ = [each for each in differ if each[1] != each[2]]
    return Photos(
        first.said.dataset_id == second.said.dataset_id,
        _of_splits(first.counts),
        _of_splits(second.counts),
        tuple(label for label in second.labels if label not in first.labels),
        tuple(label for label in first.labels if label not in second.labels),
        tuple(sorted(differ, key=lambda each: (-abs(each[2] - each[1]), each[0]))),
    )


def _told(side: Side) -> dict[str, str]:
    """What is known of a run's settings without its config.yaml."""
    of = side.bundle or side.run
    said = side.said
    told = {"seed": str(said.seed), "backbone": said.backbone.name}
    if of is not None:
        p = of.preprocess
        told |= {"image.size": str(p.size), "image.resize": p.resize, "image.filter": p.filter}
    for word in said.overrides:
        key, _, value = word.lstrip("+~").partition("=")
        if not PLACES.fullmatch(key):
            told[key] = public(key, value)
    return told


def _of_splits(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int] | None:
    found = {split: sum(counts[split].values()) for split in SPLITS if split in counts}
    return found or None


def _of_labels(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for of_label in counts.values():
        for label, n in of_label.items():
            found[label] = found.get(label, 0) + n
    return found
