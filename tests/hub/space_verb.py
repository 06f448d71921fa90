"""What a command of the Hub's ended with, as several files look at it, and who starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopback_hub import TOKEN, Hub


@dataclass(frozen=True)
class Said:
    """What a command ended with, and said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Space = Callable[..., Said]


def environment(
    hub: Hub, home: Path, more: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Of somebody who is logged in at that Hub; `more` on top, None takes a name away."""
    # As it is where nobody ever logged in and no continuous integration runs.
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "GITHUB_"))}
    wished = {
        **plain,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "NO_PROXY": "127.0.0.1",
        **(more or {}),
    }
    return {k: v for k, v in wished.items() if v is not None}


def started(env: dict[str, str], *words: str) -> Said:
    """`kennel WORDS... --json`."""
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *words, "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)
