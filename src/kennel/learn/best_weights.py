"""The weights of the best epoch: chosen on validation photos, kept whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save

from kennel.bundle import replacing
from kennel.errors import RunError, UsageError
from kennel.learn.models import Network


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
            network = pl_module.answering  # which validation measured
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
