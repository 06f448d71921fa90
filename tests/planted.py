"""Things in AWS that outlive what made them, planted: of a deployment, or of somebody else."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from emulated_aws import Aws
from small_stacks import ACCOUNT, REGION, TRUST

PERIODS = {"Period": 300, "EvaluationPeriods": 1, "Threshold": 1.0}


@dataclass
class Planted:
    """What was planted, by kind, and how to see whether it is there."""

    aws: Aws
    names: dict[str, str] = field(default_factory=dict)

    def there(self) -> set[str]:
        """Kinds that are still there."""
        found = _listed(self.aws)
        return {kind for kind, name in self.names.items() if name in found[kind]}


def plant(aws: Aws, prefix: str, tag: str | None) -> Planted:
    """One of each kind.

    Args:
        prefix: of names. tag: the deployment that they say they are of; None says nothing.
    """
    pairs = [{"Key": "kennel:deployment", "Value": tag}] if tag else []
    mapping = {each["Key"]: each["Value"] for each in pairs}
    planted = Planted(aws)
    names = planted.names

    ec2 = aws.client("ec2")

    def tagged(kind: str) -> dict[str, Any]:
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": pairs}]} if pairs else {}

    image = ec2.describe_images()["Images"][0]["ImageId"]
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16", **tagged("vpc"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24", **tagged("subnet"))
    gateway = ec2.create_internet_gateway(**tagged("internet-gateway"))["InternetGateway"]
    names["gateway"] = gateway["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=names["gateway"], VpcId=vpc)
    names["vpc"], names["subnet"] = vpc, subnet["Subnet"]["SubnetId"]
    names["group"] = ec2.create_security_group(
        GroupName=f"{prefix}-runner", Description="x", VpcId=vpc, **tagged("security-group")
    )["GroupId"]
    machine = ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="g4dn.xlarge",
        SubnetId=names["subnet"],
        **tagged("instance"),
    )
    names["machine"] = machine["Instances"][0]["InstanceId"]
    zone = f"{REGION}a"
    volume = ec2.create_volume(
        Size=100, AvailabilityZone=zone, VolumeType="gp3", **tagged("volume")
    )["VolumeId"]
    names["volume"] = volume
    names["snapshot"] = ec2.create_snapshot(VolumeId=volume, **tagged("snapshot"))["SnapshotId"]
    names["address"] = ec2.allocate_address(Domain="vpc", **tagged("elastic-ip"))["AllocationId"]
    names["template"] = ec2.create_launch_template(
        LaunchTemplateName=f"{prefix}-runner",
        LaunchTemplateData={"ImageId": image},
        **tagged("launch-template"),
    )["LaunchTemplate"]["LaunchTemplateId"]

    names["bucket"] = f"{prefix}-bucket-{ACCOUNT}"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=names["bucket"])
    s3.put_bucket_tagging(Bucket=names["bucket"], Tagging={"TagSet": pairs})
    names["repository"] = f"{prefix}-old"
    aws.client("ecr").create_repository(repositoryName=names["repository"], tags=pairs)
    names["logs"] = f"/aws/lambda/{prefix}-reaper"
    aws.client("logs").create_log_group(logGroupName=names["logs"], tags=mapping)
    kms = aws.client("kms")
    key_tags = [{"TagKey": e["Key"], "TagValue": e["Value"]} for e in pairs]
    names["key"] = kms.create_key(Tags=key_tags)["KeyMetadata"]["KeyId"]

    iam = aws.client("iam")
    names["role"] = f"{prefix}-serve"
    role = iam.create_role(
        RoleName=names["role"], AssumeRolePolicyDocument=json.dumps(TRUST), Tags=pairs
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName=names["role"], PolicyName="own", PolicyDocument=_policy())
    names["policy"] = f"{prefix}-boundary"
    arn = iam.create_policy(PolicyName=names["policy"], PolicyDocument=_policy(), Tags=pairs)
    iam.attach_role_policy(RoleName=names["role"], PolicyArn=arn["Policy"]["Arn"])
    names["provider"] = iam.create_open_id_connect_provider(
        Url=f"https://{prefix}.example.com", ThumbprintList=["a" * 40], Tags=pairs
    )["OpenIDConnectProviderArn"]

    names["function"] = f"{prefix}-reaper"
    aws.client("lambda").create_function(
        FunctionName=names["function"],
        Runtime="python3.12",
        Role=role,
        Handler="index.handler",
        Code={"ZipFile": _code()},
        Tags=mapping,
    )
    names["topic"] = aws.client("sns").create_topic(Name=f"{prefix}-alarms", Tags=pairs)["TopicArn"]
    names["alarm"] = f"{prefix}-serve-errors"
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=names["alarm"],
        MetricName="Errors",
        Namespace="AWS/Lambda",
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        Tags=pairs,
        **PERIODS,
    )
    names["rule"] = f"{prefix}-reap"
    aws.client("events").put_rule(Name=names["rule"], ScheduleExpression="rate(1 hour)", Tags=pairs)
    aws.client("events").put_targets(Rule=names["rule"], Targets=[{"Id": "1", "Arn": role}])
    return planted


def plant_by_name(aws: Aws, prefix: str) -> Planted:
    """What knows no tags, or has lost them: a dashboard, a budget, a schedule, a log group that
    Lambda has made again."""
    planted = Planted(aws)
    names = planted.names
    names["dashboard"] = f"{prefix}-serve"
    aws.client("cloudwatch").put_dashboard(
        DashboardName=names["dashboard"], DashboardBody='{"widgets": []}'
    )
    names["budget"] = f"{prefix}-month"
    aws.client("budgets").create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": names["budget"],
            "BudgetLimit": {"Amount": "20", "Unit": "USD"},
            "TimeUnit": "MONTHLY",
            "BudgetType": "COST",
        },
    )
    names["logs"] = f"/aws/lambda/{prefix}-serve"
    aws.client("logs").create_log_group(logGroupName=names["logs"])
    names["schedule"] = f"{prefix}-reaper"
    aws.client("scheduler").create_schedule(
        Name=names["schedule"],
        ScheduleExpression="rate(1 hour)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:x",
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/x",
        },
    )
    return planted


def named_stacks(prefix: str) -> dict[str, dict[str, Any]]:
    """Templates that give those names."""
    kinds = {
        "Dashboard": ("AWS::CloudWatch::Dashboard", {"DashboardName": f"{prefix}-serve"}),
        "Month": ("AWS::Budgets::Budget", {"Budget": {"BudgetName": f"{prefix}-month"}}),
        "Reap": ("AWS::Scheduler::Schedule", {"Name": f"{prefix}-reaper"}),
    }
    resources = {
        key: {"Type": kind, "Properties": properties} for key, (kind, properties) in kinds.items()
    }
    return {"runner": {"Resources": resources}}


def limit(aws: Aws, name: str, *, of: str) -> None:
    """The limit of a runner's machine, as `kennel cloud runner start` makes it."""
    at = datetime.now(UTC) + timedelta(hours=3)
    aws.client("scheduler").create_schedule(
        Name=name,
        Description="Ends the runner of that name. Kennel made it before the runner.",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:ssm:startAutomationExecution",
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{of}-runner-ender",
        },
    )


