"""How many photos a second, and how much of the time is spent waiting for them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

UNREAD_STEPS = 1000  # at most, of which the times are still with the device

Mark = Any  # seconds, or an event of CUDA: see _mark


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

    def state_dict(self) -> dict[str, Any]:
        self._read()
        return {"images": self.images, "busy_s": self.busy_s, "wait_s": self.wait_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.images, self.busy_s, self.wait_s = (
            state_dict[name] for name in ("images", "busy_s", "wait_s")
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # not called where an epoch goes on

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
