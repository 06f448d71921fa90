"""Spaces: what can be varied, and how one that means nothing is answered."""

from __future__ import annotations

from typing import Any

import pytest

from kennel.errors import UsageError
from kennel.learn.tuning.space import read_space


class Asked:
    """A trial that takes the first choice and the low end, and remembers what it was asked for."""

    def __init__(self, **given: Any) -> None:
        self.given, self.names = given, list[str]()

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        self.names.append(name)
        return low

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        self.names.append(name)
        return low

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        self.names.append(name)
        return self.given.get(name.rpartition(".")[2], choices[0])


TREE = {
    "optimizer": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "recipe": {"label_smoothing": {"low": 0.1, "high": 0.2, "when": {"model.head": "wide"}}},
    "model": {"head": {"choices": ["plain", "wide"]}, "dims": {"choices": [[4, 8], [8, 16]]}},
    "data": {"batch_size": {"low": 8, "high": 32, "step": 8, "int": True}, "room": None},
}


def test_values_come_by_the_path_of_their_setting() -> None:
    values = read_space(TREE).suggested(Asked())
    assert values == {
        "optimizer.lr": 1e-4,
        "model.head": "plain",
        "model.dims": [4, 8],
        "data.batch_size": 8,
    }


def test_a_parameter_with_a_condition_is_asked_for_where_it_holds_and_after_the_other() -> None:
    trial = Asked(head="wide")
    assert read_space(TREE).suggested(trial)["recipe.label_smoothing"] == 0.1
    assert trial.names.index("model.head") < trial.names.index("recipe.label_smoothing")


def test_lists_are_choices_like_any_other_and_come_back_as_lists() -> None:
    space = read_space({"model": {"dims": {"choices": [[4, 8], [8, 16], None]}}})
    assert space.suggested(Asked(dims="[8, 16]")) == {"model.dims": [8, 16]}
    assert space.as_written({"model.dims": "[4, 8]"}) == {"model.dims": [4, 8]}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "no parameters"),
        ({"model": {"dims": None}}, "no parameters"),
        ({"optimizer": {"lr": 0.1}}, "space.optimizer.lr"),
        ({"optimizer": {"lr": {"low": 1}}}, "space.optimizer.lr.high is missing"),
        ({"optimizer": {"lr": {"low": 2, "high": 1}}}, "low comes first"),
        ({"optimizer": {"lr": {"low": 0, "high": 1, "log": True}}}, "low above 0"),
        ({"optimizer": {"lr": {"low": 0, "high": 1, "lgo": True}}}, "space.optimizer.lr.lgo"),
        ({"optimizer": {"lr": {"low": 0, "high": "much"}}}, "space.optimizer.lr.high is 'much'"),
        ({"optimizer": {"lr": {"low": 0, "high": float("nan")}}}, "space.optimizer.lr.high"),
        ({"a": {"low": 0, "high": 1, "step": 0}}, "space.a.step is 0"),
        ({"a": {"low": 0.5, "high": 2, "int": True}}, "whole numbers"),
        ({"a": {"low": 1, "high": 2, "log": "yes"}}, "space.a.log is 'yes'"),
        ({"a": {"choices": []}}, "space.a.choices"),
        ({"a": {"choices": [1, 1]}}, "names something twice"),
        ({"a": {"choices": [1], "low": 2}}, "space.a.low is no key here"),
        ({"a": {"choices": [1, 2], "when": {"b": 1}}}, "names b, which is not varied"),
        (
            {
                "a": {"choices": [1], "when": {"b": 1}},
                "b": {"choices": [1], "when": {"a": 1}},
            },
            "depends on itself",
        ),
    ],
)
def test_a_space_that_means_nothing_is_refused_with_its_path(tree: Any, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_space(tree)
    assert said in raised.value.message
    assert raised.value.exit_code == 2
