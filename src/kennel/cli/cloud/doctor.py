"""`kennel cloud doctor`: what account, machine and settings have and lack, with what mends it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from kennel.cli.cloud.consent import add_templates, meant

EXAMPLE = "kennel cloud doctor"
COLUMN = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_templates(parser)


def run(args: argparse.Namespace) -> int:
    from kennel.cloud.doctor import examine, failing

    findings = []
    for each in examine(meant(args)):
        findings.append(each)
        if args.json:
            continue
        mark = "ok" if each.fix is None else "LACKS" if each.needed else "note"
        print(f"{mark:<7}{each.name:<{COLUMN}}{each.found}", flush=True)
        if each.fix:
            print(f"{'':<7}{'':<{COLUMN}}fix: {each.fix}")
    broken = bool(failing(tuple(findings)))
    if args.json:
        print(json.dumps({"ok": not broken, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        print("deploying would fail" if broken else "next: kennel cloud deploy")
    return int(broken)
