"""Names that follow from the templates: what has one of them is this deployment's."""

from __future__ import annotations

import json

from kennel.cloud.deployment import Deployment
from kennel.cloud.template import template_of

# Where a template says what a thing is called.
NAMES = {
    "AWS::Budgets::Budget": "Budget.BudgetName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::Scheduler::Schedule": "Name",
}


def exact_names(deployment: Deployment, account: str) -> dict[str, frozenset[str]]:
    """Names that follow from the templates: nobody else's things have them."""
    known = {"AWS::AccountId": account, "AWS::Region": deployment.region, "AWS::Partition": "aws"}
    found: dict[str, set[str]] = {kind: set() for kind in NAMES}
    for stack in deployment.stacks:
        text = json.dumps(stack.template)
        for name, value in known.items():
            text = text.replace(json.dumps({"Ref": name}), json.dumps(value))
            text = text.replace(f"${{{name}}}", value)
        for resource in template_of(stack.name, json.loads(text)).resources:
            given = resource.get(NAMES[resource.type]) if resource.type in NAMES else None
            if isinstance(given, str):
                found[resource.type].add(given)
    # Lambda makes a function's log group again when it still runs after the group was removed.
    found["AWS::Logs::LogGroup"] |= {
        f"/aws/lambda/{name}" for name in found["AWS::Lambda::Function"]
    }
    return {kind: frozenset(names) for kind, names in found.items()}
