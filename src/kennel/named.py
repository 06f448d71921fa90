"""What a command names: a bundle or a run, or a folder of them, of which the last is meant.

`kennel serve bundles` serves the newest bundle in `bundles`. Standard library only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import kennel
from kennel.bundle import BUNDLE_JSON, Bundle, read_bundle
from kennel.errors import BundleError, RunError
from kennel.run import RUN_JSON, read_run

log = logging.getLogger(__name__)


def bundle_named(path: Path) -> Path:
    """The folder of a bundle: `path` itself, or of the bundles in it the one that was exported
    last. One that cannot be read is passed over, with a warning that says why.

    Raises:
        BundleError: `path` is a folder, and no bundle that can be read lies in it.
    """
    if not path.is_dir() or _has(path, BUNDLE_JSON):
        return path  # whoever opens it says what is wrong with it
    found = []
    refused = []
    for folder in _folders(path, BUNDLE_JSON, deep=False):
        try:
            bundle = read_bundle(folder)
        except BundleError as error:
            refused.append(error)
        else:
            found.append((bundle.lineage.created_utc, folder.name, folder))
    if not found and refused:
        raise refused[-1]
    if not found:
        raise BundleError(
            f"{path} is not a bundle: it has no {BUNDLE_JSON}, and no folder in it has one.",
            fix="name a folder that kennel export wrote, such as bundles/<id>; where there is none "
            "yet: kennel train experiment=quick, then kennel export runs (in containers: docker "
            "compose up train, then docker compose up eval)",
        )
    for refusal in refused:
        log.warning("passed over: %s", refusal.message)
    return max(found)[-1]


def run_named(path: Path) -> Path:
    """The folder of a run: `path` itself, or of the runs in it, also of several that one command
    trained, the one that began last and is done.

    Raises:
        RunError: `path` is a folder, and no run that is done lies in it.
    """
    if not path.is_dir() or _has(path, RUN_JSON):
        return path
    found = []
    others = []
    for folder in _folders(path, RUN_JSON, deep=True):
        try:
            run = read_run(folder)
        except RunError as error:
            log.warning("passed over: %s", error.message)
            continue
        if run.status == "done" and run.best_checkpoint is not None:
            found.append((run.created_utc, str(folder), folder))
        else:
            others.append((run.created_utc, f"{folder} is {run.status}", folder))
    if not found and others:
        _, said, folder = max(others)
        raise RunError(
            f"no run in {path} is done: {said}.",
            fix=f"go on with it: kennel train ckpt_path=last paths.output_dir={folder}",
        )
    if not found:
        raise RunError(
            f"{path} is not a run: it has no {RUN_JSON}, and no folder in it has one.",
            fix="train one: kennel train experiment=quick",
        )
    return max(found)[-1]


def made_elsewhere(bundle: Bundle) -> str | None:
    """Which other version of Kennel exported a bundle, in words; None where it was this one."""
    by = bundle.lineage.versions.get("kennel", "of an unknown version")
    if by == kennel.__version__:
        return None
    return f"kennel {by} exported {bundle.bundle_id}; this is kennel {kennel.__version__}"


def _has(folder: Path, document: str) -> bool:
    return (folder / document).is_symlink() or (folder / document).exists()


def _folders(path: Path, document: str, *, deep: bool) -> Iterator[Path]:
    for each in sorted(path.iterdir()):
        if each.name.startswith(".") or not each.is_dir():
            continue  # what is being written has such a name
        if _has(each, document):
            yield each
        elif deep:
            yield from _folders(each, document, deep=False)
