"""Settings of `kennel tune`: those of `kennel train`, and what a study is told besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from kennel.errors import UsageError
from kennel.learn.settings import check_settings, typed
from kennel.learn.tuning.space import Space, read_space

OWN = ("tune", "space", "sampler", "pruner")


@dataclass
class TuneSettings:
    """A study.

    Attributes:
        name: of the study, and of its folder.
        folder: of all studies.
        n_trials: that are finished or pruned when the study is over, by all processes together.
        storage: null for an SQLite file beside the study's folder; an URL that SQLAlchemy knows,
            such as postgresql://...; or journal:FILE.
        resume: goes on with a study that is there.
        workers: processes that this command starts; more may join from elsewhere.
        monitor: validation/loss, which is to be low, or validation/top1, which is to be high.
        folds: indexes that `kennel index --folds` wrote: a trial trains on each, and its figure is
            the mean. Instead of data.csv.
        repeats: seeds that a trial is trained with, likewise.
        rungs: settings laid over a trial's, one dict after the other, cheapest first: a trial
            climbs them, may be pruned after each, and its figure is that of the last.
        retries: how often a trial whose process was killed is tried again.
        heartbeat_s: how often a process says that it lives, in a database; after four times that
            others take its trial over.
        keep: "best" keeps the checkpoints of the best trial; "all" of all.
        seed: of the sampler.
        best: where the best trial is written as an experiment; null: nowhere.
    """

    name: str = "study"
    folder: str = "studies"
    n_trials: int = 20
    storage: str | None = None
    resume: bool = False
    workers: int = 1
    monitor: str = "validation/loss"
    folds: list[str] = field(default_factory=list)
    repeats: int = 1
    rungs: list[Any] = field(default_factory=list)
    retries: int = 2
    heartbeat_s: int = 30
    keep: str = "best"
    seed: int = 0
    best: str | None = "conf/experiment/best.yaml"


def check_study(config: DictConfig) -> DictConfig:
    """The same with types; see kennel.learn.settings.check_settings.

    Raises:
        UsageError: a key or type that no setting has, a number out of its range, or a space that
            means nothing.
    """
    lesson = OmegaConf.masked_copy(config, [str(key) for key in config if key not in OWN])
    settings = check_settings(lesson)
    tune = typed(TuneSettings, config.get("tune"), at="tune.")
    for path, fine, range_ in (
        ("n_trials", tune.n_trials >= 1, "1 or more"),
        ("workers", 1 <= tune.workers <= 64, "in 1..64"),
        ("repeats", tune.repeats >= 1, "1 or more"),
        ("retries", tune.retries >= 0, "0 or more"),
        ("heartbeat_s", tune.heartbeat_s >= 1, "1 or more"),
        ("keep", tune.keep in ("best", "all"), "best or all"),
        ("seed", 0 <= tune.seed < 2**31, "in 0..2147483647"),
        ("name", bool(tune.name) and not set(tune.name) & set("/\\\0"), "a folder's name"),
        (
            "monitor",
            tune.monitor in ("validation/loss", "validation/top1"),
            "validation/loss or validation/top1: a study is judged by validation photos alone",
        ),
        ("folds", len(tune.folds) != 1, "two indexes or more; one alone is data.csv"),
    ):
        if not fine:
            raise UsageError(
                f"setting tune.{path} is {tune[path]}; it must be {range_}.",
                fix="kennel tune --cfg job shows every setting",
            )
    if sum((bool(tune.folds), tune.repeats > 1, bool(tune.rungs))) > 1:
        raise UsageError(
            "tune.folds, tune.repeats and tune.rungs each say what a trial consists of.",
            fix="name one of them",
        )
    if tune.folds and settings.data.csv is not None:
        raise UsageError("data.csv and tune.folds are both given.", fix="give one of them")
    if settings.ckpt_path is not None:
        raise UsageError(
            "ckpt_path is given, and a trial begins anew.", fix="tune.resume=true goes on"
        )
    space_of(config)
    with open_dict(settings):
        settings.tune = tune
        for key in OWN[1:]:
            settings[key] = config.get(key)
    return settings


def space_of(config: DictConfig) -> Space:
    """The study's space.

    Raises:
        UsageError: see read_space.
    """
    node = config.get("space")
    return read_space({} if node is None else OmegaConf.to_container(node, resolve=True))


def train_settings_of(settings: DictConfig) -> DictConfig:
    """Those of the settings that a run of `kennel train` has, in a copy."""
    lesson = OmegaConf.masked_copy(settings, [str(key) for key in settings if key not in OWN])
    assert isinstance(lesson, DictConfig)
    return lesson
