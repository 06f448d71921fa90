"""`kennel cloud runner start|stop|status|sweep`: a machine with a GPU for one job of GitHub's.

It is rented in AWS, takes one job, and is gone: after the job, after a stop, and in any case at its
limit, which is kept outside the machine and outside GitHub. Settings come from the environment, as
a workflow gives them; none is a secret.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kennel.cloud.runner import Ended
    from kennel.cloud.standing import Standing
    from kennel.github import Api

EXAMPLE = """kennel cloud runner start --hours 4
  kennel cloud runner start --type "g4dn.xlarge g5.xlarge=1.01" --market spot-first
  kennel cloud runner status
  kennel cloud runner stop
  kennel cloud runner sweep"""
COLUMN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=["start", "stop", "status", "sweep"], help="what is done")
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="of the runner (default: kennel-GITHUB_RUN_ID-GITHUB_RUN_ATTEMPT; status: of all)",
    )
    parser.add_argument(
        "--hours",
        metavar="N",
        type=float,
        default=os.environ.get("KENNEL_RUNNER_HOURS") or "6",
        help="its limit (default: KENNEL_RUNNER_HOURS, or 6)",
    )
    parser.add_argument(
        "--type",
        metavar="TYPES",
        default=os.environ.get("KENNEL_RUNNER_TYPE") or "g4dn.xlarge",
        help="of the machine, the best first; one that the price book does not have with its "
        "dollars an hour, as in g5.xlarge=1.01 (default: KENNEL_RUNNER_TYPE, or g4dn.xlarge)",
    )
    parser.add_argument(
        "--subnets",
        metavar="SUBNETS",
        default=os.environ.get("KENNEL_RUNNER_SUBNETS") or "",
        help="one a zone, tried in this order (default: KENNEL_RUNNER_SUBNETS, or the launch "
        "template's own)",
    )
    parser.add_argument(
        "--market",
        choices=["spot", "on-demand", "spot-first"],
        default=os.environ.get("KENNEL_RUNNER_MARKET") or "on-demand",
        help="spot costs a third and may be taken away; spot-first takes on-demand where there is "
        "none (default: KENNEL_RUNNER_MARKET, on-demand)",
    )
    parser.add_argument(
        "--most-usd",
        metavar="USD",
        default=os.environ.get("KENNEL_RUNNER_MOST_USD") or "1.25",
        help="an hour; no dearer type is rented (default: KENNEL_RUNNER_MOST_USD, or 1.25)",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.cloud import runner

    if args.do == "sweep":
        return _ended(runner.sweep(), args, nothing="no runner is past its time")
    if args.do == "status":
        return _status(args, "*" if args.name is None else runner.checked_name(args.name))
    name = (
        runner.run_name(
            _set("GITHUB_RUN_ID"),
            os.environ.get("GITHUB_RUN_ATTEMPT") or "1",
            os.environ.get("KENNEL_RUNNER_ROUND") or "1",
        )
        if args.name is None
        else runner.checked_name(args.name)
    )
    return _start(args, name) if args.do == "start" else _stop(args, name)


def _start(args: argparse.Namespace, name: str) -> int:
    from kennel.cloud.machine import Wish
    from kennel.cloud.offers import kinds_named, most_named, subnets_named
    from kennel.cloud.runner import start

    wish = Wish(
        name=name,
        template=os.environ.get("KENNEL_RUNNER_TEMPLATE", ""),
        kinds=kinds_named(args.type),
        subnets=subnets_named(args.subnets),
        market=args.market,
        most_usd=most_named(args.most_usd),
        hours=args.hours,
        ender=os.environ.get("KENNEL_RUNNER_ENDER", ""),
        app_id=os.environ.get("KENNEL_APP_ID", ""),
        app_key=os.environ.get("KENNEL_APP_KEY", ""),
        group_id=_number("KENNEL_RUNNER_GROUP", 1),
        deployment=os.environ.get("KENNEL_DEPLOYMENT") or "kennel",
    )
    rented = start(wish, _github(), say=lambda words: print(words, file=sys.stderr, flush=True))
    if told := os.environ.get("GITHUB_OUTPUT"):
        with open(told, "a", encoding="utf-8") as file:  # noqa: PTH123 - GitHub's own, appended to
            file.write(f"label={rented.label}\n")
    if args.json:
        print(json.dumps(asdict(rented), indent=2))
        return 0
    print(f"{'machine':<{COLUMN}}{rented.instance_id}, {rented.instance_type}, {rented.market}")
    print(f"{'ends':<{COLUMN}}{rented.until} at the latest, for {rented.usd_at_most:.2f} $ at most")
    print(f"next: kennel cloud runner stop --name {rented.name}")
    return 0


def _status(args: argparse.Namespace, name: str) -> int:
    from kennel.cloud.standing import standing

    app_id, app_key = os.environ.get("KENNEL_APP_ID"), os.environ.get("KENNEL_APP_KEY")
    found = (
        standing(name, _github(), app_id=app_id, app_key=app_key)
        if app_id and app_key
        else standing(name)
    )
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return 0
    for each in found:
        _say(each)
    if not found:
        print("no machine of that name runs" if args.name else "no machine runs")
    return 0


def _say(each: Standing) -> None:
    cost = "unknown price" if each.usd_so_far is None else f"{each.usd_so_far:.2f} $ at most"
    rows = {
        each.name: f"{each.instance_id}, {each.instance_type}, {each.market}, {each.state}",
        "  where": each.zone,
        "  since": each.since,
        "  until": each.until or "its tag does not say; kennel cloud runner sweep ends it",
        "  limit": each.limit or "NONE: nothing ends it from outside but a sweep",
        "  so far": cost,
        "  at GitHub": each.registered or "not asked: KENNEL_APP_ID, KENNEL_APP_KEY",
    }
    for key, value in rows.items():
        print(f"{key:<{COLUMN}}{'' if len(key) < COLUMN else ' '}{value}")


def _stop(args: argparse.Namespace, name: str) -> int:
    from kennel.cloud.runner import dismiss, stop
    from kennel.errors import KennelError

    ended = stop(name)
    app_id, app_key = os.environ.get("KENNEL_APP_ID"), os.environ.get("KENNEL_APP_KEY")
    if app_id and app_key:
        try:
            dismiss(name, _github(), app_id=app_id, app_key=app_key)
        except KennelError as error:  # the machine is gone, and that is what costs
            sys.stderr.write(f"note: GitHub may list {name} for a day: {error.message}\n")
    return _ended(ended, args, nothing=f"no machine of the name {name}; its limit stays, if any")


def _ended(ended: Sequence[Ended], args: argparse.Namespace, *, nothing: str) -> int:
    if args.json:
        print(json.dumps([asdict(each) for each in ended], indent=2))
        return 0
    for each in ended:
        print(f"{'ended':<{COLUMN}}{each.instance_id}, {each.name}: {each.why}")
    if not ended:
        print(nothing)
    return 0


def _github() -> Api:
    from kennel.github import ADDRESS, Api

    address = os.environ.get("GITHUB_API_URL") or ADDRESS
    return Api(_set("GITHUB_REPOSITORY"), token="", address=address)


def _set(name: str) -> str:
    from kennel.errors import UsageError

    if value := os.environ.get(name):
        return value
    raise UsageError(f"{name} is not set.", fix="a workflow sets it; elsewhere set it yourself")


def _number(name: str, otherwise: int) -> int:
    from kennel.errors import UsageError

    value = os.environ.get(name) or str(otherwise)
    if not value.isascii() or not value.isdigit():
        raise UsageError(f"{name} is {value!r}.", fix="a whole number, such as 1")
    return int(value)
