"""A study from its settings to its best trial: `kennel tune`."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import TrialState

from kennel.dataset import read_dataset, sealing
from kennel.errors import KennelError, RunError, UsageError
from kennel.hold import Hold, who_holds
from kennel.learn.interruption import leaving_on_sigterm
from kennel.learn.models import Model
from kennel.learn.opening import PhotoCount, open_dataset
from kennel.learn.parts import made, trainer_of
from kennel.learn.tuning import storage
from kennel.learn.tuning.best import SHOWS, write_best
from kennel.learn.tuning.page import write_page
from kennel.learn.tuning.settings import lesson_of, space_of
from kennel.learn.tuning.space import Parameter, Space
from kennel.learn.tuning.trial import Part, parts_of, with_values
from kennel.learn.tuning.work import Plan, give_back, suggest_anew, work

log = logging.getLogger(__name__)
CHILD = "KENNEL_TUNE_WORKER"  # set in processes that a study starts: their number, from 1
POLL_S = 0.2
# Settings that change no figure, or are a trial's own.
NOT_COMPARED = (
    *("paths", "logger", "ckpt_path", "data.csv", "data.photos", "data.num_workers"),
    *("data.cache", "trainer.accelerator", "trainer.devices", "trainer.default_root_dir"),
    *("trainer.plugins", "trainer.log_every_n_steps", "data.sample", "data.fractions", "data.seed"),
)


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
    with sealing("test"), leaving_on_sigterm():
        return _tune(settings, words, count, say)


def _tune(
    settings: DictConfig, words: Sequence[str], count: PhotoCount, say: Callable[[str], None]
) -> Outcome | None:
    began_s, child = time.monotonic(), int(os.environ.get(CHILD, "0"))
    options = settings.tune
    folder = Path(options.folder) / options.name
    new = not folder.exists()
    lesson, space = _judged_by(lesson_of(settings), options.monitor), space_of(settings)
    trainer_of(with_values(lesson, {}))  # refuses a device that is not there
    parts = parts_of(options, seed=settings.seed)
    _make_folder(folder)
    try:
        datasets = _index(lesson, options, folder, count)
        labels = datasets[0].labels
        _try_out(space, lesson, parts, labels)
        kept, url = storage.storage_of(
            options.storage, folder, heartbeat_s=options.heartbeat_s, retries=options.retries
        )
        study = storage.open_study(
            kept,
            url,
            name=options.name,
            maximise=options.monitor == "validation/top1",
            made_for=_made_for(settings, lesson, [each.dataset_id for each in datasets]),
            resume=options.resume or child > 0,
            sampler=None,
            pruner=made(settings.pruner, "pruner"),
        )
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    trials = len(study.get_trials(deepcopy=False))
    study.sampler = made(suggest_anew(settings.sampler, worker=child, trials=trials), "sampler")
    plan = Plan(study, url, folder, space, lesson, parts, options)
    if child:
        work(plan, count=count, say=say)
        return None
    if options.workers > 1:
        _supervise(plan, words, say)
    else:
        work(plan, count=count, say=say)
    return _outcome(plan, began_s)


def _judged_by(lesson: DictConfig, monitor: str) -> DictConfig:
    """The settings with the best epoch chosen by the study's own figure."""
    best = lesson.callbacks.get("best_weights")
    if best is None:
        raise UsageError(
            "callbacks.best_weights is null, and a trial is judged by its best epoch.",
            fix="leave callbacks.best_weights as it is",
        )
    best.monitor, best.mode = monitor, "max" if monitor == "validation/top1" else "min"
    return lesson


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made: {error.strerror}.", fix="another tune.folder"
        ) from error


def _index(lesson: DictConfig, options: DictConfig, folder: Path, count: PhotoCount) -> list[Any]:
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


