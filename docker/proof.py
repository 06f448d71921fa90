"""The last step of every build: what was put into the image starts, and what must not be there is not.

    python proof.py MODULE ...          imports each, as the image's own user

Read from the environment: BUNDLE_ID, what the image's label says of the bundle in /bundle, and
WITHOUT, modules and commands that must not be found.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

BUNDLE = Path("/bundle")


def main(modules: list[str]) -> None:
    for name in modules:
        importlib.import_module(name)
    found = [name for name in os.environ.get("WITHOUT", "").split() if is_there(name)]
    if found:
        sys.exit(f"error: this image has {', '.join(found)}.")
    if os.getuid() == 0:
        sys.exit("error: this image runs as root.")
    check_bundle(os.environ.get("BUNDLE_ID", ""))


def is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None or shutil.which(name) is not None


def check_bundle(said: str) -> None:
    """A bundle that is baked in is whole, and the label names it."""
    if not (BUNDLE / "bundle.json").exists():
        if said:
            sys.exit(
                f"error: the label says that bundle {said} is in the image; there is none.\n"
                "fix: add --build-context bundle=bundles/<id>"
            )
        return
    from kennel.bundle import read_bundle
    from kennel.errors import KennelError

    try:
        bundle = read_bundle(BUNDLE)
        for name in bundle.files:
            bundle.file(name)
    except KennelError as error:
        sys.exit(f"error: {error.message}\nfix: {error.fix}")
    if bundle.bundle_id != said:
        sys.exit(
            f"error: the bundle in the image is {bundle.bundle_id}, its label says {said or 'none'}.\n"
            f"fix: add --build-arg BUNDLE_ID={bundle.bundle_id}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
