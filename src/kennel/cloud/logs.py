"""What the function said: its own JSON lines and Lambda's, in order, errors marked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kennel.cloud import CloudError, asking, client
from kennel.cloud.deployed import OUT_FUNCTION
from kennel.cloud.deployment import Deployment
from kennel.cloud.stacks import state_of
from kennel.errors import UsageError

POLL_S, BEHIND_S = 3.0, 30.0  # lines of one moment come in within some seconds
SINCE = re.compile(r"(\d{1,4})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
BAD = re.compile(r"\b(error|exception|traceback|task timed out|runtime exited|panic)\b", re.I)
ROUTINE = ("START RequestId", "END RequestId", "INIT_START")


@dataclass(frozen=True)
class Line:
    """One line. `at` is in UTC; `bad` whether it tells of something that went wrong."""

    at: str
    words: str
    bad: bool
    key: str = ""


def seconds_of(words: str) -> float:
    """Seconds that 90s, 30m, 1h or 2d are.

    Raises:
        UsageError: it is no such time.
    """
    found = SINCE.fullmatch(words)
    if found is None:
        raise UsageError(f"--since is {words!r}.", fix="such as 30m, 1h or 2d")
    return float(found[1]) * SECONDS[found[2]]


def log_group(deployment: Deployment) -> str:
    """Where the function's lines are kept.

    Raises:
        CloudError: there is no service.
    """
    stack = deployment.stack("service")
    function = (state_of(stack.name).outputs or {}).get(OUT_FUNCTION, "") if stack else ""
    if not function:
        raise CloudError("there is no service that could say anything.", fix="kennel cloud deploy")
    with asking(f"lambda:GetFunctionConfiguration {function}", fixes={}):
        told = client("lambda").get_function_configuration(FunctionName=function)
    return str(told.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}")


def lines(group: str, *, since: float) -> Iterator[Line]:
    """From that moment on, oldest first.

    Args:
        since: seconds since 1970.
    Raises:
        CloudError: there is no such group, or it may not be read.
    """
    fixes = {"ResourceNotFoundException": "nothing was said yet, or destroy took it"}
    with asking(f"logs:FilterLogEvents {group}", fixes=fixes):
        pages = client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group, startTime=int(since * 1000))
        rows = [each for page in found for each in page["events"]]
    for each in sorted(rows, key=lambda row: row["timestamp"]):
        said = each["message"].rstrip("\n")
        if said and not said.startswith(ROUTINE):
            at = datetime.fromtimestamp(each["timestamp"] / 1000, UTC)
            yield Line(f"{at:%Y-%m-%d %H:%M:%S}", *_read(said), each["eventId"])


def follow(
    group: str,
    *,
    since: float,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """The same, and on and on: each line once, as it comes."""
    seen: set[str] = set()
    while True:
        begun = now()
        for line in lines(group, since=since):
            if line.key not in seen:
                seen.add(line.key)
                yield line
        since = max(since, begun - BEHIND_S)
        sleep(POLL_S)


def _read(said: str) -> tuple[str, bool]:
    """A line in words: Kennel's are JSON, Lambda's are not."""
    try:
        told = json.loads(said)
    except ValueError:
        return said, bool(BAD.search(said))
    if not isinstance(told, dict):
        return said, False
    status = told.get("status")
    level = str(told.get("level", "")).lower()
    bad = level in ("error", "critical") or (isinstance(status, int) and status >= 500)
    first = str(told.pop("event", told.pop("message", "")))
    for name in ("time", "timestamp", "level"):
        told.pop(name, None)
    rest = " ".join(f"{key}={value}" for key, value in told.items())
    return f"{first} {rest}".strip(), bad
