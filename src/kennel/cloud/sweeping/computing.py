"""What computes, and what it stands on: EC2, and the limits of its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.limit import TAG, UNTIL, lift_limit
from kennel.cloud.machine import LIVING
from kennel.cloud.runner import NAME
from kennel.cloud.sweeping.scope import Leftover, Scope, priced

INSTANCE, SCHEDULE = "AWS::EC2::Instance", "AWS::Scheduler::Schedule"
ENDER = "runner-ender"  # the role that limits take; the stack of the room runner names it so
MADE_BY = "Ends the runner of that name. Kennel made it before the runner."
# Type -> how EC2 lists them: its method, the list in its answer, what names one.
LISTED = {
    "AWS::EC2::Image": ("describe_images", "Images", "ImageId"),
    "AWS::EC2::Volume": ("describe_volumes", "Volumes", "VolumeId"),
    "AWS::EC2::Snapshot": ("describe_snapshots", "Snapshots", "SnapshotId"),
    "AWS::EC2::EIP": ("describe_addresses", "Addresses", "AllocationId"),
    "AWS::EC2::LaunchTemplate": (
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
    ),
    "AWS::EC2::VPCEndpoint": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "AWS::EC2::NatGateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "AWS::EC2::NetworkInterface": (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
    ),
    "AWS::EC2::InternetGateway": (
        "describe_internet_gateways",
        "InternetGateways",
        "InternetGatewayId",
    ),
    "AWS::EC2::Subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "AWS::EC2::RouteTable": ("describe_route_tables", "RouteTables", "RouteTableId"),
    "AWS::EC2::SecurityGroup": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "AWS::EC2::VPC": ("describe_vpcs", "Vpcs", "VpcId"),
}
GONE = ("deleted", "deleting")


def find(scope: Scope) -> Iterator[Leftover]:
    machines = list(_machines(scope))
    yield from machines
    yield from _limits(scope, machines)
    yield from _things(scope)


def _machines(scope: Scope) -> Iterator[Leftover]:
    with asking("ec2:DescribeInstances", fixes={}):
        pages = client("ec2").get_paginator("describe_instances")
        filters = [{"Name": "instance-state-name", "Values": LIVING}]
        for page in pages.paginate(Filters=filters):
            for reservation in page["Reservations"]:
                for each in reservation["Instances"]:
                    yield from _machine(scope, each)


def _machine(scope: Scope, each: dict[str, Any]) -> Iterator[Leftover]:
    tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())}
    own = scope.deployment.tag
    # A runner of before tags of deployments has the one that its limit goes by.
    if tags.get(own.key, own.value if TAG in tags else None) != own.value:
        return
    if not scope.orphan(each["InstanceId"]):
        return
    until = _until(tags.get(UNTIL, ""))
    works = bool(scope.stacks) and until is not None and until > scope.now
    cost = priced(INSTANCE, {"InstanceType": each["InstanceType"]})
    yield Leftover(
        INSTANCE,
        each["InstanceId"],
        words=f"{each['InstanceType']}, {each['State']['Name']}, {tags.get(TAG, 'no runner')}",
        usd=cost.usd,
        price=cost.words,
        stays=f"it may work until {until:%H:%M} UTC: kennel cloud runner stop --name {tags[TAG]}"
        if works and until and TAG in tags
        else "",
    )


def _until(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _limits(scope: Scope, machines: list[Leftover]) -> Iterator[Leftover]:
    """Limits of machines. They have no tag: the role that they take, and their own words, say whose
    they are. While the deployment stands a limit may be older than its machine, and is left alone;
    it goes when its time has come.
    """
    scheduler = client("scheduler")
    with asking("scheduler:ListSchedules", fixes={}):
        pages = scheduler.get_paginator("list_schedules").paginate()
        names = [each["Name"] for page in pages for each in page["Schedules"]]
    living = {each.words.rpartition(", ")[2] for each in machines if each.stays}
    for name in names:
        exact = scope.named(SCHEDULE, name)
        if name in living or not scope.orphan(name) or not (exact or NAME.fullmatch(name)):
            continue
        with asking(f"scheduler:GetSchedule {name}", fixes={}):
            told = scheduler.get_schedule(Name=name)
        role = str(told["Target"]["RoleArn"]).rpartition("/")[2]
        of_ours = told.get("Description") == MADE_BY and role == f"{scope.prefix}{ENDER}"
        if exact or (of_ours and not scope.stacks):
            words = "by its name" if exact else "the limit of a machine that is gone"
            yield Leftover(SCHEDULE, name, told.get("Arn", ""), words, 0.0)


def _things(scope: Scope) -> Iterator[Leftover]:
    tag = scope.deployment.tag
    ec2 = client("ec2")
    filters = [{"Name": f"tag:{tag.key}", "Values": [tag.value]}]
    for kind, (method, rows, key) in LISTED.items():
        own = {"OwnerIds": ["self"]} if kind == "AWS::EC2::Snapshot" else {}
        own = {"Owners": ["self"]} if kind == "AWS::EC2::Image" else own
        with asking(f"ec2:{method}", fixes={}):
            if ec2.can_paginate(method):
                pages = ec2.get_paginator(method).paginate(Filters=filters, **own)
                found = [each for page in pages for each in page.get(rows, ())]
            else:
                found = getattr(ec2, method)(Filters=filters, **own).get(rows, ())
        for each in found:
            state = each.get("State")
            going = state in GONE or (kind == "AWS::EC2::Volume" and state == "in-use")
            if scope.orphan(each[key]) and not going:  # a volume in use goes with its machine
                yield _thing(kind, each[key], each)


def _thing(kind: str, name: str, told: dict[str, Any]) -> Leftover:
    gb = told.get("Size", told.get("VolumeSize"))
    words = f"{gb} GB" if gb else str(told.get("PublicIp", ""))
    shape = {"VolumeType": told["VolumeType"]} if "VolumeType" in told else None
    cost = priced(kind, shape, gb=gb)
    return Leftover(kind, name, words=words, usd=cost.usd, price=cost.words)


def _ending(each: Leftover) -> None:
    with asking(f"ec2:TerminateInstances {each.name}", fixes={}):
        client("ec2").terminate_instances(InstanceIds=[each.name])


def _lifting(each: Leftover) -> None:
    lift_limit(each.name)


def _gateway(each: Leftover) -> None:
    ec2 = client("ec2")
    with asking(f"ec2:DeleteInternetGateway {each.name}", fixes={}):
        [it] = ec2.describe_internet_gateways(InternetGatewayIds=[each.name])["InternetGateways"]
        for attached in it.get("Attachments", ()):
            ec2.detach_internet_gateway(InternetGatewayId=each.name, VpcId=attached["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=each.name)


def _address(each: Leftover) -> None:
    ec2 = client("ec2")
    with asking(f"ec2:ReleaseAddress {each.name}", fixes={}):
        [it] = ec2.describe_addresses(AllocationIds=[each.name])["Addresses"]
        if it.get("AssociationId"):
            ec2.disassociate_address(AssociationId=it["AssociationId"])
        ec2.release_address(AllocationId=each.name)


def _by(method: str, key: str, *, many: bool = False) -> Callable[[Leftover], None]:
    def remove(each: Leftover) -> None:
        try:
            with asking(f"ec2:{method} {each.name}", fixes={}):
                getattr(client("ec2"), method)(**{key: [each.name] if many else each.name})
        except CloudError as error:
            if ".NotFound" not in error.code and "NotFound" not in error.code:
                raise

    return remove


REMOVERS: dict[str, Callable[[Leftover], None]] = {
    INSTANCE: _ending,
    SCHEDULE: _lifting,
    "AWS::EC2::Image": _by("deregister_image", "ImageId"),
    "AWS::EC2::Volume": _by("delete_volume", "VolumeId"),
    "AWS::EC2::Snapshot": _by("delete_snapshot", "SnapshotId"),
    "AWS::EC2::EIP": _address,
    "AWS::EC2::LaunchTemplate": _by("delete_launch_template", "LaunchTemplateId"),
    "AWS::EC2::VPCEndpoint": _by("delete_vpc_endpoints", "VpcEndpointIds", many=True),
    "AWS::EC2::NatGateway": _by("delete_nat_gateway", "NatGatewayId"),
    "AWS::EC2::NetworkInterface": _by("delete_network_interface", "NetworkInterfaceId"),
    "AWS::EC2::InternetGateway": _gateway,
    "AWS::EC2::Subnet": _by("delete_subnet", "SubnetId"),
    "AWS::EC2::RouteTable": _by("delete_route_table", "RouteTableId"),
    "AWS::EC2::SecurityGroup": _by("delete_security_group", "GroupId"),
    "AWS::EC2::VPC": _by("delete_vpc", "VpcId"),
}
