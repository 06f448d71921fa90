"""One process that works on a study: a trial after the other, until there are enough."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from kennel.dataset import read_dataset
from kennel.errors import KennelError, RunError
from kennel.hold import holding
from kennel.learn.opening import PhotoCount
from kennel.learn.tuning import storage
from kennel.learn.tuning.hparams import write_hparams
from kennel.learn.tuning.space import Space
from kennel.learn.tuning.trial import Part, carry_out, drop_checkpoints
from kennel.run import Run

log = logging.getLogger(__name__)
MOST_FAILED, MOST_ALIKE = 5, 3  # trials one after the other, of one process; for one reason
TRIALS, WORKERS, HPARAMS = "trials", "workers", "hparams"  # in a study's folder
EPOCHS, SECONDS = "epochs", "seconds"  # attributes of a trial


class EnoughError(Exception):
    """The study has all its trials: this one is one too many."""


@dataclass(frozen=True)
class Plan:
    """What all processes of a study know alike."""

    study: Study
    url: str
    folder: Path
    space: Space
    lesson: DictConfig
    parts: list[Part]
    tune: DictConfig

    @property
    def workers(self) -> Path:
        return self.folder / WORKERS

    @property
    def climbs(self) -> bool:
        """Whether the runs of a trial are rungs, of which the last one counts."""
        return self.parts[0].name.startswith("rung")

    @property
    def validation_photos(self) -> int:
        """How many photos judge a trial, in all its folds."""
        csvs = list(self.tune.folds) or [self.lesson.data.csv]
        return sum(len(read_dataset(Path(csv)).split("validation")) for csv in csvs)

    def trial_folder(self, number: int) -> Path:
        return self.folder / TRIALS / f"{number:04}"


def work(plan: Plan, *, count: PhotoCount, say: Callable[[str], None]) -> None:
    """Carries out trials until the study has as many as it is to have.

    Raises:
        RunError: the storage is gone, or trial after trial fails.
        KeyboardInterrupt: the trial that was going on stands in line again.
    """
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
    mine = plan.workers / name
    mine.mkdir(parents=True)
    failed: list[str] = []  # why, of trials one after the other
    try:
        with holding(mine), storage.failing_in_words(plan.url):
            while True:
                for number in give_back(plan):
                    say(f"trial {number:<4} its process was killed; it is tried again")
                if not storage.is_wanted(plan.study, n_trials=plan.tune.n_trials):
                    break
                try:
                    plan.study.optimize(
                        lambda trial: _objective(plan, trial, worker=name, count=count),
                        n_trials=1,
                        callbacks=[lambda _, trial: _after(plan, trial, say)],
                    )
                    failed = []
                except EnoughError:
                    break
                except KennelError as error:
                    failed.append(error.message)
                    _refuse_lost_storage(plan)
                    say(f"trial failed: {error.message}")
                    if len(failed) >= MOST_FAILED or failed.count(error.message) >= MOST_ALIKE:
                        raise RunError(
                            f"{len(failed)} trials failed one after the other, the last: "
                            f"{error.message}",
                            fix=error.fix or "a smaller space, or other settings",
                        ) from error
                _refuse_lost_storage(plan)
    finally:
        with suppress(OSError):  # somebody moved the study away
            mine.rmdir()


def give_back(plan: Plan) -> list[int]:
    """Puts trials in line again whose process was killed. See kennel.learn.tuning.storage."""
    return storage.give_back_lost(plan.study, plan.workers, retries=plan.tune.retries)


def _objective(plan: Plan, trial: optuna.Trial, *, worker: str, count: PhotoCount) -> float:
    if storage.surplus(plan.study, trial.number, n_trials=plan.tune.n_trials):
        trial.set_user_attr(storage.SURPLUS, True)
        raise EnoughError
    folder = plan.trial_folder(trial.number)
    for key, value in (
        (storage.WORKER, worker),
        (storage.HOST, platform.node()),
        (storage.FOLDER, str(folder)),
    ):
        trial.set_user_attr(key, value)
    began_s = time.monotonic()

    def on_run(run: Run) -> None:
        trial.set_user_attr(EPOCHS, trial.user_attrs.get(EPOCHS, 0) + (run.best_epoch or 0) + 1)

    try:
        return carry_out(
            trial,
            plan.lesson,
            plan.space.suggested(trial),
            plan.parts,
            folder=folder,
            monitor=plan.tune.monitor,
            count=count,
            on_run=on_run,
        )
    except (optuna.TrialPruned, *storage.ERRORS):
        raise
    except Exception as error:
        said = error if isinstance(error, KennelError) else _unforeseen(trial.number, error)
        trial.set_user_attr(storage.WHY, said.message)
        raise said from error
    except KeyboardInterrupt:
        trial.set_user_attr(storage.WHY, "it was stopped")
        plan.study.enqueue_trial(dict(trial.params))
        raise
    finally:
        trial.set_user_attr(SECONDS, round(time.monotonic() - began_s, 1))


def _after(plan: Plan, trial: FrozenTrial, say: Callable[[str], None]) -> None:
    monitor, over = plan.tune.monitor, storage.finished(plan.study)
    best = storage.best_of(plan.study, over)
    if plan.tune.keep == "best":
        for other in over:  # what ends meanwhile is its own process's to judge
            if best is None or other.number != best.number:
                drop_checkpoints(plan.trial_folder(other.number))
    values = plan.space.as_written(trial.params)
    last = trial.value if trial.value is not None else _last(trial)
    write_hparams(plan.folder / HPARAMS / f"trial-{trial.number:04}", values, monitor, last)
    result = f"{monitor} {last:.4f}" if last is not None else "no figure"
    if trial.state is TrialState.PRUNED:
        result += f", pruned after {max(trial.intermediate_values, default=0)}"
    leader = f"; best {best.value:.4f} (trial {best.number})" if best is not None else ""
    seconds = trial.user_attrs.get(SECONDS, 0)
    counted = f"{len(over)}/{plan.tune.n_trials}"
    say(f"trial {trial.number:<4} {result}{leader}, {seconds:.0f} s, {counted}")


def _unforeseen(number: int, error: Exception) -> RunError:
    """What a trial raises that is not Kennel's, such as a callback's: it fails alone."""
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return RunError(
        f"trial {number}: {type(error).__name__}: {reason}.",
        fix="KENNEL_DEBUG=1 shows where; kennel train with the trial's settings raises it too",
    )


def _last(trial: FrozenTrial) -> float | None:
    step = max(trial.intermediate_values, default=None)
    return None if step is None else trial.intermediate_values[step]


def _refuse_lost_storage(plan: Plan) -> None:
    """A file that was removed is written to by who has it open, and read by nobody."""
    for head in ("sqlite:///", storage.JOURNAL):
        file = Path(plan.url.removeprefix(head))
        if plan.url.startswith(head) and not file.exists():
            raise RunError(
                f"the study's storage {file} is gone.",
                fix="put it back, then go on with tune.resume=true; the runs that are done stay "
                f"in {plan.folder}",
            )


def suggest_anew(node: DictConfig, *, worker: int, trials: int, company: bool) -> Any:
    """The sampler's settings with a seed of this process: two with one seed would try the same.

    Args:
        worker: number of the process, where another one started it. trials: that are there.
        company: others are at work that know nothing of this one: then no seed gives it twice.
    """
    copy = node.copy()
    if copy.get("seed") is not None:
        own = os.getpid() if company else 0
        copy.seed = (int(copy.seed) + 7919 * worker + 104729 * trials + 15485863 * own) % 2**31
    return copy
