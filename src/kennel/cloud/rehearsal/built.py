"""The serve image that was built here, opened: where buildah has it and this may mount."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kennel.cloud.rehearsal.container import NAMESPACES, Image

NAME = "localhost/kennel-serve"
LABEL = "kennel.bundle_id"


@contextmanager
def built_image(bundle_ids: tuple[str, ...]) -> Iterator[tuple[Image | None, str]]:
    """The image while the block runs, or None, and why that is.

    Args:
        bundle_ids: that are deployed; the image has one bundle in it.
    """
    if why := _in_the_way(bundle_ids):
        yield None, why
        return
    container = _buildah("from", "--pull-never", NAME)
    try:
        told = json.loads(_buildah("inspect", "--type", "image", NAME))["Docker"]["config"]
        found = Image(Path(_buildah("mount", container)), told)
        has = found.labels.get(LABEL, "")
        if {has} == set(bundle_ids):
            yield found, ""
        else:
            yield None, f"{NAME} has {has or 'no bundle'} in it"
    finally:
        _buildah("rm", container)


def _in_the_way(bundle_ids: tuple[str, ...]) -> str:
    """Why no image can be run; "" where one can."""
    if len(set(bundle_ids)) > 1:
        return "an image has one bundle in it, and two are deployed"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "mounting an image needs root"
    if missing := [each for each in ("buildah", "unshare", "nsenter") if not shutil.which(each)]:
        return f"there is no {missing[0]}"
    done = subprocess.run(
        ["buildah", "images", "--quiet", NAME], capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout.strip():
        return f"buildah has no {NAME}: make images ARGS=serve BUNDLE=..."
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False
    )
    return "this system permits no namespaces of one's own" if tried.returncode else ""


def _buildah(*words: str) -> str:
    done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
