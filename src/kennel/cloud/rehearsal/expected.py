"""What is expected of the deployment, and the words where it is otherwise."""

from __future__ import annotations

from kennel.cloud import CloudError

FIX = "this is a fault of Kennel's or of the templates: see what it says, and the step's name"


def expect(right: bool, words: str) -> None:
    """Raises CloudError with those words where it is not so."""
    if not right:
        raise CloudError(f"{words.rstrip('.')}.", fix=FIX)
