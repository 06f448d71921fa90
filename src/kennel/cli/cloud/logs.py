"""`kennel cloud logs`: what the function said, oldest first; what went wrong is marked."""

from __future__ import annotations

import argparse
import json
import time

from kennel.cli.cloud.consent import add_templates, meant, say

EXAMPLE = """kennel cloud logs --since 1h
  kennel cloud logs --errors --since 2d
  kennel cloud logs --follow"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)
    parser.add_argument(
        "--since", metavar="TIME", default="1h", help="30m, 1h, 2d (default: %(default)s)"
    )
    parser.add_argument("--errors", action="store_true", help="only what went wrong")
    parser.add_argument("--follow", action="store_true", help="and what comes, until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    from kennel.cloud import logs

    seconds = logs.seconds_of(args.since)
    group = logs.log_group(meant(args))
    since = time.time() - seconds
    said = (logs.follow if args.follow else logs.lines)(group, since=since)
    chosen = (each for each in said if each.bad or not args.errors)
    if args.json and not args.follow:
        rows = [{"at": each.at, "words": each.words, "bad": each.bad} for each in chosen]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    count = 0
    for each in chosen:
        count += 1
        if args.json:  # of what never ends: a document a line
            print(json.dumps({"at": each.at, "words": each.words, "bad": each.bad}), flush=True)
        else:
            print(f"{each.at} {'ERROR' if each.bad else '     '} {each.words}", flush=True)
    if not count:
        say(f"nothing was said in {group} since {args.since} ago")
    return 0
