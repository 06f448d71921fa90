"""Files of a folder that a stranger may have made: the names they may have, and how one is opened.

Nothing here follows a symbolic link below the folder, waits for a pipe, or opens a device.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

from kennel.errors import BundleError
from kennel.typed import quoted

MOST_FILES = 1000
MOST_BYTES_A_FILE = 2 * 2**30  # what protobuf, and so ONNX, can hold
MOST_BYTES = 8 * 2**30  # all files of a folder together
MOST_LETTERS = 255  # bytes of a name, as most file systems have it
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
UNSAFE = '\\:*?"<>|'  # what has a meaning on Windows; a drive's letter among it
COPY_FILES = "copy the folder with the files themselves instead of links: cp -rL"


def check_names(names: Iterable[str], *, taken: Iterable[str] = ()) -> None:
    """Whether every name means one file below the folder, the same one on every file system.

    Args:
        names: relative, with "/" between folders.
        taken: names that are somebody else's.
    Raises:
        ValueError: a name that does not, or two that mean the same file.
    """
    known = {_folded(name): name for name in taken}
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in re.split(r"[/\\]", name):
            raise ValueError(f"files names {quoted(name)}, which lies outside the bundle")
        for part in name.split("/"):
            if reason := _unfit(part):
                raise ValueError(f"files names {quoted(name)}, which {reason}")
        if _folded(name) in known:
            raise ValueError(
                f"files names {quoted(name)}, which may be the same file as "
                f"{quoted(known[_folded(name)])}"
            )
        known[_folded(name)] = name
    if len(known) > MOST_FILES:
        raise ValueError(f"files names {len(known)} files; {MOST_FILES} are allowed")


def _unfit(part: str) -> str | None:
    """Why one part of a path is no plain name, or None where it is."""
    if part in ("", ".", ".."):
        return "has a part that is no name"
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in part):
        return "has a character that cannot be seen"
    if any(letter in part for letter in UNSAFE):
        return f"has one of {' '.join(UNSAFE)}"
    if part[-1] in ". ":
        return "ends in a dot or a blank"
    if DEVICES.fullmatch(part):
        return "is a device on Windows"
    if len(part.encode()) > MOST_LETTERS:
        return f"is longer than {MOST_LETTERS} bytes"
    return None


def _folded(name: str) -> str:
    """The same for names that some file system takes for one: by case, by Unicode form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@contextmanager
def opened(folder: Path, name: str, *, fix: str) -> Iterator[BufferedReader]:
    """A regular file below `folder`, open for reading.

    Args:
        folder: may itself be reached through a link: that is the user's own.
        name: relative, with "/" between folders.
        fix: what to do where it is not there.
    Raises:
        BundleError: it is missing, or it or a folder on the way to it is a link or something else.
    """
    path = folder / name
    try:
        file = os.fdopen(_descriptor(folder, name.split("/"), path), "rb")
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing.", fix=fix) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", fix=fix) from error
    with file:
        yield file


def _descriptor(folder: Path, parts: list[str], path: Path) -> int:
    """Opens part by part, each below the one before, so that nothing can be swapped on the way."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            _refuse_other_kinds(
                os.stat(part, dir_fd=here, follow_symlinks=False), path, folder=True
            )
            inner = os.open(
                part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
            )
            os.close(here)
            here = inner
        _refuse_other_kinds(os.stat(parts[-1], dir_fd=here, follow_symlinks=False), path)
        # Without blocking: were it a pipe by now, opening it would wait for a writer.
        file = os.open(
            parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here
        )
        try:
            _refuse_other_kinds(os.fstat(file), path)
        except BaseException:
            os.close(file)
            raise
        return file
    finally:
        os.close(here)


def _refuse_other_kinds(found: os.stat_result, path: Path, *, folder: bool = False) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise BundleError(f"{path} is, or lies behind, a symbolic link.", fix=COPY_FILES)
    if not (stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)):
        raise BundleError(
            f"{path} is {_kind(found.st_mode)}, not a regular file.",
            fix="do not use this folder: no bundle of kennel's has such a thing in it",
        )


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "below a file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return name
    return "a device"
