"""What one thing that is still there costs a month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kennel.cloud.cost.kinds import PRICED, Kept, idle
from kennel.cloud.cost.lines import Line, Sum, line
from kennel.cloud.cost.types_known import BY_USE, FREE
from kennel.cloud.template import Resource
from kennel.prices import Book, book


@dataclass(frozen=True)
class Monthly:
    """US dollars a month, with nothing asked; `usd` None where the book cannot say.

    Attributes:
        words: such as "0.12 $ a month", "nothing", "not priced: messages of SNS".
    """

    usd: float | None
    words: str


def monthly(
    resource_type: str,
    properties: Mapping[str, Any] | None = None,
    *,
    gb: float | None = None,
    prices: Book | None = None,
) -> Monthly:
    """What a thing costs a month.

    Args:
        resource_type: as CloudFormation names it, such as "AWS::EC2::Volume"; also
            "AWS::EC2::Snapshot" and "AWS::ECR::Image", which it has no type for.
        properties: as a template would have them, such as {"InstanceType": "g4dn.xlarge"}.
        gb: what lies in it: of a bucket, repository, image, volume, log group.
    """
    prices = prices or book()
    own = Resource("", resource_type, resource_type, dict(properties or {}))
    if resource_type == "AWS::EC2::Volume" and gb is not None:
        own = Resource("", resource_type, resource_type, {**own.properties, "Size": gb})
    held = {"AWS::Logs::LogGroup": "logs-gb-month", "AWS::ECR::Image": "ecr-gb-month"}
    held |= {"AWS::S3::Bucket": "s3-gb-month", "AWS::ECR::Repository": "ecr-gb-month"}
    if resource_type in held:
        if gb is None:
            return Monthly(None, "by what lies in it")
        return _summed([line(prices[held[resource_type]], gb, "kept")], [])
    if resource_type in PRICED:
        lines: list[Line] = []
        missing: list[str] = []
        for found in idle(own, prices, Kept()):
            if isinstance(found, str):
                missing.append(found)
            else:
                lines.append(found)
        return _summed(lines, missing)
    if resource_type in FREE:
        return Monthly(0.0, "nothing")
    if resource_type in BY_USE:
        return Monthly(0.0, f"nothing but {BY_USE[resource_type]}")
    return Monthly(None, f"not priced: {resource_type}")


def _summed(lines: list[Line], missing: list[str]) -> Monthly:
    usd = Sum(tuple(lines)).usd
    if missing:
        beside = f"{usd:.2f} $ a month and " if usd else ""
        return Monthly(None, f"{beside}not priced: {', '.join(missing)}")
    return Monthly(
        usd, f"{usd:.2f} $ a month" if usd >= 0.005 or not usd else "below 0.01 $ a month"
    )
