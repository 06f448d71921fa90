"""A study from its settings to its best trial: `kennel tune`."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from kennel.dataset import Dataset, read_dataset, sealing
from kennel.errors import RunError
from kennel.hold import Hold, holding, who_holds
from kennel.learn.interruption import leaving_on_sigterm
from kennel.learn.opening import PhotoCount, open_dataset
from kennel.learn.parts import made, trainer_of
from kennel.learn.tuning import storage
from kennel.learn.tuning.best import write_best
from kennel.learn.tuning.hparams import write_experiment
from kennel.learn.tuning.page import write_page
from kennel.learn.tuning.prepare import fitted, judged_by, made_for, try_out
from kennel.learn.tuning.processes import CHILD, supervise
from kennel.learn.tuning.settings import space_of, train_settings_of
from kennel.learn.tuning.trial import parts_of, with_values
from kennel.learn.tuning.work import HPARAMS, Plan, suggest_anew, work

PREPARING_S, POLL_S = 600.0, 0.2  # that others get for it; between two looks


@dataclass(frozen=True)
class Outcome:
    """What a study came to.

    Attributes:
        figure: of the best trial, by `monitor`. values: its parameters by path.
        lost: trials whose process was killed. failed: that could not be trained.
        experiment: where the best was written; None: nowhere.
    """

    name: str
    folder: Path
    storage: str
    monitor: str
    best_trial: int
    figure: float
    values: dict[str, Any]
    done: int
    pruned: int
    failed: int
    lost: int
    best_run: Path
    page: Path
    experiment: Path | None
    seconds: float


def tune(
    settings: DictConfig,
    *,
    words: Sequence[str],
    count: PhotoCount,
    say: Callable[[str], None],
) -> Outcome | None:
    """Carries out a study, or this process's part of it.

    Args:
        settings: see kennel.learn.tuning.settings.check_study.
        words: of the command, for the processes that it starts.
        count: see kennel.learn.train.train.
        say: takes a line for each trial.
    Returns:
        what came of it; None in a process that another one started.
    Raises:
        KennelError: settings, photos, storage or machine do not allow it.
        KeyboardInterrupt: Ctrl-C; the study can be gone on with.
    """
    with sealing("test"), leaving_on_sigterm(), warnings.catch_warnings():
        # Optuna's heartbeat and groups are there since 2020, and still said to be experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _tune(settings, words, count, say)


def _tune(
    settings: DictConfig, words: Sequence[str], count: PhotoCount, say: Callable[[str], None]
) -> Outcome | None:
    began_s, child = time.monotonic(), int(os.environ.get(CHILD, "0"))
    options = settings.tune
    folder = Path(options.folder) / options.name
    lesson, space = judged_by(train_settings_of(settings), options.monitor), space_of(settings)
    trainer_of(with_values(lesson, {}))  # refuses a device that is not there
    parts = parts_of(options, seed=settings.seed)
    with _alone_in(folder):
        datasets = _index(lesson, options, folder, count)
        try_out(space, lesson, parts, datasets[0].labels)
        kept, url = storage.storage_of(
            options.storage, folder, heartbeat_s=options.heartbeat_s, retries=options.retries
        )
        study = storage.open_study(
            kept,
            url,
            name=options.name,
            maximise=options.monitor == "validation/top1",
            made_for=made_for(settings, lesson, [each.dataset_id for each in datasets]),
            resume=options.resume or child > 0,
            sampler=None,
            pruner=made(fitted(settings.pruner, lesson, parts), "pruner"),
        )
        if not (folder / HPARAMS).is_dir():
            write_experiment(folder / HPARAMS, space, options.monitor)
    there = study.get_trials(deepcopy=False)
    study.sampler = made(
        suggest_anew(
            settings.sampler,
            worker=child,
            trials=len(there),
            company=any(trial.state is TrialState.RUNNING for trial in there),
        ),
        "sampler",
    )
    plan = Plan(study, url, folder, space, lesson, parts, options)
    if child:
        work(plan, count=count, say=say)
        return None
    if options.workers > 1:
        supervise(plan, words, say)
    else:
        work(plan, count=count, say=say)
    return _outcome(plan, began_s)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Makes the study's folder where there is none, and lets one process after the other prepare
    in it. What this one made is gone again where the preparation fails.
    """
    with ExitStack() as stack:
        until = time.monotonic() + PREPARING_S
        while True:
            try:
                new = not folder.exists()
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(holding(folder))
                break
            except RunError:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_S)
            except OSError as error:
                raise RunError(
                    f"{folder} cannot be made: {error.strerror}.", fix="another tune.folder"
                ) from error
        before = set(folder.iterdir())
        try:
            yield
        except BaseException:
            for each in set(folder.iterdir()) - before:
                if each.is_file():
                    each.unlink(missing_ok=True)
            if new:
                stack.close()
                with suppress(OSError):  # somebody else works there by now
                    folder.rmdir()
            raise


def _index(
    lesson: DictConfig, options: DictConfig, folder: Path, count: PhotoCount
) -> list[Dataset]:
    """The indexes of the study; photos are indexed once, and not by each trial."""
    if options.folds:
        return [read_dataset(Path(csv)) for csv in options.folds]
    if lesson.data.csv is None:
        csv = folder / "dataset.csv"
        if not csv.is_file():
            open_dataset(lesson, folder, count)
        with open_dict(lesson):
            lesson.data.csv, lesson.data.photos = str(csv), None
    return [read_dataset(Path(lesson.data.csv))]


def _outcome(plan: Plan, began_s: float) -> Outcome:
    with storage.failing_in_words(plan.url):
        trials = plan.study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    if TrialState.COMPLETE not in states:
        raise RunError(
            f"no trial of the study {plan.tune.name!r} came to its end: "
            f"{states.count(TrialState.PRUNED)} pruned, {states.count(TrialState.FAIL)} failed.",
            fix="more trials (tune.n_trials), pruner=none, or another space",
        )
    best = plan.study.best_trial
    values = plan.space.as_written(best.params)
    page = write_page(plan)
    for left in plan.workers.iterdir():  # of processes that were killed
        if who_holds(left) is not Hold.HELD:
            shutil.rmtree(left, ignore_errors=True)
    experiment = write_best(plan, best, values)
    last = plan.parts[-1] if plan.climbs else plan.parts[0]
    reasons = [trial.user_attrs.get(storage.WHY) for trial in trials]
    assert best.value is not None
    return Outcome(
        name=plan.tune.name,
        folder=plan.folder,
        storage=plan.url,
        monitor=plan.tune.monitor,
        best_trial=best.number,
        figure=best.value,
        values=values,
        done=states.count(TrialState.COMPLETE),
        pruned=states.count(TrialState.PRUNED),
        failed=sum(reason not in (None, storage.LOST) for reason in reasons),
        lost=reasons.count(storage.LOST),
        best_run=plan.trial_folder(best.number) / last.name,
        page=page,
        experiment=experiment,
        seconds=round(time.monotonic() - began_s, 1),
    )
