"""Templates as they are written, of the settings that ship and of each choice that they offer."""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import Settings
from synth import synthesise

APP = Path(__file__).parents[1]
GITHUB = {"identity": {"repository": "anna/dogs"}}
MAIL = {"budget": {"email": "anna@dogs.example"}}
# What is chosen -> the settings that differ from those that ship.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "github": {**GITHUB, **MAIL},
    "public": {
        **GITHUB,
        "service": {
            "public": True,
            "requests_per_minute": 120,
            "alarm_email": "anna@dogs.example",
            "cors_origins": ["https://dogs.example"],
        },
    },
    "provisioned": {"service": {"start": "provisioned", "provisioned": 2}},
    "snapstart": {"service": {"start": "snapstart"}},
    "account": {"service": {"concurrency": "account"}},
    "callers": {"service": {"callers": ["arn:aws:iam::123456789012:role/page"]}},
    "other": {
        "name": "kittens",
        "region": "eu-central-1",
        "storage": {"on_delete": "remove"},
        "identity": {"repository": "anna/cats", "provider": "existing"},
        "runner": {"image": "ami-0123456789abcdef0", "zones": 1, "github_app": False},
    },
}


@dataclass(frozen=True)
class Written:
    """A folder that was synthesised."""

    folder: Path
    settings: Settings

    @property
    def deployment(self) -> dict[str, Any]:
        return json.loads((self.folder / "deployment.json").read_text(encoding="utf-8"))

    @property
    def templates(self) -> dict[str, dict[str, Any]]:
        return {
            each["room"]: json.loads((self.folder / each["template"]).read_text(encoding="utf-8"))
            for each in self.deployment["stacks"]
        }

    def resources(self, room: str, kind: str = "") -> dict[str, dict[str, Any]]:
        """Name -> resource, of that type."""
        found = self.templates[room]["Resources"]
        return {name: each for name, each in found.items() if not kind or each["Type"] == kind}

    def one(self, room: str, kind: str, **told: Any) -> dict[str, Any]:
        """The properties of the one resource of that type which has those among them."""
        [found] = [
            each["Properties"]
            for each in self.resources(room, kind).values()
            if told.items() <= each["Properties"].items()
        ]
        return found


def shipped() -> dict[str, Any]:
    return yaml.safe_load((APP / "settings.yaml").read_text(encoding="utf-8"))


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings that ship, with some changed."""
    found = copy.deepcopy(shipped())
    for key, value in changes.items():
        found[key] = {**found.get(key, {}), **value} if isinstance(value, dict) else value
    return found


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By a variant's name, what is written for it."""

    @functools.cache
    def of(variant: str) -> Written:
        settings = Settings.model_validate(changed(VARIANTS[variant]))
        folder = tmp_path_factory.mktemp("synth") / variant
        synthesise(settings, folder)
        return Written(folder, settings)

    return of


@pytest.fixture(params=VARIANTS)
def each_variant(request: pytest.FixtureRequest, written: Any) -> Written:
    return written(request.param)


def plain(value: Any) -> str:
    """A name or ARN as it will read, with what only AWS knows in its place."""
    if isinstance(value, str):
        return value
    if set(value) == {"Ref"}:
        return f"<{value['Ref']}>"
    if set(value) == {"Fn::GetAtt"}:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if set(value) == {"Fn::Join"}:
        between, parts = value["Fn::Join"]
        return between.join(plain(part) for part in parts)
    raise AssertionError(value)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(resource, type, statement) of every policy in it, wherever it stands."""
    found: list[tuple[str, str, dict[str, Any]]] = []

    def walk(name: str, kind: str, value: Any) -> None:
        if isinstance(value, dict):
            if "Effect" in value and ("Action" in value or "NotAction" in value):
                found.append((name, kind, value))
            for each in value.values():
                walk(name, kind, each)
        elif isinstance(value, list):
            for each in value:
                walk(name, kind, each)

    for name, each in template["Resources"].items():
        walk(name, each["Type"], each["Properties"])
    return found
