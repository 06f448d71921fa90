"""`kennel report --markdown` as tests read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kennel.cli import main

LOST = dict.fromkeys(range(0, 30, 3), 1)  # ten Beagles, answered as Golden Retrievers


def outcome(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["report", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def text(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    code, out, err = outcome(capsys, *words, "--markdown")
    assert (code, err) == (0, "")
    return out.replace("\u00a0", " ")


def told(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    code, out, _ = outcome(capsys, *words, "--markdown", "--json")
    assert code == 0
    document: dict[str, Any] = json.loads(out)
    return document


def rows(said: str, head: str) -> dict[str, list[str]]:
    """The table whose first cell of the head is `head`, by the first cell of each row."""
    lines = said.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {head} |"))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *rest = [cell.strip() for cell in line.strip("|").split(" | ")]
        found[first] = [cell.strip() for cell in rest]
    return found


# ---- the verdict
