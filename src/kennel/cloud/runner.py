"""A machine with a GPU for one job of GitHub's, and its certain end.

In this order: the limit that ends it from outside, the runner that GitHub expects, the machine. So
a job that dies between any two of them leaves nothing that goes on costing. `stop` needs no more
than the name, which follows from the run; `sweep` is the last line behind both.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kennel.cloud import CloudError
from kennel.cloud.boot import boot_script
from kennel.cloud.keys import sign_by_kms
from kennel.cloud.limit import TAG, UNTIL, lift_limit, set_limit
from kennel.cloud.machine import Wish, end, living, state_of
from kennel.cloud.offers import offers
from kennel.cloud.renting import rent_any
from kennel.errors import KennelError, UsageError
from kennel.github import Api, GithubError
from kennel.github.runners import administrator, invite, online, software, uninvite

NAME = re.compile(r"kennel-[a-z0-9-]{1,50}")
MOST_HOURS = 24.0
GRACE = timedelta(minutes=10)  # between its own end and that from outside
ONLINE_S, POLL_S = 600.0, 10.0


@dataclass(frozen=True)
class Rented:
    """A machine that waits for its job.

    Attributes:
        label: what the job's `runs-on` must say; it cannot be guessed.
        until: when it is ended from outside, UTC.
        instance_type, market: as what it was rented; "spot" may be taken away.
        usd_at_most: what it costs at most until then: hours and the price on demand.
    """

    name: str
    instance_id: str
    label: str
    until: str
    instance_type: str
    market: str
    usd_at_most: float


@dataclass(frozen=True)
class Ended:
    """A machine that was ended, and why."""

    name: str
    instance_id: str
    why: str


def run_name(run_id: str, attempt: str, round_: str = "1") -> str:
    """The name that follows from a workflow's run, its attempt, and which machine of it this is."""
    return checked_name(f"kennel-{run_id}-{attempt}{'' if round_ == '1' else f'-{round_}'}")


def checked_name(name: str) -> str:
    """Raises UsageError where that is no name of a runner."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a runner.", fix="such as --name kennel-12345-1")
    return name


def start(
    wish: Wish,
    api: Api,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = lambda _: None,
) -> Rented:
    """Rents the machine and waits until GitHub sees its runner.

    Raises:
        KennelError: AWS or GitHub refuses, or the runner does not come. What was made is gone then,
            or ends at its limit.
    """
    _check(wish)
    begun = datetime.fromtimestamp(now(), UTC)
    until = begun + timedelta(hours=wish.hours)
    set_limit(wish.name, until=until, role=wish.ender)
    say(f"ends at {until:%H:%M} UTC, from outside")
    label = f"{wish.name}-{secrets.token_hex(8)}"
    machine = ""
    try:
        with administrator(
            api,
            app_id=wish.app_id,
            sign=lambda text: sign_by_kms(wish.app_key, text),
            now_s=now(),
        ) as github:
            archive = software(github)
            labels = ("self-hosted", "linux", "x64", "gpu", label)
            guest = invite(github, wish.name, labels=labels, group_id=wish.group_id)
            own_end = max(1, int((until - begun - GRACE).total_seconds() // 60))
            data = boot_script(software=archive, config=guest.config, minutes=own_end)
            found = rent_any(wish, data, until, secret=label, sleep=sleep, say=say)
            machine = found.instance_id
            _await(github, guest.runner_id, machine, now=now, sleep=sleep)
    except BaseException as error:
        _undo(wish, api, machine, error, now=now)
        raise
    kind = found.offer.kind
    return Rented(
        wish.name,
        machine,
        label,
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
        instance_type=kind.name,
        market=found.offer.market,
        usd_at_most=round(wish.hours * kind.usd_per_hour, 2),
    )


def _check(wish: Wish) -> None:
    checked_name(wish.name)
    if not 0.5 <= wish.hours <= MOST_HOURS:
        raise UsageError(
            f"a runner for {wish.hours:g} hours is not rented.",
            fix=f"0.5 to {MOST_HOURS:g}: KENNEL_RUNNER_HOURS",
        )
    offers(wish.kinds, wish.subnets, wish.market, most_usd=wish.most_usd)
    for name, value in (
        ("KENNEL_RUNNER_TEMPLATE", wish.template),
        ("KENNEL_RUNNER_TYPE", wish.kinds),
        ("KENNEL_RUNNER_ENDER", wish.ender),
        ("KENNEL_APP_ID", wish.app_id),
        ("KENNEL_APP_KEY", wish.app_key),
    ):
        if not value:
            raise UsageError(
                f"{name} is not set.", fix="docs/guide/actions.md says which variables there are"
            )


def _await(
    api: Api,
    runner_id: int,
    machine: str,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Waits until the runner is there. A job without one would stay in line for a day."""
    begun = now()
    while not _online(api, runner_id):
        state = state_of(machine)
        if state not in ("pending", "running"):
            raise CloudError(
                f"{machine} is {state} before its runner came.",
                fix=f"see why: aws ec2 get-console-output --latest --instance-id {machine}",
            )
        if now() - begun > ONLINE_S:
            raise CloudError(
                f"the runner on {machine} did not come within {ONLINE_S / 60:g} minutes.",
                fix="the launch template's network must let it out to GitHub by HTTPS, and its "
                "image must be Ubuntu or Debian on x64",
            )
        sleep(POLL_S)


