"""A study's processes on a Ray cluster: `kennel tune tune.launcher=ray`.

Each worker is what a process of `tune.workers` is on one machine: it takes a trial after the other
from the study's storage. Ray finds the room for it and tells when it is lost.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import kennel.errors
from kennel.beyond.cluster import Cluster, joined
from kennel.beyond.hearing import listening, speaking
from kennel.dataset import Dataset
from kennel.errors import KennelError, RunError, UsageError
from kennel.hold import holding
from kennel.learn.on_ray import PACKAGES, SOME_PHOTOS
from kennel.learn.tuning import storage
from kennel.learn.tuning.processes import CHILD, CHILD_NAME, LEAVING_S, POLL_S
from kennel.learn.tuning.work import Plan

log = logging.getLogger(__name__)


@contextmanager
def cluster_of(settings: DictConfig) -> Iterator[Cluster]:
    """The cluster that the study's trials are to run on.

    Raises:
        KennelError: there is none, it has no room, or the storage does not serve several nodes.
    """
    options = settings.tune
    with joined() as cluster:
        cluster.refuse_without_room(
            options.workers, cpus=options.cpus_per_trial, gpus=options.gpus_per_trial
        )
        able = [
            n for n in cluster.nodes() if n.fits(options.cpus_per_trial, options.gpus_per_trial)
        ]
        kept = options.storage or "sqlite"
        if len(able) > 1 and kept.startswith("sqlite"):
            raise UsageError(
                f"the study's storage is SQLite, which is for one machine, and the cluster at "
                f"{cluster.address} has {len(able)} nodes for trials.",
                fix="tune.storage=postgresql://USER:PASSWORD@HOST/NAME, or "
                "tune.storage=journal:FILE in a folder that all nodes share",
            )
        yield cluster


def refuse_unlike(cluster: Cluster, folder: Path, datasets: Sequence[Dataset]) -> None:
    """Refuses a cluster whose nodes are not alike, before the first trial.

    Args:
        folder: of the study.
    Raises:
        RunError: see kennel.beyond.cluster.Cluster.refuse_unlike.
    """
    paths = {"the working folder": Path.cwd(), "the study's folder": folder.resolve()}
    files: list[Path] = []
    for dataset in datasets:
        paths[f"the index {dataset.csv.name}"] = dataset.csv.resolve()
        for split in ("train", "validation"):
            files += [dataset.file(photo).resolve() for photo in dataset.split(split)[:SOME_PHOTOS]]
    cluster.refuse_unlike(
        (*PACKAGES, "optuna"), paths=paths, files=[file for file in files if file.exists()]
    )


def supervise_on_ray(
    cluster: Cluster, plan: Plan, words: Sequence[str], say: Callable[[str], None]
) -> None:
    """Keeps as many workers on the cluster as were asked for, until the study has its trials.

    Raises:
        RunError: workers failed, and why stands above it.
    """
    token = f"{storage.RAY}{secrets.token_hex(4)}"
    mine = plan.workers / token
    mine.mkdir(parents=True)
    try:
        with holding(mine), listening(cluster, say) as ear:
            _Watch(cluster, plan, words, say, ear=ear, token=token).until_done()
    finally:
        with suppress(OSError):  # somebody moved the study away
            mine.rmdir()


class _Watch:
    """Workers of one study, started and looked after."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        words: Sequence[str],
        say: Callable[[str], None],
        *,
        ear: Any,
        token: str,
    ) -> None:
        self.cluster, self.plan, self.say, self.ear, self.token = cluster, plan, say, ear, token
        own = ("tune.workers=", "tune.resume=", "tune.launcher=")
        self.words = [word for word in words if not word.startswith(own)]
        self.running: dict[Any, str] = {}
        self.started = self.lost = self.failed = 0
        self.last: tuple[str, str, str] | None = None
        options = plan.tune
        # max_calls: each is a process of its own, as without Ray. A task that is lost is not Ray's
        # to repeat: what it tried stands in the study.
        self.task = cluster.ray.remote(
            max_calls=1,
            max_retries=0,
            num_cpus=options.cpus_per_trial,
            num_gpus=options.gpus_per_trial,
        )(work_on_node)

    def until_done(self) -> None:
        ray, options = self.cluster.ray, self.plan.tune
        busy = self.cluster.is_busy(
            options.workers, cpus=options.cpus_per_trial, gpus=options.gpus_per_trial
        )
        if busy:
            self.say("the cluster is busy: trials begin when there is room")
        try:
            for _ in range(options.workers):
                self._start()
            while self.running:
                ended, _ = ray.wait(list(self.running), timeout=POLL_S)
                for reference in ended:
                    self._ended(reference, self.running.pop(reference))
                if ended:
                    self._replace()
        except BaseException:
            self._leave()
            raise
        with storage.failing_in_words(self.plan.url):
            if storage.is_wanted(self.plan.study, n_trials=options.n_trials):
                if self.last is not None and self.failed >= options.workers:
                    kind, message, fix = self.last
                    raise getattr(kennel.errors, kind)(message, fix=fix)
                raise RunError(
                    f"{self.failed + self.lost} workers of the study failed before it was over.",
                    fix="what they said stands above; go on with tune.resume=true",
                )

    def _start(self) -> None:
        # One worker alone draws what one process alone would.
        number = self.started + 1 if self.plan.tune.workers > 1 or self.started else 0
        self.started += 1
        name = f"{self.token}-{self.started}"
        told = (self.words, str(Path.cwd()), number, name, self.ear)
        self.running[self.task.remote(*told)] = name

    def _ended(self, reference: Any, name: str) -> None:
        errors = self.cluster.ray.exceptions
        try:
            fault = self.cluster.ray.get(reference)
        except errors.RayTaskError as error:
            self.failed += 1
            self.say(f"a worker failed: {str(error).strip().splitlines()[-1]}")
        except errors.RayError as error:
            self.lost += 1
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.say(f"a worker of the study was lost ({type(error).__name__}): {why[:120]}")
            with storage.failing_in_words(self.plan.url):
                again = storage.give_back_of(self.plan.study, name, retries=self.plan.tune.retries)
            for number in again:
                self.say(f"trial {number:<4} its worker was lost; it is tried again")
        else:
            if fault is not None:
                self.failed, self.last = self.failed + 1, fault

    def _replace(self) -> None:
        options = self.plan.tune
        with storage.failing_in_words(self.plan.url):
            wanted = storage.is_wanted(self.plan.study, n_trials=options.n_trials)
        short = options.workers - self.failed - len(self.running)
        if wanted and short > 0 and self.lost <= options.retries * options.workers:
            self._start()

    def _leave(self) -> None:
        """Lets each worker end its step and put its trial in line again."""
        ray = self.cluster.ray
        for reference in self.running:
            ray.cancel(reference, force=False)
        left, until = list(self.running), time.monotonic() + LEAVING_S
        while left and time.monotonic() < until:
            _, left = ray.wait(left, num_returns=len(left), timeout=1.0)
        for reference in left:
            ray.cancel(reference, force=True)


def work_on_node(
    words: list[str], folder: str, number: int, name: str, ear: Any
) -> tuple[str, str, str] | None:
    """One worker's part of the study; gives an error of Kennel's, which does not travel itself."""
    import kennel.learn  # noqa: F401 - before anything that imports torchvision
    from kennel.learn.configure import with_settings
    from kennel.learn.tuning.settings import check_study
    from kennel.learn.tuning.study import tune

    os.chdir(folder)
    os.environ[CHILD], os.environ[CHILD_NAME] = str(number), name
    own = [*words, "tune.workers=1", "tune.resume=true"]
    with speaking(ear) as mouth:
        try:
            with_settings(
                own,
                lambda settings: tune(
                    settings, words=own, count=_silent, say=lambda line: print(line, file=mouth)
                ),
                config="tune",
                check=check_study,
            )
        except KennelError as error:
            print(f"a worker failed: {error.message}", file=mouth)
            return type(error).__name__, error.message, error.fix
        except KeyboardInterrupt:
            return None  # the trial stands in line again
    return None


def _silent(total: int, what: str) -> Callable[[Path], None]:
    return lambda _: None
