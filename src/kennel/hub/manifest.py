"""kennel-space.json, kennel-hub.json: which files of a repository are Kennel's, with what in them.

It lies in the repository and comes back from there: whoever may write to it may have changed it.
It is believed only where the files are as it says, and never about a file that is to be kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import kennel
from kennel.hub.address import Kind
from kennel.hub.space_file import SpaceFile
from kennel.writing import written

SCHEMA_VERSION = 1
HEX = {"sha256": 64, "git": 40}


@dataclass(frozen=True)
class Known:
    """A file as it was sent: by its sha256, and by the name that git has for its content."""

    sha256: str
    git: str


def manifest_file(
    files: Iterable[SpaceFile], kind: Kind, *, bundle_id: str, wheel: str | None = None
) -> SpaceFile:
    """The manifest of these files, as one of them."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "kennel": kennel.__version__,
        "bundle_id": bundle_id,
        "wheel": wheel,
        "files": {
            file.path: {"bytes": file.size, "sha256": file.sha256, "git": git_name(file.read())}
            for file in files
        },
    }
    return SpaceFile.of(kind.manifest, written(document).encode())


def read_manifest(content: bytes) -> dict[str, Known]:
    """Files that a manifest names; none where it is no manifest of ours."""
    try:
        told = json.loads(content)
        if told["schema_version"] != SCHEMA_VERSION:
            return {}
        return {path: _known(each) for path, each in told["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def git_name(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _known(each: Mapping[str, str]) -> Known:
    known = {name: str(each[name]) for name in HEX}
    if any(len(known[name]) != length for name, length in HEX.items()):
        raise ValueError("no checksum")
    return Known(**known)
