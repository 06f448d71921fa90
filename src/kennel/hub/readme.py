"""README.md of a Space: the settings that the Hub reads, and the bundle's card below them.

Source: https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

import re
from typing import Any

from kennel.bundle import Bundle
from kennel.card import card_of
from kennel.front_matter import HUB, TASK, licence_fields, yaml_lines

PYTHON = "3.12"  # as docker/ui.Dockerfile has it
SHORT = 60  # characters of short_description
BEFORE_CARD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
TO_FILE = re.compile(r"\]\((?![a-z]+:|/|#)")  # a link to a file of the bundle


def readme_text(bundle: Bundle, *, title: str, sdk_version: str) -> str:
    """The page.

    Args:
        title: what the Space is called on the Hub.
        sdk_version: of Gradio.
    """
    backbone = bundle.lineage.backbone
    fields: dict[str, Any] = {
        "title": title,
        "colorFrom": "gray",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": sdk_version,
        "python_version": PYTHON,
        "app_file": "app.py",
        "pinned": False,
        "short_description": f"Tells {len(bundle.labels)} labels apart in photos"[:SHORT],
        **licence_fields(backbone.licence),
        "tags": [TASK, "kennel", "onnx"],
    }
    if backbone.source.startswith(HUB):
        fields["models"] = [backbone.source.removeprefix(HUB)]
    card = TO_FILE.sub("](bundle/", BEFORE_CARD.sub("", card_of(bundle), count=1))
    return "\n".join(["---", *yaml_lines(fields), "---", card])
