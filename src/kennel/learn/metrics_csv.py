"""metrics.csv: a run that goes on writes each step once."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from kennel.bundle import replacing


class MetricsCsv(CSVLogger):
    """metrics.csv; a resumed run keeps the rows from before the step where it goes on.

    Lightning's own deletes the file, and rewrites it in place where a figure is new.
    """

    _went_on = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _Rows(log_dir=self.log_dir)
        return self._experiment

    @rank_zero_only
    def go_on_from(self, step: int) -> None:
        """Forgets the rows of `step` and later ones, which will come again."""
        self._went_on = True
        self.experiment.go_on_from(step)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if not self._went_on and step is not None:  # nobody said where the run begins: here
            self.go_on_from(step)
        super().log_metrics(metrics, step)


class _Rows(ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        """What is there stays, until `go_on_from`."""

    def go_on_from(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        rows = [row for row in _rows(path) if int(row["step"]) < step]
        self.metrics_keys = sorted({key for row in rows for key in row})
        if rows:
            self._write(rows)
        else:
            path.unlink(missing_ok=True)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._write(_rows(Path(self.metrics_file_path)))

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with replacing(Path(self.metrics_file_path)) as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Without empty fields, and without a last row that was cut short."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{k: v for k, v in row.items() if v and k} for row in csv.DictReader(file)]
    return [row for row in rows if str(row.get("step", "")).isdigit()]