def _try_out(
    space: Space, lesson: DictConfig, parts: Sequence[Part], labels: Sequence[str]
) -> None:
    """Refuses what no trial could be made of, before there is one: each choice, and both ends of
    each range.

    Raises:
        UsageError: a value that a setting cannot have, or that no model accepts.
    """
    for part in parts:
        with_values(lesson, part.changes)
    for each in space.parameters:
        for value in _ends(each):
            try:
                settings = with_values(lesson, {each.path: value})
                if each.path.partition(".")[0] == "model":
                    model: Model = made(settings.model, "model").build(labels)
                    del model
            except KennelError as error:
                raise UsageError(
                    f"space.{each.path} has {value!r}, which cannot be: {error.message}",
                    fix="take it out of the space; kennel tune --cfg job --package space shows it",
                ) from error
            except (ValueError, TypeError, RuntimeError, AssertionError) as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                raise UsageError(
                    f"space.{each.path} has {value!r}, which {settings.model.name} does not "
                    f"accept: {reason}.",
                    fix="take it out of the space; kennel tune --cfg job --package space shows it",
                ) from error


def _ends(each: Parameter) -> tuple[Any, ...]:
    if each.choices is not None:
        return each.choices
    return (int(each.low), int(each.high)) if each.whole else (each.low, each.high)


def _made_for(settings: DictConfig, lesson: DictConfig, dataset_ids: list[str]) -> dict[str, Any]:
    """What a study's trials have in common, by path."""
    options = settings.tune
    found = {
        "tune.monitor": options.monitor,
        "tune.repeats": options.repeats,
        "tune.rungs": json.dumps(OmegaConf.to_container(options.rungs), sort_keys=True),
        "photos": ", ".join(each[:12] for each in dataset_ids),
    }
    found |= _leaves(OmegaConf.to_container(settings.space, resolve=True), "space")
    for key, value in _leaves(OmegaConf.to_container(lesson, resolve=False), "").items():
        if not any(key == name or key.startswith(f"{name}.") for name in (*NOT_COMPARED, *SHOWS)):
            found[key] = value
    return found


def _leaves(node: Any, path: str) -> dict[str, Any]:
    if not isinstance(node, Mapping) or not node:
        return {path: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= _leaves(value, f"{path}.{key}" if path else str(key))
    return found


def _supervise(plan: Plan, words: Sequence[str], say: Callable[[str], None]) -> None:
    """Keeps as many processes at work as were asked for, until the study has its trials.

    Raises:
        RunError: a process failed, and why stands above it.
    """
    own = [word for word in words if not word.startswith(("tune.workers=", "tune.resume="))]
    command = [sys.executable, "-m", "kennel", "tune", *own, "tune.workers=1", "tune.resume=true"]
    started, killed, failed = 0, 0, 0
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        nonlocal started
        started += 1
        environment = {**os.environ, CHILD: str(started)}
        children.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))

    try:
        for _ in range(plan.tune.workers):
            start()
        while children:
            time.sleep(POLL_S)
            for child in [each for each in children if each.poll() is not None]:
                children.remove(child)
                if child.returncode < 0:
                    killed += 1
                    name = signal.Signals(-child.returncode).name
                    say(f"a process of the study was ended by {name}")
                    give_back(plan)
                elif child.returncode:
                    failed += 1
            with storage.failing_in_words(plan.url):
                short = plan.tune.workers - failed - len(children)
                if killed <= plan.tune.retries * plan.tune.workers and short > 0 and _idle(plan):
                    start()
    except BaseException:
        for child in children:
            child.send_signal(signal.SIGINT)
        for child in children:
            child.wait()
        raise
    with storage.failing_in_words(plan.url):
        if storage.is_wanted(plan.study, n_trials=plan.tune.n_trials):
            raise RunError(
                f"{failed + killed} processes of the study failed before it was over.",
                fix="what they said stands above; go on with tune.resume=true",
            )


def _idle(plan: Plan) -> bool:
    """Whether there is work for one process more."""
    return storage.is_wanted(plan.study, n_trials=plan.tune.n_trials)


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
    last = plan.parts[-1] if plan.parts[0].name.startswith("rung") else plan.parts[0]
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
