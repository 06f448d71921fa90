"""What was measured -> what was found. N photos."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from kennel.audit.kinds import KINDS, Severity
from kennel.audit.labels import FOLDS, Suspect, out_of_fold, wrong_labels
from kennel.audit.measures import LOOKED_AT, Measures
from kennel.audit.pictures import Pictures
from kennel.audit.subject import Subject
from kennel.bundle import Preprocess, ResizeRule
from kennel.copies import clusters
from kennel.dataset import Dataset, Photo
from kennel.images import kept_share
from kennel.intervals import wilson
from kennel.splits import FRACTIONS, SPLITS

Features = Callable[[Dataset, Sequence[Photo]], NDArray[np.float32]]


@dataclass(frozen=True)
class Thresholds:
    """From where on something is a finding: docs/decisions/0008-what-an-audit-believes.md says why.

    Attributes:
        tiny_side: pixels of the short side; fewer is tiny.
        least_sharpness: variance of the Laplacian at a short side of LOOKED_AT; less is blurred.
        least_contrast: standard deviation of the channel with most; less is blank.
        darkest: 95th percentile of grey; less is too dark.
        lightest: 5th percentile of grey; more is too light.
        widest: long side over short side; more is extreme.
        least_kept: share of the area that the resize rule keeps; less is lost area.
        thin: distinct pictures of a label; fewer is thin.
        leaking: share of files that a random split would put beside a copy in train; more is one.
        imbalance: distinct pictures of the largest label over those of the smallest; more is one.
    """

    tiny_side: int = 64
    least_sharpness: float = 20.0
    least_contrast: float = 4.0
    darkest: int = 40
    lightest: int = 225
    widest: float = 3.0
    least_kept: float = 0.5
    thin: int = 50
    imbalance: float = 5.0
    leaking: float = 0.01


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: a name of KINDS.
        severity: of the kind, except that a folder lists no file that it lost.
        paths: files that it is about, side by side; empty where it is about a label.
        detail: what was found, in words.
        label: where it is about a label.
    """

    kind: str
    severity: Severity
    paths: tuple[str, ...]
    detail: str
    label: str = ""


@dataclass(frozen=True)
class LabelCheck:
    """What the search for wrong labels saw.

    Attributes:
        skipped: why it was not done, or judges nothing; "" where it was.
        n: photos it looked at, one of each picture and label.
        agreement: share of them whose label is the most probable one, out of fold.
        left_out: labels with too few pictures to be checked.
        suspects: rows are those of the photos.
    """

    skipped: str = ""
    n: int = 0
    agreement: float = 0.0
    left_out: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)  # of the labels 0..K-1 in suspects


