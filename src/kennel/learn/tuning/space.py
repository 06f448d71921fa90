"""What is varied: a tree like that of the settings, with a range or choices at each leaf.

optimizer:
  lr: {low: 1e-4, high: 1e-2, log: true}
model:
  head_fn: {choices: [default, norm_mlp]}
recipe:
  label_smoothing: {low: 0.0, high: 0.2, when: {model.head_fn: norm_mlp}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kennel.errors import UsageError

FIX = "kennel tune --cfg job --package space shows the space"
RANGE = {"low", "high", "log", "step", "int", "when"}
CHOICES = {"choices", "when"}

Scalar = str | int | float | bool | None


class Suggests(Protocol):
    """What a trial of Optuna can do, as far as a space needs it."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...


@dataclass(frozen=True)
class Parameter:
    """One setting that is varied.

    Attributes:
        path: of the setting, such as "optimizer.lr".
        choices: what it can be, anything that YAML can write; None for a range.
        low, high: of a range, both included.
        log: whether the range is walked in factors.
        step: of a range; None for every number.
        whole: whether the range has whole numbers only.
        when: paths of other parameters with the values, any of which they must have; else the
            setting stays as it is.
    """

    path: str
    choices: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    whole: bool = False
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def suggested(self, trial: Suggests) -> Any:
        """The value that a trial gives to it."""
        if self.choices is not None:
            # Optuna takes scalars alone: of lists it gets the names.
            names = {_named(choice): choice for choice in self.choices}
            return names[trial.suggest_categorical(self.path, list(names))]
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(
                self.path, int(self.low), int(self.high), step=step, log=self.log
            )
        return trial.suggest_float(self.path, self.low, self.high, step=self.step, log=self.log)

    def as_written(self, suggested: Any) -> Any:
        """The value that Optuna's `suggested` stands for."""
        if self.choices is None:
            return suggested
        return {_named(choice): choice for choice in self.choices}[suggested]


@dataclass(frozen=True)
class Space:
    """All parameters; one that another one depends on stands before it."""

    parameters: tuple[Parameter, ...]

    def suggested(self, trial: Suggests) -> dict[str, Any]:
        """Values by path for a trial: of those parameters alone whose conditions hold."""
        values: dict[str, Any] = {}
        for each in self.parameters:
            if all(values.get(path, _NOTHING) in allowed for path, allowed in each.when.items()):
                values[each.path] = each.suggested(trial)
        return values

    def as_written(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Values by path of a trial that is over, from the `params` that Optuna kept."""
        by_path = {each.path: each for each in self.parameters}
        return {path: by_path[path].as_written(value) for path, value in params.items()}


_NOTHING = object()


def read_space(tree: Any) -> Space:
    """The space that the configuration describes.

    Args:
        tree: nested dicts, as `space:` has them.
    Raises:
        UsageError: it has no parameter, or one that means nothing; the message has its path.
    """
    parameters = {each.path: each for each in _leaves(tree, "")}
    if not parameters:
        raise UsageError(
            "the space has no parameters, so there is nothing to tune.",
            fix="space=mambaout, or your own in conf/space/NAME.yaml",
        )
    return Space(tuple(_in_order(parameters)))


def _leaves(node: Any, path: str) -> Iterator[Parameter]:
    if not isinstance(node, Mapping):
        raise _bad(path, f"is {node!r}, neither {{choices: [...]}} nor {{low: ..., high: ...}}")
    if {"choices", "low", "high"} & set(map(str, node)):
        yield _parameter(node, path)
        return
    for key, value in node.items():
        if value is not None:  # taken out
            yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _parameter(node: Mapping[Any, Any], path: str) -> Parameter:
    known = CHOICES if "choices" in node else RANGE
    if unknown := {str(key) for key in node} - known:
        raise _bad(f"{path}.{min(unknown)}", f"is no key here; known: {', '.join(sorted(known))}")
    when = _conditions(node.get("when"), path)
    if "choices" in node:
        choices = node["choices"]
        if not isinstance(choices, list) or not choices:
            raise _bad(f"{path}.choices", f"is {choices!r}; a list of one or more")
        if len({_named(choice) for choice in choices}) < len(choices):
            raise _bad(f"{path}.choices", f"names something twice: {choices}")
        return Parameter(path, choices=tuple(choices), when=when)
    for key in ("low", "high"):
        _check_number(node.get(key), f"{path}.{key}")
    low, high, step = node["low"], node["high"], node.get("step")
    flags = {key: node.get(key, False) for key in ("log", "int")}
    for key, flag in flags.items():
        if not isinstance(flag, bool):
            raise _bad(f"{path}.{key}", f"is {flag!r}; true or false")
    if low > high:
        raise _bad(path, f"goes from {low} to {high}; low comes first")
    if flags["log"] and (low <= 0 or step is not None):
        raise _bad(path, "walks in factors (log), which needs low above 0 and no step")
    if step is not None:
        _check_number(step, f"{path}.step")
        if step <= 0:
            raise _bad(f"{path}.step", f"is {step}; above 0")
    if flags["int"] and any(value != int(value) for value in (low, high, step or 1)):
        raise _bad(path, f"has whole numbers (int), but low, high or step is none: {dict(node)}")
    return Parameter(
        path, low=low, high=high, log=flags["log"], step=step, whole=flags["int"], when=when
    )


def _check_number(value: Any, path: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise _bad(path, "is missing" if value is None else f"is {value!r}; a number")


def _conditions(node: Any, path: str) -> dict[str, tuple[Any, ...]]:
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise _bad(f"{path}.when", f"is {node!r}; {{other.setting: value}}")
    return {
        str(other): tuple(value) if isinstance(value, list) else (value,)
        for other, value in node.items()
    }


def _in_order(parameters: dict[str, Parameter]) -> Iterator[Parameter]:
    """Those first that nothing that follows depends on; else as they were written."""
    left = dict(parameters)
    while left:
        ready = [each for each in left.values() if not set(each.when) & set(left)]
        for each in ready:
            if missing := set(each.when) - set(parameters):
                raise _bad(f"{each.path}.when", f"names {min(missing)}, which is not varied")
            del left[each.path]
            yield each
        if not ready:
            raise _bad(f"{next(iter(left))}.when", "depends on itself, by way of others")


def _named(choice: Any) -> Scalar:
    if choice is None or isinstance(choice, (str, bool, int, float)):
        return choice
    return json.dumps(choice)


def _bad(path: str, what: str) -> UsageError:
    return UsageError(f"setting space.{path} {what}." if path else f"space {what}.", fix=FIX)
