"""`kennel space` as people start it, against a Hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle
from loopback_hub import TOKEN, Hub, loopback_hub
from space_verb import Said, Space

import kennel
from kennel.bundle import Bundle

PINNED = ("--kennel", f"kennel-ml=={kennel.__version__}")  # no wheel is built


@pytest.fixture
def hub() -> Iterator[Hub]:
    with loopback_hub() as found:
        yield found


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def space(hub: Hub, tiny: Bundle, tmp_path: Path) -> Space:
    """`kennel space TINY WORDS... --json`; `env` is on top of a logged-in user's."""

    def run(*words: str, env: dict[str, str | None] | None = None) -> Said:
        # As it is where nobody ever logged in and no continuous integration runs.
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "GITHUB_"))}
        wished = {
            **plain,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "NO_PROXY": "127.0.0.1",
            **(env or {}),
        }
        done = subprocess.run(
            [sys.executable, "-m", "kennel", "space", str(tiny.path), *words, *PINNED, "--json"],
            env={k: v for k, v in wished.items() if v is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    return run
