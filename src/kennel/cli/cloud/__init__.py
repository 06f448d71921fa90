"""`kennel cloud WHAT`: what is rented in AWS, and its end. One file a WHAT.

What it needs and costs, from no account to a prediction and back: docs/guide/aws.md.
"""

from __future__ import annotations

import argparse
import importlib
from typing import cast

from kennel.cli import Parser, Verb

# In the order of the work.
WHAT = {
    "cost": "what a deployment costs, before it exists",
    "rehearse": "the whole of it on this machine, without an account",
    "deploy": "the stacks, the image and the function, checked when it answers",
    "status": "what stands, what answers, what it cost this month",
    "logs": "what the function said",
    "destroy": "all of it removed; data stays unless it is named",
    "sweep": "what is left that no stack has, removed or counted",
    "doctor": "what account, machine and settings lack for it",
    "runner": "a machine with a GPU for one job of a workflow",
}
EXAMPLE = """kennel cloud cost
  kennel cloud runner start --hours 4
  kennel cloud runner stop"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    each_of = parser.add_subparsers(
        dest="what", metavar="WHAT", required=True, parser_class=Parser, title="what"
    )
    for name, summary in WHAT.items():
        part = _part(name)
        own = each_of.add_parser(
            name,
            help=summary,
            allow_abbrev=False,
            description=part.__doc__,
            epilog=f"example:\n  {part.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.add_arguments(own)
        own.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,  # or it would undo one that stands before WHAT
            help="print one JSON document and nothing else",
        )


def run(args: argparse.Namespace) -> int:
    return _part(args.what).run(args)


def _part(name: str) -> Verb:
    return cast(Verb, importlib.import_module(f"kennel.cli.cloud.{name}"))
