"""What interrupted work and old caches leave behind, and its removal.

Found by name and by content, in the places that Kennel's verbs write to and nowhere else; links are
never followed. Photos, indices, bundles, studies and finished runs are no leftovers.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kennel.errors import KennelError, RunError
from kennel.hold import MARK, Hold, holding, is_locked, locking, who_holds
from kennel.run import CONFIG_YAML, RUN_JSON, Run, checkpoints_of, read_run

Kind = Literal["cache", "downloads", "part", "run", "stopped run"]

STORES: dict[str, Kind] = {".kennel/cache": "cache", ".kennel/downloads": "downloads"}
RUNS = "runs"
WRITTEN_TO = ("answers", "audit", "bundles", "conf", "data", "photos", "registry", RUNS, "studies")
# kennel.bundle.replacing names its temporary file so, and kennel fetch the folder that it unpacks
# into and locks; kennel.learn.export puts a bundle together in a STAGE.
PART = re.compile(r"\..+\.[a-z0-9_]{8}\.part")
STAGE = re.compile(r"\.bundle-[a-z0-9_]{8}")
STAGED = {"model.onnx", "model.onnx.data", "README.md", "bundle.json"}
ABANDONED_S = 3600.0  # since it was last written to: nobody writes it any more


@dataclass(frozen=True)
class Leftover:
    """Something that may go.

    Attributes:
        path: below the project's folder.
        kind: "part" is an interrupted write; "run" an unfinished run that has nothing to go on
            from; "stopped run" one that has.
        why: what it is, in words.
    """

    path: Path
    kind: Kind
    why: str
    bytes: int
    files: int


@dataclass(frozen=True)
class Kept:
    """Something that looks like a leftover and stays; `why` says what to do about it."""

    path: Path
    why: str
    bytes: int


def find_leftovers(project: Path, *, now_s: float) -> tuple[list[Leftover], list[Kept]]:
    """All that may go from a project's folder, and what must stay. Changes nothing.

    Args:
        now_s: the time, seconds since the epoch.
    Raises:
        KennelError: `project` is the home folder or the root of the file system.
    """
    _refuse_wide(project)
    runs = list(_runs(project / RUNS))
    going_on = any(who_holds(run.path) is Hold.HELD for run in runs)
    found: list[Leftover | Kept] = []
    for name, kind in STORES.items():
        found += _store(project / name, kind, going_on=going_on, now_s=now_s)
    found += [_judged(run) for run in runs if run.status != "done"]
    unfinished = {each.path for each in found}
    found += _parts(project, unfinished, now_s=now_s)
    return (
        [each for each in found if isinstance(each, Leftover)],
        [each for each in found if isinstance(each, Kept)],
    )


def remove(leftover: Leftover) -> None:
    """Removes a leftover. Interrupted, it leaves one that is found again.

    Raises:
        RunError: a process works in it by now.
        OSError: something of it cannot be removed.
    """
    path = leftover.path
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    elif leftover.kind in ("run", "stopped run"):
        with holding(path):
            for each in sorted(path.iterdir()):
                if each.name not in (MARK, RUN_JSON, CONFIG_YAML):
                    _delete(each)
            (path / CONFIG_YAML).unlink(missing_ok=True)
            (path / RUN_JSON).unlink()  # last: what is left of it is a run until then
        path.rmdir()
    else:
        # What kennel.sources.fetch locks while it downloads and while it unpacks.
        locks = [path] if leftover.kind == "part" else sorted(path.glob("*.lock"))
        with ExitStack() as held:
            for lock in locks:
                held.enter_context(locking(lock))
            shutil.rmtree(path)


def _refuse_wide(project: Path) -> None:
    here = project.resolve()
    if here in (Path(here.anchor), Path.home().resolve()):
        raise KennelError(
            f"{here} is no project: nothing is removed from a home folder or a root.",
            fix="change to the folder that holds runs/ and .kennel/, then kennel clean",
        )


def _store(path: Path, kind: Kind, *, going_on: bool, now_s: float) -> Iterator[Leftover | Kept]:
    if path.is_symlink() or path.parent.is_symlink():
        yield Kept(path, "a link, and links are not followed: clean what it leads to by hand", 0)
        return
    if not path.is_dir():
        return
    size, files, in_use = 0, 0, ""
    for each, known in _files(path):
        size, files = size + known.st_size, files + 1
        if each.suffix == ".lock" and is_locked(each):
            in_use = "in use: photos are being fetched"
        elif PART.fullmatch(each.name) and now_s - known.st_mtime < ABANDONED_S:
            in_use = "in use: a file in it was being written within the last hour"
    if going_on and kind == "cache":
        in_use = "a run that is going on may read it"
    if in_use:
        yield Kept(path, in_use, size)
    elif kind == "cache":
        yield Leftover(path, kind, "made again when it is needed", size, files)
    else:
        yield Leftover(path, kind, "fetched again when they are needed", size, files)


def _runs(folder: Path) -> Iterator[Run]:
    """Every run at or below a folder; the runs of `-m` lie one deeper than others."""
    if folder.is_symlink() or not folder.is_dir():
        return
    if (folder / RUN_JSON).is_file() and (folder / CONFIG_YAML).is_file():
        try:
            yield read_run(folder)
        except RunError:
            return  # whatever it is, it is not known to be ours
        return
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink():
            yield from _runs(each)


def _judged(run: Run) -> Leftover | Kept:
    """A run that is not done: whether it may go."""
    size, files = _weigh(run.path)
    hold = who_holds(run.path)
    if hold is Hold.HELD:
        return Kept(run.path, "going on in another process", size)
    if run.status == "running" and hold is Hold.NONE:
        return Kept(
            run.path,
            "says it is running, and whether it does cannot be seen from here: if not, remove "
            "the folder by hand",
            size,
        )
    said = "killed" if run.status == "running" else run.status
    if checkpoints_of(run.path) or run.best_checkpoint is not None:
        return Leftover(run.path, "stopped run", f"{said}, can be gone on with", size, files)
    return Leftover(run.path, "run", f"{said} before its first checkpoint", size, files)


def _parts(project: Path, unfinished: set[Path], *, now_s: float) -> Iterator[Leftover | Kept]:
    """What writes left that were killed: temporary files and staged bundles."""
    for path in _hidden(project, unfinished):
        known = _look(path)
        if known is None:
            continue
        if stat.S_ISREG(known.st_mode) and PART.fullmatch(path.name):
            parts, in_use = [known], now_s - known.st_mtime < ABANDONED_S
        elif stat.S_ISDIR(known.st_mode) and PART.fullmatch(path.name):
            parts, in_use = [each for _, each in _files(path)], is_locked(path)
        elif stat.S_ISDIR(known.st_mode) and _is_stage(path):
            parts = [each for _, each in _files(path)]
            newest_s = max((each.st_mtime for each in parts), default=known.st_mtime)
            in_use = now_s - newest_s < ABANDONED_S
        else:
            continue
        size = sum(each.st_size for each in parts)
        if in_use:
            yield Kept(path, "being written, now or within the last hour", size)
        else:
            yield Leftover(path, "part", "an interrupted write", size, len(parts))


def _hidden(project: Path, unfinished: set[Path]) -> Iterator[Path]:
    """Hidden entries of the places that verbs write to, the runs that go anyway left out."""
    yield from (each for each in sorted(project.iterdir()) if each.name.startswith("."))
    for name in WRITTEN_TO:
        top = project / name
        if top.is_symlink():
            continue
        for folder, folders, files in os.walk(top):
            here = Path(folder)
            yield from (here / each for each in sorted([*folders, *files]) if each[0] == ".")
            folders[:] = [
                each for each in folders if each[0] != "." and here / each not in unfinished
            ]


def _is_stage(path: Path) -> bool:
    """Whether a folder is one where kennel export was putting a bundle together."""
    if not STAGE.fullmatch(path.name):
        return False
    return all(each.name in STAGED or PART.fullmatch(each.name) for each in path.iterdir())


def _weigh(folder: Path) -> tuple[int, int]:
    """Bytes and files at or below a folder; of a link its own."""
    sizes = [known.st_size for _, known in _files(folder)]
    return sum(sizes), len(sizes)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files and links at or below a folder, of those that are still there when it is their turn."""
    for top, folders, files in os.walk(folder):
        here = Path(top)
        links = [each for each in folders if (here / each).is_symlink()]
        for path in (here / each for each in [*files, *links]):
            known = _look(path)
            if known is not None:
                yield path, known


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
