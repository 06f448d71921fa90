"""The whole play: every act, timed, until one fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kennel.cloud.rehearsal.acts import ACTS
from kennel.cloud.rehearsal.calls import used
from kennel.cloud.rehearsal.function import ColdStart
from kennel.cloud.rehearsal.stage import Stage
from kennel.cloud.rehearsal.way_there import played_types
from kennel.errors import KennelError

NOT_PLAYED = (
    "schedules do not fire, alarms do not ring, budgets tell nobody",
    "an image's layers are not pushed, and nobody scans them",
    "lifecycle rules remove nothing; loopback has no TLS, and requests are taken for ones by it",
    "provisioned concurrency and SnapStart change nothing",
    "GitHub is not asked for a runner",
)


@dataclass(frozen=True)
class Step:
    """One act. `said`: what it saw, or what was wrong; `fix`: what to do where it failed."""

    name: str
    seconds: float
    ok: bool
    said: str
    fix: str = ""


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal.

    Attributes:
        runs: "image" or "processes"; why: not the image. bundles: ids.
        cold_starts: of all sandboxes, to their first question.
        cold_s, warm_s: from a request to its answer, of the act that times them.
        types: of CloudFormation, and who plays each.
        calls: rights that were used, by role.
        left: what the last sweep found.
        not_played: what AWS does and this does not.
    """

    ok: bool
    seconds: float
    runs: str
    why: str
    bundles: tuple[str, ...]
    steps: tuple[Step, ...]
    cold_starts: tuple[ColdStart, ...]
    cold_s: tuple[float, ...]
    warm_s: float | None
    types: dict[str, str]
    calls: dict[str, list[str]]
    left: tuple[str, ...] | None
    not_played: tuple[str, ...] = NOT_PLAYED


def play(stage: Stage, *, say: Callable[[Step], None] = lambda _: None) -> Rehearsed:
    """Plays every act in order, and none after one that failed.

    Args:
        say: hears of each act when it is over.
    """
    began, steps = time.monotonic(), []
    for name, act in ACTS:
        step = _played(stage, name, act)
        steps.append(step)
        say(step)
        if not step.ok:
            break
    left = stage.kept.get("left")
    return Rehearsed(
        ok=all(each.ok for each in steps),
        seconds=round(time.monotonic() - began, 1),
        runs=stage.runs,
        why=stage.why,
        bundles=tuple(dict.fromkeys(each.bundle_id for each in stage.bundles)),
        steps=tuple(steps),
        cold_starts=tuple(stage.function.cold_starts),
        cold_s=tuple(stage.kept.get("cold_s", ())),
        warm_s=stage.kept.get("warm_s"),
        types=played_types(stage),
        calls=used(stage.emulator.heard, stage.emulator.users),
        left=None if left is None else tuple(left),
    )


def _played(stage: Stage, name: str, act: Callable[[Stage], str]) -> Step:
    began = time.monotonic()
    try:
        said, ok, fix = act(stage), True, ""
    except KennelError as error:
        said, ok, fix = error.message, False, error.fix
    return Step(name, round(time.monotonic() - began, 2), ok, said, fix)
