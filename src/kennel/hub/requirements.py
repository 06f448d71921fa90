"""requirements.txt of a Space: what our lock says for `kennel ui`, version by version.

The Hub's builder adds Gradio and packages of its own to what it installs, and those have no hash:
pip then refuses all that have one. So requirements.txt has versions, and requirements.lock beside
it is our lock as it is, for whoever installs by hash.

Source: https://huggingface.co/docs/hub/spaces-dependencies
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kennel.errors import KennelError
from kennel.project.templates import templates

LOCK = "locks/ui.lock"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE)
SDK = "gradio"


@dataclass(frozen=True)
class Pin:
    """One package of the lock. `marker` says where it is wanted; or is empty."""

    name: str
    version: str
    marker: str = ""

    def line(self) -> str:
        """As requirements.txt has it."""
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def lock_text() -> str:
    """Our lock of `kennel-ml[ui]`, every file by its hash.

    Raises:
        KennelError: it was not installed with Kennel.
    """
    for each in templates():
        if each.path == LOCK:
            return each.file.read_text(encoding="utf-8")
    raise KennelError(
        f"this Kennel has no {LOCK}: it was not installed whole.",
        fix="pip install --force-reinstall --no-deps kennel-ml",
    )


def pins(lock: str) -> tuple[Pin, ...]:
    """The packages of a lock, in its order."""
    return tuple(Pin(found[1], found[2], found[3] or "") for found in PIN.finditer(lock))


def requirements_text(lock: str, *, kennel: str | None) -> str:
    """requirements.txt.

    Args:
        kennel: the line that brings Kennel; None where its wheel lies in the Space.
    """
    lines = ["# Written by kennel space from its lock of kennel-ml[ui]; by hash: requirements.lock"]
    if kennel is not None:
        lines.append(kennel)
    return "\n".join([*lines, *(pin.line() for pin in pins(lock)), ""])


def sdk_version(lock: str) -> str:
    """The version of Gradio that is locked."""
    [version] = {pin.version for pin in pins(lock) if pin.name == SDK}
    return version
