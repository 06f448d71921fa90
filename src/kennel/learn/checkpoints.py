"""Checkpoints from which a run goes on as if it had never stopped, each whole or not there."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import (
    Event,
    SessionLog,
)

from kennel.bundle import file_sha256, replacing
from kennel.errors import RunError
from kennel.learn.interruption import Interruption
from kennel.learn.metrics_csv import MetricsCsv
from kennel.run import CHECKPOINT, checkpoints_of

log = logging.getLogger(__name__)
KEPT = 2


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints to a temporary name beside them, flushed before they get theirs.

    Lightning's own writes to the system's temporary folder and moves from there: where that is
    another file system, the move is a copy, and can be cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        with replacing(Path(path), "wb") as file:
            torch.save(checkpoint, file)


@dataclass(eq=False)
class Checkpoints(Checkpoint):
    """Keeps a checkpoint after each epoch, every few minutes between two steps, and where the run
    is told to stop; the newest two stay.

    The name of each holds the beginning of its sha256, so that a torn or altered one is known.
    Between steps means: the optimiser made its step, its figures are logged, and nothing of the
    next was drawn. Frozen features, with one step an epoch, have no other place than epoch ends;
    nor have runs that overfit on purpose, whose photos Lightning itself puts in order.

    Attributes:
        folder: where they are kept.
        every_minutes: besides those of epochs, >= 0; 0: none.
    """

    folder: str
    every_minutes: float = 5.0

    def __post_init__(self) -> None:
        super().__init__()
        if not self.every_minutes >= 0:
            raise ValueError(f"every_minutes is {self.every_minutes}, and must be 0 or more")
        self.resumed_from: Path | None = None  # these three are told by the run
        self.started_s = time.monotonic()
        self.settings: dict[str, Any] = {}
        self.earlier_s = 0.0  # of what is not done again
        self.failed: RunError | None = None
        self._newest: Path | None = None
        self._kept_s = 0.0
        self._between = False  # epochs
        self._resumed: dict[str, Any] = {}
        self._means: dict[str, list[torch.Tensor]] = {}
        self._stepped = False

    @property
    def duration_s(self) -> float:
        """Of the run so far, all its parts together."""
        return self.earlier_s + time.monotonic() - self.started_s

    # What is in a checkpoint besides Lightning's own

    def state_dict(self) -> dict[str, Any]:
        return {"duration_s": self.duration_s, "settings": self.settings, "between": self._between}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.earlier_s = state_dict["duration_s"]
        self._resumed = state_dict

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        own = checkpoint["callbacks"].get(self.state_key)
        if own is None:
            return
        own["logged_steps"] = trainer.fit_loop.epoch_loop._batches_that_stepped
        if self._between:
            own["should_stop"] = trainer.should_stop  # of early stopping
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for counted in (epochs["total"], epochs["current"]):
                counted["ready"] = counted["started"]  # the next one begins anew
        else:
            own["means"] = dict(self._means_so_far(trainer))

    def _means_so_far(self, trainer: L.Trainer) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Sums and counts behind the epoch's means, which Lightning's checkpoints leave out."""
        for name, each in trainer.fit_loop.epoch_loop._results.items():
            if each.is_tensor and each.meta.is_mean_reduction and not each.has_reset:
                yield name, [each.value.detach().clone(), each.cumulated_batch_size.clone()]

    def _add_means(self, trainer: L.Trainer) -> None:
        """In the first step that each is logged: a sum plus a value is a value plus a sum, to the
        bit.
        """
        results: Any = trainer.fit_loop.epoch_loop._results
        for name in [name for name in self._means if name in results]:
            value, count = self._means.pop(name)
            if trainer.is_global_zero:  # whose share of the photos they are of
                each = results[name]
                each.value = each.value + value.to(each.value.device)
                seen = each.cumulated_batch_size
                each.cumulated_batch_size = seen + count.to(seen.device)
                each._computed = None

    # Going on

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            for part in Path(self.folder).glob(".*.part"):  # whoever wrote it was killed
                part.unlink(missing_ok=True)
        step = int(self._resumed.get("logged_steps", 0))
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCsv):
                logger.go_on_from(step)
            elif isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                start = SessionLog(status=SessionLog.START)  # what came later is not shown
                writer: Any = logger.experiment.file_writer
                writer.add_event(Event(step=step, session_log=start))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._kept_s = time.monotonic()
        self._newest = self.resumed_from
        self._means = dict(self._resumed.get("means", {}))
        if self._resumed.get("between"):
            # An epoch that begins does not go on; with trainer.max_steps Lightning thinks so.
            trainer.fit_loop.epoch_loop.restarting = False
            trainer.should_stop = bool(self._resumed.get("should_stop"))
        steps = getattr(trainer.datamodule, "between_steps", None)  # type: ignore[attr-defined]
        if steps is not None:
            steps.append(lambda: self._between_steps(trainer))

    # When to keep one

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._after_epoch(trainer)
        told = _interruption(trainer)
        if told is not None and told.leaving:
            raise self._stopped(told)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._after_epoch(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._stepped = True
        if self._means:
            self._add_means(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        told = _interruption(trainer)
        if trainer.world_size > 1 or self.failed or (told is not None and told.at_once):
            return
        if self._stepped and self._is_between_steps(trainer):  # a photo that cannot be read
            try:
                self._keep(trainer)
            except RunError as error:
                log.warning("%s", error.message)

    def _after_epoch(self, trainer: L.Trainer) -> None:
        """After all that an epoch's end does: its figures are logged by now."""
        if self._stepped:
            self._between = True
            try:
                self._keep(trainer)
            finally:
                self._between = False

    def _between_steps(self, trainer: L.Trainer) -> None:
        told = _interruption(trainer)
        leaving = told is not None and told.leaving
        due = self.every_minutes > 0 and time.monotonic() - self._kept_s >= self.every_minutes * 60
        if trainer.world_size > 1:
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if not (leaving or due) or not self._is_between_steps(trainer):
            return
        if self._stepped:
            self._keep(trainer)
        if told is not None and leaving:
            raise self._stopped(told)

    def _is_between_steps(self, trainer: L.Trainer) -> bool:
        """Whether a run can go on exactly from here."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current
        if trainer.overfit_batches or trainer.fast_dev_run or trainer.datamodule is None:  # type: ignore[attr-defined]
            return False
        if done.completed != done.ready or not hasattr(trainer.datamodule, "between_steps"):  # type: ignore[attr-defined]
            return False
        if done.completed >= trainer.num_training_batches:
            return False  # the epoch's end follows
        validates = trainer.val_check_batch
        if isinstance(validates, int) and done.completed and done.completed % validates == 0:
            return False  # Lightning would not count this validation
        return done.completed % trainer.accumulate_grad_batches == 0

    def _keep(self, trainer: L.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(self.folder)
        name = f"epoch{trainer.current_epoch:03}-step{trainer.global_step:06}"
        with self._failing_in_words():
            part = folder / f".{name}.ckpt.{secrets.token_hex(4)}.part"
            part = Path(trainer.strategy.broadcast(str(part)))
            try:
                trainer.save_checkpoint(part)
                if trainer.is_global_zero:
                    whole = part.rename(folder / f"{name}-{file_sha256(part)[:16]}.ckpt")
                    _flush(folder)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        self._stepped = False
        self._kept_s = time.monotonic()
        if trainer.is_global_zero:
            kept = [whole, *([self._newest] if self._newest else [])]
            for each in checkpoints_of(folder.parent):
                if each.resolve() not in [path.resolve() for path in kept[:KEPT]]:
                    each.unlink(missing_ok=True)
            self._newest = whole

    @contextmanager
    def _failing_in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # torch raises its own from within a write
            causes = [error, error.__cause__, error.__context__]
            cause = next((each for each in causes if isinstance(each, OSError)), None)
            if cause is None:
                raise
            last = f"the last good one is {self._newest}" if self._newest else "there is none yet"
            self.failed = RunError(
                f"the checkpoint cannot be written to {self.folder}: "
                f"{cause.strerror or cause}; {last}.",
                fix="free space there, then go on with the run: kennel train ckpt_path=last "
                f"paths.output_dir={Path(self.folder).parent} and its other settings",
            )
            raise self.failed from error

    def _stopped(self, told: Interruption) -> BaseException:
        stop = told.stopped()
        if self._newest is not None:
            stop.message = f"{self._newest} is kept, and nothing was left half-written."
            stop.fix = (
                f"kennel train ckpt_path=last paths.output_dir={Path(self.folder).parent} and its "
                "other settings"
            )
        return stop


def is_whole(path: Path) -> bool:
    """Whether a checkpoint's bytes are those that its name tells of; True for names that tell
    nothing.

    Raises:
        OSError: it cannot be read.
    """
    named = CHECKPOINT.fullmatch(path.name)
    return named is None or file_sha256(path).startswith(named[3])


def _interruption(trainer: L.Trainer) -> Interruption | None:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return next((each for each in callbacks if isinstance(each, Interruption)), None)


def _flush(folder: Path) -> None:
    """Makes the names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
