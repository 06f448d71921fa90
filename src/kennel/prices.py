"""What an hour of a machine costs: a few list prices with the day they are of. Stdlib only.

Nothing here is looked up: a price that is not in the book is handed in, or not said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kennel.errors import UsageError


@dataclass(frozen=True)
class Price:
    """US dollars an hour, and where the figure comes from, in words."""

    usd_per_hour: float
    source: str


BOOK = {
    "g4dn.xlarge": Price(0.526, "list price of g4dn.xlarge on demand, us-east-1, seen in 2026"),
}


def price_named(word: str) -> Price:
    """A number of US dollars an hour, or a machine of the book.

    Raises:
        UsageError: it is neither.
    """
    if word in BOOK:
        return BOOK[word]
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(
            f"--price is {word!r}: neither US dollars an hour nor a machine of the price book.",
            fix=f"--price 0.50, or one of {', '.join(BOOK)}",
        )
    return Price(value, "as named by --price")
