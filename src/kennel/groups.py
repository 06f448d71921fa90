"""Which photos belong together, so that no split parts them: copies of a file, photos that show one
picture, and what a regular expression says (one dog, one burst).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kennel.copies import SIDE, clusters, find_copies, sketch
from kennel.errors import PhotoError, UsageError
from kennel.folders import Found, Skipped
from kennel.images import open_photo
from kennel.machine import usable_cores
from kennel.splits import group_of

MAX_BYTES = 1 << 30  # of a file: more than the most pixels that are read, stored plainly


@dataclass(frozen=True)
class Grouping:
    """A photo that can be read. `split` is None unless the photos came split."""

    path: str
    label: str
    split: str | None
    sha256: str
    group: str


@dataclass(frozen=True)
class Grouped:
    """Photos that can be read, in the order they were found, and those that cannot.

    `pictures` is how many there would be without copies; `by_pattern` says whether a pattern was
    asked too; `warnings` say what is surprising.
    """

    photos: tuple[Grouping, ...]
    skipped: tuple[Skipped, ...]
    pictures: int
    by_pattern: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Earlier:
    """What an earlier index knows: (rank of the split, group) by sha256, and part by group."""

    groups: Mapping[str, tuple[int, str]]
    parts: Mapping[str, str]


def pattern_of(group_by: str) -> re.Pattern[str]:
    """The regular expression, compiled.

    Raises:
        UsageError: it is none.
    """
    try:
        return re.compile(group_by)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--group-by is {group_by}, which is no regular expression: {error}.",
            fix=r"such as --group-by '(\w+)_\d+\.jpg' for rex_01.jpg, rex_02.jpg",
        ) from error


def group_photos(
    found: Found,
    *,
    pattern: re.Pattern[str] | None,
    earlier: Earlier,
    on_photo: Callable[[Path], None] | None = None,
    on_compared: Callable[[int, int], None] | None = None,
) -> Grouped:
    """Reads the photos and says which belong together.

    A group is called after the smallest sha256 in it, or after what the pattern found; but as
    before where an earlier index knows some of it. Where that knows several, a photo has come that
    joins them: all get the name of the one that was learned from, as what was learned from must
    never be measured on.

    Args:
        pattern: searched in each path; photos for which it finds the same belong together.
        on_photo: called with each file after it was read, in order.
        on_compared: called with how many of how many different files were compared.
    """
    photos, skipped = [], []
    places: dict[str, int] = {}  # sha256 -> its sketch
    sketches = np.empty((len(found.photos), SIDE, SIDE), np.uint8)
    files = [found.root / photo.path for photo in found.photos]
    with closing(_read_all(files)) as reads:
        for photo, file, read in zip(found.photos, files, reads, strict=True):
            if isinstance(read, str):
                skipped.append(Skipped(photo.path, read))
            else:
                place = places.setdefault(read.sha256, len(places))
                sketches[place] = read.sketch
                photos.append(Grouping(photo.path, photo.label, photo.split, read.sha256, ""))
            if on_photo:
                on_photo(file)
    n = len(places)

    def share(done: float) -> None:
        if on_compared:
            on_compared(int(done * n), n)

    copies = find_copies(sketches[:n], on_share=share)
    pairs = [(copy.first, copy.second) for copy in copies]
    picture = clusters(n, pairs)
    pictures = [picture[places[photo.sha256]] for photo in photos]
    keys = [None if pattern is None else _key(pattern, photo.path) for photo in photos]
    together = clusters(len(photos), [*_alike(pictures), *_alike(keys)])
    named = _names(photos, keys, together, earlier)
    return Grouped(
        photos=tuple(
            Grouping(p.path, p.label, p.split, p.sha256, named[root])
            for p, root in zip(photos, together, strict=True)
        ),
        skipped=tuple(skipped),
        pictures=len(set(pictures)),
        by_pattern=pattern is not None,
        warnings=(*_strangers(photos, keys, pattern), *_still_together(photos, together, named)),
    )


def _key(pattern: re.Pattern[str], path: str) -> str | None:
    match = pattern.search(path)
    if match is None:
        return None
    parts = match.groups("") or (match.group(),)
    return "\0".join(parts) if any(parts) else None  # who finds nothing there has nothing in common


def _alike(keys: Sequence[object]) -> list[tuple[int, int]]:
    """Pairs that join all places of a key; None is no key."""
    first: dict[object, int] = {}
    return [(first.setdefault(key, at), at) for at, key in enumerate(keys) if key is not None]


def _names(
    photos: Sequence[Grouping],
    keys: Sequence[str | None],
    together: Sequence[int],
    earlier: Earlier,
) -> dict[int, str]:
    """The group's name by the first place in it."""
    members: dict[int, list[int]] = defaultdict(list)
    for at, root in enumerate(together):
        members[root].append(at)
    named = {}
    for root, places in members.items():
        known = [earlier.groups[s] for at in places if (s := photos[at].sha256) in earlier.groups]
        told = [key for at in places if (key := keys[at]) is not None]
        if known:
            named[root] = min(known)[1]
        elif told:
            named[root] = min(_hashed(key) for key in told)
        else:
            named[root] = min(group_of(photos[at].sha256) for at in places)
    return named


def _hashed(key: str) -> str:
    return group_of(hashlib.sha256(f"group-by:{key}".encode()).hexdigest())


def _strangers(
    photos: Sequence[Grouping], keys: Sequence[str | None], pattern: re.Pattern[str] | None
) -> tuple[str, ...]:
    strangers = [photo.path for photo, key in zip(photos, keys, strict=True) if key is None]
    if pattern is None or not strangers:
        return ()
    return (
        f"--group-by finds nothing in {len(strangers):,} of {len(photos):,} paths (such as "
        f"{strangers[0]}), which are grouped by their content alone: look at the expression",
    )


def _still_together(
    photos: Sequence[Grouping], together: Sequence[int], named: Mapping[int, str]
) -> tuple[str, ...]:
    """Says where nothing joins photos any more but the name that the earlier index gave them."""
    roots: dict[str, list[int]] = defaultdict(list)
    for root in dict.fromkeys(together):
        roots[named[root]].append(root)
    kept = [several for several in roots.values() if len(several) > 1]
    if not kept:
        return ()
    first, second = (photos[root].path for root in kept[0][:2])
    more = f" (and so do {len(kept) - 1:,} more)" if len(kept) > 1 else ""
    return (
        f"{first} and {second} stay one group{more} only because the index at --to has it: "
        "to group anew, index into another file",
    )


@dataclass(frozen=True, eq=False)
class _Read:
    sha256: str
    sketch: NDArray[np.uint8]


def _read_all(files: Sequence[Path]) -> Generator[_Read | str, None, None]:
    """`_read` of each file, in order, in as many threads as there are cores."""
    pool = ThreadPoolExecutor(usable_cores())  # Pillow decodes without the interpreter's lock
    try:
        yield from pool.map(_read, files)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the rest is not waited for


def _read(file: Path) -> _Read | str:
    """sha256 and sketch of a photo that decodes to its last byte, or why it does not."""
    try:
        if not file.is_file():
            lost = file.is_symlink() and not file.exists()
            return "a link to a file that is not there" if lost else "not a regular file"
        if (size := file.stat().st_size) > MAX_BYTES:
            return f"has {size / 1e9:,.1f} GB, and no photo has"
        content = file.read_bytes()
        image = open_photo(content, at_least=SIDE)  # a small scale is quick, and reads to the end
    except PhotoError as error:
        return error.message.rstrip(".")
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    return _Read(hashlib.sha256(content).hexdigest(), sketch(image))
