"""A callback that writes what a run's validation figure was after each epoch, and when."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback


class Clock(Callback):
    """Writes after each epoch: processor and wall seconds since the process began, figures."""

    def __init__(self, path: str) -> None:
        self.path, self.rows = Path(path), []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        figures = {k: float(v) for k, v in trainer.callback_metrics.items()}
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                "cpu_s": sum(u.ru_utime + u.ru_stime for u in used),
                "wall_s": time.time() - float(os.environ["KENNEL_BENCH_BEGAN"]),
                "top1": figures["validation/top1"],
                "loss": figures["validation/loss"],
            }
        )
        self.path.write_text(json.dumps(self.rows))
