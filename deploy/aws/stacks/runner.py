"""What a machine with a GPU needs that is rented for one job: a network that lets nothing in, a
template, and what ends it.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from names import RUNNER_TAG, TAG, Names
from policies import (
    PYTHON,
    Right,
    acknowledge,
    allow,
    document,
    of,
    outputs,
    role,
    service_trust,
    source,
    write_logs,
)
from stacks.watch import alarm

ENDING = "AWS-TerminateEC2Instance"
# What an administrator of this account may do with the key, each by name: never all.
KEY_ADMINISTRATION = of(
    "kms",
    """CancelKeyDeletion CreateAlias DeleteAlias DeleteImportedKeyMaterial DescribeKey DisableKey
    EnableKey GetKeyPolicy GetKeyRotationStatus GetParametersForImport GetPublicKey
    ImportKeyMaterial ListGrants ListKeyPolicies ListResourceTags PutKeyPolicy ScheduleKeyDeletion
    Sign TagResource UntagResource UpdateAlias UpdateKeyDescription Verify""",
)
LOOKING = "AWS lets nobody look at single machines: it is all or none. Nothing is changed by it."


class Runner(cdk.Stack):
    """A network without an idle cost, a launch template, the role that ends a machine at its limit,
    the reaper behind it, and the key by which the GitHub App signs.
    """

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        self.names, self.chosen = names, names.settings.runner
        subnets, group = self._network()
        template = self._template(group)
        ender = role(
            self,
            "Ender",
            name=names.of("runner-ender"),
            description="What the Scheduler takes to end a machine at its limit",
            trust=service_trust(
                "scheduler.amazonaws.com",
                StringEquals={
                    "aws:SourceAccount": cdk.Aws.ACCOUNT_ID,
                    "aws:SourceArn": names.arn("scheduler", "schedule-group/default"),
                },
            ),
            may=_end_by_automation(names),
        )
        self._reaper()
        outputs(
            self,
            LaunchTemplateId=template.ref,
            SubnetIds=cdk.Fn.join(",", [each.ref for each in subnets]),
            InstanceTypes=",".join(self.chosen.types),
            EnderRoleArn=ender.attr_arn,
        )
        if self.chosen.github_app:
            outputs(self, KeyArn=self._key().attr_arn)

    def _network(self) -> tuple[list[ec2.CfnSubnet], ec2.CfnSecurityGroup]:
        """Public subnets: an address costs while a machine runs, a NAT gateway always would."""
        vpc = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block="10.42.0.0/16",
            enable_dns_hostnames=True,
            enable_dns_support=True,
        )
        acknowledge(
            vpc, "VPC7", "Nothing comes in, and a machine lives for hours: its logs are GitHub's."
        )
        gateway = ec2.CfnInternetGateway(self, "Gateway")
        attached = ec2.CfnVPCGatewayAttachment(
            self, "Attached", vpc_id=vpc.ref, internet_gateway_id=gateway.ref
        )
        table = ec2.CfnRouteTable(self, "Routes", vpc_id=vpc.ref)
        out = ec2.CfnRoute(
            self,
            "Out",
            route_table_id=table.ref,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.ref,
        )
        out.add_resource_dependency(attached)
        # S3 by its own door: photos then cost no traffic.
        ec2.CfnVPCEndpoint(
            self,
            "S3",
            vpc_id=vpc.ref,
            service_name=f"com.amazonaws.{self.names.settings.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.ref],
        )
        subnets = []
        for number in range(self.chosen.zones):
            subnet = ec2.CfnSubnet(
                self,
                f"Zone{number}",
                vpc_id=vpc.ref,
                cidr_block=f"10.42.{number}.0/24",
                availability_zone=cdk.Fn.select(number, cdk.Fn.get_azs()),
                map_public_ip_on_launch=True,
            )
            ec2.CfnSubnetRouteTableAssociation(
                self, f"Zone{number}Routes", subnet_id=subnet.ref, route_table_id=table.ref
            )
            subnets.append(subnet)
        group = ec2.CfnSecurityGroup(
            self,
            "NothingIn",
            group_name=self.names.of("runner"),
            group_description="Lets nothing in. Out: HTTPS, and HTTP for packages that apt checks",
            vpc_id=vpc.ref,
            security_group_egress=[
                {
                    "ipProtocol": "tcp",
                    "fromPort": port,
                    "toPort": port,
                    "cidrIp": "0.0.0.0/0",
                    "description": why,
                }
                for port, why in ((443, "GitHub, AWS, package indexes"), (80, "apt, by signature"))
            ],
        )
        return subnets, group

    def _template(self, group: ec2.CfnSecurityGroup) -> ec2.CfnLaunchTemplate:
        image = self.chosen.image
        if not image.startswith("ami-"):
            image = cdk.CfnParameter(
                self,
                "Image",
                type="AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
                default=image,
                description="Systems Manager's name of Ubuntu or Debian with NVIDIA's driver",
            ).value_as_string
        tags = [{"key": TAG, "value": self.names.settings.name}]
        return ec2.CfnLaunchTemplate(
            self,
            "Template",
            launch_template_name=self.names.of("runner"),
            tag_specifications=[{"resourceType": "launch-template", "tags": tags}],
            launch_template_data={
                "imageId": image,
                "instanceType": self.chosen.types[0],
                "instanceInitiatedShutdownBehavior": "terminate",
                "securityGroupIds": [group.attr_group_id],
                "metadataOptions": {
                    "httpEndpoint": "enabled",
                    "httpTokens": "required",
                    "httpPutResponseHopLimit": 1,
                },
                "blockDeviceMappings": [
                    {
                        "deviceName": "/dev/sda1",
                        "ebs": {
                            "volumeType": "gp3",
                            "volumeSize": self.chosen.disk_gb,
                            "encrypted": True,
                            "deleteOnTermination": True,
                        },
                    }
                ],
                "tagSpecifications": [
                    {"resourceType": kind, "tags": tags}
                    for kind in ("instance", "volume", "network-interface")
                ],
            },
        )

    def _reaper(self) -> None:
        names = self.names
        group = logs.CfnLogGroup(
            self, "ReaperLogs", log_group_name=names.log_group("reaper"), retention_in_days=30
        )
        group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        acts_as = role(
            self,
            "ReaperRole",
            name=names.of("reaper"),
            description="What ends machines past their time may do: that, and write its log",
            trust=service_trust("lambda.amazonaws.com"),
            may=[
                allow("ec2:DescribeInstances", ["*"], because=LOOKING),
                end_machines(names),
                write_logs(names.arn("logs", f"log-group:{names.log_group('reaper')}")),
            ],
        )
        reaper = lambda_.CfnFunction(
            self,
            "Reaper",
            function_name=names.of("reaper"),
            description="Ends machines that are past their time",
            runtime=PYTHON,
            handler="index.handler",
            code={"zipFile": source("reaper")},
            role=acts_as.attr_arn,
            memory_size=128,
            timeout=60,
            environment={"variables": {"MOST_HOURS": str(self.chosen.hours)}},
            logging_config={"logGroup": group.ref},
        )
        name = names.of("reaper")
        alarm(self, name, "Errors", "Errors", "Sum", at=1, actions=[], minutes=15)
        rule = events.CfnRule(
            self,
            "Reaping",
            name=names.of("reaper"),
            description="Wakes what ends machines that are past their time",
            schedule_expression=f"rate({self.chosen.reap_minutes} minutes)",
            targets=[{"id": "reaper", "arn": reaper.attr_arn}],
        )
        lambda_.CfnPermission(
            self,
            "MayReap",
            function_name=reaper.ref,
            action="lambda:InvokeFunction",
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )

    def _key(self) -> kms.CfnKey:
        """Empty until the App's own key is imported into it, which then never leaves it."""
        owner = f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:root"
        administration = allow(KEY_ADMINISTRATION, ["*"]).statement  # in its own policy, itself
        key = kms.CfnKey(
            self,
            "AppKey",
            description="Signs for the GitHub App that asks for runners",
            key_spec="RSA_2048",
            key_usage="SIGN_VERIFY",
            origin="EXTERNAL",
            pending_window_in_days=7,
            key_policy=document({**administration, "Principal": {"AWS": owner}}),
        )
        key.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        kms.CfnAlias(
            self, "AppKeyAlias", alias_name=app_key_alias(self.names), target_key_id=key.ref
        )
        return key


def app_key_alias(names: Names) -> str:
    return f"alias/{names.of('github-app')}"


def end_machines(names: Names) -> Right:
    """Those of runners, and no other."""
    return allow(
        "ec2:TerminateInstances",
        [names.arn("ec2", "instance/*")],
        because="Machines get their ids when they are rented. Only those with a runner's tag.",
        Null={f"aws:ResourceTag/{RUNNER_TAG}": "false"},
    )


def _end_by_automation(names: Names) -> list[Right]:
    region = names.settings.region
    return [
        allow(
            "ssm:StartAutomationExecution",
            [
                f"arn:{cdk.Aws.PARTITION}:ssm:{region}:*:automation-definition/{ENDING}:*",
                names.arn("ssm", f"document/{ENDING}", account=False),
                names.arn("ssm", "automation-execution/*"),
            ],
            because="One document of AWS's own, in each of its versions; what it starts has an id.",
        ),
        allow(
            "ec2:DescribeInstanceStatus ec2:DescribeInstances tag:GetResources",
            ["*"],
            because=LOOKING,
        ),
        end_machines(names),
    ]
