"""What something costs, as lines that add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kennel.prices import Listed


@dataclass(frozen=True)
class Line:
    """One price times one quantity.

    Attributes:
        resource: which of the templates, as STACK/LOGICAL_ID; "" where it is of none.
        what: is paid for, in words.
        price: its name in the book. unit: what is counted.
        quantity: of that unit, >= 0.
        usd: what it comes to, >= 0; the upper end where the price is a range.
        usd_from: the lower end; else `usd`.
    """

    resource: str
    what: str
    price: str
    unit: str
    quantity: float
    usd: float
    usd_from: float


@dataclass(frozen=True)
class Sum:
    """Lines, and what they come to together."""

    lines: tuple[Line, ...] = ()

    @property
    def usd(self) -> float:
        """All lines; of a range its upper end."""
        return sum(line.usd for line in self.lines)

    @property
    def usd_from(self) -> float:
        """All lines; of a range its lower end."""
        return sum(line.usd_from for line in self.lines)

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.lines + other.lines)


def line(price: Listed, quantity: float, what: str, *, resource: str = "") -> Line:
    """A line of the book.

    Args:
        quantity: of the price's unit, >= 0.
    """
    if quantity < 0:
        raise ValueError(f"{quantity} {price.unit} of {what}")
    return Line(
        resource,
        what,
        price.name,
        price.unit,
        quantity,
        price.usd_to * quantity,
        price.usd * quantity,
    )


def times(lines: Iterable[Line], factor: float) -> Sum:
    """The same, that many times."""
    return Sum(
        tuple(
            Line(
                each.resource,
                each.what,
                each.price,
                each.unit,
                each.quantity * factor,
                each.usd * factor,
                each.usd_from * factor,
            )
            for each in lines
        )
    )
