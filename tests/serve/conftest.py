"""A server that many tests ask, and others with settings of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from bundles import tiny_bundle
from running import Running, start


class Serve(Protocol):
    """Starts a server; it is stopped when the test ends."""

    def __call__(self, *words: str, bundle: Path | None = None, **settings: str) -> Running: ...


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture(scope="session")
def server(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One worker, as it comes, but for a body's and a head's time. It stands in an empty folder."""
    running = start(
        bundle_path,
        "--workers",
        "1",
        cwd=tmp_path_factory.mktemp("standing"),
        environment={"KENNEL_SERVE_HEADER_SECONDS": "2", "KENNEL_SERVE_BODY_SECONDS": "3"},
    )
    yield running
    assert running.stop() == 0


@pytest.fixture
def serve(bundle_path: Path, tmp_path: Path) -> Iterator[Serve]:
    started: list[Running] = []

    def begin(*words: str, bundle: Path | None = None, **settings: str) -> Running:
        environment: Mapping[str, str] = {
            f"KENNEL_SERVE_{name.upper()}": value for name, value in settings.items()
        }
        cwd = tmp_path / f"standing-{len(started)}"
        cwd.mkdir()
        words = words if "--workers" in words else ("--workers", "1", *words)
        running = start(bundle or bundle_path, *words, cwd=cwd, environment=environment)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.stop()


@pytest.fixture
def own_bundle(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
