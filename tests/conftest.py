"""What many tests share: a few photos, and a Ctrl-C that is heard."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from bundles import coloured_photos

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
# `make test ARGS=-x` hands its words to every make that a test starts.
for name in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four photos each of red, green and blue. Not to be written to."""
    return coloured_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of this test are not counted by coverage, which would write files of its own."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
