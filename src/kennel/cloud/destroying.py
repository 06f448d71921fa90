"""A deployment, removed: what goes, what stays, in the reverse of the order in which it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kennel.cloud import CloudError, buckets
from kennel.cloud.deployed import account
from kennel.cloud.deployment import Deployment, Stack
from kennel.cloud.stacks import State, await_end, ours, remove, resources, state_of

Say = Callable[[str], None]
Sleep = Callable[[float], None]
BUCKET = "AWS::S3::Bucket"


@dataclass(frozen=True)
class Going:
    """One stack that is there.

    Attributes:
        resources: how many it has.
        data: name of its bucket where that holds something; "" where nothing of it does.
        holds: what the bucket holds, in words.
    """

    stack: Stack
    status: str
    resources: int
    data: str = ""
    holds: str = ""


@dataclass(frozen=True)
class Removal:
    """What there is to remove, in the order in which it goes."""

    deployment: Deployment
    account: str
    stacks: tuple[Going, ...]

    @property
    def data(self) -> tuple[str, ...]:
        """Buckets that hold something."""
        return tuple(each.data for each in self.stacks if each.data)


@dataclass(frozen=True)
class Destroyed:
    """What went, and what stayed because it holds data."""

    gone: tuple[str, ...]
    kept: tuple[str, ...]


def removal(
    deployment: Deployment,
    *,
    only: tuple[str, ...] = (),
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Removal:
    """Looks at what is there; nothing is changed.

    Raises:
        CloudError: a stack of that name is somebody else's, or AWS refuses.
    """
    whose = account()
    found = []
    for stack in reversed(deployment.only(only)):
        state = await_end(stack.name, say=say, sleep=sleep)
        if not state.there:
            continue
        _check_ours(deployment, stack, state)
        has = resources(state)
        data, holds = "", ""
        for kind, name in has:
            if kind == BUCKET and (inside := buckets.contents(name)) and not inside.empty:
                data, holds = name, str(inside)
        found.append(Going(stack, state.status, len(has), data, holds))
    _check_needed(deployment, found, only)
    return Removal(deployment, whose, tuple(found))


def destroy(
    planned: Removal,
    *,
    with_data: bool = False,
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Destroyed:
    """Removes it. A stack whose bucket holds something stays whole unless `with_data`.

    Raises:
        CloudError: something cannot be removed; it says what. The same command goes on.
    """
    gone, kept = [], []
    for going in planned.stacks:
        stack = going.stack
        state = await_end(stack.name, say=say, sleep=sleep)
        if not state.there:
            continue
        _check_ours(planned.deployment, stack, state)
        own = [name for kind, name in resources(state) if kind == BUCKET]
        full = [name for name in own if (held := buckets.contents(name)) and not held.empty]
        if full and not with_data:
            say(f"{stack.name}: stays, {full[0]} holds data")
            kept.append(full[0])
            continue
        for name in full:
            say(f"{name}: emptied, {buckets.empty(name):,} removed")
        remove(stack, state, say=say, sleep=sleep)
        for name in own:  # the template may keep the bucket; empty, it is kept for nobody
            if buckets.contents(name) is not None:
                buckets.remove(name)
        gone.append(stack.name)
        say(f"{stack.name}: gone")
    return Destroyed(tuple(gone), tuple(kept))


def _check_ours(deployment: Deployment, stack: Stack, state: State) -> None:
    if not ours(deployment, stack, state):
        raise CloudError(
            f"{stack.name} is not of this deployment: it has no tag "
            f"{deployment.tag.key}={deployment.tag.value}. Nothing of it is touched.",
            fix="see `name` in deploy/aws/settings.yaml",
            code="NameTaken",
        )


def _check_needed(deployment: Deployment, found: list[Going], only: tuple[str, ...]) -> None:
    """What others stand on is not taken from under them."""
    going = {each.stack.room for each in found}
    for other in deployment.stacks:
        needed = sorted(going & set(other.depends_on))
        if only and needed and other.room not in going and state_of(other.name).there:
            raise CloudError(
                f"{other.name} needs {', '.join(needed)}.",
                fix=f"kennel cloud destroy --only {other.room} {' '.join(needed)}",
            )
