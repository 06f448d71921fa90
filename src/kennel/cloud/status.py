"""How a deployment stands: stacks, what answers, what is wrong, what it cost this month so far."""

from __future__ import annotations

from dataclasses import dataclass

from kennel.cloud import CloudError, asking, client
from kennel.cloud import function as functions
from kennel.cloud.deployed import OUT_FUNCTION, OUT_REPOSITORY, OUT_URL, account
from kennel.cloud.deployment import Deployment
from kennel.cloud.image import bundle_of
from kennel.cloud.limit import TAG, UNTIL
from kennel.cloud.machine import living
from kennel.cloud.stacks import ours, state_of


@dataclass(frozen=True)
class Standing:
    """One stack. `status` is "" where there is none; `ours` whether it wears the tag."""

    room: str
    name: str
    status: str
    ours: bool


@dataclass(frozen=True)
class Serving:
    """What answers.

    Attributes:
        version: of the function. earlier: the version to go back to, 0 where there is none.
        shut: whether no request is let in: the brake of a public service was pulled.
    """

    function: str
    url: str
    version: int
    digest: str
    bundle: str
    earlier: int
    shut: bool


@dataclass(frozen=True)
class Machine:
    """A runner's machine that costs money."""

    name: str
    instance_id: str
    until: str


@dataclass(frozen=True)
class Status:
    """All of it. `spent_usd` is None where no budget tells it."""

    name: str
    region: str
    account: str
    stacks: tuple[Standing, ...]
    serving: Serving | None
    alarms: tuple[str, ...]
    machines: tuple[Machine, ...]
    spent_usd: float | None
    budget_usd: float | None


def status(deployment: Deployment) -> Status:
    """Asked of AWS, each thing where it stands.

    Raises:
        CloudError: AWS refuses.
    """
    whose = account()
    stacks = []
    for stack in deployment.stacks:
        state = state_of(stack.name)
        own = state.there and ours(deployment, stack, state)
        stacks.append(Standing(stack.room, stack.name, state.status, own))
    spent, most = _budget(deployment, whose)
    return Status(
        deployment.name,
        deployment.region,
        whose,
        tuple(stacks),
        _serving(deployment),
        _alarms(deployment),
        _machines(deployment),
        spent,
        most,
    )


def _serving(deployment: Deployment) -> Serving | None:
    stack = deployment.stack("service")
    outputs = (state_of(stack.name).outputs or {}) if stack else {}
    function = outputs.get(OUT_FUNCTION, "")
    present = functions.live(function) if function else None
    if present is None:
        return None
    images = deployment.stack("images")
    uri = (state_of(images.name).outputs or {}).get(OUT_REPOSITORY, "") if images else ""
    earlier = functions.before(function, present)
    with asking(f"lambda:GetFunctionConcurrency {function}", fixes={}):
        told = client("lambda").get_function_concurrency(FunctionName=function)
    return Serving(
        function,
        outputs.get(OUT_URL, ""),
        present.number,
        present.digest,
        bundle_of(uri.partition("/")[2], present.digest) if uri else "",
        earlier.number if earlier else 0,
        told.get("ReservedConcurrentExecutions") == 0,
    )


def _alarms(deployment: Deployment) -> tuple[str, ...]:
    """Names of those that ring."""
    with asking("cloudwatch:DescribeAlarms", fixes={}):
        pages = client("cloudwatch").get_paginator("describe_alarms")
        found = pages.paginate(AlarmNamePrefix=f"{deployment.name}-", StateValue="ALARM")
        return tuple(each["AlarmName"] for page in found for each in page["MetricAlarms"])


def _machines(deployment: Deployment) -> tuple[Machine, ...]:
    found = []
    for each in living("*"):
        tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())}
        if tags.get(deployment.tag.key, deployment.tag.value) == deployment.tag.value:
            found.append(Machine(tags[TAG], each["InstanceId"], tags.get(UNTIL, "")))
    return tuple(found)


def _budget(deployment: Deployment, whose: str) -> tuple[float | None, float | None]:
    """Spent this month and the limit, by the deployment's budget: that costs nothing to ask."""
    stack = deployment.stack("budget")
    if stack is None:
        return None, None
    names = {
        told.get("Properties", {}).get("Budget", {}).get("BudgetName")
        for told in stack.template["Resources"].values()
        if told["Type"] == "AWS::Budgets::Budget"
    }
    try:
        with asking("budgets:DescribeBudgets", fixes={}):
            budgets = client("budgets").describe_budgets(AccountId=whose).get("Budgets", ())
    except CloudError:
        return None, None
    for each in budgets:
        if each["BudgetName"] in names:
            spent = each.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount")
            most = each.get("BudgetLimit", {}).get("Amount")
            return None if spent is None else float(spent), None if most is None else float(most)
    return None, None
