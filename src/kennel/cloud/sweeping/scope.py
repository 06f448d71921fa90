"""Whose things are looked for, and what is known of them before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kennel.cloud import asking, client
from kennel.cloud.cost.leftover import Monthly, monthly
from kennel.cloud.deployment import Deployment
from kennel.cloud.names import exact_names


@dataclass(frozen=True)
class Leftover:
    """One thing that is there.

    Attributes:
        kind: as CloudFormation names its type. name: by which it is removed.
        arn: where it has one. words: what is to be said of it.
        usd: what it costs a month, None where nobody can say; price: the same in words.
        stays: why it is not removed; "" where it may be.
        going: whether it goes by itself, and nothing but time is needed.
    """

    kind: str
    name: str
    arn: str = ""
    words: str = ""
    usd: float | None = None
    price: str = ""
    stays: str = ""
    going: bool = False


@dataclass(frozen=True)
class Scope:
    """A deployment in an account, at a moment.

    Attributes:
        stacks: name, ARN and status of those that wear the tag.
        stacked: ids of everything that they have.
        exact: type -> names that the templates give.
    """

    deployment: Deployment
    account: str
    now: datetime
    stacks: tuple[tuple[str, str, str], ...]
    stacked: frozenset[str]
    exact: dict[str, frozenset[str]]

    @property
    def prefix(self) -> str:
        return f"{self.deployment.name}-"

    def wears(self, tags: Any) -> bool:
        """Whether those tags are this deployment's: a list of Key and Value, or a mapping."""
        tag = self.deployment.tag
        if isinstance(tags, dict):
            return bool(tags.get(tag.key) == tag.value)
        return any(
            each.get("Key", each.get("TagKey")) == tag.key
            and each.get("Value", each.get("TagValue")) == tag.value
            for each in tags or ()
        )

    def orphan(self, *ids: str) -> bool:
        """Whether no stack has it."""
        return not self.stacked & set(ids)

    def named(self, kind: str, name: str) -> bool:
        """Whether a template gives that name to a thing of that type."""
        return name in self.exact.get(kind, ())


def scope_of(deployment: Deployment, *, account: str, now: datetime) -> Scope:
    """What there is to know before anything is looked for.

    Raises:
        CloudError: AWS refuses.
    """
    tag = {"Key": deployment.tag.key, "Value": deployment.tag.value}
    aws = client("cloudformation")
    stacks: list[tuple[str, str, str]] = []
    stacked: set[str] = set()
    with asking("cloudformation:DescribeStacks", fixes={}):
        for page in aws.get_paginator("describe_stacks").paginate():
            stacks += [
                (each["StackName"], each["StackId"], each["StackStatus"])
                for each in page["Stacks"]
                if tag in each.get("Tags", ())
            ]
    for _, stack_id, _ in stacks:
        with asking("cloudformation:ListStackResources", fixes={}):
            for page in aws.get_paginator("list_stack_resources").paginate(StackName=stack_id):
                stacked |= {
                    each["PhysicalResourceId"]
                    for each in page["StackResourceSummaries"]
                    if each.get("PhysicalResourceId")
                    and each["ResourceStatus"] != "DELETE_COMPLETE"
                }
    return Scope(
        deployment,
        account,
        now,
        tuple(stacks),
        frozenset(stacked),
        exact_names(deployment, account),
    )


def priced(
    kind: str, properties: dict[str, Any] | None = None, *, gb: float | None = None
) -> Monthly:
    """What a thing costs a month, by the price book."""
    return monthly(kind, properties, gb=gb)
