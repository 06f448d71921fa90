"""USER/NAME of a Space, as the Hub takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kennel.errors import UsageError

PART = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]")
MOST = 96  # characters of both together, with the stroke


@dataclass(frozen=True)
class Address:
    """Whose Space it is, and its name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def resource(self) -> str:
        """As trusted publishing names what a token is for."""
        return f"spaces/{self}"


def address(said: str) -> Address:
    """What `USER/NAME` names.

    Args:
        said: also "spaces/USER/NAME", and the address of the page.
    Raises:
        UsageError: the Hub takes no such name.
    """
    short = re.sub(r"https://huggingface\.co/(?=spaces/)", "", said).removeprefix("spaces/")
    parts = short.strip("/").split("/")
    if len(parts) != 2:
        raise UsageError(
            f"{said!r} names no Space: one has an owner and a name.",
            fix="USER/NAME, such as anna/dogs",
        )
    for part in parts:
        if not PART.fullmatch(part) or "--" in part or ".." in part or part.endswith(".git"):
            raise UsageError(
                f"{part!r} in {said!r} is no name that the Hub takes.",
                fix="letters of English, digits, and '-', '_' or '.' between them; no '--', no "
                "'..', no '.git' at its end",
            )
    if len(short) > MOST:
        raise UsageError(
            f"{said!r} has {len(short)} characters; the Hub takes {MOST}.", fix="a shorter name"
        )
    return Address(*parts)
