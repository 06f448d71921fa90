"""`kennel cloud status`: stacks, what answers, what rings, what runs, what it cost this month."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from kennel.cli.cloud.consent import add_templates, meant, row

EXAMPLE = "kennel cloud status"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.status import status

    found = status(meant(args))
    if args.json:
        print(json.dumps(asdict(found), indent=2))
        return 0
    row("deployment", f"{found.name} in {found.region}, account {found.account}")
    for each in found.stacks:
        whose = "" if each.ours or not each.status else ", somebody else's"
        row(each.room, f"{each.status or 'not there'}{whose}")
    if found.serving:
        it = found.serving
        row("bundle", it.bundle or "no tag says it")
        row("version", f"{it.version}, {it.digest}")
        row("back to", f"version {it.earlier}" if it.earlier else "nothing: no version before")
        row("address", it.url)
        if it.shut:
            row(
                "shut",
                "nobody is let in, the brake was pulled; to open it: aws lambda "
                f"delete-function-concurrency --function-name {it.function}, then deploy",
            )
    row("alarms", ", ".join(found.alarms) or "none rings")
    for machine in found.machines:
        row("runner", f"{machine.instance_id}, {machine.name}, until {machine.until or '?'}")
    if not found.machines:
        row("runners", "none")
    most = f" of {found.budget_usd:.2f} $" if found.budget_usd is not None else ""
    spent = "not known: no budget tells it" if found.spent_usd is None else "{:.2f} ${}"
    row("this month", spent.format(found.spent_usd or 0.0, most))
    return 0
