"""What settings name, made: anything with a `_target_`, the augmentations, the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    LearningRateMonitor,
    ModelSummary,
    ProgressBar,
)
from omegaconf import DictConfig, open_dict

from kennel.errors import KennelError, RunError, UsageError
from kennel.learn.augment import Augmentation
from kennel.learn.settings import is_own, read_own


def made(node: Any, at: str, **more: Any) -> Any:
    """What the node's `_target_` makes; refuses, with the node's path, what cannot be made."""
    if node is None:
        return None
    if is_own(node):
        return read_own(node, at=at)
    try:
        return instantiate(node, _convert_="all", **more)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (KennelError, MisconfigurationException, ValueError, RuntimeError)):
            raise cause from error
        reason = (str(cause or error) or type(cause or error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(
            f"setting {at}: {reason}.", fix="kennel train --cfg job shows every setting"
        ) from error


def augmentations(nodes: Any) -> list[Augmentation]:
    """The parts of `data.augment`; refuses, with its place, what is none."""
    parts = []
    for at, node in enumerate(nodes):
        named = node.get("_target_") if isinstance(node, DictConfig) else None
        part = made(node, f"data.augment[{at}]") if named else node
        if not isinstance(part, Augmentation):
            raise UsageError(
                f"setting data.augment[{at}]: {named or node} is nothing that varies batches "
                "of photos.",
                fix="a part of kennel.learn.augment, such as "
                "kennel.learn.augment.RandomResizedCrop, or one of your own with its method vary",
            )
        parts.append(part)
    return parts


def trainer_of(settings: DictConfig, *, more: Sequence[Callback] = ()) -> L.Trainer:
    """Lightning's trainer with the loggers and callbacks that the settings name.

    Args:
        more: callbacks besides those of the settings, after them.
    Raises:
        RunError: this machine has not what they ask for.
    """
    loggers = [made(node, f"logger.{k}") for k, node in settings.logger.items() if node is not None]
    callbacks = [
        made(node, f"callbacks.{k}") for k, node in settings.callbacks.items() if node is not None
    ]
    callbacks += more
    if not loggers:  # to whom it would tell them
        callbacks = [c for c in callbacks if not isinstance(c, LearningRateMonitor)]
    # What the settings leave out stays out: Lightning would put in one of its own.
    present = {
        f"enable_{name}": any(isinstance(c, kind) for c in callbacks)
        for name, kind in (
            ("progress_bar", ProgressBar),
            ("model_summary", ModelSummary),
            ("checkpointing", Checkpoint),
        )
    }
    node = settings.trainer.copy()
    with open_dict(node):
        node.pop("auto_batch", None)  # kennel.learn.capacity reads it; Lightning knows none
    try:
        make = made(node, "trainer", _partial_=True)
        # Hydra would make dictionaries of those that are dataclasses.
        trainer = make(callbacks=callbacks, logger=loggers or False, **present)
    except TypeError as error:
        raise UsageError(
            f"setting trainer: {str(error).splitlines()[0].rstrip('.')}.",
            fix="kennel train --cfg job shows every setting",
        ) from error
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise RunError(
            f"the trainer cannot be set up: {str(error).splitlines()[0]}",
            fix="kennel doctor says what this machine has; trainer.accelerator=cpu works "
            "everywhere",
        ) from error
    assert isinstance(trainer, L.Trainer)
    return trainer
