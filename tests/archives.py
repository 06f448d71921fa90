"""Archives of all kinds, made in memory: good ones, and ones that nobody should trust."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Literal

Compression = Literal["", "gz", "bz2", "xz"]
PHOTO = b"\xff\xd8\xff\xe0 not decoded by fetch \xff\xd9"
DOGS = {
    "dogs/LICENSE.txt": b"do as you like",
    "dogs/Beagle/1.jpg": PHOTO + b"1",
    "dogs/Beagle/2.JPEG": PHOTO + b"2",
    "dogs/Boxer/1.png": PHOTO + b"3",
}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of path -> content."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(
    files: Mapping[str, bytes], compression: Compression = "gz", *members: tarfile.TarInfo
) -> bytes:
    """A tar of path -> content, and of members that are no files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return made.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