def _online(api: Api, runner_id: int) -> bool:
    try:
        return online(api, runner_id)
    except GithubError as error:
        if 0 < error.status < 500:
            raise
        return False  # it is the machine that is waited for, and not GitHub


def _undo(
    wish: Wish, api: Api, machine: str, error: BaseException, *, now: Callable[[], float]
) -> None:
    """Takes back what was made. The limit goes only where there is certainly no machine."""
    unsure = isinstance(error, CloudError) and error.unsure
    refused = not machine and isinstance(error, KennelError) and not unsure
    with suppress(KennelError):
        if machine:
            end([machine])
        if machine or refused:
            lift_limit(wish.name)
    with suppress(KennelError):
        _uninvite(wish.name, api, app_id=wish.app_id, app_key=wish.app_key, now=now)


def stop(name: str) -> tuple[Ended, ...]:
    """Ends every machine of that name. Told twice, it finds nothing the second time.

    The limit goes with the machine that was ended. Where no machine was seen it stays: AWS may not
    show yet what a job asked for as it died; the limit then finds it, or nothing, and goes.

    Raises:
        CloudError: AWS refuses. The limit stays.
    """
    found = [Ended(name, each["InstanceId"], "told to stop") for each in living(name)]
    if found:
        end([each.instance_id for each in found])
        lift_limit(name)
    return tuple(found)


def dismiss(
    name: str, api: Api, *, app_id: str, app_key: str, now: Callable[[], float] = time.time
) -> int:
    """Takes that runner out of GitHub's list, where it still stands. A runner that had its job is
    gone by itself.

    Raises:
        KennelError: GitHub or KMS refuses.
    """
    return _uninvite(checked_name(name), api, app_id=app_id, app_key=app_key, now=now)


def _uninvite(name: str, api: Api, *, app_id: str, app_key: str, now: Callable[[], float]) -> int:
    with administrator(
        api, app_id=app_id, sign=lambda text: sign_by_kms(app_key, text), now_s=now()
    ) as github:
        return uninvite(github, name)


def sweep(*, now: Callable[[], float] = time.time) -> tuple[Ended, ...]:
    """Ends every runner's machine that is past its time, or says no time.

    Raises:
        CloudError: AWS refuses.
    """
    present = datetime.fromtimestamp(now(), UTC)
    found = []
    for each in living("*"):
        tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())}
        if why := _overdue(tags.get(UNTIL), each["LaunchTime"], present):
            found.append(Ended(tags[TAG], each["InstanceId"], why))
    if found:
        end([each.instance_id for each in found])
    return tuple(found)


def _overdue(until: str | None, launched: datetime, present: datetime) -> str | None:
    if present - launched > timedelta(hours=MOST_HOURS) + GRACE:
        return f"it runs for more than {MOST_HOURS:g} hours"
    try:
        gone = datetime.strptime(until or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "its tag does not say until when"
    return f"it was to be gone at {until}" if present > gone else None
