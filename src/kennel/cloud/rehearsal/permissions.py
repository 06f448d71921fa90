"""Whether policies let somebody do something: as much of IAM as a deployment of Kennel's uses.

Source: AWS IAM User Guide, "Policy evaluation logic".
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What somebody wants to do.

    Attributes:
        who: ARN of the caller; "" is nobody in particular.
        context: condition keys in small letters, and what they are.
    """

    who: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        return self.who.split(":")[4] if self.who.count(":") >= 5 else ""


def by_resource(policy: Mapping[str, Any] | None, asked: Question) -> bool | None:
    """What the resource's own policy says: True lets, False forbids, None says nothing.

    A statement for a whole account says nothing here: it leaves it to the caller's own policies.
    """
    return _verdict(_statements(policy), asked, lambda each: _names(each, asked))


def by_identity(policies: Iterable[Mapping[str, Any]], asked: Question) -> bool | None:
    """What the caller's policies say: True lets, False forbids, None says nothing."""
    every = [each for policy in policies for each in _statements(policy)]
    return _verdict(every, asked, lambda _: True)


def _statements(policy: Mapping[str, Any] | None) -> list[Statement]:
    found = (policy or {}).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def _verdict(statements: Iterable[Statement], asked: Question, concerns: Any) -> bool | None:
    effects = {
        each.get("Effect")
        for each in statements
        if concerns(each)
        and _one_of(each.get("Action"), asked.action.lower(), lower=True)
        and _one_of(each.get("Resource", "*"), asked.resource)
        and _met(each.get("Condition") or {}, asked.context)
    }
    if "Deny" in effects:
        return False
    return True if "Allow" in effects else None


def _names(statement: Statement, asked: Question) -> bool:
    """Whether a statement names the caller; everybody is named by `*`."""
    said = statement.get("Principal")
    if said == "*":
        return True
    if not isinstance(said, dict):
        return bool(asked.who) and said == asked.who
    named = said.get("AWS", [])
    return any(
        each == "*" or (asked.who and each == asked.who)
        for each in ([named] if isinstance(named, str) else named)
    )


def _one_of(patterns: str | list[str] | None, value: str, *, lower: bool = False) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns or []
    return any(
        fnmatch.fnmatchcase(value, _literal(each.lower() if lower else each)) for each in every
    )


def _literal(pattern: str) -> str:
    return pattern.replace("[", "[[]")  # IAM knows * and ? alone


def _met(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Whether all conditions hold. One of a kind that is not known here does not."""
    return all(
        _holds(operator, context.get(key.lower()), expected)
        for operator, pairs in condition.items()
        for key, expected in pairs.items()
    )


def _holds(operator: str, value: str | None, expected: Any) -> bool:
    every = [str(each) for each in (expected if isinstance(expected, list) else [expected])]
    if operator.endswith("IfExists"):
        if value is None:
            return True
        operator = operator.removesuffix("IfExists")
    if value is None:
        return False
    match operator:
        case "StringEquals" | "ArnEquals":
            return value in every
        case "StringNotEquals":
            return value not in every
        case "StringLike" | "ArnLike":
            return _one_of(every, value)
        case "Bool":
            return value.lower() in [each.lower() for each in every]
        case "NumericLessThan":
            return any(float(value) < float(each) for each in every)
    return False
