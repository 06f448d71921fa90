"""Random crashes: how many rented machines outlive their time, and what it costs.

Kennel's flow beside the usual one, under the same crashes: the workflow killed before, during and
after its start, the command killed and cancelled, AWS and GitHub refusing, failing, not answering
and slow, a runner that does not come, a machine that hangs, a stop job that never runs.

    python benchmarks/cloud/crashes.py --crashes 200 --seed 0

AWS is moto's server on this machine, with EC2's rule for client tokens; the clock is simulated.
Jobs are processes, and what kills them is SIGKILL; the schedule is read and done by a stand-in,
since moto fires none; the reaper is the file of the runner stack.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults import ALL, Fault
from world import HORIZON_S, USD_PER_HOUR, Crash, Life, world

from kennel.intervals import wilson
from kennel.machine import hardware

WHATS = ("refused", "5xx", "unanswered", "slow")
PRECISE_S = 60.0  # the Scheduler is as precise as that
FLOWS = ("kennel", "usual")
MONTH_H = 730.0


def drawn(number: int, chance: random.Random) -> Crash:
    """One crash; the kinds take turns, everything in them is chance."""
    kind = KINDS[number % len(KINDS)]
    failing = Fault(
        chance.choice(WHATS),
        chance.choice(("aws", "github", "both")),
        chance.random(),
        chance.choice((1, 3, ALL)),
    )
    stop = chance.choices(
        (Fault(), Fault("killed", "both", chance.random()), failing), weights=(6, 2, 2)
    )[0]
    more = {
        "job_s": chance.uniform(600, 3 * 3600),
        "hangs": chance.random() < 0.3,
        "stops": chance.random() < 0.7,
        "stop": stop,
        "hours": chance.choice((1.0, 2.0, 4.0, 8.0, 12.0)),
    }
    at = chance.random()
    after_s = chance.uniform(0.2, 4.0)
    own = {
        "workflow killed before its start": {"started": False},
        "command killed at a random moment": {"kill_after_s": after_s},
        "command cancelled, then killed": {
            "kill_after_s": after_s,
            "by": signal.SIGINT,
            "then_s": chance.uniform(0.0, 1.5),
        },
        "command killed at a request": {"start": Fault("killed", "both", at)},
        "AWS or GitHub fails while it starts": {"start": failing, "stop": Fault()},
        "the runner does not come": {"comes": False},
        "workflow killed after its start": {"told": False},
        "machine hangs": {"hangs": True},
        "stop job lost": {"stops": False},
        "AWS or GitHub fails while it stops": {"stop": failing, "stops": True, "hangs": True},
    }[kind]
    return Crash(kind, **{**more, **own})  # type: ignore[arg-type]


KINDS = (
    "workflow killed before its start",
    "command killed at a random moment",
    "command cancelled, then killed",
    "command killed at a request",
    "AWS or GitHub fails while it starts",
    "the runner does not come",
    "workflow killed after its start",
    "machine hangs",
    "stop job lost",
    "AWS or GitHub fails while it stops",
)


def outlived(life: Life) -> bool:
    """Whether it ran longer than its tag allows; one that has no time must not live for good."""
    if life.end_s is None:
        return True
    return life.until_s is not None and life.end_s > life.until_s + PRECISE_S


def usd(life: Life) -> float:
    end = life.begin_s + HORIZON_S if life.end_s is None else life.end_s
    return (end - life.begin_s) / 3600 * USD_PER_HOUR


def table(played: dict[str, list[tuple[Crash, list[Life]]]]) -> list[str]:
    rows = [
        "| flow | crashes | machines | live on for good | crashes with one, 95 % | outlived their "
        "time | paid in 30 hours, $ | and each month after, $ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for flow, results in played.items():
        lives = [each for _, found in results for each in found]
        for_good = sum(each.end_s is None for each in lives)
        leaking = sum(any(each.end_s is None for each in found) for _, found in results)
        low, high = wilson(leaking, len(results))
        rows.append(
            f"| {flow} | {len(results)} | {len(lives)} | {for_good} | {leaking} "
            f"({leaking / len(results):.1%}, {low:.1%} to {high:.1%}) | "
            f"{sum(map(outlived, lives))} | {sum(map(usd, lives)):.2f} | "
            f"{for_good * MONTH_H * USD_PER_HOUR:.0f} |"
        )
    rows += ["", "| crash | " + " | ".join(f"{flow}: live on" for flow in played) + " |"]
    rows.append("|---" * (len(played) + 1) + "|")
    for kind in KINDS:
        told = []
        for results in played.values():
            of = [found for crash, found in results if crash.kind == kind]
            lost = sum(any(each.end_s is None for each in found) for found in of)
            told.append(f"{lost} of {len(of)}")
        rows.append(f"| {kind} | {' | '.join(told)} |")
    by = Counter(each.by for _, found in played.get("kennel", ()) for each in found)
    rows += ["", "Kennel's machines were ended by: " + ", ".join(f"{k} {n}" for k, n in by.items())]
    return rows


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crashes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS))
    parser.add_argument(
        "--without-limit", action="store_true", help="the Scheduler never fires: reaper and sweep"
    )
    parser.add_argument("--to", type=Path, help="writes every machine's life there, as JSON")
    given = parser.parse_args(words)
    chance = random.Random(given.seed)  # noqa: S311 - no secret
    crashes = [drawn(number, chance) for number in range(given.crashes)]
    begun = time.monotonic()
    played: dict[str, list[tuple[Crash, list[Life]]]] = {flow: [] for flow in given.flows}
    with (
        tempfile.TemporaryDirectory(prefix="kennel-crashes-") as folder,
        world(Path(folder)) as here,
    ):
        here.limited = not given.without_limit
        for number, crash in enumerate(crashes, 1):
            for flow in given.flows:
                played[flow].append((crash, here.play(flow, crash)))
            took = time.monotonic() - begun
            print(f"{took:4.0f} s: {number} of {len(crashes)}, {crash.kind}", file=sys.stderr)
    print("\n".join(table(played)))
    took = time.monotonic() - begun
    print(f"\nSeed {given.seed}, {took:.0f} s, {hardware()}.")
    if given.to:
        told = {f: [[vars(x) for x in found] for _, found in r] for f, r in played.items()}
        given.to.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return int(any(map(outlived, (x for _, found in played.get("kennel", ()) for x in found))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
