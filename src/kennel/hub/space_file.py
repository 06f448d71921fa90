"""One file of a Space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SpaceFile:
    """One file. `content` is its bytes, or where they
    lie; `size` is in bytes, and its checksum of what was verified."""

    path: str
    content: bytes | Path
    size: int
    sha256: str

    @staticmethod
    def of(path: str, content: bytes | Path) -> SpaceFile:
        """A file with its checksum."""
        held = content if isinstance(content, bytes) else content.read_bytes()
        return SpaceFile(path, content, len(held), hashlib.sha256(held).hexdigest())

    def read(self) -> bytes:
        """Its bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()
