"""A deployment as `make synth` wrote it: which stacks, from which templates, in which order."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kennel.cloud import CloudError
from kennel.errors import UsageError
from kennel.typed import build

FILE, SCHEMA = "deployment.json", 1
APP, OUT = Path("deploy/aws"), Path("deploy/aws/cdk.out")
MOST_BYTES = 51_200  # of a template that is sent and not fetched from a bucket
ROOMS = ("storage", "images", "service", "runner", "identity", "budget")
NAME = re.compile(r"[a-z][a-z0-9-]{0,18}[a-z0-9]")


@dataclass(frozen=True)
class Tag:
    """What everything of a deployment wears, and nothing else does."""

    key: str
    value: str


@dataclass(frozen=True)
class Written:
    """A stack, as deployment.json names it."""

    room: str
    name: str
    template: str
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """deployment.json."""

    schema_version: int
    name: str
    region: str
    tag: Tag
    settings: dict[str, Any]
    stacks: tuple[Written, ...]


@dataclass(frozen=True)
class Stack:
    """One stack.

    Attributes:
        room: what it is for: storage, images, service, runner, identity, budget.
        body: of its template, as it is sent.
        depends_on: rooms that are deployed before it.
    """

    room: str
    name: str
    body: str
    depends_on: tuple[str, ...] = ()

    @cached_property
    def template(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.template.get("Parameters", {}))

    @property
    def resources(self) -> dict[str, str]:
        """Name in the template -> type, such as AWS::S3::Bucket."""
        return {name: told["Type"] for name, told in self.template["Resources"].items()}


@dataclass(frozen=True)
class Deployment:
    """All stacks, in the order in which they are deployed."""

    name: str
    region: str
    tag: Tag
    settings: dict[str, Any]
    stacks: tuple[Stack, ...]

    def stack(self, room: str) -> Stack | None:
        return next((each for each in self.stacks if each.room == room), None)

    def only(self, rooms: tuple[str, ...]) -> tuple[Stack, ...]:
        """The stacks of those rooms, in order; of no rooms, all.

        Raises:
            UsageError: it has no such room.
        """
        known = [each.room for each in self.stacks]
        for room in rooms:
            if room not in known:
                raise UsageError(f"there is no room {room!r}.", fix=f"one of {', '.join(known)}")
        return tuple(each for each in self.stacks if not rooms or each.room in rooms)


def read_deployment(folder: Path) -> Deployment:
    """What lies in that folder.

    Raises:
        UsageError: it was not written by `make synth`, or not whole.
    """
    path = folder / FILE
    again = "write it: make synth"
    try:
        document = build(Document, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{folder} has no {FILE}.", fix=again) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", fix=again) from error
    if document.schema_version != SCHEMA:
        raise UsageError(
            f"{path} has schema {document.schema_version}; this kennel reads {SCHEMA}.", fix=again
        )
    if not NAME.fullmatch(document.name):
        raise UsageError(f"{path}: {document.name!r} is no name of a deployment.", fix=again)
    stacks = tuple(_stack(folder, each, document.stacks[:at]) for at, each in _each(document))
    if len({each.name for each in stacks}) < len(stacks):
        raise UsageError(f"{path}: two stacks have one name.", fix=again)
    return Deployment(document.name, document.region, document.tag, document.settings, stacks)


def _each(document: Document) -> list[tuple[int, Written]]:
    return list(enumerate(document.stacks))


def _stack(folder: Path, written: Written, before: tuple[Written, ...]) -> Stack:
    again = "write it again: make synth"
    if written.room not in ROOMS:
        raise UsageError(f"{folder / FILE}: there is no room {written.room!r}.", fix=again)
    if missing := set(written.depends_on) - {each.room for each in before}:
        raise UsageError(
            f"{folder / FILE}: {written.room} comes before {', '.join(sorted(missing))}, which it "
            "depends on.",
            fix=again,
        )
    path = folder / written.template
    if path.parent != folder:
        raise UsageError(f"{folder / FILE} names {written.template}, elsewhere.", fix=again)
    try:
        body = path.read_text(encoding="utf-8")
        template = json.loads(body)
        types = [told["Type"] for told in template["Resources"].values()]
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", fix=again) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is no template of CloudFormation.", fix=again) from error
    if not types or not all(isinstance(each, str) for each in types):
        raise UsageError(f"{path} has no resources.", fix=again)
    if (size := len(body.encode())) > MOST_BYTES:
        raise UsageError(
            f"{path} has {size} bytes; without a bucket for it CloudFormation takes {MOST_BYTES}.",
            fix="fewer resources in that stack, or another stack",
        )
    return Stack(written.room, written.name, body, written.depends_on)


def find_deployment(named: Path | None, *, where: Path | None = None) -> Deployment:
    """The deployment that is meant: the folder that is named, else that of the app in the working
    folder, written by `make synth` where it is missing or older than what it is made of.

    Raises:
        UsageError: there is neither.
        CloudError: it cannot be written.
    """
    if named is not None:
        return read_deployment(named)
    here = where or Path.cwd()
    app, out = here / APP, here / OUT
    if not app.is_dir():
        raise UsageError(
            f"{here} has no {APP}, and --templates names no folder.",
            fix="run it in a checkout of Kennel, or name what `make synth OUT=DIR` wrote: "
            "--templates DIR",
        )
    if _stale(out / FILE, app):
        _synthesise(here)
    return read_deployment(out)


def _stale(written: Path, app: Path) -> bool:
    if not written.is_file():
        return True
    at = written.stat().st_mtime_ns
    sources = [
        path
        for pattern in ("*.py", "*.yaml", "*.lock", "stacks/**/*.py", "functions/**/*")
        for path in app.glob(pattern)
        if "__pycache__" not in path.parts
    ]
    return any(path.stat().st_mtime_ns > at for path in sources)


def _synthesise(here: Path) -> None:
    try:
        done = subprocess.run(
            ["make", "--no-print-directory", "synth", f"OUT={OUT}"],
            cwd=here,
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise CloudError("make cannot be run.", fix="install make; see kennel doctor") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        last = next((line for line in reversed(said) if not line.startswith("make")), "")
        raise CloudError(
            f"the templates cannot be written{f': {last}' if last else ''}".rstrip(".") + ".",
            fix="see all of it: make synth",
        )
