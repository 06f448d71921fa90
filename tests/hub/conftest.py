"""`kennel space` as people start it, against a Hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle
from loopback_hub import Hub, loopback_hub
from space_verb import Said, Space, environment, started

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
        return started(
            environment(hub, tmp_path / "home", env), "space", str(tiny.path), *words, *PINNED
        )

    return run


@pytest.fixture
def hub_verb(hub: Hub, tmp_path: Path) -> Space:
    """`kennel hub WORDS... --json`; `env` is on top of a logged-in user's."""

    def run(*words: str, env: dict[str, str | None] | None = None) -> Said:
        return started(environment(hub, tmp_path / "home", env), "hub", *words)

    return run
