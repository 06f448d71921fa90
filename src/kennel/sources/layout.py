"""From the paths of an archive to a folder a label, as `kennel index` reads it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from kennel.folders import SPLIT_FOLDERS
from kennel.images import PHOTO_SUFFIXES
from kennel.sources import FetchError
from kennel.sources.archive import Entry, Limits, Parts, read_archive
from kennel.sources.catalogue import Source

NOTICE = re.compile(r"(licen[cs]e|copying|readme|citation|terms)[\w.-]*", re.IGNORECASE)
NOTICE_BYTES = 1 << 20


@dataclass(frozen=True)
class Unpacked:
    """What became of an archive.

    Attributes:
        photos: label -> how many.
        left_out: kind -> how many entries.
    """

    photos: dict[str, int]
    left_out: dict[str, int]


def unpack(
    archive: Path,
    *,
    into: Path,
    source: Source,
    limits: Limits,
    on_photo: Callable[[], None] | None = None,
) -> Unpacked:
    """Writes the photos of an archive, and what it says of its licence, into the folder `into`.

    A folder a label, or train and validation above the labels. What is no regular file, hidden, or
    no photo is left out and counted.

    Args:
        into: an empty folder of the caller's; what is in it after an error is his to remove.
    Raises:
        FetchError: the archive is damaged, not to be trusted, or holds no photos in folders.
    """
    photos, notices = into / "photos", into / "notices"
    photos.mkdir()
    notices.mkdir()
    names, left_out = _Names(), Counter[str]()
    placed: list[Parts] = []
    for entry in read_archive(archive, limits):
        why = _unwanted(entry)
        if why is None and _is_photo(entry):
            parts = _place(entry.parts, source)
            if parts is None:
                left_out["photos in no label's folder"] += 1
                continue
            names.take(parts)
            _write(entry, photos.joinpath(*parts))
            placed.append(parts)
            if on_photo is not None:
                on_photo()
        elif why is None and not (notices / entry.parts[-1]).exists():
            _write(entry, notices / entry.parts[-1])
        else:
            left_out[why or "other files"] += 1
    root = _root(placed, source, left_out)
    done = into / "done"
    photos.joinpath(*root).rename(done)
    for notice in sorted(notices.iterdir()):
        if not (done / notice.name).exists():
            notice.rename(done / notice.name)
    return Unpacked(
        dict(sorted(_labels([parts[len(root) :] for parts in placed]).items())),
        dict(sorted(left_out.items())),
    )


@dataclass
class _Names:
    """The paths taken so far. Two that some disk would take for one are refused: one would
    overwrite the other where capitals or the encoding of accents tell nothing.
    """

    taken: dict[str, tuple[Parts, str]] = field(default_factory=dict)

    def take(self, parts: Parts) -> None:
        for depth in range(1, len(parts)):
            self._take(parts[:depth], "folder")
        self._take(parts, "file")

    def _take(self, parts: Parts, kind: str) -> None:
        key = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if key not in self.taken:
            self.taken[key] = (parts, kind)
        elif kind == "file" or self.taken[key] != (parts, kind):
            raise FetchError(
                f"the archive holds {'/'.join(self.taken[key][0])!r} and {'/'.join(parts)!r}: "
                "one name, on some disks.",
                fix="unpack it yourself, rename one, and type kennel index FOLDER",
            )


def _unwanted(entry: Entry) -> str | None:
    if not entry.regular:
        return "links and devices"
    if any(part.startswith(".") or part == "__MACOSX" for part in entry.parts):
        return "hidden files"
    # As folders.py has it: what cannot stand in a csv cannot be indexed.
    if any(unicodedata.category(letter) in ("Cc", "Cs") for part in entry.parts for letter in part):
        return "names with control characters or not in UTF-8"
    if _is_photo(entry) or (NOTICE.fullmatch(entry.parts[-1]) and entry.size <= NOTICE_BYTES):
        return None
    return "other files"


def _is_photo(entry: Entry) -> bool:
    return Path(entry.parts[-1]).suffix.lower() in PHOTO_SUFFIXES


def _place(parts: Parts, source: Source) -> Parts | None:
    """Where a photo goes; None where its path says no label."""
    name = parts[-1]
    if source.layout == "file names":
        found = re.fullmatch(r"(.+)_\d+\.\w+", name)
        return (found[1], name) if found else None
    if source.layout == "wordnet":
        split = SPLIT_FOLDERS.get(parts[-3]) if len(parts) > 2 else None
        label = source.labels.get(parts[-2]) if len(parts) > 1 else None
        return (split, label, name) if split and label else None
    if source.layout == "prefixed":
        found = re.fullmatch(r"n\d+-(.+)", parts[-2]) if len(parts) > 1 else None
        return (found[1], name) if found else None
    return parts


def _root(placed: Sequence[Parts], source: Source, left_out: Counter[str]) -> Parts:
    """The folder whose folders are the labels: all photos lie below it, and none in it."""
    if not placed:
        rest = ", ".join(f"{count:,} {kind}" for kind, count in sorted(left_out.items()))
        raise FetchError(
            f"the archive holds no photos{f', but {rest}' if rest else ''}.",
            fix="name an archive with a folder of photos for each label; photos end in "
            + ", ".join(sorted(PHOTO_SUFFIXES)),
        )
    if source.layout != "folders":
        return ()
    above = {parts[:-1] for parts in placed}
    if () in above:
        direct = sum(len(parts) == 1 for parts in placed)
        raise FetchError(
            f"{direct:,} photos of the archive lie in no folder, so nothing says their labels.",
            fix="unpack it yourself, move the photos into a folder for each label, and type "
            "kennel index FOLDER",
        )
    low, high = min(above), max(above)  # what these two share, all between them do
    length = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    )
    shared = low[:length]
    return shared[:-1] if shared in above else shared


def _labels(placed: Sequence[Parts]) -> Counter[str]:
    presplit = all(parts[0].casefold() in SPLIT_FOLDERS and len(parts) > 2 for parts in placed)
    return Counter(parts[1 if presplit else 0] for parts in placed)


def _write(entry: Entry, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for piece in entry.pieces():
            file.write(piece)
