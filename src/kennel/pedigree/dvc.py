"""What DVC's files say of a path, and the md5 that DVC would give to what lies there. DVC itself is
not needed; PyYAML reads its files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from kennel.errors import need

DVC = ".dvc"  # the folder at a project's root, and the suffix of pointers
LOCK = "dvc.lock"
IGNORE = ".dvcignore"
FOLDER = ".dir"  # ends the md5 of a folder
# DVC's own, whatever .dvcignore says.
IGNORED_FOLDERS = (".git", ".hg", DVC)


@dataclass(frozen=True)
class Pointer:
    """A checksum that DVC keeps.

    Attributes:
        path: what it is of: the path that was asked for, or a folder that holds it.
        md5: hexadecimal; of a folder it ends in ".dir".
        file: photos.dvc or dvc.lock, where it stands.
        exact: whether it is the md5 of the bytes; DVC 2 took that of text files otherwise.
    """

    path: Path
    md5: str
    file: Path
    exact: bool = True


def pointers_to(path: Path) -> tuple[Pointer, ...]:
    """What the DVC project around a path says of it; nothing where there is none.

    Raises:
        MissingExtraError: DVC's files are there and PyYAML is not.
    """
    path = path.resolve()
    root = next((folder for folder in path.parents if (folder / DVC).is_dir()), None)
    if root is None:
        return ()
    found: dict[Path, Pointer] = {}
    for covering in (path, *path.parents):
        if covering == root:
            break
        beside = covering.with_name(covering.name + DVC)
        locks = [folder / LOCK for folder in covering.parents if folder.is_relative_to(root)]
        for file in (beside, *locks):
            for pointer in _read(file, covering):
                found.setdefault(pointer.path, pointer)
    return tuple(found.values())


def md5_of(path: Path) -> str | None:
    """DVC's md5 of a file, or of a folder: that of the list of its files' md5s. None where what
    .dvcignore leaves out is more than names.

    Raises:
        OSError: something cannot be read.
    """
    if not path.is_dir():
        return _md5(path)
    ignored = _ignored_names(path)
    if ignored is None:
        return None
    listing = []
    for folder, inside, names in os.walk(path):
        inside[:] = [
            name for name in inside if name not in IGNORED_FOLDERS and not _is(name, ignored)
        ]
        for name in names:
            if name != ".git" and not _is(name, ignored):
                file = Path(folder, name)
                listing.append({"md5": _md5(file), "relpath": file.relative_to(path).as_posix()})
    listing.sort(key=lambda each: each["relpath"])
    return _new_md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + FOLDER


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, _new_md5).hexdigest()


# Against mistakes and not against forgers: it is DVC's choice.
_new_md5 = partial(hashlib.md5, usedforsecurity=False)


def _ignored_names(folder: Path) -> tuple[str, ...] | None:
    """Names and globs without a place that the .dvcignore files in, at and above a folder leave
    out; None where they say more than that.
    """
    root = next((each for each in folder.resolve().parents if (each / DVC).is_dir()), None)
    above = [each for each in folder.resolve().parents if root and each.is_relative_to(root)]
    names: list[str] = []
    for file in (*(each / IGNORE for each in above), *folder.rglob(IGNORE)):
        if not file.is_file():
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            if pattern.startswith("!") or "/" in pattern or "\\" in pattern:
                return None
            names.append(pattern)
    return tuple(names)


def _is(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _read(file: Path, covering: Path) -> Iterator[Pointer]:
    """What a .dvc file or a dvc.lock says of exactly that path."""
    if not file.is_file():
        return
    for entry in _entries(file):
        md5 = entry.get("md5")
        written = entry.get("path")
        if not isinstance(md5, str) or not isinstance(written, str):
            continue
        if (file.parent / written).resolve() == covering:
            yield Pointer(covering, md5, file, exact=entry.get("hash") == "md5")


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    """Outputs before dependencies; nothing where the file is not what DVC writes."""
    yaml: Any = need("yaml", extra="data")
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    if not isinstance(document, dict):
        return
    stages = document.get("stages")
    homes = list(stages.values()) if isinstance(stages, dict) else [document]
    for part in ("outs", "deps"):
        for home in homes:
            entries = home.get(part) if isinstance(home, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict):
                    yield entry
