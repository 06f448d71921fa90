"""One stack of CloudFormation: how it is, mended where it was left half-way, removed.

Nothing that does not wear our tag is changed. A stack that an earlier command left half-way is
gone on with, made anew, or refused in words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.deployment import Deployment, Stack

PREFIX = "kennel-"  # of change sets
POLL_S, LONGEST_S = 4.0, 3600.0
GONE = ("", "DELETE_COMPLETE")
DEAD = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
STUCK = ("UPDATE_ROLLBACK_FAILED",)
WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
FIXES = {
    "AlreadyExistsException": "somebody works on it at this moment; wait, and run it again",
    "InsufficientCapabilitiesException": "make synth again",
    "LimitExceededException": "the account has its 2,000 stacks: Service Quotas, CloudFormation",
    "ExpiredToken": "sign in again: aws sso login",
    "ExpiredTokenException": "sign in again: aws sso login",
}
Say = Callable[[str], None]
Sleep = Callable[[float], None]


@dataclass(frozen=True)
class State:
    """A stack as it stands; `status` is "" where there is none."""

    status: str
    stack_id: str = ""
    reason: str = ""
    tags: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None

    @property
    def there(self) -> bool:
        return self.status not in GONE


def state_of(name: str) -> State:
    """How the stack of that name, or with that ARN, is.

    Raises:
        CloudError: AWS refuses, or cannot be reached.
    """
    try:
        with asking(f"cloudformation:DescribeStacks {name}", fixes=FIXES):
            [found] = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except CloudError as error:
        if error.code == "ValidationError" and "does not exist" in error.message:
            return State("")
        raise
    return State(
        found["StackStatus"],
        found["StackId"],
        found.get("StackStatusReason", ""),
        {each["Key"]: each["Value"] for each in found.get("Tags", ())},
        {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())},
        {each["ParameterKey"]: each.get("ParameterValue", "") for each in found["Parameters"]}
        if found.get("Parameters")
        else {},
    )


def ours(deployment: Deployment, stack: Stack, state: State) -> bool:
    """Whether that stack is one of this deployment's."""
    tag = deployment.tag
    if (state.tags or {}).get(tag.key) == tag.value:
        return True
    # Before its first change set is carried out a stack has no tags; the change set has.
    return state.status == "REVIEW_IN_PROGRESS" and any(
        {"Key": tag.key, "Value": tag.value} in each.get("Tags", ())
        for each in change_sets(stack.name, state.stack_id)
    )


def remove(stack: Stack, state: State, *, say: Say, sleep: Sleep = time.sleep) -> State:
    """Removes a stack; one that is gone already stays gone.

    Raises:
        CloudError: something in it cannot be removed; it says what.
    """
    mark = last_event(state.stack_id)
    with asking(f"cloudformation:DeleteStack {stack.name}", fixes=FIXES):
        client("cloudformation").delete_stack(StackName=state.stack_id)
    after = await_end(state.stack_id, say=say, sleep=sleep, after=mark)
    if after.there:
        raise failed(stack.name, after, after=mark)
    return State("")


def await_end(name: str, *, say: Say, sleep: Sleep = time.sleep, after: str | None = None) -> State:
    """Waits until nobody works on the stack.

    Args:
        after: event after which events are said, "" of the first on; None says only that it waits.
    Raises:
        CloudError: it takes longer than an hour.
    """
    seen: set[str] = set()
    waited_s = 0.0
    while True:
        state = state_of(name)
        if after is not None and state.stack_id:
            _say_events(state.stack_id, after, seen, say)
        if not state.status.endswith("_IN_PROGRESS") or state.status == "REVIEW_IN_PROGRESS":
            return state
        if after is None and not waited_s:
            say(f"{name}: {state.status}, by somebody else or an earlier try; waiting")
        if waited_s >= LONGEST_S:
            raise CloudError(
                f"{name} is {state.status} for more than {LONGEST_S / 60:g} minutes.",
                fix="see its events in the console, and run it again: it goes on",
            )
        sleep(POLL_S)
        waited_s += POLL_S


