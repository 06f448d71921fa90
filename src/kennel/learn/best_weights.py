"""The weights of the best epoch: chosen on validation photos, kept whole."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kennel.bundle import file_sha256, replacing
from kennel.errors import UsageError
from kennel.learn.models import Network

log = logging.getLogger(__name__)


class BestWeights(Callback):
    """Keeps the network's weights of the best epoch, as safetensors, written whole or not at all.

    The file says of which epoch it is, and its figures on validation photos: a run that is killed
    after it was written and before the next checkpoint is remembers an older one.

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
        self.sha256: str | None = None

    def written(self) -> tuple[int, dict[str, float], str] | None:
        """Epoch, figures and sha256 of the weights that lie there; None where none do."""
        if self.epoch is None or self.sha256 is None or not self.path.is_file():
            return None
        sha256 = file_sha256(self.path)
        if sha256 == self.sha256:
            return self.epoch, self.metrics, sha256
        epoch, figures = _about(self.path)
        return (epoch, figures, sha256) if epoch is not None else None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.epoch is None:
            return
        if self.sha256 is None and self.path.is_file():  # a checkpoint from before it was kept
            self.sha256 = file_sha256(self.path)
        if not self.path.is_file():
            gone = "is not there any more"
        elif file_sha256(self.path) != self.sha256 and (_about(self.path)[0] or 0) <= self.epoch:
            gone = "was changed"
        else:
            return
        log.warning("%s %s: the best of the epochs to come takes its place", self.path, gone)
        self.best, self.epoch, self.metrics, self.sha256 = None, None, {}, None

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
            from kennel.learn.divergence import diverged  # which looks for these weights

            raise diverged(
                trainer, f"{self.monitor} became {value} in epoch {trainer.current_epoch}"
            )
        if self.best is not None and not (
            value < self.best if self.mode == "min" else value > self.best
        ):
            return
        self.best, self.epoch, self.metrics = value, trainer.current_epoch, figures
        if trainer.is_global_zero:
            network = pl_module.answering  # which validation measured
            assert isinstance(network, Network)
            # Not those of speed: the same run again gives the same file.
            seen = {name: v for name, v in figures.items() if name.startswith("validation/")}
            write_weights(
                network,
                self.path,
                about={"epoch": str(self.epoch), "figures": json.dumps(seen, sort_keys=True)},
            )
            self.sha256 = file_sha256(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("best", "epoch", "metrics", "sha256")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch, self.metrics = (state_dict[k] for k in ("best", "epoch", "metrics"))
        self.sha256 = state_dict.get("sha256")


def write_weights(network: Network, path: Path, *, about: dict[str, str] | None = None) -> None:
    """Writes the network's tensors as safetensors, flushed before it gets its name."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with replacing(path, "wb") as file:
        file.write(_saying(save(tensors, metadata={"format": "pt"}), about or {}))


def _saying(whole: bytes, about: dict[str, str]) -> bytes:
    """A safetensors file with more metadata, always in one order: the library itself writes them in
    another each time.
    """
    end = 8 + int.from_bytes(whole[:8], "little")
    header: dict[str, Any] = json.loads(whole[8:end])
    header["__metadata__"] = {**header["__metadata__"], **about}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + whole[end:]


def _about(path: Path) -> tuple[int | None, dict[str, float]]:
    """What a file of weights says of itself."""
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
        return int(said["epoch"]), json.loads(said["figures"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None, {}
