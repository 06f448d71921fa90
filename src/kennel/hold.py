"""Who works in a folder right now: a mark that the system takes away with the process that made it.

The mark is a locked file. Its lock ends with its process, however that ends; so a folder whose mark
lies there unlocked was left by a process that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from kennel.errors import RunError

MARK = ".going-on"


class Hold(Enum):
    """What a folder's mark says."""

    NONE = "no mark: nobody said that he works here"
    HELD = "a process works here"
    LEFT = "a process worked here and was killed"


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Marks `folder`, which exists, as worked in until the block ends.

    Raises:
        RunError: another process works in it.
    """
    mark = folder / MARK
    descriptor = _locked(mark, os.O_RDWR | os.O_CREAT)
    try:
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)  # while the lock is held: nobody else's is unlinked
    finally:
        os.close(descriptor)


@contextmanager
def locking(path: Path) -> Iterator[None]:
    """Holds the lock of a file or folder that is there until the block ends, which may remove it.

    Raises:
        RunError: another process holds it.
        OSError: it cannot be opened.
    """
    descriptor = _locked(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        yield
    finally:
        os.close(descriptor)


def who_holds(folder: Path) -> Hold:
    """Whether a process works in `folder`. Changes nothing."""
    mark = folder / MARK
    if not mark.exists():
        return Hold.NONE
    return Hold.HELD if is_locked(mark) else Hold.LEFT


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file or folder; also where that cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies at `path`: who held its lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _locked(path: Path, flags: int) -> int:
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, path)
            if is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"another process is at work in {path.parent if path.name == MARK else path}.",
            fix="wait for it to end, or choose another paths.output_dir",
        ) from None
    except OSError as error:  # a file system without locks: nobody can be asked
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
