"""What would change in a stack, looked at before it is done: a change set of CloudFormation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kennel.cloud import CloudError, asking, client
from kennel.cloud.deployment import Deployment, Stack
from kennel.cloud.stacks import (
    FIXES,
    LONGEST_S,
    POLL_S,
    PREFIX,
    Say,
    Sleep,
    State,
    await_end,
    failed,
    last_event,
    state_of,
)

HANDS = "ServiceRoleArn"  # output of the identity stack
NOTHING = ("didn't contain changes", "No updates are to be performed")
KEEPS = {  # types that hold what cannot be made again
    "AWS::S3::Bucket",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::DynamoDB::Table",
    "AWS::EC2::Volume",
}


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
                StackName=stack.name,
                ChangeSetName=f"{PREFIX}{secrets.token_hex(8)}",
                ChangeSetType="UPDATE" if state.there else "CREATE",
                TemplateBody=stack.body,
                Parameters=parameters,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=[tag],
                **_hands(deployment, stack),
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


def _hands(deployment: Deployment, stack: Stack) -> dict[str, str]:
    """By whose rights CloudFormation changes the stack: the service by the role that is for it,
    where identity made one, whoever asks; everything else by the rights of who asks.
    """
    identity = deployment.stack("identity") if stack.room == "service" else None
    role = (state_of(identity.name).outputs or {}).get(HANDS, "") if identity else ""
    return {"RoleARN": role} if role else {}


def apply(proposal: Proposal, *, new: bool, say: Say, sleep: Sleep = time.sleep) -> State:
    """Carries a change set out, and says each resource's event as it comes.

    Raises:
        CloudError: it failed; CloudFormation has gone back to what was before.
    """
    token, name = proposal.token, proposal.stack.name
    mark = "" if new else last_event(state_of(name).stack_id)
    with asking(f"cloudformation:ExecuteChangeSet {name}", fixes=FIXES):
        client("cloudformation").execute_change_set(ChangeSetName=token, StackName=name)
    state = await_end(name, say=say, sleep=sleep, after=mark)
    good = ("CREATE_COMPLETE",) if new else ("UPDATE_COMPLETE", "IMPORT_COMPLETE")
    if state.status not in good:
        raise failed(name, state, after=mark)
    return state


def drop(proposal: Proposal) -> None:
    """Forgets a change set that is not carried out."""
    if proposal.token:
        with asking(f"cloudformation:DeleteChangeSet {proposal.stack.name}", fixes=FIXES):
            client("cloudformation").delete_change_set(
                ChangeSetName=proposal.token, StackName=proposal.stack.name
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
