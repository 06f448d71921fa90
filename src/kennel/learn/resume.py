"""Going on with a run: which checkpoint, and whether it belongs to what is asked for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from kennel.dataset import Dataset
from kennel.errors import RunError
from kennel.learn.learner import Learner
from kennel.run import LAST_CHECKPOINT, RUN_JSON, read_run

log = logging.getLogger(__name__)


def checkpoint_to_resume(ckpt_path: str | None, out: Path) -> Path | None:
    """The checkpoint that `ckpt_path` means for the run in `out`; None where it is to start.

    Raises:
        RunError: there is no such file, or it cannot be read.
    """
    if ckpt_path is None:
        return None
    path = out / LAST_CHECKPOINT if ckpt_path == "last" else Path(ckpt_path)
    if not path.is_file():
        if ckpt_path == "last":
            log.warning("%s has no checkpoint yet: starting", out)
            return None
        raise RunError(
            f"{path} does not exist.",
            fix="ckpt_path=last, or the path of a checkpoint that kennel wrote",
        )
    try:
        _read_checkpoint(path)
    except Exception as error:  # torch, zipfile and pickle each raise their own on a torn file
        raise RunError(
            f"{path} cannot be read: {type(error).__name__}.",
            fix="leave ckpt_path out and choose another paths.output_dir",
        ) from error
    return path


def refuse_occupied(out: Path, ckpt_path: str | None) -> None:
    """Raises RunError where `out` holds a run that `ckpt_path` does not go on with."""
    going_on = ckpt_path == "last" or (
        ckpt_path is not None and Path(ckpt_path).resolve().is_relative_to(out.resolve())
    )
    if (out / RUN_JSON).exists() and not going_on:
        raise RunError(
            f"{out} already holds a run.",
            fix="choose another paths.output_dir, or go on with it: ckpt_path=last "
            f"paths.output_dir={out}",
        )


def refuse_other_photos(checkpoint: Path, dataset: Dataset) -> None:
    """Raises RunError where the run of the checkpoint learned from another dataset."""
    home = checkpoint.parent.parent
    if not (home / RUN_JSON).is_file():
        return
    run = read_run(home)
    if run.dataset_id != dataset.dataset_id:
        raise RunError(
            f"{checkpoint} was trained on other photos than those of {dataset.csv}.",
            fix=f"data.csv={run.dataset_csv} as it was then, or a new run with another "
            "paths.output_dir",
        )


def refuse_other_network(path: Path, learner: Learner) -> None:
    """Raises RunError where the checkpoint's weights are not of this learner's shape."""
    try:
        learner.load_state_dict(_read_checkpoint(path)["state_dict"])
    except (RuntimeError, KeyError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
        raise RunError(
            f"{path} does not fit the network of these settings: {lines[-1].rstrip('.')}.",
            fix="name the settings of the run it comes from; its config.yaml has them",
        ) from error


def _read_checkpoint(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint
