"""Machines in EC2, as a runner needs them: rented with their tags, looked at, found, ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.limit import TAG, UNTIL
from kennel.cloud.offers import MOST_USD, Kind, Offer

DEPLOYMENT = "kennel:deployment"
LIVING = ["pending", "running", "stopping", "stopped"]
QUOTA = (
    "ask for more vCPUs, of which a new account has 0: Service Quotas, EC2, 'Running On-Demand G "
    "and VT instances'; spot has a line of its own"
)
OTHER = "another type or zone besides: KENNEL_RUNNER_TYPE, KENNEL_RUNNER_SUBNETS"
FIXES = {
    "VcpuLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": QUOTA,
    "InstanceLimitExceeded": QUOTA,
    "InsufficientInstanceCapacity": f"try later; KENNEL_RUNNER_MARKET=spot-first; {OTHER}",
    "InsufficientHostCapacity": f"try later: {OTHER}",
    "SpotMaxPriceTooLow": "KENNEL_RUNNER_MARKET=spot-first, or more than KENNEL_RUNNER_MOST_USD",
    "InsufficientFreeAddressesInSubnet": OTHER,
    "InvalidSubnetID.NotFound": "see KENNEL_RUNNER_SUBNETS and AWS_REGION",
    "Unsupported": OTHER,
    "InvalidInstanceType": "such as KENNEL_RUNNER_TYPE=g4dn.xlarge",
    "PendingVerification": "AWS looks at the account; it writes when it is done",
    "OptInRequired": "accept the terms of the image that the launch template names",
    "InvalidLaunchTemplateId.NotFound": "see KENNEL_RUNNER_TEMPLATE and AWS_REGION",
    "InvalidLaunchTemplateId.Malformed": "see KENNEL_RUNNER_TEMPLATE",
    "InvalidLaunchTemplateName.NotFoundException": "see KENNEL_RUNNER_TEMPLATE and AWS_REGION",
}


@dataclass(frozen=True)
class Wish:
    """Which machine, for whom, and for how long.

    Attributes:
        name: of runner, machine and limit; follows from the run, so that stopping needs no more.
        template: launch template by id or name: image, network, disk.
        kinds: types that may be rented, the best first.
        market: "spot" may be taken away, "on-demand" not; "spot-first" is the one, then the other.
        hours: after which it is ended from outside, 0 < hours <= 24.
        ender: ARN of the role by which the Scheduler ends it.
        app_id, app_key: GitHub App, and its key in KMS.
        subnets: one a zone; none is the template's own.
        most_usd: an hour, at most.
        group_id: of runners; 1 is the default one, an organisation can have one for a workflow.
        deployment: whose machine it is: stands in a tag, by which `kennel cloud sweep` finds it.
    """

    name: str
    template: str
    kinds: tuple[Kind, ...]
    market: str
    hours: float
    ender: str
    app_id: str
    app_key: str
    subnets: tuple[str, ...] = ()
    most_usd: float = MOST_USD
    group_id: int = 1
    deployment: str = "kennel"


def rent(wish: Wish, offer: Offer, data: bytes, until: datetime, *, secret: str) -> str:
    """Asks for that machine once. The tags that end it are born with it.

    Args:
        data: what it is told to do.
        until: when it must be gone; stands in a tag.
        secret: of this start: asked again with it, EC2 answers with the same machine.
    Returns:
        its id.
    Raises:
        CloudError: AWS refuses, or does not answer.
    """
    own = {
        TAG: wish.name,
        UNTIL: f"{until:%Y-%m-%dT%H:%M:%SZ}",
        DEPLOYMENT: wish.deployment,
        "Name": wish.name,
    }
    tags = [{"Key": key, "Value": value} for key, value in own.items()]
    kind = "LaunchTemplateId" if wish.template.startswith("lt-") else "LaunchTemplateName"
    more: dict[str, Any] = {"SubnetId": offer.subnet} if offer.subnet else {}
    if offer.market == "spot":
        options = {
            "SpotInstanceType": "one-time",
            "InstanceInterruptionBehavior": "terminate",
            "MaxPrice": f"{wish.most_usd:.4f}",
        }
        more["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    with asking(f"ec2:RunInstances {offer}", fixes=FIXES):
        answer = client("ec2").run_instances(
            LaunchTemplate={kind: wish.template, "Version": "$Default"},
            InstanceType=offer.kind.name,
            MinCount=1,
            MaxCount=1,
            ClientToken=offer.token(secret),
            InstanceInitiatedShutdownBehavior="terminate",
            MetadataOptions={
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "HttpEndpoint": "enabled",
            },
            UserData=data,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": tags},
                {"ResourceType": "volume", "Tags": tags},
            ],
            **more,
        )
    return str(answer["Instances"][0]["InstanceId"])


def state_of(machine: str) -> str:
    """How it is: pending, running, shutting-down, terminated, ..."""
    try:
        with asking(f"ec2:DescribeInstances {machine}", fixes={}):
            answer = client("ec2").describe_instances(InstanceIds=[machine])
    except CloudError as error:
        if error.code == "InvalidInstanceID.NotFound":  # not everywhere known yet
            return "pending"
        raise
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def living(name: str) -> list[dict[str, Any]]:
    """Machines with that name in their tag; "*" is any."""
    filters = [
        {"Name": f"tag:{TAG}", "Values": [name]},
        {"Name": "instance-state-name", "Values": LIVING},
    ]
    with asking("ec2:DescribeInstances", fixes={}):
        pages = client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        return [each for page in pages for one in page["Reservations"] for each in one["Instances"]]


def end(machines: list[str]) -> None:
    """Ends them. One that is ended already may be ended again."""
    with asking(f"ec2:TerminateInstances {' '.join(machines)}", fixes={}):
        client("ec2").terminate_instances(InstanceIds=machines)
