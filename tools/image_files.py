"""The files of an image, from docker, podman, buildah, a folder or a tar. Nothing of it is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Read = Callable[[], bytes]
Files = Iterator[tuple[str, Read]]  # a path without its leading slash, and how to read it


@contextmanager
def files_of_image(name: str) -> Iterator[Files]:
    """Those of an image that docker, podman or buildah has."""
    for engine in ("docker", "podman"):
        if shutil.which(engine) and call(engine, "image", "inspect", name, check=False) is not None:
            made = call(engine, "create", name, "true") or ""
            try:
                with subprocess.Popen([engine, "export", made], stdout=subprocess.PIPE) as export:
                    assert export.stdout is not None
                    with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
                        yield from_tar(tar)
            finally:
                call(engine, "rm", made)
            return
    made = (
        call("buildah", "from", "--pull-never", name, check=False)
        if shutil.which("buildah")
        else None
    )
    if made is None:
        sys.exit(f"neither docker nor podman nor buildah has an image {name}. fix: make images")
    try:
        yield from_folder(Path(call("buildah", "mount", made) or ""))
    finally:
        call("buildah", "rm", made)


def call(*words: str, check: bool = True) -> str | None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode and check:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    return None if done.returncode else done.stdout.strip()


@contextmanager
def files_of(path: Path) -> Iterator[Files]:
    if path.is_dir():
        yield from_folder(path)
        return
    with tarfile.open(path) as tar:
        yield from_tar(tar)


def from_folder(folder: Path) -> Files:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path.read_bytes


def from_tar(tar: tarfile.TarFile) -> Files:
    for entry in tar:
        file = tar.extractfile(entry) if entry.isreg() else None
        if file is not None:
            yield entry.name.removeprefix("./"), file.read
