"""What Kennel adds to Lightning's callbacks: the best weights, the speed, and pictures to look
at.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import save

from kennel.bundle import replacing
from kennel.errors import RunError, UsageError
from kennel.learn.models import Network

PICTURES = 16
UNREAD_STEPS = 1000  # at most, of which the times are still with the device

Mark = Any  # seconds, or an event of CUDA: see _mark


class BestWeights(Callback):
    """Keeps the network's weights of the best epoch, as safetensors, written whole or not at all.

    Args:
        path: of the file.
        monitor: a figure of the validation split.
        mode: "min" or "max".
    Raises:
        UsageError: a monitor that is not a validation figure, or another mode.
        RunError: the figure is no finite number any more.
    """

    def __init__(self, path: str, *, monitor: str = "validation/loss", mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise UsageError(
                f"mode is {mode!r}; known: min, max.", fix="callbacks.best_weights.mode=min"
            )
        if not monitor.startswith("validation/"):
            raise UsageError(
                f"monitor is {monitor!r}: the best epoch is chosen on validation photos.",
                fix="callbacks.best_weights.monitor=validation/loss",
            )
        self.path, self.monitor, self.mode = Path(path), monitor, mode
        self.best: float | None = None
        self.epoch: int | None = None
        self.metrics: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Validation of this epoch is over by now, and train/ figures of it are there too.
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("train/", "validation/")) and not name.endswith(("_step", "_epoch"))
        }
        if self.monitor not in figures:
            return
        value = figures[self.monitor]
        if not math.isfinite(value):
            raise RunError(
                f"{self.monitor} became {value} in epoch {trainer.current_epoch}.",
                fix="a lower optimizer.lr, or trainer.gradient_clip_val=1.0",
            )
        if self.best is not None and not (
            value < self.best if self.mode == "min" else value > self.best
        ):
            return
        self.best, self.epoch, self.metrics = value, trainer.current_epoch, figures
        if trainer.is_global_zero:
            network = pl_module.network
            assert isinstance(network, Network)
            write_weights(network, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch, self.metrics = (state_dict[k] for k in ("best", "epoch", "metrics"))


def write_weights(network: Network, path: Path) -> None:
    """Writes the network's tensors as safetensors, flushed before it gets its name."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with replacing(path, "wb") as file:
        file.write(save(tensors, metadata={"format": "pt"}))


class Speed(Callback):
    """Counts the photos that the optimiser saw and the time it took, and how much of it was spent
    waiting for them.

    Logs `train/images_per_s` and `train/wait_share` (0..1) once an epoch. Validation is left out of
    both. On CUDA the times are the device's own, read once an epoch: no step waits for them.
    """

    def __init__(self) -> None:
        self.images = 0
        self.busy_s = self.wait_s = 0.0
        self._ended: Mark = 0.0  # the step before
        self._started: Mark = 0.0
        self._steps: list[tuple[Mark, Mark, Mark]] = []  # whose times are not read yet
        self._epoch = (0, 0.0, 0.0)

    @property
    def images_per_s(self) -> float:
        """Of the whole run so far; 0 before the first step."""
        with suppress(RuntimeError):  # of a device that broke: its last times are lost
            self._read()
        seconds = self.busy_s + self.wait_s
        return self.images / seconds if seconds else 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._read()
        self._ended = _mark(pl_module.device)
        self._epoch = (self.images, self.busy_s, self.wait_s)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ended = _mark(pl_module.device)  # it may lie between two steps

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._started = _mark(pl_module.device)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        ended = _mark(pl_module.device)
        self._steps.append((self._ended, self._started, ended))
        self._ended = ended
        self.images += len(batch[0]) * trainer.world_size
        if trainer.is_last_batch or len(self._steps) >= UNREAD_STEPS:
            self._read()
        if trainer.is_last_batch:
            images, busy_s, wait_s = (
                a - b
                for a, b in zip((self.images, self.busy_s, self.wait_s), self._epoch, strict=True)
            )
            pl_module.log(
                "train/images_per_s", images / max(busy_s + wait_s, 1e-9), rank_zero_only=True
            )
            pl_module.log(
                "train/wait_share", wait_s / max(busy_s + wait_s, 1e-9), rank_zero_only=True
            )

    def _read(self) -> None:
        for before, started, ended in self._steps:
            self.wait_s += _seconds(before, started)
            self.busy_s += _seconds(started, ended)
        self._steps.clear()


def _mark(device: torch.device) -> Mark:
    """This moment; on CUDA the one when the device has done what it was given by now."""
    if device.type != "cuda":
        return time.monotonic()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _seconds(earlier: Mark, later: Mark) -> float:
    if isinstance(later, torch.cuda.Event):
        later.synchronize()
        return float(earlier.elapsed_time(later)) / 1000
    return float(later - earlier)


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
