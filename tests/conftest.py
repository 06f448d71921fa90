"""What many tests share: a few photos."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import coloured_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four photos each of red, green and blue. Not to be written to."""
    return coloured_photos(tmp_path_factory.mktemp("photos"))
