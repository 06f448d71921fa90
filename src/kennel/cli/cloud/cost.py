"""`kennel cloud cost`: what a deployment costs, before it exists. Nothing is asked of AWS.

From templates of CloudFormation, a dated price book of one region, and measured milliseconds.
No free tier is taken off; what the book does not have is named, and not guessed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.cloud.cost import Measured

EXAMPLE = """kennel cloud cost
  kennel cloud cost --requests 100000 --memory 1769
  kennel cloud cost --template stack.template.json --measured bundles/<id>/report/report.json"""
WITHIN_MS = 1000.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    templates = parser.add_mutually_exclusive_group()
    templates.add_argument(
        "--templates",
        metavar="DIR",
        type=Path,
        help="what make synth OUT=DIR wrote (default: deploy/aws/cdk.out, written where it is old)",
    )
    templates.add_argument(
        "--template",
        metavar="FILE",
        type=Path,
        action="append",
        help="any template of CloudFormation, as JSON; may be given again",
    )
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument(
        "--ms", metavar="N", type=float, help="milliseconds of one core that a photo takes"
    )
    measured.add_argument(
        "--measured",
        metavar="REPORT",
        type=Path,
        help="file of benchmarks/cloud/answers.py, or a report.json of kennel evaluate (default: "
        "EfficientNet-Lite0 as it was measured for this Kennel)",
    )
    parser.add_argument(
        "--memory", metavar="MB", type=int, help="of the function, instead of the templates'"
    )
    parser.add_argument(
        "--requests", metavar="N", type=int, default=0, help="photos a month (default: 0)"
    )
    parser.add_argument(
        "--within",
        metavar="MS",
        type=float,
        default=WITHIN_MS,
        help="until when an answer must be there, for the cheapest memory (default: 1000)",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.cost import cost_of
    from kennel.cloud.cost.document import document
    from kennel.cloud.cost.tutorial import tutorial_cost
    from kennel.cloud.cost.words import lines
    from kennel.cloud.deployment import find_deployment
    from kennel.cloud.template import read_template

    _check(args)
    measured = _measured(args)
    if args.template:
        cost = cost_of(
            [read_template(path) for path in args.template],
            measured,
            requests=args.requests,
            memory_mb=args.memory,
        )
    else:
        cost = cost_of(
            find_deployment(args.templates),
            measured,
            requests=args.requests,
            memory_mb=args.memory,
        )
    beside = tutorial_cost(measured)
    if args.json:
        print(json.dumps(document(cost, beside, args.within), ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines(cost, beside, args.within)))
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.memory is not None and not 128 <= args.memory <= 10_240:
        raise UsageError(
            f"--memory is {args.memory}: Lambda gives 128 to 10,240 MB.", fix="--memory 1769"
        )
    if args.requests < 0:
        raise UsageError(f"--requests is {args.requests}.", fix="photos a month: 0 or more")
    if not args.within > 0:
        raise UsageError(f"--within is {args.within:g}.", fix="milliseconds, such as 1000")


def _measured(args: argparse.Namespace) -> Measured:
    from kennel.cloud.cost.measured import by_hand, measured_in, shipped

    if args.ms is not None:
        return by_hand(args.ms)
    return shipped() if args.measured is None else measured_in(args.measured)
