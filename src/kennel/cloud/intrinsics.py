"""CloudFormation's functions, worked out as far as a template alone allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kennel.errors import KennelError

HOLE = re.compile(r"\$\{([^!${}][^${}]*)\}")
LITERAL = re.compile(r"\$\{!([^}]*)\}")


class _Unknown:
    """What only AWS knows."""

    def __repr__(self) -> str:
        return "UNKNOWN"


class _Nothing:
    """AWS::NoValue: as if it were not written."""


UNKNOWN: Final = _Unknown()
NOTHING: Final = _Nothing()


@dataclass(frozen=True)
class Reference:
    """Something of another resource of the template: its id, or one of its attributes."""

    logical_id: str
    attribute: str = ""


class Resolver:
    """Works out values of one template.

    Args:
        document: the template. parameters: values beside its defaults. source: for messages.
    Attributes:
        notes: what was taken for granted.
    """

    def __init__(self, document: dict[str, Any], parameters: dict[str, Any], *, source: str):
        self.source = source
        self.notes: list[str] = []
        self._resources = set(document["Resources"])
        self._mappings = _object(document.get("Mappings"))
        self._conditions = _object(document.get("Conditions"))
        self._decided: dict[str, bool | _Unknown] = {}
        self._deciding: list[str] = []
        self._parameters: dict[str, Any] = {}
        for name, each in _object(document.get("Parameters")).items():
            said = _object(each)
            value = parameters.get(name, said.get("Default", UNKNOWN))
            if str(said.get("Type")) in ("CommaDelimitedList", "List<Number>") and isinstance(
                value, str
            ):
                value = [part.strip() for part in value.split(",")]
            self._parameters[name] = value
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::GetAtt": self._attribute,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::And": lambda parts: self._logic(parts, all_of=True),
            "Fn::Or": lambda parts: self._logic(parts, all_of=False),
            "Fn::Not": self._not,
            "Fn::Base64": self.value,
            "Fn::Length": self._length,
            "Fn::ToJsonString": self._to_json,
        }

    def value(self, said: Any) -> Any:
        """What a part of the template comes to."""
        if isinstance(said, list):
            return [each for each in map(self.value, said) if each is not NOTHING]
        if not isinstance(said, dict):
            return said
        if len(said) == 1:
            [(name, argument)] = said.items()
            if name in self._functions and (name != "Condition" or isinstance(argument, str)):
                try:
                    return self._functions[name](argument)
                except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                    raise KennelError(
                        f"{self.source}: {name} with {json.dumps(argument)[:80]} is not as "
                        "CloudFormation has it.",
                        fix="cfn-lint says where",
                    ) from error
            if name.startswith("Fn::"):
                return UNKNOWN
        worked = {name: self.value(each) for name, each in said.items()}
        return {name: each for name, each in worked.items() if each is not NOTHING}

    def leaves_out(self, resource: dict[str, Any]) -> bool:
        """Whether a condition keeps a resource from being made."""
        name = resource.get("Condition")
        return isinstance(name, str) and self._taken(name) is False

    def _taken(self, name: str) -> bool:
        """A condition; one that cannot be decided is taken to hold, and that is noted."""
        found = self._condition(name)
        if isinstance(found, bool):
            return found
        note = f"condition {name} depends on a parameter without a value: taken to hold"
        if note not in self.notes:
            self.notes.append(note)
        return True

    def _condition(self, name: str) -> Any:
        if name not in self._decided:
            if name not in self._conditions or name in self._deciding:
                why = "does not exist" if name not in self._conditions else "depends on itself"
                raise KennelError(
                    f"{self.source}: condition {name!r} {why}.", fix="cfn-lint says where"
                )
            self._deciding.append(name)
            found = self.value(self._conditions[name])
            self._deciding.pop()
            self._decided[name] = found if isinstance(found, bool) else UNKNOWN
        return self._decided[name]

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in self._parameters:
            return self._parameters[name]
        return Reference(name) if name in self._resources else UNKNOWN

    def _attribute(self, said: Any) -> Any:
        parts = said.split(".", 1) if isinstance(said, str) else said
        return Reference(parts[0], str(parts[1]))

    def _sub(self, said: Any) -> Any:
        text, own = (said, {}) if isinstance(said, str) else (said[0], self.value(said[1]))
        for name in HOLE.findall(text):
            word = name.strip()
            if word in own:
                value = own[word]
            elif "." in word:
                value = self._attribute(word)
            else:
                value = self._ref(word)
            if isinstance(value, (str, int, float)):
                text = text.replace("${" + name + "}", str(value))
            elif text == "${" + name + "}":
                return value
            else:
                return UNKNOWN
        return LITERAL.sub(r"${\1}", text)

    def _join(self, said: Any) -> Any:
        glue, parts = said[0], self.value(said[1])
        known = isinstance(parts, list) and all(isinstance(p, (str, int, float)) for p in parts)
        return glue.join(map(str, parts)) if known else UNKNOWN

    def _select(self, said: Any) -> Any:
        place, parts = self.value(said[0]), self.value(said[1])
        return parts[int(place)] if isinstance(parts, list) else UNKNOWN

    def _split(self, said: Any) -> Any:
        text = self.value(said[1])
        return text.split(said[0]) if isinstance(text, str) else UNKNOWN

    def _find_in_map(self, said: Any) -> Any:
        found: Any = self._mappings
        for key in map(self.value, said[:3]):
            if not isinstance(key, (str, int)) or not isinstance(found, dict):
                return UNKNOWN
            found = found.get(str(key), UNKNOWN)
        return found

    def _if(self, said: Any) -> Any:
        name, yes, no = said
        return self.value(yes if self._taken(name) else no)

    def _equals(self, said: Any) -> Any:
        left, right = map(self.value, said)
        known = all(isinstance(each, (str, int, float, bool)) for each in (left, right))
        return _text(left) == _text(right) if known else UNKNOWN

    def _logic(self, parts: list[Any], *, all_of: bool) -> Any:
        found = [self.value(each) for each in parts]
        if (not all_of) in found:
            return not all_of
        return UNKNOWN if UNKNOWN in found else all_of

    def _not(self, said: Any) -> Any:
        found = self.value(said[0])
        return not found if isinstance(found, bool) else UNKNOWN

    def _length(self, said: Any) -> Any:
        found = self.value(said)
        return len(found) if isinstance(found, list) else UNKNOWN

    def _to_json(self, said: Any) -> Any:
        try:
            return json.dumps(self.value(said))
        except TypeError:  # something in it is not known
            return UNKNOWN


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """As CloudFormation compares: all are strings."""
    return str(value).lower() if isinstance(value, bool) else str(value)
