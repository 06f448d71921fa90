"""What training sees, in TensorBoard: photos as the network gets them, and the network."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

PICTURES = 16


class Graph(Callback):
    """Shows the network in TensorBoard's GRAPHS view, traced for one photo."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        boards = _boards(trainer)
        if not boards:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        size = data.training.preprocess.size
        network: Any = deepcopy(pl_module.network)
        network.cpu().eval()
        for board in boards:
            board.experiment.add_graph(network, torch.zeros(1, 3, size, size))


class Pictures(Callback):
    """Shows in TensorBoard what training sees: sixteen photos as the network gets them."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        boards = _boards(trainer)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if boards:
            pictures = data.pictures(PICTURES)
            for board in boards:
                board.experiment.add_images("train/photos", pictures, dataformats="NHWC")


def _boards(trainer: L.Trainer) -> list[TensorBoardLogger]:
    """Where pictures can be shown; nowhere in all but the first process of a run."""
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
