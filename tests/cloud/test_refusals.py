"""Roles as their templates have them, in an account that enforces: their own work, and no other.

moto knows a statement's resource for S3 alone, and no condition that is asked here; of other
services it compares actions. What hangs on a condition (a machine's tag, the role that is passed,
a type) is read from the document: that the statement has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws, settings
from test_policies import ROLES, SHIPPED, needs, synthesised

pytestmark = pytest.mark.slow  # templates are synthesised
ACCOUNT, REGION = "123456789012", "us-east-1"
BUCKET, OTHER = f"kennel-data-{ACCOUNT}-{REGION}", "of-somebody-else"
GUEST = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return needs.roles(synthesised(tmp_path_factory.mktemp("shipped"), SHIPPED))


def plain(value: Any) -> Any:
    """A template's value as CloudFormation would write it: names joined, parameters known."""
    known = {"AWS::Partition": "aws", "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
    if isinstance(value, dict):
        if "Ref" in value:
            return known[value["Ref"]]
        if "Fn::Join" in value:
            between, parts = value["Fn::Join"]
            return between.join(plain(part) for part in parts)
        if "Fn::Sub" in value:
            text = value["Fn::Sub"]
            for name, said in known.items():
                text = text.replace(f"${{{name}}}", said)
            return text
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def as_moto_reads(statement: dict[str, Any]) -> dict[str, Any]:
    """moto takes "*" for the resource of all but S3, and refuses what names one."""
    actions = statement["Action"]
    first = actions if isinstance(actions, str) else actions[0]
    own = {key: value for key, value in statement.items() if key not in ("Condition", "Sid")}
    return own if first.startswith("s3:") else {**own, "Resource": "*"}


@pytest.fixture
def held(
    request: pytest.FixtureRequest,
    statements: dict[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """Clients of whoever has taken the role that the test names."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with mock_aws():
        made = boto3.client("s3", region_name=REGION)
        for bucket in (BUCKET, OTHER):
            made.create_bucket(Bucket=bucket)
            made.put_object(Bucket=bucket, Key="dvc/photo", Body=b"photo")
            made.put_object(Bucket=bucket, Key="registry/champion", Body=b"{}")
        iam = boto3.client("iam", region_name=REGION)
        trust = json.dumps({"Version": "2012-10-17", "Statement": [GUEST]})
        role = iam.create_role(RoleName=request.param, AssumeRolePolicyDocument=trust)["Role"]
        own = [as_moto_reads(plain(each)) for each in statements[request.param]]
        policy = json.dumps({"Version": "2012-10-17", "Statement": own})
        iam.put_role_policy(RoleName=request.param, PolicyName="may", PolicyDocument=policy)
        sts = boto3.client("sts", region_name=REGION)
        key = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="one")["Credentials"]

        def client(service: str) -> Any:
            return boto3.client(
                service,
                region_name=REGION,
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
                aws_session_token=key["SessionToken"],
            )

        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from here on it asks
        yield client


def refused(ask: Any, **words: Any) -> bool:
    try:
        ask(**words)
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIED
    return False


@pytest.mark.parametrize("held", ["kennel-data", "kennel-train"], indirect=True)
def test_photos_and_bundles_are_read_and_no_others(held: Any) -> None:
    s3 = held("s3")
    assert s3.get_object(Bucket=BUCKET, Key="dvc/photo")["Body"].read() == b"photo"
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="dvc/")["KeyCount"] == 1
    assert refused(s3.get_object, Bucket=OTHER, Key="dvc/photo")
    assert refused(s3.list_objects_v2, Bucket=OTHER)
    assert refused(s3.put_object, Bucket=BUCKET, Key="dvc/photo", Body=b"mine")
    assert refused(s3.delete_object, Bucket=BUCKET, Key="registry/champion")
    assert refused(s3.delete_bucket, Bucket=BUCKET)
    assert refused(s3.delete_bucket_policy, Bucket=BUCKET)
    assert refused(held("ec2").describe_instances)
    assert refused(held("iam").list_roles)


@pytest.mark.parametrize("held", ["kennel-train"], indirect=True)
def test_training_adds_to_the_registry_alone(held: Any) -> None:
    s3 = held("s3")
    s3.put_object(Bucket=BUCKET, Key="registry/bundles/new", Body=b"{}")
    assert refused(s3.put_object, Bucket=OTHER, Key="registry/bundles/new", Body=b"{}")
    assert refused(s3.put_object, Bucket=BUCKET, Key="elsewhere", Body=b"{}")


@pytest.mark.parametrize("held", ["kennel-data"], indirect=True)
def test_reading_adds_nothing(held: Any) -> None:
    assert refused(held("s3").put_object, Bucket=BUCKET, Key="registry/bundles/new", Body=b"{}")


@pytest.mark.parametrize("held", ["kennel-runner"], indirect=True)
def test_the_runners_role_rents_and_ends_and_does_nothing_else(held: Any) -> None:
    ec2 = held("ec2")
    image = "ami-12c6146b"
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"]
    assert ec2.describe_instances()["Reservations"]
    ec2.terminate_instances(InstanceIds=[made[0]["InstanceId"]])
    assert refused(ec2.stop_instances, InstanceIds=["i-0"])
    assert refused(ec2.create_security_group, GroupName="open", Description="open")
    assert refused(held("s3").get_object, Bucket=BUCKET, Key="dvc/photo")
    assert refused(held("iam").create_user, UserName="mine")
    assert refused(
        held("iam").put_role_policy,
        RoleName="kennel-runner",
        PolicyName="more",
        PolicyDocument="{}",
    )


@pytest.mark.parametrize("held", ["kennel-reaper", "kennel-runner-ender"], indirect=True)
def test_what_ends_machines_rents_none(held: Any) -> None:
    ec2 = held("ec2")
    assert ec2.describe_instances()["Reservations"] == []
    assert refused(ec2.run_instances, ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    assert refused(held("s3").list_buckets)
    assert refused(held("iam").create_user, UserName="mine")


@pytest.mark.parametrize("held", ["kennel-serve"], indirect=True)
def test_the_service_itself_may_write_its_log_and_nothing_else(held: Any) -> None:
    assert refused(held("s3").get_object, Bucket=BUCKET, Key="registry/champion")
    assert refused(held("iam").list_roles)
    assert refused(held("ec2").describe_instances)


# what moto does not look at: the documents themselves


def one(statements: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    return [plain(each) for each in statements if action in needs.granted([each])]


@pytest.mark.parametrize("role", ["kennel-runner", "kennel-reaper", "kennel-runner-ender"])
def test_no_machine_is_ended_without_the_runners_tag(
    role: str, statements: dict[str, list[dict[str, Any]]]
) -> None:
    [ends] = one(statements[role], "ec2:TerminateInstances")
    assert ends["Condition"] == {"Null": {"aws:ResourceTag/kennel-runner": "false"}}


def test_a_machine_is_rented_with_what_ends_it_and_of_a_named_type(
    statements: dict[str, list[dict[str, Any]]],
) -> None:
    rents = one(statements["kennel-runner"], "ec2:RunInstances")
    [machine] = [each for each in rents if any("instance/*" in arn for arn in each["Resource"])]
    conditions = machine["Condition"]
    assert conditions["Null"] == {"aws:RequestTag/kennel-until": "false"}
    assert conditions["StringLike"] == {"aws:RequestTag/kennel-runner": "kennel-*"}
    assert "g4dn.xlarge" in conditions["StringEquals"]["ec2:InstanceType"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_passed_by_its_name_and_to_one_service(
    role: str, statements: dict[str, list[dict[str, Any]]]
) -> None:
    for each in one(statements[role], "iam:PassRole"):
        assert all(
            arn.startswith(f"arn:aws:iam::{ACCOUNT}:role/kennel-") for arn in each["Resource"]
        )
        assert not [arn for arn in each["Resource"] if "*" in arn]
        assert isinstance(each["Condition"]["StringEquals"]["iam:PassedToService"], str)
