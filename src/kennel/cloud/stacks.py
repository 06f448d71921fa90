"""One stack of CloudFormation: how it is, what would change in it, and the change.

Nothing is changed but by a change set whose changes were looked at; nothing that does not wear our
tag is changed at all. A stack that an earlier command left half-way is mended, or refused in words.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.deployment import Deployment, Stack

PREFIX = "kennel-"  # of change sets
POLL_S, LONGEST_S = 4.0, 3600.0
GONE = ("", "DELETE_COMPLETE")
DEAD = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
STUCK = ("UPDATE_ROLLBACK_FAILED",)
WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
NOTHING = ("didn't contain changes", "No updates are to be performed")
KEEPS = {  # types that hold what cannot be made again
    "AWS::S3::Bucket",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::DynamoDB::Table",
    "AWS::EC2::Volume",
}
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
class Change:
    """One resource that would be changed.

    Attributes:
        action: "added", "changed", "replaced" or "removed".
        logical, kind: name in the template, and type.
        physical: its name in AWS, where it has one.
        keeps_data: whether what it holds would be lost.
    """

    action: str
    logical: str
    kind: str
    physical: str = ""
    keeps_data: bool = False


@dataclass(frozen=True)
class Proposal:
    """A change set that waits. `token` is its ARN; "" where nothing would change."""

    stack: Stack
    token: str
    changes: tuple[Change, ...]


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
        for each in _change_sets(stack.name, state.stack_id)
    )


def settle(
    deployment: Deployment, stack: Stack, *, say: Say, sleep: Sleep = time.sleep, mend: bool = True
) -> State:
    """A stack that can be worked on: there and whole, or not there.

    What somebody else does to it is waited for; what an earlier command left half-made is removed
    or gone on with. Leftover change sets of ours go.

    Args:
        mend: False changes nothing, and says only how it is after what others do has ended.
    Raises:
        CloudError: it belongs to somebody else, or cannot be mended.
    """
    state = await_end(stack.name, say=say, sleep=sleep)
    if not state.there:
        return State("")
    if not ours(deployment, stack, state):
        raise CloudError(
            f"there is a stack {stack.name} already, and it is not of this deployment: it has no "
            f"tag {deployment.tag.key}={deployment.tag.value}.",
            fix="another `name` in deploy/aws/settings.yaml",
            code="NameTaken",
        )
    if not mend:
        return state
    _drop_change_sets(stack.name, state.stack_id)
    if state.status == "REVIEW_IN_PROGRESS" or state.status in DEAD:
        say(f"{stack.name}: {state.status}, left by an earlier try; removed, to be made anew")
        return remove(stack, state, say=say, sleep=sleep)
    if state.status in STUCK:
        say(f"{stack.name}: {state.status}; its way back is gone on with")
        with asking(f"cloudformation:ContinueUpdateRollback {stack.name}", fixes=FIXES):
            client("cloudformation").continue_update_rollback(StackName=state.stack_id)
        state = await_end(state.stack_id, say=say, sleep=sleep)
    if state.status not in WHOLE:
        raise _failed(stack.name, state)
    return state


def propose(
    deployment: Deployment,
    stack: Stack,
    state: State,
    values: Mapping[str, str],
    *,
    sleep: Sleep = time.sleep,
) -> Proposal:
    """What CloudFormation would do, as a change set that waits.

    Args:
        values: of parameters; one that is not named keeps its value.
    Raises:
        CloudError: the template is refused.
    """
    kept = state.parameters or {}
    parameters: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": values[name]}
        if name in values
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in stack.parameters
        if name in values or name in kept
    ]
    tag = {"Key": deployment.tag.key, "Value": deployment.tag.value}
    aws = client("cloudformation")
    try:
        with asking(f"cloudformation:CreateChangeSet {stack.name}", fixes=FIXES):
            token = aws.create_change_set(
                StackName=state.stack_id or stack.name,
                ChangeSetName=f"{PREFIX}{secrets.token_hex(8)}",
                ChangeSetType="UPDATE" if state.there else "CREATE",
                TemplateBody=stack.body,
                Parameters=parameters,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=[tag],
            )["Id"]
    except CloudError as error:
        if any(words in error.message for words in NOTHING):
            return Proposal(stack, "", ())
        raise
    found = _awaited(token, stack, sleep=sleep)
    reason = found.get("StatusReason") or ""
    if found["Status"] == "FAILED":
        drop(Proposal(stack, token, ()))
        if not state.there:
            _without_review(stack)
        if any(words in reason for words in NOTHING):
            return Proposal(stack, "", ())
        raise CloudError(
            f"CloudFormation refuses the template of {stack.name}: {reason.rstrip('.')}.",
            fix="see deploy/aws/settings.yaml, and make synth again",
        )
    changes = tuple(_change(each["ResourceChange"]) for each in _all_changes(token, stack))
    return Proposal(stack, token, changes)


def apply(proposal: Proposal, *, new: bool, say: Say, sleep: Sleep = time.sleep) -> State:
    """Carries a change set out, and says each resource's event as it comes.

    Raises:
        CloudError: it failed; CloudFormation has gone back to what was before.
    """
    begun = datetime.now(UTC)
    token, name = proposal.token, proposal.stack.name
    with asking(f"cloudformation:ExecuteChangeSet {name}", fixes=FIXES):
        client("cloudformation").execute_change_set(ChangeSetName=token, StackName=name)
    state = await_end(name, say=say, sleep=sleep, since=begun)
    good = ("CREATE_COMPLETE",) if new else ("UPDATE_COMPLETE", "IMPORT_COMPLETE")
    if state.status not in good:
        raise _failed(name, state, since=begun)
    return state


def drop(proposal: Proposal) -> None:
    """Forgets a change set that is not carried out."""
    if proposal.token:
        with asking(f"cloudformation:DeleteChangeSet {proposal.stack.name}", fixes=FIXES):
            client("cloudformation").delete_change_set(
                ChangeSetName=proposal.token, StackName=proposal.stack.name
            )


def remove(stack: Stack, state: State, *, say: Say, sleep: Sleep = time.sleep) -> State:
    """Removes a stack; one that is gone already stays gone.

    Raises:
        CloudError: something in it cannot be removed; it says what.
    """
    begun = datetime.now(UTC)
    with asking(f"cloudformation:DeleteStack {stack.name}", fixes=FIXES):
        client("cloudformation").delete_stack(StackName=state.stack_id)
    after = await_end(state.stack_id, say=say, sleep=sleep, since=begun)
    if after.there:
        raise _failed(stack.name, after, since=begun)
    return State("")


def await_end(
    name: str, *, say: Say, sleep: Sleep = time.sleep, since: datetime | None = None
) -> State:
    """Waits until nobody works on the stack.

    Args:
        since: from when on events are said; of none, only that it is waited.
    Raises:
        CloudError: it takes longer than an hour.
    """
    seen: set[str] = set()
    waited_s = 0.0
    while True:
        state = state_of(name)
        if since is not None and state.stack_id:
            _say_events(state.stack_id, since, seen, say)
        if not state.status.endswith("_IN_PROGRESS") or state.status == "REVIEW_IN_PROGRESS":
            return state
        if since is None and not waited_s:
            say(f"{name}: {state.status}, by somebody else or an earlier try; waiting")
        if waited_s >= LONGEST_S:
            raise CloudError(
                f"{name} is {state.status} for more than {LONGEST_S / 60:g} minutes.",
                fix="see its events in the console, and run it again: it goes on",
            )
        sleep(POLL_S)
        waited_s += POLL_S


def events(stack_id: str, since: datetime) -> list[dict[str, Any]]:
    """What happened to its resources, oldest first."""
    found: list[dict[str, Any]] = []
    with asking("cloudformation:DescribeStackEvents", fixes=FIXES):
        pages = client("cloudformation").get_paginator("describe_stack_events")
        for page in pages.paginate(StackName=stack_id):
            part = page["StackEvents"]
            found += [each for each in part if each["Timestamp"] >= since]
            if len(found) < len(part):
                break
    return sorted(found, key=lambda each: each["Timestamp"])


def _say_events(stack_id: str, since: datetime, seen: set[str], say: Say) -> None:
    for each in events(stack_id, since.replace(microsecond=0)):
        if each["EventId"] not in seen:
            seen.add(each["EventId"])
            why = each.get("ResourceStatusReason")
            failed = each["ResourceStatus"].endswith("FAILED")
            say(
                f"{each['StackName']}: {each['ResourceStatus']} {each['LogicalResourceId']}"
                + (f": {why}" if why and failed else "")
            )


def _failed(name: str, state: State, *, since: datetime | None = None) -> CloudError:
    """In words, with the first resource that failed: what follows is its consequence."""
    first = next(
        (
            each
            for each in (events(state.stack_id, since.replace(microsecond=0)) if since else ())
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


def _awaited(token: str, stack: Stack, *, sleep: Sleep) -> dict[str, Any]:
    waited_s = 0.0
    while True:
        with asking(f"cloudformation:DescribeChangeSet {stack.name}", fixes=FIXES):
            found: dict[str, Any] = client("cloudformation").describe_change_set(
                ChangeSetName=token, StackName=stack.name
            )
        if found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return found
        if waited_s >= LONGEST_S:
            raise CloudError(
                f"CloudFormation does not say what would change in {stack.name}.", fix="try again"
            )
        sleep(POLL_S)
        waited_s += POLL_S


def _all_changes(token: str, stack: Stack) -> list[dict[str, Any]]:
    with asking(f"cloudformation:DescribeChangeSet {stack.name}", fixes=FIXES):
        pages = client("cloudformation").get_paginator("describe_change_set")
        found = pages.paginate(ChangeSetName=token, StackName=stack.name)
        return [each for page in found for each in page.get("Changes", ())]


WORDS = {"Add": "added", "Modify": "changed", "Remove": "removed", "Import": "taken in"}


def _change(told: Mapping[str, Any]) -> Change:
    replaced = told["Action"] == "Modify" and told.get("Replacement") in ("True", "Conditional")
    action = "replaced" if replaced else WORDS.get(told["Action"], told["Action"].lower())
    kept = told.get("PolicyAction") in ("Retain", "Snapshot")
    return Change(
        action,
        told["LogicalResourceId"],
        told["ResourceType"],
        told.get("PhysicalResourceId", ""),
        action in ("replaced", "removed") and told["ResourceType"] in KEEPS and not kept,
    )


def added(stack: Stack) -> tuple[Change, ...]:
    """What a stack that is not there yet will have."""
    return tuple(Change("added", name, kind) for name, kind in stack.resources.items())


def _without_review(stack: Stack) -> None:
    """A first change set that failed leaves a stack with nothing in it."""
    state = state_of(stack.name)
    if state.status == "REVIEW_IN_PROGRESS":
        with asking(f"cloudformation:DeleteStack {stack.name}", fixes=FIXES):
            client("cloudformation").delete_stack(StackName=state.stack_id)


def _change_sets(name: str, stack_id: str) -> Sequence[Mapping[str, Any]]:
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


def _drop_change_sets(name: str, stack_id: str) -> None:
    for each in _change_sets(name, stack_id):
        if each.get("ExecutionStatus") in ("AVAILABLE", "UNAVAILABLE", "OBSOLETE"):
            with asking(f"cloudformation:DeleteChangeSet {name}", fixes=FIXES):
                client("cloudformation").delete_change_set(
                    ChangeSetName=each["ChangeSetId"], StackName=name
                )
