"""A stack that an earlier command, or somebody else, left half-way: gone on with, or refused."""

from __future__ import annotations

import time

from kennel.cloud import CloudError, asking, buckets, client
from kennel.cloud.deployed import account
from kennel.cloud.deployment import Deployment, Stack
from kennel.cloud.names import exact_names
from kennel.cloud.stacks import (
    DEAD,
    FIXES,
    STUCK,
    WHOLE,
    Say,
    Sleep,
    State,
    await_end,
    change_sets,
    failed,
    ours,
    remove,
    resources,
)

BUCKET = "AWS::S3::Bucket"


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
        _clear_way(deployment, stack, mend=mend, say=say)
        return State("")
    if not ours(deployment, stack, state):
        raise CloudError(
            f"there is a stack {stack.name} already, and it is not of this deployment: it has no "
            f"tag {deployment.tag.key}={deployment.tag.value}.",
            fix="another `name` in deploy/aws/settings.yaml",
            code="NameTaken",
        )
    dead = state.status == "REVIEW_IN_PROGRESS" or state.status in DEAD
    if dead:
        _check_data(stack, state)
    if mend or state.status in WHOLE:
        _drop_change_sets(stack.name, state.stack_id)
    if not mend:
        return state
    if dead:
        say(f"{stack.name}: {state.status}, left by an earlier try; removed, to be made anew")
        own = [name for kind, name in resources(state) if kind == BUCKET]
        remove(stack, state, say=say, sleep=sleep)
        for name in own:  # its template keeps the bucket, and would not make it a second time
            if buckets.contents(name) is not None:
                buckets.remove(name)
        return State("")
    if state.status in STUCK:
        say(f"{stack.name}: {state.status}; its way back is gone on with")
        with asking(f"cloudformation:ContinueUpdateRollback {stack.name}", fixes=FIXES):
            client("cloudformation").continue_update_rollback(StackName=state.stack_id)
        state = await_end(state.stack_id, say=say, sleep=sleep)
    if state.status not in WHOLE:
        raise failed(stack.name, state)
    return state


def _check_data(stack: Stack, state: State) -> None:
    """What is made anew is empty: a half-made stack that holds data is not."""
    for kind, name in resources(state):
        if kind == BUCKET and (held := buckets.contents(name)) and held.versions:
            raise CloudError(
                f"{stack.name} is {state.status}, and its bucket {name} holds {held}.",
                fix=f"remove both: kennel cloud destroy --only storage --with-data {name}; or keep "
                "the data elsewhere first",
                code="HoldsData",
            )


def _clear_way(deployment: Deployment, stack: Stack, *, mend: bool, say: Say) -> None:
    """A bucket that an earlier stack kept would be in the way: CloudFormation makes none twice."""
    if BUCKET not in stack.resources.values():
        return
    for name in exact_names(deployment, account())[BUCKET]:
        worn = buckets.tags(name)
        if worn is None or worn.get(deployment.tag.key) != deployment.tag.value:
            continue
        held = buckets.contents(name)
        if held is not None and held.versions:
            raise CloudError(
                f"the bucket {name} holds {held}, and belongs to no stack any more.",
                fix=f"remove it: kennel cloud destroy --with-data {name}; or take it in by hand: "
                "aws cloudformation create-change-set --import-existing-resources",
                code="HoldsData",
            )
        if held is not None and mend:
            say(f"{name}: empty, and of no stack; removed, to be made anew")
            buckets.remove(name)


def _drop_change_sets(name: str, stack_id: str) -> None:
    for each in change_sets(name, stack_id):
        if each.get("ExecutionStatus") in ("AVAILABLE", "UNAVAILABLE", "OBSOLETE"):
            with asking(f"cloudformation:DeleteChangeSet {name}", fixes=FIXES):
                client("cloudformation").delete_change_set(
                    ChangeSetName=each["ChangeSetId"], StackName=name
                )
