"""Machines that are rented: nothing comes in, nothing stays, and somebody ends them."""

from __future__ import annotations

from typing import Any

from conftest import Written, plain


def test_nothing_comes_in(each_variant: Written) -> None:
    group = each_variant.one("runner", "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert each_variant.resources("runner", "AWS::EC2::SecurityGroupIngress") == {}
    ports = {(each["FromPort"], each["ToPort"]) for each in group["SecurityGroupEgress"]}
    assert ports == {(443, 443), (80, 80)}


def test_the_network_costs_nothing_while_nobody_trains(each_variant: Written) -> None:
    kinds = {each["Type"] for each in each_variant.resources("runner").values()}
    assert kinds & {"AWS::EC2::NatGateway", "AWS::EC2::EIP", "AWS::EC2::Instance"} == set()
    endpoint = each_variant.one("runner", "AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"  # the other kind costs by the hour


def test_each_zone_has_its_way_out(each_variant: Written) -> None:
    subnets = each_variant.resources("runner", "AWS::EC2::Subnet")
    assert len(subnets) == each_variant.settings.runner.zones
    zones = [each["Properties"]["AvailabilityZone"] for each in subnets.values()]
    assert [each["Fn::Select"][0] for each in zones] == list(range(len(subnets)))
    assert len({each["Properties"]["CidrBlock"] for each in subnets.values()}) == len(subnets)
    assert all(each["Properties"]["MapPublicIpOnLaunch"] for each in subnets.values())
    routed = each_variant.resources("runner", "AWS::EC2::SubnetRouteTableAssociation")
    assert {each["Properties"]["SubnetId"]["Ref"] for each in routed.values()} == set(subnets)


def test_a_machine_is_born_safe(each_variant: Written) -> None:
    data = each_variant.one("runner", "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    [disk] = data["BlockDeviceMappings"]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["DeleteOnTermination"] is True
    assert disk["Ebs"]["VolumeType"] == "gp3"
    assert data["InstanceType"] == each_variant.settings.runner.types[0]
    for word in ("IamInstanceProfile", "KeyName", "UserData", "NetworkInterfaces"):
        assert word not in data


def test_its_image_is_a_name_of_systems_manager_or_one_image(written: Any) -> None:
    template = written("default").templates["runner"]
    assert template["Parameters"]["Image"]["Type"].startswith("AWS::SSM::Parameter::Value<")
    assert template["Parameters"]["Image"]["Default"].startswith("/aws/service/deeplearning/")
    data = written("default").one("runner", "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == {"Ref": "Image"}
    other = written("other")
    data = other.one("runner", "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == "ami-0123456789abcdef0"
    assert "Parameters" not in other.templates["runner"]


def test_the_scheduler_may_end_runners_and_nothing_else(each_variant: Written) -> None:
    """What src/kennel/cloud/limit.py lets it do."""
    name = each_variant.settings.name
    role = each_variant.one("runner", "AWS::IAM::Role", RoleName=f"{name}-runner-ender")
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    source = plain(trust["Condition"]["StringEquals"]["aws:SourceArn"])
    assert source.endswith(":schedule-group/default")
    rights = {
        action: each
        for each in role["Policies"][0]["PolicyDocument"]["Statement"]
        for action in each["Action"]
    }
    assert set(rights) == {
        "ssm:StartAutomationExecution",
        "tag:GetResources",
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceStatus",
        "ec2:TerminateInstances",
    }
    documents = [plain(each) for each in rights["ssm:StartAutomationExecution"]["Resource"]]
    named = [each for each in documents if ":automation-execution/" not in each]
    assert len(named) == 2
    assert all("/AWS-TerminateEC2Instance" in each for each in named)
    only_runners(rights["ec2:TerminateInstances"])


def test_the_reaper_may_end_runners_and_nothing_else(each_variant: Written) -> None:
    name = each_variant.settings.name
    role = each_variant.one("runner", "AWS::IAM::Role", RoleName=f"{name}-reaper")
    rights = role["Policies"][0]["PolicyDocument"]["Statement"]
    [ending] = [each for each in rights if "ec2:TerminateInstances" in each["Action"]]
    only_runners(ending)
    actions = {action for each in rights for action in each["Action"]}
    assert actions == {
        "ec2:DescribeInstances",
        "ec2:TerminateInstances",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }


def only_runners(right: dict[str, Any]) -> None:
    assert right["Action"] == ["ec2:TerminateInstances"]
    assert right["Condition"] == {"Null": {"aws:ResourceTag/kennel-runner": "false"}}


def test_the_reaper_is_woken_without_github(each_variant: Written) -> None:
    rule = each_variant.one("runner", "AWS::Events::Rule")
    minutes = each_variant.settings.runner.reap_minutes
    assert rule["ScheduleExpression"] == f"rate({minutes} minutes)"
    assert rule.get("State", "ENABLED") == "ENABLED"
    assert rule["Targets"] == [{"Arn": {"Fn::GetAtt": ["Reaper", "Arn"]}, "Id": "reaper"}]
    may = each_variant.one("runner", "AWS::Lambda::Permission")
    assert may["Principal"] == "events.amazonaws.com"
    assert may["SourceArn"] == {"Fn::GetAtt": ["Reaping", "Arn"]}
    function = each_variant.one("runner", "AWS::Lambda::Function")
    hours = each_variant.settings.runner.hours
    assert function["Environment"]["Variables"] == {"MOST_HOURS": str(hours)}


def test_somebody_hears_of_a_reaper_that_fails(each_variant: Written) -> None:
    alarm = each_variant.one("runner", "AWS::CloudWatch::Alarm")
    function = each_variant.one("runner", "AWS::Lambda::Function")["FunctionName"]
    assert alarm["MetricName"] == "Errors"
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": function}]


def test_the_apps_key_is_empty_until_its_own_is_imported(written: Any) -> None:
    key = written("default").one("runner", "AWS::KMS::Key")
    assert (key["KeySpec"], key["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")
    assert key["Origin"] == "EXTERNAL"
    assert "kms:PutKeyPolicy" in key["KeyPolicy"]["Statement"][0]["Action"]  # else AWS refuses it
    told = written("default").templates["runner"]["Outputs"]
    assert set(told) == {
        "LaunchTemplateId",
        "SubnetIds",
        "InstanceTypes",
        "EnderRoleArn",
        "KeyArn",
    }
    other = written("other")
    assert other.resources("runner", "AWS::KMS::Key") == {}
    assert "KeyArn" not in other.templates["runner"]["Outputs"]
