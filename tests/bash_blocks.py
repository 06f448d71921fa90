"""The bash blocks of a page of Markdown, which tests run."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced ```bash block. `line` is that of its fence; `reason` why it is not run, or None."""

    line: int
    text: str
    reason: str | None


def blocks(text: str) -> list[Block]:
    """The bash blocks of a page of Markdown, in order."""
    found: list[Block] = []
    lines = text.splitlines()
    inside: str | None = None
    start = 0
    for number, line in enumerate(lines):
        if inside is None and line.startswith("```"):
            inside, start = line.removeprefix("```").strip(), number
        elif inside is not None and line.rstrip() == "```":
            if inside == "bash":
                before = [each for each in lines[:start] if each.strip()]
                excuse = NOT_RUN.fullmatch(before[-1].strip()) if before else None
                code = "\n".join(lines[start + 1 : number])
                found.append(Block(start + 1, code, excuse.group(1) if excuse else None))
            inside = None
    assert inside is None, f"the block of line {start + 1} does not end"
    return found
