"""A network, and the template of the machines in it."""

from __future__ import annotations

from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of


def _tagged(kind: str, told: Properties) -> list[dict[str, Any]]:
    pairs = [{"Key": key, "Value": value} for key, value in tags_of(told).items()]
    return [{"ResourceType": kind, "Tags": pairs}] if pairs else []


def _flag(said: Any) -> bool:
    return str(said).lower() == "true"


def _vpc(_: str, told: Properties, place: Place) -> Made:
    ec2 = place.client("ec2")
    found = ec2.create_vpc(CidrBlock=told["CidrBlock"], TagSpecifications=_tagged("vpc", told))[
        "Vpc"
    ]
    for name in ("EnableDnsHostnames", "EnableDnsSupport"):
        if name in told:
            ec2.modify_vpc_attribute(VpcId=found["VpcId"], **{name: {"Value": _flag(told[name])}})
    return Made(found["VpcId"], {"VpcId": found["VpcId"], "CidrBlock": told["CidrBlock"]})


def _vpc_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidVpcID.NotFound") as ec2:
        ec2.delete_vpc(VpcId=made.identity)


def _gateway(_: str, told: Properties, place: Place) -> Made:
    found = place.client("ec2").create_internet_gateway(
        TagSpecifications=_tagged("internet-gateway", told)
    )["InternetGateway"]["InternetGatewayId"]
    return Made(found, {"InternetGatewayId": found})


def _gateway_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidInternetGatewayID.NotFound") as ec2:
        ec2.delete_internet_gateway(InternetGatewayId=made.identity)


def _attached(_: str, told: Properties, place: Place) -> Made:
    place.client("ec2").attach_internet_gateway(
        InternetGatewayId=told["InternetGatewayId"], VpcId=told["VpcId"]
    )
    return Made(f"IGW|{told['VpcId']}")


def _detached(made: Made, told: Properties, place: Place) -> None:
    with gone(
        place.client("ec2"), "Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"
    ) as ec2:
        ec2.detach_internet_gateway(
            InternetGatewayId=told["InternetGatewayId"], VpcId=told["VpcId"]
        )


def _table(_: str, told: Properties, place: Place) -> Made:
    found = place.client("ec2").create_route_table(
        VpcId=told["VpcId"], TagSpecifications=_tagged("route-table", told)
    )["RouteTable"]["RouteTableId"]
    return Made(found, {"RouteTableId": found})


def _table_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidRouteTableID.NotFound") as ec2:
        ec2.delete_route_table(RouteTableId=made.identity)


def _route(_: str, told: Properties, place: Place) -> Made:
    place.client("ec2").create_route(**dict(told))
    return Made(f"{told['RouteTableId']}|{told['DestinationCidrBlock']}")


def _route_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidRoute.NotFound", "InvalidRouteTableID.NotFound") as ec2:
        ec2.delete_route(
            RouteTableId=told["RouteTableId"], DestinationCidrBlock=told["DestinationCidrBlock"]
        )


def _subnet(_: str, told: Properties, place: Place) -> Made:
    ec2 = place.client("ec2")
    found = ec2.create_subnet(
        VpcId=told["VpcId"],
        CidrBlock=told["CidrBlock"],
        AvailabilityZone=told["AvailabilityZone"],
        TagSpecifications=_tagged("subnet", told),
    )["Subnet"]["SubnetId"]
    if "MapPublicIpOnLaunch" in told:
        ec2.modify_subnet_attribute(
            SubnetId=found, MapPublicIpOnLaunch={"Value": _flag(told["MapPublicIpOnLaunch"])}
        )
    return Made(found, {"SubnetId": found, "AvailabilityZone": told["AvailabilityZone"]})


def _subnet_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidSubnetID.NotFound") as ec2:
        ec2.delete_subnet(SubnetId=made.identity)


def _association(_: str, told: Properties, place: Place) -> Made:
    found = place.client("ec2").associate_route_table(**dict(told))["AssociationId"]
    return Made(found, {"Id": found})


def _association_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidAssociationID.NotFound") as ec2:
        ec2.disassociate_route_table(AssociationId=made.identity)


def _endpoint(_: str, told: Properties, place: Place) -> Made:
    words = {key: said for key, said in told.items() if key != "Tags"}
    found = place.client("ec2").create_vpc_endpoint(
        **words, TagSpecifications=_tagged("vpc-endpoint", told)
    )["VpcEndpoint"]["VpcEndpointId"]
    return Made(found, {"Id": found})


def _endpoint_deleted(made: Made, told: Properties, place: Place) -> None:
    place.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made.identity])


def _group(name: str, told: Properties, place: Place) -> Made:
    ec2 = place.client("ec2")
    found = ec2.create_security_group(
        GroupName=name,
        Description=told["GroupDescription"],
        VpcId=told["VpcId"],
        TagSpecifications=_tagged("security-group", told),
    )["GroupId"]
    if out := told.get("SecurityGroupEgress"):
        # A group is born with a rule that lets everything out; CloudFormation takes it away.
        [born] = ec2.describe_security_groups(GroupIds=[found])["SecurityGroups"]
        if born["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(
                GroupId=found, IpPermissions=born["IpPermissionsEgress"]
            )
        ec2.authorize_security_group_egress(
            GroupId=found, IpPermissions=[_permission(each) for each in out]
        )
    if inside := told.get("SecurityGroupIngress"):
        ec2.authorize_security_group_ingress(
            GroupId=found, IpPermissions=[_permission(each) for each in inside]
        )
    return Made(found, {"GroupId": found, "Id": found, "VpcId": told["VpcId"]})


