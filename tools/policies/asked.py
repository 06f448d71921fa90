"""Which operations of AWS a room of code can ask for: read from its source, by botocore."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
from botocore import xform_name

WRAPPED = {"get_paginator", "get_waiter"}  # their first word names an operation, or a waiter


@cache
def _operations(service: str) -> dict[str, str]:
    """Method -> operation."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


@cache
def _signs(service: str) -> str:
    return str(botocore.session.get_session().get_service_model(service).signing_name)


@cache
def _waiters(service: str) -> dict[str, str]:
    """Waiter -> operation that it asks for."""
    session = botocore.session.get_session()
    try:
        model = session.get_waiter_model(service)
    except ValueError:
        return {}
    return {xform_name(name): model.get_waiter(name).operation for name in model.waiter_names}


def asked(files: list[Path]) -> set[tuple[str, str]]:
    """Service as it signs, and operation, of every call that those files can make."""
    return {each for path in files for each in _in_file(path)}


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    services = {name for call in calls if (name := _client(call))}
    for call in calls:
        yield from _named(call, services)
        if not isinstance(call.func, ast.Attribute):
            continue
        method, words = call.func.attr, call.args
        for service in services:
            signs = _signs(service)
            if method in _operations(service):
                yield signs, _operations(service)[method]
            elif method in WRAPPED and words and isinstance(words[0], ast.Constant):
                named = str(words[0].value)
                known = _operations if method == "get_paginator" else _waiters
                if named in known(service):
                    yield signs, known(service)[named]


def _named(call: ast.Call, services: set[str]) -> Iterator[tuple[str, str]]:
    """A call that is handed on by its names: f("lambda", "delete_function")."""
    words = [each.value for each in call.args[:2] if isinstance(each, ast.Constant)]
    if len(words) == 2 and words[0] in services and words[1] in _operations(str(words[0])):
        yield _signs(str(words[0])), _operations(str(words[0]))[str(words[1])]


def _client(call: ast.Call) -> str:
    """The service of client("..."); "" where that is none."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "client" and call.args and isinstance(call.args[0], ast.Constant):
        return str(call.args[0].value)
    return ""
