"""Runs in Weights & Biases' format: in the run's own folder, and sent nowhere unless told to."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

from kennel.errors import RunError, need
from kennel.learn.watch.record import keep_id, known_as, settings_of
from kennel.run import Run


class WandbRun(WandbLogger):
    """Lightning's logger for Weights & Biases; a resumed run has the same id there.

    Args:
        folder: the run's own; files are in its wandb/.
        project: that the run belongs to.
        offline: no network and no account; `wandb sync` sends the files later.
    """

    def __init__(self, folder: str, *, project: str = "kennel", offline: bool = True) -> None:
        wandb = need("wandb", extra="wandb")
        self._folder, self._started = Path(folder), False
        # Else its service writes a log into the home folder.
        os.environ.setdefault("WANDB_CACHE_DIR", str((self._folder / "wandb" / "cache").resolve()))
        self._finished = False
        super().__init__(
            name=self._folder.resolve().name,
            save_dir=folder,
            version=known_as(self._folder, "wandb") or secrets.token_hex(4),
            offline=offline,
            project=project,
            mode="offline" if offline else "online",
            settings=wandb.Settings(
                console="off",  # it would take stdout and stderr
                silent=True,
                quiet=True,
                x_disable_stats=True,  # Kennel samples the machine itself
                x_save_requirements=False,
            ),
        )
        self._wandb_init.pop("anonymous", None)  # W&B warns of it, whatever it is

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run there. The first to ask starts it, or goes on with it."""
        if self._started:
            return super().experiment
        wandb = need("wandb", extra="wandb")
        self._started = True
        try:
            run = super().experiment
        except wandb.errors.Error as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise RunError(
                f"Weights & Biases cannot be reached: {reason}.",
                fix="wandb login, or logger.wandb.offline=true",
            ) from error
        keep_id(self._folder, "wandb", run.id)
        self.log_hyperparams(settings_of(self._folder))
        return run

    def take(self, run: Run) -> None:
        """Closes the run there, with the figures of its best epoch beside the last ones."""
        if self._experiment is not None and not self._finished:
            self.experiment.summary.update({f"best/{k}": v for k, v in run.metrics.items()})
            self._finish(0)

    def finalize(self, status: str) -> None:
        super().finalize(status)
        if status != "success":
            self._finish(1)

    def _finish(self, exit_code: int) -> None:
        """A run that is left open would take what the next one of this process logs."""
        if self._experiment is not None and not self._finished:
            self._finished = True
            self._experiment.finish(exit_code=exit_code)