def last_event(stack_id: str) -> str:
    """Id of the last thing that happened to it; "" where nothing did."""
    with asking("cloudformation:DescribeStackEvents", fixes=FIXES):
        found = client("cloudformation").describe_stack_events(StackName=stack_id)["StackEvents"]
    newest = max(found, key=lambda each: each["Timestamp"], default=None)
    return str(newest["EventId"]) if newest else ""


def events(stack_id: str, after: str) -> list[dict[str, Any]]:
    """What happened to its resources after that event, oldest first."""
    found: list[dict[str, Any]] = []
    with asking("cloudformation:DescribeStackEvents", fixes=FIXES):
        pages = client("cloudformation").get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=stack_id):
            found += page["StackEvents"]
            if any(each["EventId"] == after for each in page["StackEvents"]):
                break
    found.sort(key=lambda each: each["Timestamp"])
    ids = [each["EventId"] for each in found]
    return found[ids.index(after) + 1 :] if after in ids else found


def _say_events(stack_id: str, after: str, seen: set[str], say: Say) -> None:
    for each in events(stack_id, after):
        if each["EventId"] not in seen:
            seen.add(each["EventId"])
            why = each.get("ResourceStatusReason")
            failed = each["ResourceStatus"].endswith("FAILED")
            say(
                f"{each['StackName']}: {each['ResourceStatus']} {each['LogicalResourceId']}"
                + (f": {why}" if why and failed else "")
            )


def failed(name: str, state: State, *, after: str | None = None) -> CloudError:
    """In words, with the first resource that failed: what follows is its consequence."""
    first = next(
        (
            each
            for each in (() if after is None else events(state.stack_id, after))
            if each["ResourceStatus"].endswith("FAILED")
            and "cancelled" not in each.get("ResourceStatusReason", "")
        ),
        None,
    )
    why = (
        f"{first['LogicalResourceId']}: {first.get('ResourceStatusReason', 'failed')}"
        if first
        else state.reason
    )
    return CloudError(
        f"{name} is {state.status}{f'; {why}' if why else ''}".rstrip(". ") + ".",
        fix=_mend(why),
        code=state.status,
    )


MENDS = {
    "ReservedConcurrentExecutions": "the account has too few: concurrency: account in "
    "deploy/aws/settings.yaml, or ask for more in Service Quotas, Lambda, 'Concurrent executions'",
    "already exists": "something of that name is there and belongs to no stack: kennel cloud sweep "
    "shows it when it is ours; else another `name` in deploy/aws/settings.yaml",
    "is not authorized": "the role needs that right: docs/guide/aws.md has the list",
    "not empty": "kennel cloud destroy empties what is ours",
    "image manifest": "build it anew: make images ARGS=serve BUNDLE=... with "
    'BUILD_OPTIONS="--provenance=false"',
    "OpenIDConnectProvider": "provider: existing in deploy/aws/settings.yaml",
}


def _mend(why: str) -> str:
    return next(
        (fix for words, fix in MENDS.items() if words in why),
        "mend what it says, and run the same command again: it goes on from here",
    )


def change_sets(name: str, stack_id: str) -> Sequence[Mapping[str, Any]]:
    aws = client("cloudformation")
    with asking(f"cloudformation:ListChangeSets {name}", fixes=FIXES):
        listed = aws.get_paginator("list_change_sets").paginate(StackName=stack_id)
        own = [
            each["ChangeSetId"]
            for page in listed
            for each in page["Summaries"]
            if each["StackId"] == stack_id and each["ChangeSetName"].startswith(PREFIX)
        ]
        return [aws.describe_change_set(ChangeSetName=each, StackName=name) for each in own]


def resources(state: State) -> list[tuple[str, str]]:
    """Type and name in AWS of what a stack has."""
    with asking("cloudformation:ListStackResources", fixes={}):
        pages = client("cloudformation").get_paginator("list_stack_resources")
        return [
            (each["ResourceType"], each["PhysicalResourceId"])
            for page in pages.paginate(StackName=state.stack_id)
            for each in page["StackResourceSummaries"]
            if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"
        ]
