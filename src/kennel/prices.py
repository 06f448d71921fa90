"""The price book: list prices of one region, each with when it was seen and where. Stdlib only.

Nothing is looked up while Kennel runs: a price that is not in the book is handed in, or not said.
The book itself is `prices.toml`, beside this file.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from kennel.errors import UsageError

HOURS_A_MONTH = 730.0  # as AWS counts, and everybody who prices it
MACHINE, SPOT = "ec2 ", "ec2-spot "  # what stands before a machine's type in the book


@dataclass(frozen=True)
class Listed:
    """One price of the book, in US dollars.

    Attributes:
        usd: for one `unit`. usd_to: where it is a range, what it goes up to; else `usd`.
        seen: year, or year and month. source: where, in words or as an address.
    """

    name: str
    usd: float
    usd_to: float
    unit: str
    seen: str
    source: str


@dataclass(frozen=True)
class Book:
    """All prices of one region, by name."""

    region: str
    prices: Mapping[str, Listed]

    def __getitem__(self, name: str) -> Listed:
        return self.prices[name]

    def machine(self, instance_type: str) -> Listed | None:
        """An hour of a machine of EC2, on demand; None where the book does not have it."""
        return self.prices.get(MACHINE + instance_type)

    def spot(self, instance_type: str) -> Listed | None:
        """An hour of it on the spot market, as a range; None where the book does not have it."""
        return self.prices.get(SPOT + instance_type)

    def machines(self) -> tuple[str, ...]:
        """Types of machines that it has, on demand."""
        return tuple(name.removeprefix(MACHINE) for name in self.prices if name.startswith(MACHINE))


@dataclass(frozen=True)
class Price:
    """US dollars an hour, and where the figure comes from, in words."""

    usd_per_hour: float
    source: str


@cache
def book() -> Book:
    """The book as it was shipped."""
    text = files("kennel").joinpath("prices.toml").read_text(encoding="utf-8")
    told = tomllib.loads(text)
    region = str(told.pop("region"))
    prices = {
        name: Listed(
            name,
            float(each["usd"]),
            float(each.get("usd_to", each["usd"])),
            each["unit"],
            each["seen"],
            each["source"],
        )
        for name, each in told.items()
    }
    return Book(region, MappingProxyType(prices))


def price_named(word: str) -> Price:
    """A number of US dollars an hour, or a machine of the book, on demand.

    Raises:
        UsageError: it is neither.
    """
    known = book()
    if listed := known.machine(word):
        return Price(listed.usd, f"{listed.source}, {known.region}, seen in {listed.seen}")
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(
            f"--price is {word!r}: neither US dollars an hour nor a machine of the price book.",
            fix=f"--price 0.50, or one of {', '.join(known.machines())}",
        )
    return Price(value, "as named by --price")
