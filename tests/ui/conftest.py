"""One served app that several files look at; each start costs five seconds of Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle
from served_app import Served, serving_app

from kennel.bundle import Bundle


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("ui") / "tiny")


@pytest.fixture(scope="session")
def window(
    tiny: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The app of a tiny bundle, with examples. Not to be stopped."""
    home = tmp_path_factory.mktemp("home")
    with serving_app(tiny.path, home, "--examples", str(photos)) as served:
        yield served
