"""A Space as a folder on this disk, which runs there as it would on the Hub: `python app.py`."""

from __future__ import annotations

from pathlib import Path

from kennel.hub.contents import Contents
from kennel.project.place import appearing, refuse_taken


def write_folder(found: Contents, folder: Path) -> None:
    """Writes all files; the folder appears whole or not at all.

    Args:
        folder: new, or empty.
    Raises:
        KennelError: it holds something.
    """
    refuse_taken(folder)
    with appearing(folder) as place:
        for file in found.files:
            path = place / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())
