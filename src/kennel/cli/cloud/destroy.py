"""`kennel cloud destroy`: says what goes and what stays, asks once, removes it, and sweeps.

A bucket that holds data stays with its stack, unless --with-data and its name say otherwise.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from kennel.cli.cloud.consent import (
    add_only,
    add_templates,
    add_yes,
    check_somebody,
    consent,
    guests,
    meant,
    row,
    say,
    typed,
)
from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.cloud.destroying import Removal
    from kennel.cloud.sweeping import Leftover

EXAMPLE = """kennel cloud destroy
  kennel cloud destroy --only service --yes
  kennel cloud destroy --with-data kennel-data-123456789012-us-east-1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)
    add_only(parser)
    parser.add_argument(
        "--with-data",
        metavar="BUCKET",
        nargs="?",
        const="",
        help="photos and bundles go as well; names the bucket, or asks for its name",
    )
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.destroying import destroy, removal
    from kennel.cloud.sweeping import leftovers, sweep

    check_somebody(args)
    deployment = meant(args)
    planned = removal(deployment, only=tuple(args.only), say=say)
    with_data = args.with_data is not None
    _tell(planned, with_data=with_data)
    if with_data:
        _check_named(args, planned)
    if not planned.stacks:
        say("no stack is there; what is left besides is looked for")
    if (planned.stacks or with_data) and not consent("do it?", args):
        say("nothing was done")
        return 1
    done = destroy(planned, with_data=with_data, say=say)
    still: tuple[Leftover, ...] = ()
    if not args.only:
        asked = guests()
        found = leftovers(deployment, guests=asked, say=say)
        kept = set(done.kept)
        still = sweep(
            tuple(each for each in found if each.name not in kept),
            guests=asked,
            with_data=args.with_data or "",
            say=say,
        )
    left = [each for each in still if not each.going and each.kind != "AWS::CloudFormation::Stack"]
    if args.json:
        document = {"gone": done.gone, "kept": done.kept, "left": [each.name for each in left]}
        print(json.dumps(document, indent=2))
        return int(bool(left))
    for name in done.gone:
        row("gone", name)
    for name in done.kept:
        row("kept", f"{name}: it holds data; --with-data {name} removes it")
    for each in left:
        row("left", f"{each.kind} {each.name}: {each.stays}")
    print("next: kennel cloud sweep --verify")
    return int(bool(left))


def _tell(planned: Removal, *, with_data: bool) -> None:
    deployment = planned.deployment
    say(f"{deployment.name} in {deployment.region}, account {planned.account}")
    for each in planned.stacks:
        if each.data and not with_data:
            say(f"  stays  {each.stack.name}: {each.data} holds {each.holds}")
        else:
            lost = f"; {each.data} with {each.holds}" if each.data else ""
            say(f"  goes   {each.stack.name}: {each.resources} resources, {each.status}{lost}")


def _check_named(args: argparse.Namespace, planned: Removal) -> None:
    """Data goes only where it was named."""
    for name in planned.data:
        if args.with_data == name:
            continue
        if args.with_data or args.yes:
            raise UsageError(
                f"--with-data names {args.with_data or 'no bucket'}; the data is in {name}.",
                fix=f"--with-data {name}",
            )
        if not typed(name):
            raise UsageError("that is not its name; nothing was done.", fix=f"type {name}")