def _policy() -> str:
    statement = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _code() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", "")
    return packed.getvalue()


def _listed(aws: Aws) -> dict[str, set[str]]:
    ec2 = aws.client("ec2")
    machines = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    logs = aws.client("logs").describe_log_groups()["logGroups"]
    iam = aws.client("iam")
    kms = aws.client("kms")
    keys = [each["KeyId"] for each in kms.list_keys()["Keys"]]
    watch = aws.client("cloudwatch")

    def of(rows: Any, key: str) -> set[str]:
        return {each[key] for each in rows}

    return {
        "machine": {i["InstanceId"] for i in machines if i["State"]["Name"] not in ("terminated",)},
        "vpc": of(ec2.describe_vpcs()["Vpcs"], "VpcId"),
        "subnet": of(ec2.describe_subnets()["Subnets"], "SubnetId"),
        "group": of(ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
        "gateway": of(ec2.describe_internet_gateways()["InternetGateways"], "InternetGatewayId"),
        "volume": of(ec2.describe_volumes()["Volumes"], "VolumeId"),
        "snapshot": of(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"], "SnapshotId"),
        "address": of(ec2.describe_addresses()["Addresses"], "AllocationId"),
        "template": of(ec2.describe_launch_templates()["LaunchTemplates"], "LaunchTemplateId"),
        "bucket": of(aws.client("s3").list_buckets()["Buckets"], "Name"),
        "repository": of(
            aws.client("ecr").describe_repositories()["repositories"], "repositoryName"
        ),
        "logs": of(logs, "logGroupName"),
        "key": {
            k for k in keys if kms.describe_key(KeyId=k)["KeyMetadata"]["KeyState"] == "Enabled"
        },
        "role": of(iam.list_roles()["Roles"], "RoleName"),
        "policy": of(iam.list_policies(Scope="Local")["Policies"], "PolicyName"),
        "provider": of(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"], "Arn"),
        "function": of(aws.client("lambda").list_functions()["Functions"], "FunctionName"),
        "topic": of(aws.client("sns").list_topics()["Topics"], "TopicArn"),
        "alarm": of(watch.describe_alarms()["MetricAlarms"], "AlarmName"),
        "rule": of(aws.client("events").list_rules()["Rules"], "Name"),
        "dashboard": of(watch.list_dashboards()["DashboardEntries"], "DashboardName"),
        "budget": of(
            aws.client("budgets").describe_budgets(AccountId=ACCOUNT).get("Budgets", ()),
            "BudgetName",
        ),
        "schedule": of(aws.client("scheduler").list_schedules()["Schedules"], "Name"),
    }
