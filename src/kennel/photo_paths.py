"""The photos that a command names: files, folders, and lists of files. Streamed, in order.

However many photos there are, what is held is the names of one folder at a time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kennel.decoding import PHOTO_SUFFIXES
from kennel.errors import UsageError

MOST_NAME_BYTES = 1 << 16  # of one name in a list: systems take 4096
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Named:
    """One photo that was named.

    Attributes:
        name: as it was named, or found below a folder that was.
        place: relative path of what is made of it: below the folder, or the file's own name.
    """

    name: str
    place: Path


class PhotoList:
    """File names from a list: one a line, or with a NUL behind each, as `find -print0` gives them.

    A list that holds a NUL anywhere in its first names is of the second kind, which alone can say
    names with newlines in them. Names keep their bytes, whether they are UTF-8 or not.

    Args:
        file: open, at its beginning; what cannot be read twice is copied into a temporary file.
        said: what to call it in messages.
    """

    def __init__(self, file: BinaryIO, *, said: str) -> None:
        self._file, self.said = file, said
        if not file.seekable():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the list
            shutil.copyfileobj(file, self._file)
            self._file.seek(0)
        beginning = self._file.read(_BLOCK)
        self._ends_with = b"\0" if b"\0" in beginning else b"\n"
        self._begins = len(BOM_UTF8) if beginning.startswith(BOM_UTF8) else 0

    def __iter__(self) -> Iterator[str]:
        """Names in order; empty lines are none."""
        self._file.seek(self._begins)
        rest = b""
        while block := self._file.read(_BLOCK):
            *whole, rest = (rest + block).split(self._ends_with)
            if len(rest) > MOST_NAME_BYTES:
                raise UsageError(
                    f"{self.said} has a line of more than {MOST_NAME_BYTES} bytes: it is no list "
                    "of names.",
                    fix="give a path a line, as find prints them",
                )
            yield from filter(None, map(self._name, whole))
        if name := self._name(rest):
            yield name

    def _name(self, line: bytes) -> str:
        if self._ends_with == b"\n":
            line = line.removesuffix(b"\r")
        return os.fsdecode(line)


def open_list(path: Path) -> PhotoList:
    """The list in a file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return PhotoList(path.open("rb"), said=str(path))
    except OSError as error:
        raise UsageError(
            f"{path}, the list of photos, cannot be read: {error.strerror or error}.",
            fix="name a file with a path a line, or - for stdin",
        ) from error


@dataclass(frozen=True)
class Photos:
    """The photos that were named, to be gone through as often as is needed.

    Attributes:
        paths: files, and folders whose photos are all meant. A photo that several of them name
            comes once, where it is named first.
        listed: names of files; each comes as often as it is named.
    """

    paths: Sequence[Path]
    listed: PhotoList | None = None
    _known: dict[Path, int] = field(init=False, default_factory=dict)  # path -> its first place

    def __post_init__(self) -> None:
        for place, path in enumerate(self.paths):
            self._known.setdefault(path, place)

    def __iter__(self) -> Iterator[Named]:
        """
        Raises:
            UsageError: a folder has no photo in it.
        """
        for place, path in enumerate(self.paths):
            if self._known[path] != place:
                continue
            if not path.is_dir():
                if not self._before(path, place):
                    yield Named(str(path), Path(path.name))
                continue
            some = False
            for photo in _below(path):
                some = True
                if not self._before(photo, place):
                    yield Named(str(photo), photo.relative_to(path))
            if not some:
                raise UsageError(
                    f"{path} has no photo in it.",
                    fix=f"photos end in {', '.join(sorted(PHOTO_SUFFIXES))}",
                )
        for name in self.listed or ():
            yield Named(name, Path(Path(name).name))

    def count(self) -> int:
        """How many there are. Opens none of them.

        Raises:
            UsageError: a folder has no photo in it.
        """
        return sum(1 for _ in self)

    def _before(self, photo: Path, place: int) -> bool:
        """Whether one of the paths before `place` names the photo, too."""
        if not place:
            return False
        if self._known.get(photo, place) < place:
            return True
        within = any(self._known.get(folder, place) < place for folder in photo.parents)
        return within and _is_photo(photo.name) and photo.is_file()


def _below(folder: Path) -> Iterator[Path]:
    """Photos of a folder and its folders, sorted as `sorted()` has paths. Hidden files are none."""
    with os.scandir(folder) as found:
        names = sorted((e.name, e.is_dir(follow_symlinks=False), e.is_file()) for e in found)
    for name, is_folder, is_file in names:
        if is_folder:
            yield from _below(folder / name)
        elif is_file and _is_photo(name):
            yield folder / name


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(PHOTO_SUFFIXES)
