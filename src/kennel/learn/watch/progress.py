"""Progress of a run on stderr: one line that is written again and again on a terminal, one a
finished epoch everywhere.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

import lightning as L
import torch
from lightning.pytorch.callbacks import ProgressBar

REDRAW_EVERY_S = 0.2
USUAL_COLUMNS = 80
RECENT = 0.1  # weight of a step in the pace; about ten steps are remembered


class Progress(ProgressBar):
    """Epoch, step, images a second, loss and time left of the whole run.

    A finished epoch leaves one line, with what validation said. Where stderr is no terminal these
    are the only lines, and nothing in them moves a cursor.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._to: TextIO = sys.stderr
        self._live = False
        self._pace = Pace()
        self._loss: float | None = None
        self._drawn_s = 0.0
        self._images = 0
        self._trained_s = 0.0

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints above the line that is written again."""
        self._clear()
        print(*args, file=sys.stderr)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._to = sys.stderr
        self._live = self._to.isatty() and os.environ.get("TERM") != "dumb"
        self._pace = Pace()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._images, self._trained_s = 0, 0.0
        self._pace.resume()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        images = len(batch[0]) * trainer.world_size
        self._images += images
        self._trained_s += self._pace.step(images)
        # On an accelerator who reads a loss waits for it; where it is logged, it is read anyway.
        if pl_module.device.type == "cpu" or trainer._logger_connector.should_update_logs:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            self._loss = float(loss) if isinstance(loss, torch.Tensor) else None
        if self._live and self._enabled and self._is_time():
            step = f"step {batch_idx + 1}/{self.total_train_batches}"
            self._write_again(
                [
                    _epoch(trainer),
                    step,
                    f"{self._pace.images_per_s:.0f} images/s",
                    _loss(self._loss),
                    _left(self._pace.left_s(trainer, pl_module)),
                ]
            )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pace.resume()

    def on_validation_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        batch_idx = args[2]
        if self._live and self._enabled and trainer.training and self._is_time():
            self._write_again([_epoch(trainer), f"validation, batch {batch_idx + 1}"])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pace.validated()  # before pictures are drawn, which is not done every time

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pace.resume()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        figures = trainer.callback_metrics
        rate = self._images / max(self._trained_s, 1e-9)
        facts = [_epoch(trainer), f"{rate:.0f} images/s"]
        for name, said in (("train/loss_epoch", "loss"), ("validation/top1", "validation top1")):
            if name in figures:
                facts.append(f"{said} {float(figures[name]):.3f}")
        facts.append(_left(self._pace.left_s(trainer, pl_module)))
        if self._enabled:
            self._clear()
            self._to.write(f"{_line(facts)}\n")
            self._to.flush()
        self._pace.resume()

    def on_train_end(self, *_: Any) -> None:
        self._clear()

    def on_exception(self, *_: Any) -> None:
        self._clear()

    def _is_time(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._drawn_s < REDRAW_EVERY_S:
            return False
        self._drawn_s = now_s
        return True

    def _write_again(self, facts: list[str]) -> None:
        self._to.write(f"\r{_line(facts)[: _columns(self._to) - 1]}\x1b[K")
        self._to.flush()

    def _clear(self) -> None:
        if self._live and self._enabled:
            self._to.write("\r\x1b[K")
            self._to.flush()


class Pace:
    """How long steps and validations take, and so how long all that is left will."""

    def __init__(self) -> None:
        self.step_s: float | None = None
        self.validation_s = 0.0
        self.images_per_s = 0.0
        self._since_s = time.monotonic()

    def resume(self) -> None:
        """What follows begins now."""
        self._since_s = time.monotonic()

    def step(self, images: int) -> float:
        """A step ended; gives its seconds, waiting for photos included."""
        now_s = time.monotonic()
        took_s, self._since_s = now_s - self._since_s, now_s
        rate = images / max(took_s, 1e-9)
        if self.step_s is None:
            self.step_s, self.images_per_s = took_s, rate
        else:
            self.step_s += RECENT * (took_s - self.step_s)
            self.images_per_s = images / max(self.step_s, 1e-9)
        return took_s

    def validated(self) -> None:
        """A validation ended."""
        self.validation_s = time.monotonic() - self._since_s
        self.resume()

    def left_s(self, trainer: L.Trainer, module: Any) -> float | None:
        """Seconds until the run is over, if it is not stopped early; None before the first step, or
        where nobody knows how many steps there are.
        """
        steps = module.total_steps - trainer.global_step
        if self.step_s is None or steps < 0:
            return None
        each_epoch: Any = trainer.num_training_batches
        batches = steps * trainer.accumulate_grad_batches
        every = trainer.check_val_every_n_epoch or 1
        validations = batches / max(float(each_epoch), 1.0) / every
        return float(batches * self.step_s + validations * self.validation_s)


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError):
        return USUAL_COLUMNS


def _epoch(trainer: L.Trainer) -> str:
    total = trainer.max_epochs
    of = f"/{total}" if total is not None and total > 0 else ""
    return f"epoch {trainer.current_epoch + 1:>{len(of) - 1 if of else 1}}{of}"


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"loss {loss:.3f}"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{_time(seconds)} left"


def _time(seconds: float) -> str:
    """Seconds as people read them: 9 s, 4:05 min, 2:07 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"


def _line(facts: list[str]) -> str:
    return ", ".join(fact for fact in facts if fact)
