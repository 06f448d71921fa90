"""`fetch`: one set of photos from its address to a folder a label, whole or not at all.

download   the archive, into a cache, checked
unpack     photos alone, into a folder beside the target that is renamed when it is whole
source.json   where they come from and under which licence, next to them
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from kennel import __version__
from kennel.bundle import build, write_json
from kennel.folders import SOURCE_JSON
from kennel.hold import is_at
from kennel.images import PHOTO_SUFFIXES
from kennel.machine import utc_now
from kennel.sources import FetchError
from kennel.sources.address import plain
from kennel.sources.archive import DamagedError, Limits
from kennel.sources.catalogue import Source, cache_name
from kennel.sources.download import (
    SPARE_BYTES,
    Checked,
    Download,
    OnBytes,
    Patience,
    download,
    forget,
)
from kennel.sources.layout import unpack

STAGED = ".part"  # suffix of the folder that is renamed when it is whole; kennel clean knows it


@dataclass(frozen=True)
class Record:
    """`source.json`: where the photos beside it come from.

    Attributes:
        url: of the archive, without what stood after `?`.
        sha256: of the archive. bytes: its size.
        checked: by which published checksum it was seen to be the right one.
        photos: label -> how many, over all splits.
        left_out: kind -> how many entries of the archive.
        path: the folder it lies in; no part of the document.
    """

    name: str
    url: str
    homepage: str
    licence: str
    terms: str
    citation: str
    sha256: str
    bytes: int
    checked: Checked
    photos: dict[str, int]
    left_out: dict[str, int]
    fetched_utc: str
    kennel: str
    path: Path = field(default=Path(), compare=False)


@dataclass(frozen=True)
class Fetched:
    """What `fetch` did. `there`: it had been done before. `archive`: where it was kept."""

    record: Record
    there: bool
    archive: Path | None = None


def fetch(
    source: Source,
    *,
    to: Path,
    downloads: Path,
    keep: bool = False,
    authorisation: str | None = None,
    patience: Patience | None = None,
    limits: Limits | None = None,
    on_bytes: OnBytes | None = None,
    on_photo: Callable[[], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Fetched:
    """Brings the photos of `source` into the folder `to`, a folder a label.

    Two calls for one source and cache follow each other; the second finds the work done.

    Args:
        to: new, empty, or filled by the same fetch before.
        downloads: where archives lie until their photos do, and what was begun of them.
        keep: whether the archive stays after that.
        authorisation: value of the Authorization header, for the source's own host.
        on_bytes: called with bytes there, and of how many.
        on_photo: called after each photo.
        say: called with sentences for people.
    Raises:
        FetchError: the archive cannot be had or trusted, `to` holds something else, or the disk is
            too full. `to` is then as it was.
    """
    say = say or (lambda _: None)
    there = _there(to, source)
    if there is not None:
        return Fetched(there, there=True)
    with _alone(downloads, source, say):
        there = _there(to, source)  # another may have brought it while this one waited
        if there is not None:
            return Fetched(there, there=True)
        done = download(
            source,
            folder=downloads,
            authorisation=authorisation,
            patience=patience,
            on_bytes=on_bytes,
            say=say,
        )
        if done.checked == "nothing":
            say(f"no checksum is published for it; what came has the sha256 {done.sha256}")
        try:
            record = _settle(done, source, to, limits or Limits(), on_photo)
        except DamagedError:
            forget(done)  # or the same would be unpacked again
            raise
        except FetchError as error:
            raise FetchError(
                f"{error.message} The archive lies in {done.path}.", fix=error.fix
            ) from error
        if keep:
            return Fetched(record, there=False, archive=done.path)
        forget(done)
        return Fetched(record, there=False)


def read_record(folder: Path) -> Record | None:
    """The `source.json` of a folder of photos, or None where it has none that can be read."""
    try:
        values = json.loads((folder / SOURCE_JSON).read_text(encoding="utf-8"))
        record: Record = build(Record, {**values, "path": folder})
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return record


def _there(to: Path, source: Source) -> Record | None:
    """What `to` holds where the same fetch filled it; None where it is free to be filled."""
    if not to.exists() and not to.is_symlink():
        return None
    if not to.is_dir():
        raise FetchError(f"{to} is a file.", fix="name another folder with --to")
    if not any(to.iterdir()):
        if to.samefile(Path.cwd()) or to.resolve().is_mount():
            raise FetchError(
                f"{to} is the folder you are in or a disk of its own, which nothing can replace.",
                fix=f"name a folder in it: --to {to / source.name}",
            )
        return None
    record = read_record(to)
    if (
        record is None
        or (record.name, record.url) != (source.name, plain(source.url))
        or source.sha256 not in (None, record.sha256)
    ):
        of = f" {record.name}, fetched from {record.url}," if record else " something"
        raise FetchError(
            f"{to} holds{of} already.", fix="name another folder with --to; nothing is overwritten"
        )
    expected, found = sum(record.photos.values()), _count_photos(to)
    if found != expected:
        raise FetchError(
            f"{to} had {expected:,} photos when they were fetched, and has {found:,} now.",
            fix="fetch into another folder with --to, or move this one away",
        )
    return record


def _count_photos(folder: Path) -> int:
    return sum(
        os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES  # noqa: PTH122 - names, not paths
        for _, _, names in os.walk(folder)
        for name in names
    )


@contextmanager
def _alone(downloads: Path, source: Source, say: Callable[[str], None]) -> Iterator[None]:
    """One fetch of a source at a time. The lock ends with the process, however that ends."""
    path = downloads / f"{cache_name(source)}.lock"
    while True:
        downloads.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another fetch of {source.name} is under way; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if is_at(lock.fileno(), path):  # else kennel clean has removed it meanwhile
                yield
                return


def _settle(
    done: Download,
    source: Source,
    to: Path,
    limits: Limits,
    on_photo: Callable[[], None] | None,
) -> Record:
    """Unpacks an archive beside the target, and gives it the target's name when it is whole."""
    target = to.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if done.bytes + SPARE_BYTES > free:
        raise FetchError(
            f"the photos need at least {done.bytes / 1e9:.2f} GB, and {target.parent} has "
            f"{free / 1e9:.2f} GB free.",
            fix="make room, or name a folder on another disk with --to",
        )
    with _staged(target) as staged:
        unpacked = unpack(done.path, into=staged, source=source, limits=limits, on_photo=on_photo)
        record = Record(
            name=source.name,
            url=plain(source.url),
            homepage=source.homepage,
            licence=source.licence,
            terms=source.terms,
            citation=source.citation,
            sha256=done.sha256,
            bytes=done.bytes,
            checked=done.checked,
            photos=unpacked.photos,
            left_out=unpacked.left_out,
            fetched_utc=utc_now(),
            kennel=__version__,
            path=to,
        )
        document = asdict(record)
        del document["path"]
        write_json(staged / "done" / SOURCE_JSON, document)
        try:
            (staged / "done").rename(target)
        except OSError as error:
            if target.is_dir() and any(target.iterdir()):
                raise FetchError(
                    f"{to} was filled by somebody else meanwhile.",
                    fix="name another folder with --to",
                ) from error
            raise
    return record


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside the target that is gone afterwards; those of killed fetches go now."""
    prefix = f".{target.name}."
    made = re.compile(re.escape(prefix) + "[a-z0-9_]{8}" + re.escape(STAGED))  # by mkdtemp
    for left in target.parent.iterdir():
        if made.fullmatch(left.name) and left.is_dir():
            _remove_unless_locked(left)
    staged, lock = _locked_folder(target.parent, prefix)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(mkdtemp(prefix=prefix, suffix=STAGED, dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # swept away by another fetch before it was locked


def _remove_unless_locked(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