def check_labels(
    subject: Subject, measures: Measures, pictures: Pictures, features: Features, *, seed: int
) -> LabelCheck:
    """Looks for likely wrong labels, on one photo of each picture and label.

    Args:
        features: gives Float32[N, D] of photos, by a frozen backbone.
    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    photos = subject.photos
    joined = _together(photos, pictures)
    chosen: dict[tuple[int, str], int] = {}
    for at, picture in enumerate(pictures.of):
        if picture >= 0:
            chosen.setdefault((picture, photos[at].label), at)
    groups: dict[str, set[int]] = defaultdict(set)
    for at in chosen.values():
        groups[photos[at].label].add(joined[at])
    thin = tuple(label for label in subject.labels if len(groups[label]) < FOLDS)
    names = tuple(label for label in subject.labels if label not in thin)
    if len(names) < 2:
        few = f"fewer than two labels have {FOLDS} distinct pictures that can be read"
        return LabelCheck(skipped=few, left_out=thin)
    rows = [at for at in chosen.values() if photos[at].label in names]
    seen = features(
        subject.with_sha256s(measures.sha256), [_now(photos[at], measures, at) for at in rows]
    )
    given = np.array([names.index(photos[at].label) for at in rows], np.int64)
    probabilities = out_of_fold(seen, given, [joined[at] for at in rows], seed=seed)
    right, most = int((probabilities.argmax(axis=1) == given).sum()), np.bincount(given)
    agreement = right / len(given)
    if wilson(right, len(given))[0] <= most.max() / len(given):
        blind = (
            f"a classifier on frozen features agrees with {agreement:.1%} of {len(given):,} "
            f"labels, no better than always answering {names[most.argmax()]}; it cannot tell these "
            "labels apart"
        )
        return LabelCheck(blind, len(rows), agreement, thin)
    suspects = [
        Suspect(rows[s.at], s.suggested, s.own, s.other) for s in wrong_labels(probabilities, given)
    ]
    return LabelCheck("", len(rows), agreement, thin, tuple(suspects), names)


def find(
    subject: Subject,
    measures: Measures,
    pictures: Pictures,
    labels: LabelCheck,
    *,
    preprocess: Preprocess,
    thresholds: Thresholds,
) -> list[Finding]:
    """All findings: worst first, then in the order of KINDS, then as the photos are sorted."""
    every: list[Finding] = [
        *_of_files(subject, measures),
        *_of_split(subject, pictures, thresholds),
        *_of_copies(subject, measures, pictures),
        *_of_labels(subject, pictures, labels, thresholds),
        *_of_photos(subject, measures, preprocess, thresholds),
    ]
    order = {name: place for place, name in enumerate(KINDS)}
    return sorted(every, key=lambda finding: (_rank(finding.severity), order[finding.kind]))


def lost_under(measures: Measures, *, size: int, least: float) -> dict[str, int]:
    """How many photos each resize rule cuts to less than `least` of their area."""
    rules: tuple[ResizeRule, ...] = get_args(ResizeRule)
    return {rule: len(_cut(measures, plain(rule, size), least)) for rule in rules}


def plain(resize: ResizeRule, size: int = LOOKED_AT) -> Preprocess:
    """A specification by its rule alone; only the share of the area that it keeps is asked."""
    return Preprocess(size=size, mean=(0.5,) * 3, std=(0.5,) * 3, resize=resize)


def _rank(severity: Severity) -> int:
    return get_args(Severity).index(severity)


def _finding(kind: str, paths: Iterable[str], detail: str, *, label: str = "") -> Finding:
    return Finding(kind, KINDS[kind].severity, tuple(paths), detail, label)


def _of_files(subject: Subject, measures: Measures) -> Iterator[Finding]:
    listed: Severity = "error" if subject.index else "warning"  # a folder promises nothing
    for at, why in measures.missing.items():
        yield Finding("missing", listed, (subject.photos[at].path,), why)
    for at, why in measures.unreadable.items():
        yield Finding("unreadable", listed, (subject.photos[at].path,), why)
    for left_out in subject.left_out:
        yield Finding("unreadable", "warning", (left_out.path,), left_out.reason)
    for photo, sha256 in zip(subject.photos, measures.sha256, strict=True):
        if photo.sha256 and sha256 and photo.sha256 != sha256:
            detail = f"sha256 {sha256[:12]}..., indexed as {photo.sha256[:12]}..."
            yield _finding("changed", [photo.path], detail)


def _of_split(subject: Subject, pictures: Pictures, thresholds: Thresholds) -> Iterator[Finding]:
    """What a random split would do to photos that are not split yet."""
    leaking = pictures.leaking_share(FRACTIONS[0])
    if not subject.is_split and leaking > thresholds.leaking:
        files = sum(map(len, pictures.rows.values()))
        yield _finding(
            "random_leak",
            [],
            f"{files:,} files show {len(pictures.rows):,} pictures: of the test files of a random "
            f"split, {leaking:.1%} would also stand in train",
        )


def _of_copies(subject: Subject, measures: Measures, pictures: Pictures) -> Iterator[Finding]:
    photos = subject.photos
    for picture, rows in pictures.rows.items():
        if len(rows) < 2:
            continue
        paths = [photos[at].path for at in rows]
        contents: dict[str, list[int]] = defaultdict(list)
        for at in rows:
            contents[measures.sha256[at]].append(at)
        closest = pictures.closest.get(picture)
        how = "the same bytes"
        if closest:
            how = f"near copies, similarity {closest.similarity:.2f}"
            how += ", mirrored" if closest.mirrored else ""
        splits = {photos[at].split for at in rows}
        if len(splits) > 1:
            apart = " and ".join(split for split in SPLITS if split in splits)
            yield _finding("leak", paths, f"in {apart}: {how}")
        labels = sorted({photos[at].label for at in rows})
        if len(labels) > 1:
            yield _finding("two_labels", paths, f"as {' and as '.join(labels)}: {how}")
        for same in contents.values():
            if len(same) > 1:
                some = [photos[at].path for at in same]
                yield _finding("exact_copy", some, f"{len(same)} files with the same bytes")
        if len(contents) > 1:
            some = [photos[same[0]].path for same in contents.values()]
            yield _finding("near_copy", some, f"{len(contents)} different files: {how}")


def _of_labels(
    subject: Subject, pictures: Pictures, labels: LabelCheck, thresholds: Thresholds
) -> Iterator[Finding]:
    photos = subject.photos
    for suspect in labels.suspects:
        photo, other = photos[suspect.at], labels.names[suspect.suggested]
        copies = [
            photos[at].path
            for at in pictures.rows[pictures.of[suspect.at]]
            if photos[at].label == photo.label and at != suspect.at
        ]
        detail = (
            f"labelled {photo.label} ({suspect.own:.0%} likely), looks like {other} "
            f"({suspect.other:.0%} likely)"
        )
        yield _finding("wrong_label", [photo.path, *copies], detail, label=other)
    seen = {(picture, photos[at].label) for at, picture in enumerate(pictures.of) if picture >= 0}
    distinct = Counter(label for _, label in seen)
    for label in subject.labels:
        if distinct[label] < thresholds.thin:
            detail = f"{label}: {distinct[label]:,} distinct pictures"
            yield _finding("thin_label", [], detail, label=label)
    by_size = sorted(subject.labels, key=lambda label: (distinct[label], label))
    least, most = by_size[0], by_size[-1]
    if distinct[most] > thresholds.imbalance * distinct[least]:
        detail = (
            f"{most} has {distinct[most]:,} distinct pictures, {least} {distinct[least]:,}; always "
            f"answering {most} is right on {distinct[most] / distinct.total():.0%}"
        )
        yield _finding("imbalance", [], detail, label=most)


def _of_photos(
    subject: Subject, measures: Measures, preprocess: Preprocess, thresholds: Thresholds
) -> Iterator[Finding]:
    def about(kind: str, rows: Iterable[int], detail: Callable[[int], str]) -> Iterator[Finding]:
        for at in rows:
            yield _finding(kind, [subject.photos[at].path], detail(int(at)))

    readable = measures.readable
    short, long = measures.size.min(axis=1), measures.size.max(axis=1)
    blank = readable & (measures.contrast < thresholds.least_contrast)
    tiny = readable & (short < thresholds.tiny_side)
    extreme = readable & (long > thresholds.widest * short)
    dark = readable & ~blank & (measures.dark < thresholds.darkest)
    light = readable & ~blank & (measures.light > thresholds.lightest)
    soft = measures.sharpness < thresholds.least_sharpness
    blurred = readable & soft & ~(blank | dark | light)  # whose edges are faint for another reason

    def sides(at: int) -> str:
        return "{} x {} pixels".format(*measures.size[at])

    def sharpness(at: int) -> str:
        return f"sharpness {measures.sharpness[at]:.1f} of {thresholds.least_sharpness:g}"

    def grey(at: int) -> str:
        if dark[at]:
            return f"95 % of it is darker than {measures.dark[at]} of 255"
        return f"95 % of it is lighter than {measures.light[at]} of 255"

    cut = _cut(measures, preprocess, thresholds.least_kept)
    yield from about("blank", _rows(blank), lambda at: f"contrast {measures.contrast[at]:.1f}")
    yield from about("blurred", _rows(blurred), sharpness)
    yield from about("tiny", _rows(tiny), sides)
    yield from about("extreme_aspect", _rows(extreme), sides)
    yield from about("exposure", _rows(dark | light), grey)
    yield from about("lost_area", cut, lambda at: f"{sides(at)}: {cut[at]:.0%} of it is kept")
    yield from about("place", _rows(measures.place), lambda at: "a GPS position")
    yield from about("serial", _rows(measures.serial), lambda at: "a serial number")


def _cut(measures: Measures, preprocess: Preprocess, least: float) -> Mapping[int, float]:
    """Kept share of photos of which less than `least` is kept, by row."""
    kept = {
        at: kept_share(int(measures.size[at, 0]), int(measures.size[at, 1]), preprocess)
        for at in _rows(measures.readable)
    }
    return {at: share for at, share in kept.items() if share < least}


def _rows(mask: NDArray[np.bool_]) -> list[int]:
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows


def _together(photos: Sequence[Photo], pictures: Pictures) -> list[int]:
    """Photos that no fold may part: of one picture, or of one group of the index."""
    first: dict[object, int] = {}
    pairs = []
    for at, (photo, picture) in enumerate(zip(photos, pictures.of, strict=True)):
        keys: list[object] = [("picture", picture)] if picture >= 0 else []
        keys += [("group", photo.group)] if photo.group else []
        pairs += [(first.setdefault(key, at), at) for key in keys]
    return clusters(len(photos), pairs)


def _now(photo: Photo, measures: Measures, at: int) -> Photo:
    return Photo(photo.path, photo.label, photo.split, measures.sha256[at], photo.group)
