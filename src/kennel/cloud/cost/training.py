"""What an hour of a rented machine costs, and what one that is forgotten costs at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kennel.cloud.cost.kinds import volume
from kennel.cloud.cost.lines import Line, Sum, line, times
from kennel.cloud.template import Resource
from kennel.prices import HOURS_A_MONTH, Book

DATA = "LaunchTemplateData"


@dataclass(frozen=True)
class Training:
    """A machine that a launch template describes.

    Attributes:
        on_demand, spot: an hour, with disk and address; None where the book has no such machine.
        hours: the longest that it can live, by its limit from outside.
        not_priced: in words.
    """

    resource: str
    machine: str
    on_demand: Sum | None
    spot: Sum | None
    hours: float
    not_priced: tuple[str, ...]

    @property
    def forgotten_usd(self) -> float | None:
        """A machine that nobody stops, until its limit does, on demand."""
        return None if self.on_demand is None else self.on_demand.usd * self.hours


def training(
    resources: Sequence[Resource],
    book: Book,
    *,
    hours: float,
    otherwise: str,
    also: Sequence[str] = (),
) -> tuple[Training, ...]:
    """The machines of all launch templates.

    Args:
        hours: of the limit, > 0. otherwise: the type that is rented where a template names none.
        also: types that are rented where there is none of the first.
    """
    found = []
    for each in resources:
        if each.type == "AWS::EC2::LaunchTemplate":
            first = str(each.get(f"{DATA}.InstanceType", otherwise))
            kinds = dict.fromkeys((first, *also))
            found += [_machine(each, kind, book, hours=hours) for kind in kinds]
    return tuple(found)


def _machine(own: Resource, kind: str, book: Book, *, hours: float) -> Training:
    beside: list[Line] = []
    missing: list[str] = []
    for each in own.get(f"{DATA}.BlockDeviceMappings") or ():
        disk = each.get("Ebs") if isinstance(each, dict) else None
        if not isinstance(disk, dict):
            continue
        told = Resource(own.stack, own.logical_id, "AWS::EC2::Volume", disk)
        for found in volume(
            own.name,
            kind=told.get("VolumeType", "gp2"),
            gb=told.number("VolumeSize") or 0.0,
            iops=told.number("Iops"),
            mbps=told.number("Throughput"),
            book=book,
        ):
            if isinstance(found, str):
                missing.append(found)
            else:
                beside += times([found], 1 / HOURS_A_MONTH).lines
    if _public(own):
        beside.append(line(book["public-ipv4-h"], 1, "its address", resource=own.name))
    sums: list[Sum | None] = []
    for price, market in ((book.machine(kind), "on demand"), (book.spot(kind), "spot")):
        if price is None:
            missing.append(f"an hour of {kind}, {market}")
            sums.append(None)
        else:
            own_hour = line(price, 1, f"{kind}, {market}", resource=own.name)
            sums.append(Sum((own_hour, *beside)))
    return Training(own.name, kind, sums[0], sums[1], hours, tuple(missing))


def _public(own: Resource) -> bool:
    """Whether it gets a public address; where nothing is said its subnet decides, and so it is
    taken to.
    """
    for each in own.get(f"{DATA}.NetworkInterfaces") or ():
        if isinstance(each, dict) and each.get("AssociatePublicIpAddress") is False:
            return False
    return True
