"""What an image will run, read from its Dockerfile: for machines on which no image is built."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

from kennel.errors import KennelError

SERVE = "docker/serve.Dockerfile"


@dataclass(frozen=True)
class Settings:
    """What the last stage sets.

    Attributes:
        entry: entry point, and behind it the words of CMD.
        user: as `USER` names it, or "".
    """

    entry: tuple[str, ...]
    environment: dict[str, str]
    user: str


def read_settings(file: Path) -> Settings:
    """Reads entry point, environment and user of a Dockerfile's last stage.

    Raises:
        KennelError: it has no ENTRYPOINT, or one that is no list of words.
    """
    words: dict[str, tuple[str, ...]] = {"ENTRYPOINT": (), "CMD": ()}
    environment: dict[str, str] = {}
    user = ""
    for name, said in _instructions(file.read_text(encoding="utf-8")):
        if name == "FROM":
            words, environment, user = {"ENTRYPOINT": (), "CMD": ()}, {}, ""
        elif name in words:
            words[name] = _list(file, name, said)
        elif name == "ENV":
            environment |= dict(each.split("=", 1) for each in shlex.split(said))
        elif name == "USER":
            user = said
    if not words["ENTRYPOINT"]:
        raise KennelError(f"{file} has no ENTRYPOINT.", fix="see docs/guide/containers.md")
    return Settings((*words["ENTRYPOINT"], *words["CMD"]), environment, user)


def _instructions(text: str) -> list[tuple[str, str]]:
    """Instructions with their words, lines that go on joined, comments left out."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        name, _, said = line.strip().partition(" ")
        if name:
            found.append((name.upper(), said.strip()))
    return found


def _list(file: Path, name: str, said: str) -> tuple[str, ...]:
    try:
        return tuple(str(word) for word in json.loads(said))
    except ValueError as error:
        raise KennelError(
            f"{name} of {file} is {said!r}, and not a list of words.", fix='such as ["kennel"]'
        ) from error
