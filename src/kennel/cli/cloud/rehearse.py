"""`kennel cloud rehearse`: the whole deployment on this machine, without an account.

AWS is moto's server, in memory; the function is the serve image where buildah has it, else the
process that it would run, behind a door that refuses what AWS refuses. What deploys, answers,
destroys and sweeps does so for real. Nothing is left behind; nothing but this machine is asked.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from kennel.errors import Stopped

if TYPE_CHECKING:
    from kennel.cloud.rehearsal.play import Rehearsed, Step

EXAMPLE = """kennel cloud rehearse
  kennel cloud rehearse --bundle bundles/<id> --bundle bundles/<next>"""
COLUMN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle",
        metavar="DIR",
        type=Path,
        action="append",
        help="what is deployed, or a folder of bundles: the last one in it (default: bundles); "
        "given again, what is deployed after it",
    )
    parser.add_argument(
        "--templates",
        metavar="DIR",
        type=Path,
        help="what make synth OUT=DIR wrote (default: deploy/aws/cdk.out, written where it is old)",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.deployment import OUT, find_deployment
    from kennel.cloud.rehearsal.play import play
    from kennel.cloud.rehearsal.stage import set_stage
    from kennel.errors import UsageError
    from kennel.named import bundle_named

    named = args.bundle or [Path("bundles")]
    if len(named) > 2:
        raise UsageError("--bundle is given more than twice.", fix="one, or one and the next")
    bundles = [bundle_named(path) for path in named]
    deployment = find_deployment(args.templates)
    with (
        _heeding_signals(),
        set_stage(deployment, bundles, templates=args.templates or OUT) as stage,
    ):
        done = play(stage, say=_say)
    if args.json:
        print(json.dumps(asdict(done), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_table(done)))
    if not done.ok:
        failed = done.steps[-1]
        sys.stderr.write(f"error: {failed.name}: {failed.said}\nfix: {failed.fix}\n")
    return int(not done.ok)


class _heeding_signals:  # noqa: N801 - reads as a block
    """SIGTERM and a terminal that goes away end it as Ctrl-C does: nothing is left."""

    def __enter__(self) -> None:
        self.before = {each: signal.signal(each, _stop) for each in (signal.SIGTERM, signal.SIGHUP)}

    def __exit__(self, *_: object) -> None:
        for each, handler in self.before.items():
            signal.signal(each, handler)


def _stop(signum: int, _: FrameType | None) -> NoReturn:
    raise Stopped(signal.Signals(signum).name, signum)


def _say(step: Step) -> None:
    mark = "ok" if step.ok else "FAILED"
    print(
        f"{mark:<7}{step.name:<{COLUMN}}{step.seconds:>6.1f} s  {step.said}",
        file=sys.stderr,
        flush=True,
    )


def _table(done: Rehearsed) -> list[str]:
    whole = "the serve image" if done.runs == "image" else f"kennel serve by itself ({done.why})"
    rows = [f"{each.name:<{COLUMN}}{each.seconds:>6.1f} s  {each.said}" for each in done.steps]
    rows.append(f"{'all':<{COLUMN}}{done.seconds:>6.1f} s  with {whole}: {', '.join(done.bundles)}")
    if done.left is not None:
        rows.append(f"{'left':<{COLUMN}}{', '.join(done.left) or 'nothing'}")
    rows += [
        f"{'not played' if not at else '':<{COLUMN}}{each}"
        for at, each in enumerate(done.not_played)
    ]
    if done.ok:
        rows.append("next: kennel cloud deploy")
    return rows
