"""One trial: settings with suggested values, trained, judged by validation photos, perhaps pruned
on the way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from kennel.errors import RunError, UsageError
from kennel.learn.opening import PhotoCount
from kennel.learn.settings import check_settings
from kennel.learn.train import HaltedError, train
from kennel.run import CHECKPOINTS, Run


@dataclass(frozen=True)
class Part:
    """One of the runs that a trial consists of.

    Attributes:
        name: of its folder in the trial's; "" where it is the only one.
        changes: settings by path, laid over the trial's.
    """

    name: str
    changes: dict[str, Any]


def parts_of(tune: DictConfig, *, seed: int) -> list[Part]:
    """The runs of each trial, in their order."""
    if tune.folds:
        return [Part(f"fold-{at}", {"data.csv": csv}) for at, csv in enumerate(tune.folds, start=1)]
    if tune.repeats > 1:
        return [Part(f"seed-{seed + at}", {"seed": seed + at}) for at in range(tune.repeats)]
    rungs = [_flat(rung or {}, f"tune.rungs[{at}]") for at, rung in enumerate(tune.rungs)]
    if not rungs:
        return [Part("", {})]
    return [Part(f"rung-{at}", rung) for at, rung in enumerate(rungs, start=1)]


def _flat(rung: Any, path: str) -> dict[str, Any]:
    plain = OmegaConf.to_container(rung) if isinstance(rung, DictConfig) else rung
    if not isinstance(plain, dict):
        raise UsageError(
            f"setting {path} is {plain!r}, and no settings.",
            fix="'tune.rungs=[{model.image.size: 96, trainer.max_epochs: 3}, {}]'",
        )
    return {str(key): value for key, value in plain.items()}


def with_values(lesson: DictConfig, values: dict[str, Any]) -> DictConfig:
    """The settings of one run: a copy with the values, checked.

    Raises:
        UsageError: a path that no setting has, or a value that it cannot have.
    """
    copy = lesson.copy()
    for path, value in values.items():
        if _is_missing(copy, path):
            raise UsageError(
                f"setting {path} does not exist, and the study varies it.",
                fix="kennel tune --cfg job shows the settings; its model and data groups have "
                "to fit the space",
            )
        OmegaConf.update(copy, path, value, merge=False)
    return check_settings(copy)


def _is_missing(config: DictConfig, path: str) -> bool:
    parent, _, key = path.rpartition(".")
    try:
        node: Any = OmegaConf.select(config, parent) if parent else config
    except OmegaConfBaseException:
        return True
    if isinstance(node, DictConfig):
        return key not in node
    return not (OmegaConf.is_list(node) and key.isdigit() and int(key) < len(node))


class Reports(Callback):
    """Tells the study each epoch's figure, and ends the run where it is pruned."""

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self.trial, self.monitor = trial, monitor

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        figure = trainer.callback_metrics.get(self.monitor)
        if figure is None or trainer.sanity_checking:
            return
        self.trial.report(float(figure), trainer.current_epoch + 1)
        if self.trial.should_prune():
            raise HaltedError("pruned")


def carry_out(
    trial: optuna.Trial,
    lesson: DictConfig,
    values: dict[str, Any],
    parts: Sequence[Part],
    *,
    folder: Path,
    monitor: str,
    count: PhotoCount,
    on_run: Callable[[Run], None],
) -> float:
    """Trains a trial's runs.

    Args:
        values: by path.
        folder: of the trial; each run has it, or one in it, for itself.
    Returns:
        the figure: of the one run, the mean over folds or seeds, of the last rung.
    Raises:
        optuna.TrialPruned: it is not worth going on.
        KennelError: as from train.
    """
    figures: list[float] = []
    climbs = parts[0].name.startswith("rung")
    for at, part in enumerate(parts, start=1):
        settings = with_values(lesson, {**values, **part.changes})
        with open_dict(settings):
            settings.paths.output_dir = str(folder / part.name)
        reports = [Reports(trial, monitor)] if len(parts) == 1 else []
        try:
            run = train(
                settings,
                count=count,
                overrides=list(_as_words({**values, **part.changes})),
                callbacks=reports,
            )
        except HaltedError as halted:
            raise optuna.TrialPruned from halted
        on_run(run)
        if monitor not in run.metrics:
            raise RunError(
                f"{run.path} was never validated, so there is no {monitor}.",
                fix="trainer.check_val_every_n_epoch=1, and trainer.limit_val_batches above 0",
            )
        figures.append(run.metrics[monitor])
        if len(parts) > 1:
            trial.report(figures[-1], at)
            if at < len(parts) and trial.should_prune():
                raise optuna.TrialPruned
    return figures[-1] if climbs else sum(figures) / len(figures)


def drop_checkpoints(folder: Path) -> None:
    """Removes the checkpoints of a trial that is not the best; its figures stay."""
    for place in (folder, *folder.glob("*-*")):
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)


def _as_words(values: dict[str, Any]) -> Iterator[str]:
    for path, value in values.items():
        yield f"{path}={json.dumps(value) if value is None or isinstance(value, bool) else value}"
