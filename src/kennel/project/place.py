"""Where a project may be made, and how its folder appears: whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kennel.errors import KennelError, UsageError

SHOWN = 3  # of the files that are in the way


def refuse_taken(folder: Path) -> None:
    """Refuses a place that holds something.

    Raises:
        KennelError: it is a file, a link that leads nowhere, or a folder that is not empty.
    """
    fix = "name a folder that does not exist yet, or an empty one"
    if folder.is_symlink() and not folder.exists():
        raise KennelError(f"{folder} is a link that leads nowhere.", fix=fix)
    if not folder.exists():
        above = next(each for each in folder.parents if each.exists())
        if not above.is_dir():
            raise KennelError(f"{above} is a file.", fix=fix)
        return
    if not folder.is_dir():
        raise KennelError(f"{folder} is a file.", fix=fix)
    names = sorted(each.name for each in folder.iterdir())
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise KennelError(
            f"{folder} is not empty: {', '.join(map(repr, names[:SHOWN]))}{more}. Nothing was "
            "overwritten.",
            fix=fix,
        )


def refuse_name(path: Path, *, what: str, signs: str) -> None:
    """Refuses a path with signs in it that make, DVC or a shell cannot carry.

    Args:
        signs: those that are refused; control characters and what is not UTF-8 always are.
    Raises:
        UsageError: it has one.
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{what} {text!r} is not UTF-8, and files of a project are.", fix="give it another name"
        ) from None
    bad = sorted({sign for sign in text if sign in signs or not sign.isprintable()})
    if bad:
        raise UsageError(
            f"{what} {text!r} has {', '.join(map(repr, bad))} in its path.",
            fix=f"another name, or a link to it: ln -s ... {what}",
        )


def named_path(path: Path) -> Path:
    """An absolute path by the names that were given, links and all."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when all is written.

    A new folder is renamed into its place. One that is there, and empty, stays the same folder,
    since somebody may stand in it or have mounted it: what was written is moved into it.

    Raises whatever writing raises, leaving everything as it was.
    """
    there = folder.is_dir()
    made = [] if there else _make(folder.parent)
    parts: Path | None = None
    try:
        parts = _beside(folder, inside=there)
        yield parts
        if there:
            _move_out(parts, folder)
        else:
            parts.chmod(0o777 & ~_umask())
            parts.rename(folder)
    except BaseException:
        if parts is not None:
            shutil.rmtree(parts, ignore_errors=True)
        for each in made:
            each.rmdir()
        raise


def write(path: Path, content: bytes, *, executable: bool = False) -> None:
    """Writes a file and flushes it to disk, with folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if executable:
        path.chmod(path.stat().st_mode | 0o111 & ~_umask())


def _beside(folder: Path, *, inside: bool) -> Path:
    """A new folder where `folder` will be, or in it. What cannot be written is called `folder`."""
    try:
        made = tempfile.mkdtemp(
            prefix=f".{folder.name}.", suffix=".part", dir=folder if inside else folder.parent
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return Path(made)


def _make(folder: Path) -> list[Path]:
    """Makes a folder and those above it; those that were made, the deepest first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    made: list[Path] = []
    try:
        for each in reversed(missing):
            each.mkdir()
            made.insert(0, each)
    except OSError:
        for each in made:
            each.rmdir()
        raise
    return made


def _move_out(parts: Path, folder: Path) -> None:
    """Moves everything one folder up, or nothing."""
    moved: list[Path] = []
    try:
        for each in sorted(parts.iterdir()):
            each.rename(folder / each.name)
            moved.append(folder / each.name)
        parts.rmdir()
    except BaseException:
        for each in moved:
            each.rename(parts / each.name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
