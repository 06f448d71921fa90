"""Which types of resources cost something while nothing is asked, and which do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kennel.cloud.cost.lines import Line, line
from kennel.cloud.cost.schedules import runs_a_month
from kennel.cloud.cost.types_known import BY_USE, FREE, NOT_IN_BOOK
from kennel.cloud.template import Resource
from kennel.prices import HOURS_A_MONTH, Book

SECONDS_A_MONTH = HOURS_A_MONTH * 3600
GP3_IOPS, GP3_MBPS = 3000, 125  # that a volume has without paying for them
FAST_S = 60  # an alarm that looks more often has high resolution


@dataclass(frozen=True)
class Kept:
    """What is assumed to lie in a deployment: nobody knows it before.

    Attributes:
        bucket_gb: in each bucket. image_gb: one image, as ECR keeps it. images: in each
            repository, where its own rules do not say how many.
    """

    bucket_gb: float = 1.0
    image_gb: float = 0.3
    images: int = 3


Priced = Iterator[Line | str]  # lines, and in words what the book has no price for


def idle(resource: Resource, book: Book, kept: Kept) -> Priced:
    """What a resource costs in a month in which nothing is asked."""
    if resource.type in NOT_IN_BOOK:
        yield NOT_IN_BOOK[resource.type]
    price = PRICED.get(resource.type)
    if price is not None:
        yield from price(resource, book, kept)


def known(kind: str) -> bool:
    """Whether this file says anything of a type."""
    return kind in FREE or kind in BY_USE or kind in PRICED or kind in NOT_IN_BOOK


def _bucket(own: Resource, book: Book, kept: Kept) -> Priced:
    yield line(book["s3-gb-month"], kept.bucket_gb, "data kept", resource=own.name)


def _repository(own: Resource, book: Book, kept: Kept) -> Priced:
    held = _most_images(own) or kept.images
    yield line(book["ecr-gb-month"], held * kept.image_gb, f"{held} images kept", resource=own.name)


def _most_images(own: Resource) -> int | None:
    """How many images its rules let it keep, where they count images of any tag."""
    try:
        rules = json.loads(own.get("LifecyclePolicy.LifecyclePolicyText", "{}"))["rules"]
        counts = [
            int(rule["selection"]["countNumber"])
            for rule in rules
            if rule["selection"]["countType"] == "imageCountMoreThan"
            and rule["selection"].get("tagStatus") != "untagged"
        ]
    except (ValueError, KeyError, TypeError):
        return None
    return max(counts, default=None)


def _key(own: Resource, book: Book, _: Kept) -> Priced:
    spec = own.get("KeySpec", "SYMMETRIC_DEFAULT")
    yield line(book["kms-key-month"], 1, f"key {spec}", resource=own.name)


def _alarm(own: Resource, book: Book, _: Kept) -> Priced:
    metrics = own.get("Metrics")
    of_metrics = [m for m in metrics if isinstance(m, dict)] if isinstance(metrics, list) else []
    watched = [m for m in of_metrics if "MetricStat" in m]
    periods = [own.number("Period", FAST_S), *(_period(m) for m in watched)]
    name = "alarm-fast-metric-month" if min(p or FAST_S for p in periods) < FAST_S else None
    count = max(1, len(watched))
    yield line(book[name or "alarm-metric-month"], count, "metrics watched", resource=own.name)


def _period(metric: dict[str, object]) -> float:
    stat = metric.get("MetricStat")
    period = stat.get("Period", FAST_S) if isinstance(stat, dict) else FAST_S
    return float(period) if isinstance(period, (int, float, str)) else FAST_S


def _dashboard(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(book["dashboard-month"], 1, "dashboard", resource=own.name)


def _gateway(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(book["nat-h"], HOURS_A_MONTH, "NAT gateway, used or not", resource=own.name)


def _address(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(book["public-ipv4-h"], HOURS_A_MONTH, "address, used or not", resource=own.name)


def _endpoint(own: Resource, book: Book, _: Kept) -> Priced:
    if own.get("VpcEndpointType", "Gateway") == "Interface":
        zones = max(1, len(own.get("SubnetIds") or ()))
        hours = HOURS_A_MONTH * zones
        yield line(book["endpoint-h"], hours, f"endpoint in {zones} zones", resource=own.name)


def _volume(own: Resource, book: Book, _: Kept) -> Priced:
    yield from volume(
        own.name,
        kind=own.get("VolumeType", "gp2"),
        gb=own.number("Size") or 0.0,
        iops=own.number("Iops"),
        mbps=own.number("Throughput"),
        book=book,
    )


def volume(
    name: str, *, kind: str, gb: float, book: Book, iops: float | None, mbps: float | None
) -> Priced:
    """A volume of EBS for a month."""
    price = book.prices.get(f"ebs-{kind}-gb-month")
    if price is None:
        yield f"a volume of type {kind}"
        return
    yield line(price, gb, f"volume {kind}", resource=name)
    if kind == "gp3":
        for said, free, listed in (
            (iops, GP3_IOPS, "ebs-gp3-iops-month"),
            (mbps, GP3_MBPS, "ebs-gp3-mbps-month"),
        ):
            if said is not None and said > free:
                yield line(book[listed], said - free, "of the volume, more", resource=name)


def _instance(own: Resource, book: Book, _: Kept) -> Priced:
    kind = str(own.get("InstanceType", "of a type that is not said"))
    price = book.machine(kind)
    if price is None:
        yield f"an hour of {kind}"
    else:
        yield line(price, HOURS_A_MONTH, f"{kind}, all month", resource=own.name)
    if own.get("NetworkInterfaces.0.AssociatePublicIpAddress") is not False:
        yield line(book["public-ipv4-h"], HOURS_A_MONTH, "its address", resource=own.name)
    for each in own.get("BlockDeviceMappings") or ():
        disk = each.get("Ebs") if isinstance(each, dict) else None
        if isinstance(disk, dict):
            own_disk = Resource(own.stack, own.logical_id, "AWS::EC2::Volume", disk)
            yield from volume(
                own.name,
                kind=disk.get("VolumeType", "gp2"),
                gb=own_disk.number("VolumeSize") or 0.0,
                iops=own_disk.number("Iops"),
                mbps=own_disk.number("Throughput"),
                book=book,
            )


def _schedule(own: Resource, book: Book, _: Kept) -> Priced:
    if own.get("State") != "DISABLED":
        runs = runs_a_month(own.get("ScheduleExpression"))
        yield line(book["schedule-run"], runs, "runs", resource=own.name)


def _budget(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(book["budget-month"], 1, "budget", resource=own.name)


def _budget_action(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(
        book["budget-action-day"], HOURS_A_MONTH / 24, "budget with an action", resource=own.name
    )


def _secret(own: Resource, book: Book, _: Kept) -> Priced:
    yield line(book["secret-month"], 1, "secret", resource=own.name)


PRICED: dict[str, Callable[[Resource, Book, Kept], Priced]] = {
    "AWS::Budgets::Budget": _budget,
    "AWS::Budgets::BudgetsAction": _budget_action,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::EC2::EIP": _address,
    "AWS::EC2::Instance": _instance,
    "AWS::EC2::NatGateway": _gateway,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::EC2::Volume": _volume,
    "AWS::ECR::Repository": _repository,
    "AWS::KMS::Key": _key,
    "AWS::S3::Bucket": _bucket,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SecretsManager::Secret": _secret,
}
