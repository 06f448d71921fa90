"""A Dockerfile as its builder reads it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """One instruction: `COPY`, its `--flags`, and what follows, continued lines joined."""

    name: str
    flags: tuple[str, ...]
    rest: str


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        [found] = self.all(name)
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """Of ENV, LABEL or ARG."""
        words = [word for each in self.all(name) for word in shlex.split(each.rest)]
        return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def stages_of(text: str) -> list[Stage]:
    """A Dockerfile as its builder reads it.

    Raises:
        ValueError: a line that is no instruction, or one before the first FROM but ARG.
    """
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    found: list[tuple[str, str, list[Instruction]]] = []
    for line in joined:
        match = re.fullmatch(r"([A-Z]+)\s+((?:--[\w-]+(?:=\S+)?\s+)*)(.*)", line.strip())
        if match is None:
            raise ValueError(f"no instruction: {line}")
        name, flags, rest = match[1], tuple(match[2].split()), match[3].strip()
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            found.append((base.strip(), alias.strip(), []))
        elif found:
            found[-1][2].append(Instruction(name, flags, rest))
        elif name != "ARG":
            raise ValueError(f"before FROM: {line}")
    return [Stage(base, name, tuple(inner)) for base, name, inner in found]
