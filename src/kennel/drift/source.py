"""Sketches from elsewhere: a server's, or a file's. Nothing that comes in is believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kennel.errors import KennelError, UsageError
from kennel.served import MOST_BYTES, parsed
from kennel.typed import build


@dataclass(frozen=True)
class Told:
    """What a server says it saw: `sketch` and `reference` are documents that nobody checked yet."""

    bundle: str
    sketch: dict[str, Any]
    since: str | None = None
    reference: dict[str, Any] | None = None


def told(document: object, *, source: str) -> Told:
    """The document that holds a sketch.

    Raises:
        KennelError: it holds none.
    """
    if isinstance(document, dict) and isinstance(document.get("sketch"), dict):
        reference = document.get("reference")
        rest = {key: value for key, value in document.items() if key in ("bundle", "since")}
        try:
            read = build(_Head, rest)
        except (TypeError, ValueError) as error:
            raise _nothing(source, str(error)) from error
        if not (read.bundle.isprintable() and (read.since or "").isprintable()):
            raise _nothing(source, "a name in it cannot be printed")
        if reference is None or isinstance(reference, dict):
            return Told(read.bundle, document["sketch"], read.since, reference)
    raise _nothing(source, "it has no sketch")


@dataclass(frozen=True)
class _Head:
    bundle: str
    since: str | None = None


def read_file(path: Path) -> Any:
    """The JSON of a file.

    Raises:
        KennelError: it is none, or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} does not exist.",
            fix="name a server's URL, a saved sketch or a folder of photos",
        ) from error
    return parsed(content, str(path))


def _nothing(source: str, reason: str) -> KennelError:
    return KennelError(
        f"{source} is no sketch: {reason}.",
        fix="name a server of kennel's, what it answers at /sketch, or a folder of photos",
    )
