"""Checkpoints that are whole or not there, and figures that a resumed run goes on writing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from kennel.bundle import replacing


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


class MetricsCsv(CSVLogger):
    """metrics.csv; a resumed run keeps the rows from before the step where it goes on.

    Lightning's own deletes the file.
    """

    _earlier: list[dict[str, Any]] | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None and self._earlier is None:
            self._earlier = _rows(Path(self.log_dir) / "metrics.csv")
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        experiment = self.experiment
        if self._earlier and step is not None:
            kept = [row for row in self._earlier if int(row["step"]) < step]
            experiment.metrics = [*kept, *experiment.metrics]
        self._earlier = []
        super().log_metrics(metrics, step)


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    return [row for row in rows if str(row.get("step", "")).isdigit()]
