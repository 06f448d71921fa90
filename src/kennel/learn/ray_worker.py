"""One worker of a run on a Ray cluster: the run, as one of its processes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from kennel.beyond.hearing import speaking
from kennel.errors import KennelError, Stopped
from kennel.hold import Hold, who_holds
from kennel.learn.interruption import Interruption
from kennel.learn.processes import IN_RAY
from kennel.learn.settings import check_settings
from kennel.run import Run

POLL_S, LEFT_S = 0.2, 60.0  # between looks; until a worker that was lost is gone


@dataclass(frozen=True)
class Job:
    """What each worker is told. Travels to other machines as it is."""

    settings: str  # YAML
    folder: str  # the working folder
    overrides: tuple[str, ...]
    repeats: Run | None
    stop: str


class StopsAtFile(Callback):
    """Tells the run to stop when a file appears: signals reach the command, and not its workers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.is_global_zero and self.path.exists():
            callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
            for each in callbacks:
                if isinstance(each, Interruption):
                    each.tell("the command was told to stop")


def train_worker(told: dict[str, Any]) -> None:
    """What each worker does: the run, as one of its processes."""
    import kennel.learn  # noqa: F401 - before anything that imports torchvision

    job, ear = cast(Job, told["job"]), told["ear"]
    os.environ[IN_RAY] = "1"
    os.chdir(job.folder)
    from ray.train import get_context

    from kennel.learn.train import train

    context = get_context()
    settings = check_settings(cast(DictConfig, OmegaConf.create(job.settings)))
    first = context.get_world_rank() == 0
    out = Path(settings.paths.output_dir)
    until = time.monotonic() + LEFT_S
    while first and who_holds(out) is Hold.HELD and time.monotonic() < until:
        time.sleep(POLL_S)  # for a worker of a node that was lost to be gone
    logging.getLogger("kennel").propagate = False
    with speaking(ear, "kennel" if first else "kennel.silent"):
        try:
            train(
                settings,
                count=_silent,
                overrides=job.overrides,
                repeats=job.repeats,
                callbacks=[StopsAtFile(Path(job.stop))],
            )
        except Stopped:
            return  # run.json and the checkpoint say it
        except KennelError as error:
            where = f"worker {context.get_world_rank()} on {context.get_node_rank()}"
            fault = (type(error).__name__, error.message, error.fix)
            import ray

            ray.get(ear.fail.remote(*fault))
            raise RuntimeError(f"{where}: {json.dumps(fault)}") from None


def _silent(total: int, what: str) -> Callable[[Path], None]:
    return lambda _: None
