"""How many photos a second, and how much of the time is spent waiting for them."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kennel.learn.photos import PhotoData
from kennel.machine import usable_cores

log = logging.getLogger(__name__)

UNREAD_STEPS = 1000  # at most, of which the times are still with the device
STARVED_SHARE = 0.2  # of a run's training time that is spent waiting for photos
LEAST_STEPS = 10  # that say whether a run starves

Mark = Any  # seconds, or an event of CUDA: see _mark


@dataclass(eq=False)
class Speed(Callback):
    """Counts the photos that the optimiser saw and the time it took, and how much of it was spent
    waiting for them.

    Logs `train/step_wait_share` (0..1) wherever steps are logged, of the steps since the one logged
    before; `train/images_per_s` and `train/wait_share` once an epoch. Validation is left out of
    all. On CUDA the times are the device's own, read when it has them, at the latest once an epoch:
    no step waits for them. A run that starved says so at its end.

    Attributes:
        starved_share: of training time, above which waiting is said to be starving.
    """

    starved_share: float = STARVED_SHARE

    def __post_init__(self) -> None:
        self.images = 0
        self.busy_s = self.wait_s = 0.0
        self.steps = 0  # whose times are read
        self.first_wait_s = 0.0  # readers start then
        self._ended: Mark = 0.0  # the step before
        self._started: Mark = 0.0
        self._steps: deque[tuple[Mark, Mark, Mark]] = deque()  # whose times are not read yet
        self._epoch = (0, 0.0, 0.0)
        self._shown = (0.0, 0.0)

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
        if trainer._logger_connector.should_update_logs:
            self._log_steps(pl_module)
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

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._read()
        share = self.waited_share
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.is_global_zero and isinstance(data, PhotoData) and share > self.starved_share:
            on_accelerator = pl_module.device.type != "cpu"
            if fix := remedy(data, on_accelerator=on_accelerator, cores=usable_cores()):
                log.warning(
                    "training waited for photos %.0f %% of its time; try %s", 100 * share, fix
                )

    @property
    def waited_share(self) -> float:
        """Share (0..1) of the run's training time spent waiting for photos, after its first step;
        0 where there are too few steps to tell.
        """
        wait_s = self.wait_s - self.first_wait_s
        if self.steps < LEAST_STEPS:
            return 0.0
        return wait_s / max(wait_s + self.busy_s, 1e-9)

    def _log_steps(self, module: L.LightningModule) -> None:
        """The share of the steps whose times are there, since those shown before."""
        self._read(wait=False)
        wait_s, busy_s = self.wait_s - self._shown[0], self.busy_s - self._shown[1]
        if wait_s + busy_s > 0:
            self._shown = (self.wait_s, self.busy_s)
            module.log(
                "train/step_wait_share",
                wait_s / (wait_s + busy_s),
                on_step=True,
                on_epoch=False,
                rank_zero_only=True,
            )

    def _read(self, *, wait: bool = True) -> None:
        """Takes in the times of steps; of those alone that the device is done with, unless it may
        be waited for.
        """
        while self._steps and (wait or _is_over(self._steps[0][2])):
            before, started, ended = self._steps.popleft()
            waited_s = _seconds(before, started)
            if not self.steps:
                self.first_wait_s = waited_s
            self.steps += 1
            self.wait_s += waited_s
            self.busy_s += _seconds(started, ended)


def remedy(data: PhotoData, *, on_accelerator: bool, cores: int) -> str | None:
    """What makes photos come faster, as a setting; None where nothing is known to.

    Where the processor itself trains, readers beside it take from it what they give
    (docs/log.md).
    """
    if data.training.rows.shelf is None:
        return "data.cache={max_gib: 8}, which decodes each photo once"
    readers = data.readers()
    if on_accelerator and readers < cores:
        return f"data.num_workers={cores} (there were {readers})"
    if on_accelerator and data.training.augment:
        return "a cheaper data.augment, or a machine with more cores for this device"
    return None


def _mark(device: torch.device) -> Mark:
    """This moment; on CUDA the one when the device has done what it was given by now."""
    if device.type != "cuda":
        return time.monotonic()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _is_over(mark: Mark) -> bool:
    if isinstance(mark, torch.cuda.Event):
        return bool(mark.query())  # type: ignore[no-untyped-call]
    return True


def _seconds(earlier: Mark, later: Mark) -> float:
    if isinstance(later, torch.cuda.Event):
        later.synchronize()
        return float(earlier.elapsed_time(later)) / 1000
    return float(later - earlier)
