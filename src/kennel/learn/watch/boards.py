"""Where a run shows pictures: those of its loggers that can hold them.

N pictures of H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
KINDS = (TensorBoardLogger, MLFlowLogger, WandbLogger)


def has_boards(trainer: L.Trainer) -> bool:
    """Whether the run has a logger that pictures can be shown in: the same in every process."""
    return any(isinstance(logger, KINDS) for logger in trainer.loggers)


def boards(trainer: L.Trainer) -> list[Logger]:
    """Loggers that pictures can be shown in; none in all but the first process of a run."""
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, KINDS)]


def tensorboards(trainer: L.Trainer) -> list[TensorBoardLogger]:
    """TensorBoard's among the loggers, in the first process of a run."""
    return [board for board in boards(trainer) if isinstance(board, TensorBoardLogger)]


def show(trainer: L.Trainer, name: str, pictures: Sequence[UInt8]) -> None:
    """Shows pictures, UInt8[H, W, 3] and all of one size, at the trainer's step.

    Args:
        name: what they are, such as "train/photos".
    """
    step = trainer.global_step
    for board in boards(trainer):
        place: Any = board
        if isinstance(board, TensorBoardLogger):
            place.experiment.add_images(name, np.stack(pictures), step, dataformats="NHWC")
        elif isinstance(board, WandbLogger):
            place.log_image(name, list(pictures), step)
        else:
            file = f"pictures/{name}/step_{step:06}.png"
            place.experiment.log_image(place.run_id, _tiled(pictures), file)


def log_figures(trainer: L.Trainer, figures: dict[str, float], *, step: int) -> None:
    """Hands figures to all loggers but CSV, whose file would have a row and columns more for each.

    Lightning's own `log` belongs to one hook and one device; this needs neither.
    """
    for logger in trainer.loggers:
        if not isinstance(logger, CSVLogger):
            logger.log_metrics(figures, step=step)


def _tiled(pictures: Sequence[UInt8]) -> UInt8:
    """Pictures beside and below each other, in about as many rows as columns."""
    columns = math.ceil(math.sqrt(len(pictures)))
    gaps = -len(pictures) % columns
    every = np.stack([*pictures, *[np.full_like(pictures[0], 255)] * gaps])
    rows, (height, width) = len(every) // columns, every.shape[1:3]
    grid = every.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, 3)
