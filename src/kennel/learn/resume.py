"""Going on with a run: from which checkpoint, whether it belongs to what is asked for, and what of
the settings is not as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from kennel.dataset import Dataset
from kennel.errors import RunError
from kennel.learn.checkpoints import is_whole
from kennel.learn.learner import Learner
from kennel.run import RUN_JSON, checkpoints_of, read_run

log = logging.getLogger(__name__)
# What the numbers of a run come from, besides its photos. Of a node named twice, the first counts.
ALTERING = (
    *("data.batch_size", "data.augment", "data.mix", "data.room", "data.progressive", "model"),
    *("recipe", "optimizer", "schedule", "seed"),
    *("callbacks.best_weights.monitor", "callbacks.best_weights.mode"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.accumulate_grad_batches"),
    *("trainer.gradient_clip_val", "trainer.precision", "trainer.limit_train_batches"),
    *("trainer.limit_val_batches", "trainer.overfit_batches", "trainer.strategy"),
    *("trainer.devices",),
)
# Of these the checkpoint has state that means nothing to another.
NEEDED = ("recipe.frozen", "optimizer._target_", "schedule._target_")
# Of these an epoch that was begun consists.
NEEDED_WITHIN = ("data.batch_size", "seed", "trainer.devices")


def checkpoint_to_resume(ckpt_path: str | None, out: Path) -> Path | None:
    """The checkpoint that `ckpt_path` means for the run in `out`; None where it is to start.

    "last" is the newest whose bytes are those that its name tells of; others are named and passed
    over.

    Raises:
        RunError: there is no such file, or it is not whole; or "last", and none is.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "last":
        return _newest_good(out)
    path = Path(ckpt_path)
    if not path.is_file():
        raise RunError(
            f"{path} does not exist.",
            fix="ckpt_path=last, or the path of a checkpoint that kennel wrote",
        )
    if reason := _fault(path):
        raise RunError(
            f"{path} {reason}.",
            fix="ckpt_path=last takes the newest good one; or leave it out and choose another "
            "paths.output_dir",
        )
    return path


def _newest_good(out: Path) -> Path | None:
    there = checkpoints_of(out)
    if not there:
        log.warning("%s has no checkpoint yet: starting", out)
        return None
    for path in there:
        reason = _fault(path)
        if not reason:
            return path
        log.warning("%s %s: looking for the one before", path, reason)
    raise RunError(
        f"none of the checkpoints in {there[0].parent} is good: "
        f"{', '.join(path.name for path in there)}.",
        fix="copy one back from elsewhere; or start anew in another paths.output_dir",
    )


def _fault(path: Path) -> str:
    """What is wrong with a checkpoint; empty where nothing is."""
    try:
        if not is_whole(path):
            return "is torn or was changed: its sha256 is not the one in its name"
        _read_checkpoint(path)
    except Exception as error:  # torch, zipfile and pickle each raise their own on a torn file
        return f"cannot be read: {type(error).__name__}"
    return ""


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


def settings_of_numbers(settings: DictConfig) -> dict[str, Any]:
    """The settings that a run's numbers come from, by path."""
    plain: Any = OmegaConf.to_container(settings, resolve=True)
    found: dict[str, Any] = {}
    for path in ALTERING:
        node: Any = plain
        for key in path.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        found.update(_leaves(node, path))
    return found


def refuse_other_lesson(path: Path, settings: DictConfig) -> None:
    """Refuses settings that the checkpoint's state does not fit; says which others are not as they
    were, and that the run then does not end where it would have.

    Raises:
        RunError: such a setting.
    """
    checkpoint = _read_checkpoint(path)
    states = checkpoint.get("callbacks", {})
    own: Any = next((each for key, each in states.items() if key.startswith("Checkpoints")), {})
    before, now = own.get("settings"), settings_of_numbers(settings)
    if not before:
        return  # written before they were kept
    changed = {
        name: (before.get(name), now.get(name))
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    }
    needed = (*NEEDED, *(() if own.get("between") else NEEDED_WITHIN))
    for name, (was, is_) in changed.items():
        if name in needed:
            raise RunError(
                f"{path} was written with {name}={was}, and cannot be gone on with by {is_}.",
                fix=f"{name}={was}; or start anew in another paths.output_dir",
            )
    for name, (was, is_) in changed.items():
        log.warning(
            "setting %s was %s, and is %s: the run goes on, and does not end where it would have",
            *(name, was, is_),
        )


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, node


def refuse_other_photos(checkpoint: Path, dataset: Dataset) -> None:
    """Raises RunError where the run of the checkpoint learned from another dataset."""
    home = checkpoint.resolve().parent.parent
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
