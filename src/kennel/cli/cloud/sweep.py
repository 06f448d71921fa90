"""`kennel cloud sweep`: what is left that no stack has any more, removed; with --verify, counted.

Everything with the deployment's tag, and the usual orphans: images, log groups, volumes, snapshots,
addresses, machines, limits, alarms, keys, uploads, runners that GitHub waits for. What has neither
tag nor exact name is never touched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from kennel.cli.cloud.consent import (
    add_templates,
    add_yes,
    check_somebody,
    consent,
    guests,
    meant,
    say,
)

if TYPE_CHECKING:
    from kennel.cloud.sweeping import Leftover

EXAMPLE = """kennel cloud sweep
  kennel cloud sweep --verify"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="remove nothing; exit 1 when anything is left, stacks among it",
    )
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.sweeping import leftovers, sweep

    if not args.verify:
        check_somebody(args)
    deployment = meant(args)
    asked = guests()
    found = leftovers(deployment, guests=asked, say=say)
    if args.verify:
        return _verified(args, found)
    loose = [each for each in found if not each.stays]
    if loose:
        for each in loose:
            say(_words(each))
        if not consent(f"remove these {len(loose)}?", args):
            say("nothing was done")
            return 1
    still = sweep(found, guests=asked, say=say)
    removed = [each for each in loose if each.name not in {one.name for one in still}]
    failed = [each for each in still if each.name in {one.name for one in loose}]
    if args.json:
        document = {
            "removed": [asdict(each) for each in removed],
            "still": [asdict(each) for each in still],
        }
        print(json.dumps(document, indent=2))
        return int(bool(failed))
    for each in removed:
        print(f"removed {_words(each)}")
    for each in still:
        print(f"stays   {_words(each)}: {each.stays}")
    if not found:
        print("nothing is left")
    return int(bool(failed))


def _verified(args: argparse.Namespace, found: Sequence[Leftover]) -> int:
    left = [each for each in found if not each.going]
    known = [each.usd for each in left if each.usd is not None]
    if args.json:
        document = {
            "left": [asdict(each) for each in left],
            "going": [asdict(each) for each in found if each.going],
            "usd_a_month": sum(known),
        }
        print(json.dumps(document, indent=2))
        return int(bool(left))
    for each in found:
        print(f"{'going' if each.going else 'left':<6}{_words(each)}")
    if left:
        print(f"{len(left)} are left; what is priced of them costs {sum(known):.2f} $ a month")
        print("next: kennel cloud sweep, or kennel cloud destroy where stacks are among them")
    else:
        print("nothing is left")
    return int(bool(left))


def _words(each: Leftover) -> str:
    told = ", ".join(filter(None, (each.words, each.price)))
    return f"{each.kind} {each.name}{f' ({told})' if told else ''}"
