"""Where a registry lies: what it must be able to do, and how a folder does it.

Names are relative, with forward slashes: "history/000001.json".
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Protocol

from kennel.hold import locking
from kennel.registry import RegistryError
from kennel.writing import file_sha256

PIECE_BYTES = 1 << 20


class Store(Protocol):
    """A folder, or something that can be used like one. Every method raises a RegistryError where
    the store cannot be reached, read or written.
    """

    @property
    def address(self) -> str:
        """As a user names it."""

    def names(self, folder: str) -> list[str]:
        """Names of all files directly in a folder, sorted; none where there is no such folder."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None where there is none."""

    def create(self, name: str, content: bytes) -> bool:
        """Writes a file that is not there yet, whole and on disk; False where it is there. Of any
        number that try at once, one gets True.
        """

    def put(self, place: str, files: Mapping[str, Path], sha256: Mapping[str, str]) -> None:
        """Copies files into a folder, all or none, and reads back what it wrote. Does nothing where
        they are there. The last of `files` appears last.
        """

    def digest(self, name: str) -> str | None:
        """sha256 of a file's bytes as they are there now; None where there is none."""

    def fetch(self, name: str, to: Path, *, most_bytes: int) -> None:
        """Copies a file out; of a longer one only a little more than `most_bytes`."""

    def folder(self, place: str) -> Path | None:
        """The folder on this machine, where it is on this machine."""


class FolderStore:
    """A registry in a folder, which is made when something is first written."""

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise RegistryError(
                f"{root} is a file, and a registry is a folder.", fix="name another: --registry DIR"
            )
        self._root = root

    @property
    def address(self) -> str:
        return str(self._root)

    def names(self, folder: str) -> list[str]:
        path = self._root / folder
        with self._reading(path):
            if not path.is_dir():
                return []
            return sorted(
                f"{folder}/{each.name}"
                for each in path.iterdir()
                if not each.name.startswith(".") and each.is_file()
            )

    def read(self, name: str) -> bytes | None:
        with self._reading(self._root / name):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, name: str, content: bytes) -> bool:
        path = self._root / name
        with self._writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
            ) as file:
                temporary = Path(file.name)
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.chmod(0o444)
                    # A link appears whole or not at all, and never over what is there.
                    os.link(temporary, path)
                except FileExistsError:
                    return False
                finally:
                    temporary.unlink(missing_ok=True)
            _flush(path.parent)
        return True

    def put(self, place: str, files: Mapping[str, Path], sha256: Mapping[str, str]) -> None:
        target = self._root / place
        if target.exists():
            self._refuse_damaged(target, sha256)
            return
        with self._writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            stage = Path(mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
            try:
                with locking(stage):  # kennel clean leaves it alone
                    for name, source in files.items():
                        _copy(source, stage / name, sha256[name])
                    stage.chmod(0o755)
                    _flush(stage)
                    try:
                        stage.rename(target)
                    except OSError:
                        if not target.is_dir():
                            raise
                        self._refuse_damaged(target, sha256)  # another process was quicker
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            _flush(target.parent)

    def digest(self, name: str) -> str | None:
        path = self._root / name
        with self._reading(path):
            return file_sha256(path) if path.is_file() else None

    def fetch(self, name: str, to: Path, *, most_bytes: int) -> None:
        with self._reading(self._root / name):
            source = (self._root / name).open("rb")
        with source, to.open("wb") as target:
            left = most_bytes + 1
            while left > 0 and (piece := source.read(min(PIECE_BYTES, left))):
                target.write(piece)
                left -= len(piece)

    def folder(self, place: str) -> Path | None:
        return self._root / place

    def _refuse_damaged(self, target: Path, sha256: Mapping[str, str]) -> None:
        for name, expected in sha256.items():
            if self.digest(f"{target.relative_to(self._root)}/{name}") != expected:
                raise RegistryError(
                    f"{target} is damaged: {name} is not what was put there.",
                    fix=f"move {target} away, and promote the bundle again",
                )

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RegistryError(
                f"{path} cannot be read: {error.strerror or error}.",
                fix=f"see that {self._root} is yours to read",
            ) from error

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RegistryError(
                f"{path} cannot be written: {error.strerror or error}. The champion is who it was.",
                fix=f"see that you may write to {self._root}, that its disk is not full, and that "
                "its file system has hard links; or name another: --registry DIR",
            ) from error


def _copy(source: Path, to: Path, sha256: str) -> None:
    """Copies a file, and refuses unless what was read and what was written have the sha256."""
    to.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as file, to.open("xb") as copy:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    if not digest.hexdigest() == sha256 == file_sha256(to):
        raise RegistryError(
            f"{source} changed while it was copied, or the disk does not keep what is written.",
            fix="see that nobody writes to the bundle, and try again",
        )
    to.chmod(0o444)


def _flush(folder: Path) -> None:
    """Puts a folder's names on disk, where the file system knows how."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
