"""USER/NAME of a Space or of a model's repository, as the Hub takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kennel.errors import UsageError

PART = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9_][A-Za-z0-9._-]{0,94}[A-Za-z0-9_]")
MOST = 96  # characters of both together, with the stroke


@dataclass(frozen=True)
class Kind:
    """What a repository is for.

    Attributes:
        type: as the Hub's API has it. words: as a person has it. verb: of ours that fills it.
        manifest: name of the file that says what in it is Kennel's.
        sdk: of a Space, else None. place: what stands before USER/NAME in its address.
    """

    type: str
    words: str
    verb: str
    manifest: str
    sdk: str | None
    place: str


SPACE = Kind("space", "Space", "kennel space", "kennel-space.json", "gradio", "spaces/")
MODEL = Kind("model", "model repository", "kennel hub push", "kennel-hub.json", None, "")


@dataclass(frozen=True)
class Address:
    """Whose it is, its name, and what it is for."""

    owner: str
    name: str
    kind: Kind = SPACE

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def resource(self) -> str:
        """As trusted publishing names what a token is for."""
        return f"{self.kind.place}{self}"


def address(said: str, kind: Kind = SPACE) -> Address:
    """What `USER/NAME` names.

    Args:
        said: also as the page's address has it: "spaces/USER/NAME", https://huggingface.co/...
    Raises:
        UsageError: the Hub takes no such name.
    """
    start = re.escape(f"https://huggingface.co/{kind.place}")
    short = re.sub(f"^{start}", "", said).removeprefix(kind.place)
    parts = short.strip("/").split("/")
    if len(parts) != 2:
        raise UsageError(
            f"{said!r} names no {kind.words}: one has an owner and a name.",
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
    return Address(parts[0], parts[1], kind)
