"""Roles and what they may do, as documents that read like the sentence they are."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

VERSION = "2012-10-17"
PYTHON = "python3.14"
FUNCTIONS = Path(__file__).parent / "functions"


def allow(actions: list[str], resources: list[str], **conditions: dict) -> dict:
    """One statement. `conditions` are operators of IAM: StringEquals={...}."""
    statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement


def document(*statements: dict) -> dict:
    return {"Version": VERSION, "Statement": list(statements)}


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
    may: list[dict],
    boundary: str | None = None,
    hours: int = 1,
) -> iam.CfnRole:
    """A role with one policy of its own, and none of AWS's."""
    return iam.CfnRole(
        scope,
        role_id,
        role_name=name,
        description=description,
        assume_role_policy_document=trust,
        policies=[{"policyName": "may", "policyDocument": document(*may)}],
        permissions_boundary=boundary,
        max_session_duration=hours * 3600,
    )


def write_logs(log_group_arn: str) -> dict:
    return allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{log_group_arn}:*"])


def source(name: str) -> str:
    """A function's file, as it stands in the template: no asset has to be kept anywhere for it."""
    text = (FUNCTIONS / f"{name}.py").read_text(encoding="utf-8")
    assert len(text) <= 4096, name  # CloudFormation takes no more
    return text


def outputs(stack: cdk.Stack, **values: str) -> None:
    for name, value in values.items():
        cdk.CfnOutput(stack, name, value=value)
