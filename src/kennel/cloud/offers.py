"""What a machine may be: types, zones and markets in the order in which they are asked for, and
none that costs more an hour than may be paid.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kennel.errors import UsageError
from kennel.prices import price_named

TYPE = re.compile(r"[a-z][a-z0-9-]{1,20}\.[a-z0-9-]{2,20}")
SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
MARKETS = {
    "spot": ("spot",),
    "on-demand": ("on-demand",),
    "spot-first": ("spot", "on-demand"),
}
MOST_USD = 1.25  # an hour, where nobody says


@dataclass(frozen=True)
class Kind:
    """A type of machine, and what an hour of it costs on demand, in US dollars."""

    name: str
    usd_per_hour: float


@dataclass(frozen=True)
class Offer:
    """One request that EC2 may take.

    Attributes:
        market: "spot" or "on-demand".
        subnet: and with it the zone; "" is the launch template's own.
    """

    kind: Kind
    market: str
    subnet: str

    def __str__(self) -> str:
        return f"{self.kind.name}, {self.market}{f', {self.subnet}' if self.subnet else ''}"

    def token(self, secret: str) -> str:
        """EC2 makes one machine for a token, however often the request arrives.

        Args:
            secret: of this one start, so that the next of the same name is another request.
        """
        return hashlib.sha256(f"{secret} {self}".encode()).hexdigest()


def kinds_named(words: str) -> tuple[Kind, ...]:
    """Types in the order of preference: "g4dn.xlarge g5.xlarge=1.01"; commas do as well.

    A type of the price book has its price; another is named with one, or refused: what nobody
    knows the price of has no bound.

    Raises:
        UsageError: no type, or one without a price.
    """
    found = []
    for word in words.replace(",", " ").split():
        name, _, price = word.partition("=")
        if not TYPE.fullmatch(name):
            raise UsageError(
                f"{name!r} is no type of a machine.", fix="such as KENNEL_RUNNER_TYPE=g4dn.xlarge"
            )
        if price:
            usd = _usd(price, named="KENNEL_RUNNER_TYPE")
        elif (known := listed_usd(name)) is not None:
            usd = known
        else:
            raise UsageError(
                f"the price book does not have {name}, and nothing is rented at any price.",
                fix=f"say what an hour costs, such as KENNEL_RUNNER_TYPE={name}=1.01",
            )
        found.append(Kind(name, usd))
    if not found:
        raise UsageError("no type of a machine is named.", fix="KENNEL_RUNNER_TYPE=g4dn.xlarge")
    return tuple(dict.fromkeys(found))


def listed_usd(kind: str) -> float | None:
    """What an hour of that type costs on demand; None where the price book does not have it."""
    try:
        return price_named(kind).usd_per_hour
    except UsageError:
        return None


def subnets_named(words: str) -> tuple[str, ...]:
    """Subnets, one a zone: "subnet-1a2b3c4d subnet-5e6f7a8b"; none is the template's own.

    Raises:
        UsageError: a word is no subnet.
    """
    found = tuple(dict.fromkeys(words.replace(",", " ").split()))
    for word in found:
        if not SUBNET.fullmatch(word):
            raise UsageError(
                f"{word!r} is no subnet.", fix="such as KENNEL_RUNNER_SUBNETS=subnet-1a2b3c4d"
            )
    return found


def most_named(word: str) -> float:
    """US dollars an hour that may be paid at most.

    Raises:
        UsageError: it is no such number.
    """
    return _usd(word, named="KENNEL_RUNNER_MOST_USD")


def _usd(word: str, *, named: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0 < value <= 100):
        raise UsageError(
            f"{named} says {word!r}: no US dollars an hour above 0, at most 100.", fix="such as 1.0"
        )
    return value


def offers(
    kinds: Sequence[Kind], subnets: Sequence[str], market: str, *, most_usd: float
) -> Iterator[Offer]:
    """Markets first, since spot costs a third; then types; then zones.

    Raises:
        UsageError: there is no such market, or a type is dearer than may be paid. Spot counts as
            what it costs on demand: it never costs more, and may cost as much.
    """
    if market not in MARKETS:
        raise UsageError(
            f"there is no market {market!r}.",
            fix=f"KENNEL_RUNNER_MARKET is one of {', '.join(MARKETS)}",
        )
    for kind in kinds:
        if kind.usd_per_hour > most_usd:
            raise UsageError(
                f"{kind.name} costs {kind.usd_per_hour:g} $ an hour; {most_usd:g} $ may be paid.",
                fix=f"leave it out, or KENNEL_RUNNER_MOST_USD={kind.usd_per_hour:g}",
            )
    return (
        Offer(kind, each, subnet)
        for each in MARKETS[market]
        for kind in kinds
        for subnet in subnets or ("",)
    )
