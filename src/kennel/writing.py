"""Files that appear whole or not at all, and the checksum of what lies on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Literal


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file that appears under its name only when it is whole: temporary name, flush to disk,
    rename.

    Raises whatever writing raises, leaving neither a part of the file nor the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8" if mode == "w" else None
    newline = "" if mode == "w" else None
    temporary = NamedTemporaryFile(  # noqa: SIM115 - closed below, before the rename
        mode,
        dir=path.parent,
        prefix=f".{path.name}.",
        suffix=".part",
        delete=False,
        encoding=encoding,
        newline=newline,
    )
    try:
        with temporary:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(temporary.name).chmod(0o666 & ~_umask())
        Path(temporary.name).replace(path)
    except BaseException:
        Path(temporary.name).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document whole or not at all, with a stable layout."""
    text = written(document)
    with replacing(path) as file:
        file.write(text)


def written(document: Mapping[str, Any]) -> str:
    """A JSON document as `write_json` writes it.

    Raises:
        ValueError: a number in it is not finite.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
