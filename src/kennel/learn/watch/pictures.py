"""What training sees: photos as the network gets them, and the network."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kennel.learn.watch.boards import boards, show, tensorboards

PICTURES = 16


class Graph(Callback):
    """Shows the network in TensorBoard's GRAPHS view, traced for one photo."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        places = tensorboards(trainer)
        if not places:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        size = data.training.preprocess.size
        network: Any = deepcopy(pl_module.network)
        network.cpu().eval()
        for board in places:
            board.experiment.add_graph(network, torch.zeros(1, 3, size, size))


class Pictures(Callback):
    """Shows what training sees: sixteen photos as the network gets them."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if boards(trainer):
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            show(trainer, "train/photos", list(data.pictures(PICTURES)))
