"""What JSON gave -> frozen dataclasses, or the path of the value that is of another kind."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

MOST_SHOWN = 80  # characters of a wrong value that a message quotes


def build(kind: Any, value: Any, *, at: str = "") -> Any:
    """Builds `kind` (a dataclass, tuple, dict, literal or plain type) from what JSON gave, or says
    where it cannot.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise TypeError(f"{at.rstrip('.') or 'the document'} is not an object")
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        missing = [f.name for f in fields(kind) if f.name not in value and _required(f)]
        if missing:
            raise ValueError(f"{at}{missing[0]} is missing")
        make: Any = kind
        return make(
            **{k: build(hints[k], v, at=f"{at}{k}.") for k, v in value.items() if k in known}
        )
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        for option in arguments:
            if option is not type(None):
                try:
                    return build(option, value, at=at)
                except (TypeError, ValueError) as error:
                    last = error
        raise last
    if origin is Literal:
        if not any(type(value) is type(known) and value == known for known in arguments):
            raise ValueError(
                f"{at.rstrip('.')} is {quoted(value)}; known: {', '.join(map(repr, arguments))}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{at.rstrip('.')} is not a list")
        kinds = (arguments[0],) * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise ValueError(f"{at.rstrip('.')} has {len(value)} values, not {len(kinds)}")
        return tuple(
            build(k, v, at=f"{at}{i}.") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"{at.rstrip('.')} is not an object")
        return {k: build(arguments[1], v, at=f"{at}{k}.") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{at.rstrip('.')} is {value}, not a finite number")
    if kind in (int, float, str, bool) and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise TypeError(f"{at.rstrip('.')} is {quoted(value)}, not {kind.__name__}")
    return value


def quoted(value: Any) -> str:
    """A value for a message: as Python writes it, cut where it is long."""
    words = repr(value)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}..."


def _required(declared: Any) -> bool:
    return declared.default is MISSING and declared.default_factory is MISSING
