"""A project whose whole line is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from lines import Line, write_line


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """Outside of any git repository; the working directory is its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KENNEL_REGISTRY", raising=False)
    return write_line(tmp_path)
