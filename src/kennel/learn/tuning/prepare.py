"""What is settled before the first trial of a study: that trials can be made, and what they have in
common.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice, product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kennel.errors import KennelError, UsageError
from kennel.learn.models import Model
from kennel.learn.parts import made
from kennel.learn.tuning.best import SHOWS
from kennel.learn.tuning.space import Parameter, Space
from kennel.learn.tuning.trial import Part, with_values

MOST_TRIED = 200  # combinations of choices, to find one that a model accepts
# Settings that change no figure, or are a trial's own.
NOT_COMPARED = (
    *("paths", "logger", "ckpt_path", "data.csv", "data.photos", "data.num_workers"),
    *("data.cache", "trainer.accelerator", "trainer.devices", "trainer.default_root_dir"),
    *("trainer.plugins", "trainer.log_every_n_steps", "data.sample", "data.fractions", "data.seed"),
)


def judged_by(lesson: DictConfig, monitor: str) -> DictConfig:
    """The settings with the best epoch chosen by the study's own figure."""
    best = lesson.callbacks.get("best_weights")
    if best is None:
        raise UsageError(
            "callbacks.best_weights is null, and a trial is judged by its best epoch.",
            fix="leave callbacks.best_weights as it is",
        )
    best.monitor, best.mode = monitor, "max" if monitor == "validation/top1" else "min"
    return lesson


def fitted(pruner: DictConfig, lesson: DictConfig, parts: Sequence[Part]) -> DictConfig:
    """The pruner's settings with resources that fit what a trial tells: epochs, or its runs."""
    copy = pruner.copy()
    if "max_resource" in copy and "min_resource" in copy:
        steps = len(parts) if len(parts) > 1 else int(lesson.trainer.max_epochs)
        if len(parts) > 1:
            copy.max_resource = steps
        copy.min_resource = max(1, min(int(copy.min_resource), steps // 2))
    return copy


def try_out(space: Space, lesson: DictConfig, parts: Sequence[Part], labels: Sequence[str]) -> None:
    """Refuses what no trial could be made of, before there is one: each choice, and both ends of
    each range.

    Raises:
        UsageError: a value that a setting cannot have, or that no model accepts.
    """
    for part in parts:
        with_values(lesson, part.changes)
    shapes = [p for p in space.parameters if p.choices and p.path.partition(".")[0] == "model"]
    for each in space.parameters:
        for value in _ends(each):
            error = _fault(lesson, {each.path: value}, labels)
            others = [other for other in shapes if other is not each]
            if error is not None and each in shapes:  # perhaps beside another choice
                for beside in islice(
                    product(*(other.choices or () for other in others)), MOST_TRIED
                ):
                    mixed = dict(zip((other.path for other in others), beside, strict=True))
                    if _fault(lesson, {each.path: value, **mixed}, labels) is None:
                        error = None
                        break
            if error is not None:
                raise UsageError(
                    f"space.{each.path} has {value!r}, which cannot be: {error}.",
                    fix="take it out of the space; kennel tune --cfg job --package space shows it",
                )


def _fault(lesson: DictConfig, values: dict[str, Any], labels: Sequence[str]) -> str | None:
    """Why no run can have these values; None where one can."""
    try:
        settings = with_values(lesson, values)
        if any(path.partition(".")[0] == "model" for path in values):
            model: Model = made(settings.model, "model").build(labels)
            del model
    except KennelError as error:
        return error.message.rstrip(".")
    except (ValueError, TypeError, RuntimeError, AssertionError, LookupError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        return f"{settings.model.name} does not accept it: {said}"
    return None


def _ends(each: Parameter) -> tuple[Any, ...]:
    if each.choices is not None:
        return each.choices
    return (int(each.low), int(each.high)) if each.whole else (each.low, each.high)


def made_for(settings: DictConfig, lesson: DictConfig, dataset_ids: list[str]) -> dict[str, Any]:
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