def _permission(told: dict[str, Any]) -> dict[str, Any]:
    ranges = {"CidrIp": told["CidrIp"], "Description": told.get("Description", "")}
    return {
        "IpProtocol": told["IpProtocol"],
        "FromPort": int(told["FromPort"]),
        "ToPort": int(told["ToPort"]),
        "IpRanges": [ranges],
    }


def _group_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidGroup.NotFound") as ec2:
        ec2.delete_security_group(GroupId=made.identity)


def _template(name: str, told: Properties, place: Place) -> Made:
    found = place.client("ec2").create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData=_launched(told),
        TagSpecifications=told.get("TagSpecifications", []),
    )["LaunchTemplate"]
    return _template_made(found)


def _template_changed(made: Made, told: Properties, place: Place) -> Made:
    """Another version, and the one that is meant where none is named."""
    ec2 = place.client("ec2")
    version = ec2.create_launch_template_version(
        LaunchTemplateId=made.identity, LaunchTemplateData=_launched(told)
    )["LaunchTemplateVersion"]["VersionNumber"]
    found = ec2.modify_launch_template(LaunchTemplateId=made.identity, DefaultVersion=str(version))
    return _template_made(found["LaunchTemplate"])


def _launched(told: Properties) -> dict[str, Any]:
    return {key: _typed(said) for key, said in told["LaunchTemplateData"].items()}


def _typed(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: (str(each) if key == "Value" else _typed(each)) for key, each in said.items()}
    if isinstance(said, list):
        return [_typed(each) for each in said]
    return said


def _template_made(found: dict[str, Any]) -> Made:
    return Made(
        found["LaunchTemplateId"],
        {
            "LaunchTemplateId": found["LaunchTemplateId"],
            "DefaultVersionNumber": str(found["DefaultVersionNumber"]),
            "LatestVersionNumber": str(found["LatestVersionNumber"]),
        },
    )


def _template_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("ec2"), "InvalidLaunchTemplateId.NotFound") as ec2:
        ec2.delete_launch_template(LaunchTemplateId=made.identity)


def teach_tags() -> None:
    """Makes tags end with what wears them, as in AWS; moto's outlive it."""
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.tags import TagBackend

    every = TagBackend.describe_tags

    def describe_tags(self: Any, filters: Any = None) -> list[dict[str, str]]:
        return [each for each in every(self, filters) if _there(self, each["resource_id"])]

    EC2Backend.describe_tags = describe_tags  # type: ignore[method-assign]


def _there(backend: Any, name: str) -> bool:
    if name.startswith("vpce-"):
        found = backend.vpc_end_points.get(name)
        return found is not None and found.state != "deleted"
    if name.startswith("lt-"):
        return name in backend.launch_templates
    try:
        backend.do_resources_exist([name])
    except Exception:
        return False
    return True


def _known(words: str) -> frozenset[str]:
    return frozenset(words.split())


KINDS = (
    Kind(
        "AWS::EC2::VPC",
        _vpc,
        _vpc_deleted,
        known=_known("CidrBlock EnableDnsHostnames EnableDnsSupport Tags"),
    ),
    Kind("AWS::EC2::InternetGateway", _gateway, _gateway_deleted, known=_known("Tags")),
    Kind(
        "AWS::EC2::VPCGatewayAttachment",
        _attached,
        _detached,
        known=_known("VpcId InternetGatewayId"),
    ),
    Kind("AWS::EC2::RouteTable", _table, _table_deleted, known=_known("VpcId Tags")),
    Kind(
        "AWS::EC2::Route",
        _route,
        _route_deleted,
        known=_known("RouteTableId DestinationCidrBlock GatewayId"),
    ),
    Kind(
        "AWS::EC2::Subnet",
        _subnet,
        _subnet_deleted,
        known=_known("VpcId CidrBlock AvailabilityZone MapPublicIpOnLaunch Tags"),
    ),
    Kind(
        "AWS::EC2::SubnetRouteTableAssociation",
        _association,
        _association_deleted,
        known=_known("RouteTableId SubnetId"),
    ),
    Kind(
        "AWS::EC2::VPCEndpoint",
        _endpoint,
        _endpoint_deleted,
        known=_known("VpcId ServiceName VpcEndpointType RouteTableIds Tags"),
    ),
    Kind(
        "AWS::EC2::SecurityGroup",
        _group,
        _group_deleted,
        name="GroupName",
        known=_known(
            "GroupName GroupDescription VpcId SecurityGroupEgress SecurityGroupIngress Tags"
        ),
    ),
    Kind(
        "AWS::EC2::LaunchTemplate",
        _template,
        _template_deleted,
        _template_changed,
        name="LaunchTemplateName",
        known=_known("LaunchTemplateName LaunchTemplateData TagSpecifications"),
    ),
)
