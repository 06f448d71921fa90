"""Where a study is kept, what it was made for, and which of its trials nobody works on any more."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from kennel.errors import RunError, UsageError
from kennel.hold import Hold, who_holds

log = logging.getLogger(__name__)
JOURNAL = "journal:"
MADE_FOR = "made_for"  # attributes of a study and of its trials
WORKER, HOST, FOLDER, WHY, SURPLUS = "worker", "host", "folder", "why", "surplus"
LOST = "its process was killed"
NOBODY_S = 60.0  # after which a trial that no worker took is lost
ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)
BUSY_S = 60.0  # that a writer waits for another one of the same SQLite file


def storage_of(
    url: str | None, folder: Path, *, heartbeat_s: int, retries: int
) -> tuple[BaseStorage, str]:
    """The storage that `tune.storage` means, and how it is called.

    Args:
        url: see TuneSettings.storage.
        folder: of the study.
    Raises:
        RunError: it cannot be reached. UsageError: it means nothing.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = url or f"sqlite:///{folder.with_name(f'{folder.name}.db')}"
    with failing_in_words(url):
        if url.startswith(JOURNAL):
            file = Path(url.removeprefix(JOURNAL))
            file.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(file))), url
        waits = {"connect_args": {"timeout": BUSY_S}} if url.startswith("sqlite") else {}
        return RDBStorage(
            url,
            engine_kwargs={"pool_pre_ping": True, **waits},
            heartbeat_interval=heartbeat_s,
            grace_period=4 * heartbeat_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=retries),
        ), url


@contextmanager
def failing_in_words(url: str) -> Iterator[None]:
    """What a storage raises, as what it means for a person."""
    try:
        yield
    except (ImportError, sqlalchemy.exc.NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        driver = " (pip install psycopg2-binary)" if url.startswith("postgres") else ""
        raise UsageError(
            f"setting tune.storage is {_without_password(url)}: {reason}.",
            fix=f"install its driver{driver}, or sqlite:///FILE, postgresql://..., journal:FILE",
        ) from error
    except (*ERRORS, OSError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines()[0].rstrip(".")
        raise RunError(
            f"the study's storage {_without_password(url)} failed: {reason}.",
            fix="the runs that are done stay; when it is back, go on with tune.resume=true",
        ) from error


def open_study(
    storage: BaseStorage,
    url: str,
    *,
    name: str,
    maximise: bool,
    made_for: Mapping[str, Any],
    resume: bool,
    sampler: Any,
    pruner: Any,
) -> Study:
    """The study, made or gone on with.

    Args:
        made_for: what its trials have in common, by path: those of a study that is gone on with
            must be the same.
    Raises:
        RunError: it is there and is not to be gone on with, or was made for something else.
    """
    with failing_in_words(url):
        there = name in optuna.get_all_study_names(storage)
        if there and not resume:
            raise RunError(
                f"there is a study {name!r} in {_without_password(url)} already.",
                fix="go on with it: tune.resume=true; or another tune.name",
            )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if maximise else "minimize",
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
        kept = study.user_attrs.get(MADE_FOR)
        if kept is None:
            study.set_user_attr(MADE_FOR, json.dumps(made_for, sort_keys=True))
            return study
    _refuse_other(json.loads(kept), dict(made_for), name)
    return study


def _refuse_other(before: dict[str, Any], now: dict[str, Any], name: str) -> None:
    now = json.loads(json.dumps(now))
    changed = [each for each in {**before, **now} if before.get(each) != now.get(each)]
    if not changed:
        return
    first = changed[0]
    more = f" {len(changed) - 1} more differ: {', '.join(changed[1:6])}." if changed[1:] else ""
    raise RunError(
        f"the study {name!r} was made for {first}={before.get(first)}, and not for "
        f"{now.get(first)}.{more}",
        fix="ask for what it was made for, or for a new study: tune.name=...",
    )


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that are over and count: done, or pruned."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def best_of(study: Study, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The best of those trials that are done; None where none is."""
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    better = max if study.direction is StudyDirection.MAXIMIZE else min
    return better(done, key=lambda trial: trial.value or 0.0, default=None)


def surplus(study: Study, number: int, *, n_trials: int) -> bool:
    """Whether a trial is one more than the study is to have: of those before it, what was lost or
    failed does not count.
    """
    counting = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    before = [t for t in study.get_trials(deepcopy=False, states=counting) if t.number < number]
    return len(before) >= n_trials


def is_wanted(study: Study, *, n_trials: int) -> bool:
    """Whether the study is to have another trial."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    if TrialState.WAITING in states:
        return True
    counting = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return sum(state in counting for state in states) < n_trials


def give_back_lost(study: Study, workers: Path, *, retries: int) -> list[int]:
    """Fails the trials whose process was killed on this machine, and puts their parameters in line
    again.

    A worker holds the lock of its folder below `workers`, which ends with its process. Those of
    other machines are found by their heartbeat, where the storage has one.

    Returns:
        numbers of the trials.
    """
    again = RetryHeartbeatStaleTrialCallback(max_retry=retries)
    lost = []
    for trial in study.get_trials(deepcopy=True, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        if worker is None:
            age = datetime.now() - (trial.datetime_start or datetime.now())
            if age.total_seconds() < NOBODY_S:
                continue  # it begins just now
        elif (
            trial.user_attrs.get(HOST) != platform.node()
            or who_holds(workers / worker) is Hold.HELD
        ):
            continue
        try:
            study._storage.set_trial_user_attr(trial._trial_id, WHY, LOST)
            if not study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL):
                continue
        except optuna.exceptions.UpdateFinishedTrialError:
            continue  # another process was faster
        lost.append(trial.number)
        trial.user_attrs = {}
        again(study, trial)
    return lost


def _lives(worker: Path) -> bool:
    return who_holds(worker) is Hold.HELD


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme, found, rest = head.partition("://")
    if not at or not found:
        return url
    return f"{scheme}://{rest.partition(':')[0]}@{tail}"
