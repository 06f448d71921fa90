"""What runs: each rented machine, since when, until when, what it has cost, and what GitHub and the
Scheduler know of it. Looks, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.keys import sign_by_kms
from kennel.cloud.limit import TAG, UNTIL
from kennel.cloud.machine import living
from kennel.cloud.offers import listed_usd
from kennel.github import Api
from kennel.github.runners import administrator, registration


@dataclass(frozen=True)
class Standing:
    """A machine that costs money.

    Attributes:
        market: "spot" or "on-demand".
        since, until: UTC; until is "" where its tag does not say.
        limit: when the Scheduler ends it, UTC; "" where it has no limit, which is a fault.
        usd_so_far: hours since it was launched, at the price on demand: at most that much. None
            where the price book does not have its type.
        registered: at GitHub: "waits", "works", "offline", "gone"; "" where it was not asked.
    """

    name: str
    instance_id: str
    instance_type: str
    market: str
    zone: str
    state: str
    since: str
    until: str
    limit: str
    usd_so_far: float | None
    registered: str


def standing(
    name: str = "*",
    api: Api | None = None,
    *,
    app_id: str = "",
    app_key: str = "",
    now: Callable[[], float] = time.time,
) -> tuple[Standing, ...]:
    """Machines of that name, the oldest first; "*" is any.

    Args:
        api: GitHub, to be asked by the App; None asks AWS alone.
    Raises:
        KennelError: AWS or GitHub refuses.
    """
    found = sorted(living(name), key=lambda each: (each["LaunchTime"], each["InstanceId"]))
    if not found:
        return ()
    asked = (
        nullcontext(None)
        if api is None
        else administrator(
            api, app_id=app_id, sign=lambda text: sign_by_kms(app_key, text), now_s=now()
        )
    )
    with asked as github:
        return tuple(_told(each, github, now()) for each in found)


def _told(machine: dict[str, Any], github: Api | None, now_s: float) -> Standing:
    tags = {tag["Key"]: tag["Value"] for tag in machine.get("Tags", ())}
    launched = machine["LaunchTime"].astimezone(UTC)
    hours = max(0.0, (datetime.fromtimestamp(now_s, UTC) - launched).total_seconds() / 3600)
    kind = str(machine["InstanceType"])
    usd = listed_usd(kind)
    return Standing(
        name=tags[TAG],
        instance_id=str(machine["InstanceId"]),
        instance_type=kind,
        market=str(machine.get("InstanceLifecycle") or "on-demand"),
        zone=str(machine.get("Placement", {}).get("AvailabilityZone", "")),
        state=str(machine["State"]["Name"]),
        since=f"{launched:%Y-%m-%dT%H:%M:%SZ}",
        until=tags.get(UNTIL, ""),
        limit=_limit_of(tags[TAG]),
        usd_so_far=None if usd is None else round(hours * usd, 4),
        registered="" if github is None else registration(github, tags[TAG]),
    )


def _limit_of(name: str) -> str:
    """When the machines of that name are ended from outside, UTC; "" where nothing ends them.

    Raises:
        CloudError: AWS refuses.
    """
    try:
        with asking(f"scheduler:GetSchedule {name}", fixes={}):
            told = client("scheduler").get_schedule(Name=name)
    except CloudError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return ""
    return f"{str(told['ScheduleExpression'])[len('at(') : -len(')')]}Z"
