"""What `kennel cloud` asks before it does anything, and where it does it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.cloud.deployment import Deployment
    from kennel.cloud.sweeping import Guests

COLUMN = 12


def add_templates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--templates",
        metavar="DIR",
        type=Path,
        help="what `make synth OUT=DIR` wrote (default: deploy/aws/cdk.out, written where it is "
        "missing or old)",
    )


def add_only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        metavar="ROOM",
        nargs="+",
        default=[],
        help="storage, images, service, runner, identity, budget (default: all)",
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask: for workflows")


def meant(args: argparse.Namespace) -> Deployment:
    """The deployment that is meant. AWS is asked in its region and in no other.

    Raises:
        UsageError: the environment names another region.
    """
    from kennel.cloud.deployment import find_deployment

    deployment = find_deployment(args.templates)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if (given := os.environ.get(name)) and given != deployment.region:
            raise UsageError(
                f"{name} is {given}, and the deployment is for {deployment.region}.",
                fix=f"{name}={deployment.region}, or another `region` in deploy/aws/settings.yaml",
            )
        os.environ[name] = deployment.region
    return deployment


def consent(question: str, args: argparse.Namespace) -> bool:
    """Asks once.

    Raises:
        UsageError: there is nobody to ask, and no --yes.
    """
    if args.yes:
        return True
    check_somebody(args)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def check_somebody(args: argparse.Namespace) -> None:
    """Raises UsageError where nobody could be asked: before anything is looked up."""
    if not args.yes and not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask at.", fix="say --yes when that is what you want"
        )


def typed(name: str) -> bool:
    """Whether somebody types that very name."""
    sys.stderr.write(f"type its name to remove it and all that is in it ({name}): ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == name


def guests() -> Guests | None:
    """GitHub, as the environment of a workflow with runners names it; None where it does not."""
    app_id, app_key = os.environ.get("KENNEL_APP_ID"), os.environ.get("KENNEL_APP_KEY")
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not (app_id and app_key and repository):
        return None
    from kennel.cloud.sweeping import Guests
    from kennel.github import ADDRESS, Api

    address = os.environ.get("GITHUB_API_URL") or ADDRESS
    return Guests(Api(repository, token="", address=address), app_id, app_key)


def say(words: str) -> None:
    """Progress, to stderr."""
    print(words, file=sys.stderr, flush=True)


def row(name: str, words: str) -> None:
    """A line of the result."""
    print(f"{name:<{COLUMN}}{words}")
