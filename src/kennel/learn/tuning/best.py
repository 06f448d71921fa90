"""The best trial as an experiment: what of it differs from the defaults of `kennel train`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from kennel.learn.settings import check_settings
from kennel.learn.tuning.trial import with_values
from kennel.machine import utc_now
from kennel.writing import replacing

if TYPE_CHECKING:
    from kennel.learn.tuning.work import Plan

log = logging.getLogger(__name__)
MARK = "# Written by kennel tune"
GROUPS = ("data", "model", "recipe", "optimizer", "schedule", "trainer", "callbacks")
# Of a run and not of how it learns; or such as change no figure.
# Callbacks that show something, and change nothing.
SHOWS = tuple(
    f"callbacks.{name}"
    for name in ("progress", "summary", "pictures", "graph", "mistakes", "hardware", "speed")
)
LEFT_OUT = ("paths", "logger", "ckpt_path", "data.csv", "data.photos", *SHOWS)


def write_best(plan: Plan, best: FrozenTrial, values: Mapping[str, Any]) -> Path | None:
    """Writes `tune.best`.

    A file of that name that no study wrote stays as it is: the experiment is then called after the
    study.

    Returns:
        the file; None where none is asked for.
    """
    if plan.tune.best is None:
        return None
    path = Path(plan.tune.best)
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        other = path.with_name(f"{path.stem}-{plan.tune.name}{path.suffix}")
        log.warning("%s is not of kennel tune and stays; the best is in %s", path, other)
        path = other
    changes = plan.parts[-1].changes if plan.climbs else {}
    lesson = with_values(plan.lesson, {**values, **changes})
    path.parent.mkdir(parents=True, exist_ok=True)
    document = OmegaConf.to_yaml(OmegaConf.create(_experiment(lesson)))
    with replacing(path) as file:
        file.write(f"# @package _global_\n{_header(plan, best)}{document}")
    return path


def _header(plan: Plan, best: FrozenTrial) -> str:
    states = [trial.state for trial in plan.study.get_trials(deepcopy=False)]
    done, pruned = states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)
    over = f", mean over {len(plan.parts)} runs" if len(plan.parts) > 1 and not plan.climbs else ""
    return (
        f"{MARK}: study {plan.tune.name}, trial {best.number} of {done} done and {pruned} pruned, "
        f"{utc_now()[:10]}.\n"
        f"# {plan.tune.monitor} {best.value!r}{over}, n {plan.validation_photos}. "
        "Chosen among the trials: expect less on other photos.\n"
    )


def _experiment(lesson: DictConfig) -> dict[str, Any]:
    chosen = HydraConfig.get().runtime.choices
    usual = compose("train", return_hydra_config=True).hydra.runtime.choices
    other = {group: chosen.get(group) for group in GROUPS if chosen.get(group) != usual.get(group)}
    words = [f"~{group}" if name is None else f"{group}={name}" for group, name in other.items()]
    base = check_settings(compose("train", overrides=words))
    plain = [OmegaConf.to_container(each, resolve=False) for each in (base, lesson)]
    found = _difference(*plain, path="")
    defaults = [{f"override /{group}": name} for group, name in other.items()]
    return ({"defaults": defaults} if defaults else {}) | found


def _difference(before: Any, now: Any, *, path: str) -> dict[str, Any]:
    """What of the nested dict `now` is not so in `before`."""
    found: dict[str, Any] = {}
    for key, value in now.items():
        at = f"{path}.{key}" if path else str(key)
        if at in LEFT_OUT or (key in before and before[key] == value):
            continue
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            if deeper := _difference(before[key], value, path=at):
                found[key] = deeper
        else:
            found[key] = value
    return found
