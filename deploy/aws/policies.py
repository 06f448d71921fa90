"""Roles and what they may do, as documents that read like the sentence they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

VERSION = "2012-10-17"
PYTHON = "python3.14"
FUNCTIONS = Path(__file__).parent / "functions"


@dataclass(frozen=True)
class Right:
    """One statement, and why it cannot name each thing that it is about."""

    statement: dict
    because: str = ""

    @property
    def wide(self) -> list[str]:
        """Resources of it that are more than one thing."""
        return [each for each in self.statement["Resource"] if "*" in each]


def allow(
    actions: str | list[str], resources: list[str], *, because: str = "", **conditions: dict
) -> Right:
    """One statement.

    Args:
        actions: words, or a list; each by its name.
        because: why resources have a star in them, where they have.
        conditions: operators of IAM: StringEquals={...}.
    """
    named = sorted(actions.split() if isinstance(actions, str) else actions)
    statement = {"Effect": "Allow", "Action": named, "Resource": resources}
    return Right({**statement, "Condition": conditions} if conditions else statement, because)


def of(service: str, actions: str) -> list[str]:
    return [f"{service}:{each}" for each in actions.split()]


def document(*statements: dict | Right) -> dict:
    plain = [each.statement if isinstance(each, Right) else each for each in statements]
    return {"Version": VERSION, "Statement": plain}


def acknowledge(resource: cdk.CfnResource, rule: str, reason: str) -> None:
    """That cdk-nag's rule does not hold there, and why."""
    acknowledged = cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason)
    cdk.Validations.of(resource).acknowledge(acknowledged)


def acknowledge_width(resource: cdk.CfnResource, rights: list[Right]) -> None:
    """Each star in a resource by the reason beside it; one without a reason stays a finding."""
    for right in rights:
        for each in right.wide if right.because else []:
            name = each.replace(cdk.Aws.PARTITION, "<AWS::Partition>")
            name = name.replace(cdk.Aws.ACCOUNT_ID, "<AWS::AccountId>")
            acknowledge(resource, f"IAM5[Resource::{name}]", right.because)


def service_trust(service: str, **conditions: dict) -> dict:
    """Who may take the role: that service of AWS, for this account alone."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return document({**statement, "Condition": conditions} if conditions else statement)


def role(
    scope: Construct,
    role_id: str,
    *,
    name: str,
    description: str,
    trust: dict,
    may: list[Right],
    boundary: str | None = None,
    hours: int = 1,
) -> iam.CfnRole:
    """A role with one policy of its own, and none of AWS's."""
    made = iam.CfnRole(
        scope,
        role_id,
        role_name=name,
        description=description,
        assume_role_policy_document=trust,
        policies=[{"policyName": "may", "policyDocument": document(*may)}],
        permissions_boundary=boundary,
        max_session_duration=hours * 3600,
    )
    acknowledge_width(made, may)
    return made


def write_logs(log_group_arn: str) -> Right:
    return allow(
        "logs:CreateLogStream logs:PutLogEvents",
        [f"{log_group_arn}:*"],
        because="Streams of that one group; Lambda makes up their names.",
    )


def source(name: str) -> str:
    """A function's file, as it stands in the template: no asset has to be kept anywhere for it."""
    text = (FUNCTIONS / f"{name}.py").read_text(encoding="utf-8")
    assert len(text) <= 4096, name  # CloudFormation takes no more
    return text


def outputs(stack: cdk.Stack, **values: str) -> None:
    for name, value in values.items():
        cdk.CfnOutput(stack, name, value=value)
