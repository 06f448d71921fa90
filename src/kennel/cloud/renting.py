"""One machine, of whatever EC2 has of what is wished: where one is certainly refused, the next.

Certainly: AWS said no and has made nothing. Where it did not answer, or failed, the machine may be
there: it is looked for by its tag, and the same request is made again, of which EC2 makes one
machine. Nothing else is asked for before that is clear.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from kennel.cloud import CloudError
from kennel.cloud.machine import Wish, end, living, rent
from kennel.cloud.offers import Offer, offers

# Refusals that another type, zone or market may not meet.
SCARCE = {
    "InsufficientInstanceCapacity": "none there now",
    "InsufficientHostCapacity": "none there now",
    "InsufficientFreeAddressesInSubnet": "no address left in that subnet",
    "SpotMaxPriceTooLow": "dearer than may be paid",
    "Unsupported": "not in that zone",
}
# Of the account and not of a zone: another zone is not asked.
QUOTAS = {
    "VcpuLimitExceeded": "over the account's quota",
    "MaxSpotInstanceCountExceeded": "over the account's quota",
    "InstanceLimitExceeded": "over the account's quota",
    "InvalidInstanceType": "not in this region",
}
ASKED_AT_MOST, LOOK_S = 4, 10.0


@dataclass(frozen=True)
class Found:
    """A machine, and as what it was rented."""

    instance_id: str
    offer: Offer


@dataclass
class _Doubt:
    """Whether any request may have made a machine that nobody has seen."""

    any: bool = False


def rent_any(
    wish: Wish,
    data: bytes,
    until: datetime,
    *,
    secret: str,
    sleep: Callable[[float], None],
    say: Callable[[str], None],
) -> Found:
    """Rents the first offer that EC2 takes.

    Args:
        secret: of this start; see `rent`.
    Raises:
        CloudError: every offer is refused, or one for a reason that the next would meet too. It is
            `unsure` where a machine may have been made that could not be found.
    """
    told: list[str] = []
    over: set[tuple[str, str]] = set()
    doubt = _Doubt()
    last: CloudError | None = None
    for offer in offers(wish.kinds, wish.subnets, wish.market, most_usd=wish.most_usd):
        kept = (offer.kind.name, offer.market)
        if kept in over:
            continue
        try:
            machine = _certain(
                wish, offer, data, until, secret=secret, sleep=sleep, say=say, doubt=doubt
            )
        except CloudError as error:
            why = SCARCE.get(error.code) or QUOTAS.get(error.code)
            if why is None:
                error.unsure |= doubt.any
                raise
            if error.code in QUOTAS:
                over.add(kept)
            say(f"{offer}: {why} ({error.code})")
            told.append(f"{offer}: {error.code}")
            last = error
            continue
        say(f"{offer}: {machine}")
        if doubt.any:
            _end_others(wish.name, machine, say)
        return Found(machine, offer)
    assert last is not None  # there is an offer, and each was refused
    if len(told) == 1:
        last.unsure |= doubt.any
        raise last
    raise CloudError(
        f"AWS refuses every machine that was asked for: {'; '.join(told)}. {last.message}",
        fix=last.fix,
        code=last.code,
        unsure=doubt.any,
    )


def _certain(
    wish: Wish,
    offer: Offer,
    data: bytes,
    until: datetime,
    *,
    secret: str,
    sleep: Callable[[float], None],
    say: Callable[[str], None],
    doubt: _Doubt,
) -> str:
    """The machine of that offer, or a refusal that has made none."""
    for left in reversed(range(ASKED_AT_MOST)):
        try:
            return rent(wish, offer, data, until, secret=secret)
        except CloudError as error:
            # After a request in doubt, a refusal speaks for itself alone.
            if not error.unsure and not doubt.any:
                raise
            if error.unsure:
                say(f"{offer}: {error.message} The machine is looked for.")
                doubt.any = True
            if seen := [str(each["InstanceId"]) for each in living(wish.name)]:
                return seen[0]
            if not error.unsure or not left:
                raise
        sleep(LOOK_S)
    raise AssertionError  # the last one returned or raised


def _end_others(name: str, machine: str, say: Callable[[str], None]) -> None:
    """Of one name there is one machine; whatever an earlier request has made goes."""
    with suppress(CloudError):  # the limit has its name, and `stop` looks again
        found = [str(each["InstanceId"]) for each in living(name)]
        if others := [each for each in found if each != machine]:
            end(others)
            say(f"{', '.join(others)}: ended, of a request that was not answered")
