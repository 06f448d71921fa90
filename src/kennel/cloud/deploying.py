"""A deployment, done: looked at, then stack by stack, and the function asked before it is left.

The same command again finds nothing to do; after a cut at any point it goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from kennel.cloud import CloudError
from kennel.cloud import function as functions
from kennel.cloud.changes import Change, Proposal, added, apply, drop, propose
from kennel.cloud.deployed import (
    BUNDLE,
    DIGEST,
    OUT_FUNCTION,
    OUT_URL,
    Deployed,
    account,
    outputs,
    repository,
)
from kennel.cloud.deployment import Deployment, Stack
from kennel.cloud.function import Check, Version
from kennel.cloud.going_back import back_to
from kennel.cloud.image import Image, push, pushed
from kennel.cloud.mending import settle
from kennel.cloud.stacks import DEAD, STUCK, State, remove, state_of

Say = Callable[[str], None]
Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Step:
    """What is to be done to one stack.

    Attributes:
        how: "new", "changed", "mended", "nothing".
        changes: of resources, as far as they can be known before.
        proposal: a change set that waits; None where there is none yet.
    """

    stack: Stack
    how: str
    changes: tuple[Change, ...] = ()
    proposal: Proposal | None = None
    status: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done, all of it.

    Attributes:
        account: id of AWS's account.
        image: what the service runs; None where no service is deployed.
        digest: of that image in the repository; None where it has to be pushed first.
        answering: the version that answers now.
    """

    deployment: Deployment
    account: str
    steps: tuple[Step, ...]
    image: Image | None = None
    digest: str | None = None
    answering: Version | None = None

    @property
    def nothing(self) -> bool:
        moved = self.image is not None and (
            self.answering is None or self.answering.digest != self.digest
        )
        return all(step.how == "nothing" for step in self.steps) and not moved

    @property
    def losses(self) -> tuple[Change, ...]:
        """What holds data and would be removed or replaced."""
        return tuple(each for step in self.steps for each in step.changes if each.keeps_data)


def plan(
    deployment: Deployment,
    *,
    only: tuple[str, ...] = (),
    image: Image | None = None,
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Plan:
    """Looks at every stack; nothing is changed. Change sets of stacks that are there wait.

    Args:
        only: rooms; of none, all.
        image: what the service is to run; None keeps what it runs.
    Raises:
        CloudError: a name is taken, an image or a stack before it is missing.
    """
    stacks = deployment.only(only)
    whose = account()
    wanted = image if any(each.room == "service" for each in stacks) else None
    digest = _digest_there(deployment, wanted)
    steps: list[Step] = []
    try:
        for stack in stacks:
            steps.append(_step(deployment, stack, wanted, digest, say=say, sleep=sleep))
        _check_before(deployment, steps)
        answering = _answering(deployment) if wanted else None
    except BaseException:
        forget(Plan(deployment, whose, tuple(steps)))
        raise
    return Plan(deployment, whose, tuple(steps), wanted, digest, answering)


def forget(refused: Plan) -> None:
    """Takes the change sets back that wait for a yes which does not come."""
    for step in refused.steps:
        if step.proposal:
            with suppress(CloudError):
                drop(step.proposal)


def _step(
    deployment: Deployment,
    stack: Stack,
    image: Image | None,
    digest: str | None,
    *,
    say: Say,
    sleep: Sleep,
) -> Step:
    state = settle(deployment, stack, say=say, sleep=sleep, mend=False)
    if not state.there:
        if stack.room == "service" and image is None:
            raise CloudError(
                "the service has no image yet.", fix="name one: --image kennel-serve --bundle DIR"
            )
        return Step(stack, "new", added(stack))
    if state.status in (*DEAD, "REVIEW_IN_PROGRESS"):
        return Step(stack, "mended", added(stack), status=state.status)
    if state.status in STUCK:
        return Step(stack, "mended", status=state.status)
    values = _values(stack, image, digest)
    proposal = propose(deployment, stack, state, values, sleep=sleep)
    moves = stack.room == "service" and image is not None and digest is None
    if not proposal.token:
        return Step(stack, "changed" if moves else "nothing", status=state.status)
    return Step(stack, "changed", proposal.changes, proposal, state.status)


def _values(stack: Stack, image: Image | None, digest: str | None) -> dict[str, str]:
    if stack.room != "service" or image is None or digest is None:
        return {}
    return {DIGEST: digest, BUNDLE: image.bundle}


def _check_before(deployment: Deployment, steps: list[Step]) -> None:
    """What a stack depends on is there, or is made before it."""
    made = {step.stack.room for step in steps}
    for step in steps:
        for room in step.stack.depends_on:
            other = deployment.stack(room)
            if room not in made and other and not state_of(other.name).there:
                raise CloudError(
                    f"{step.stack.name} needs {other.name}, which is not there.",
                    fix=f"kennel cloud deploy --only {room} {step.stack.room}",
                )


def deploy(
    planned: Plan,
    *,
    check: Check | None = None,
    with_data: bool = False,
    say: Say = lambda _: None,
    sleep: Sleep = time.sleep,
) -> Deployed:
    """Does what was planned.

    Args:
        check: a photo with the bundle's own answer; the function is asked, and goes back to the
            version before when it answers otherwise.
        with_data: whether what holds data may be removed or replaced.
    Raises:
        CloudError: AWS refuses, a stack fails, or the function answers otherwise. What was done
            stays; the same command goes on from there.
    """
    if planned.losses and not with_data:
        forget(planned)
        names = ", ".join(each.physical or each.logical for each in planned.losses)
        raise CloudError(
            f"{names} holds data, and would be removed or replaced.",
            fix="keep what is in it elsewhere, then say --with-data",
            code="Loss",
        )
    done: list[str] = []
    digest = planned.digest
    left = planned
    try:
        for step in planned.steps:
            left = replace(left, steps=left.steps[1:])
            if step.stack.room == "service" and planned.image is not None:
                digest = _pushed(planned, say=say)
            if _carry_out(planned, step, digest, with_data=with_data, say=say, sleep=sleep):
                done.append(step.stack.name)
    finally:
        forget(left)
    stood = _stood(planned, tuple(done))
    if planned.image is None or digest is None:
        return stood
    return _left_answering(planned, stood, digest, check, say=say, sleep=sleep)


def _carry_out(
    planned: Plan, step: Step, digest: str | None, *, with_data: bool, say: Say, sleep: Sleep
) -> bool:
    """One stack; whether anything was changed."""
    deployment, stack, proposal = planned.deployment, step.stack, step.proposal
    moves = stack.room == "service" and planned.image is not None and planned.digest is None
    if step.how == "nothing":
        return False
    state = State(step.status)
    if proposal is None or moves:
        if proposal:
            drop(proposal)
        state = settle(deployment, stack, say=say, sleep=sleep)
        values = _values(stack, planned.image, digest)
        proposal = propose(deployment, stack, state, values, sleep=sleep)
        known = {(each.logical, each.action) for each in step.changes}
        lost = [e for e in proposal.changes if e.keeps_data and (e.logical, e.action) not in known]
        if lost and not with_data:
            drop(proposal)
            raise CloudError(
                f"{lost[0].physical or lost[0].logical} holds data and would be {lost[0].action}, "
                "which was not to be seen before.",
                fix="look at it again: kennel cloud deploy",
            )
    if not proposal.token:
        return False
    say(f"{stack.name}: {len(proposal.changes)} changes")
    try:
        apply(proposal, new=not state.there, say=say, sleep=sleep)
    except CloudError:
        _take_away(deployment, stack, say=say, sleep=sleep)
        raise
    return True


def _take_away(deployment: Deployment, stack: Stack, *, say: Say, sleep: Sleep) -> None:
    """What is left of a stack that could not be made: nothing of it works, and some of it costs."""
    with suppress(CloudError):
        state = state_of(stack.name)
        if state.status in DEAD and state.status != "DELETE_FAILED":
            say(f"{stack.name}: what is left of it is removed")
            remove(stack, state, say=say, sleep=sleep)


def _left_answering(
    planned: Plan, stood: Deployed, digest: str, check: Check | None, *, say: Say, sleep: Sleep
) -> Deployed:
    """The function answers with that image, and as the bundle does; or as before."""
    deployment = planned.deployment
    said = outputs(deployment, "service")
    function, url = said[OUT_FUNCTION], said.get(OUT_URL, "")
    present = functions.live(function)
    if present is None or present.digest != digest:
        # Cut between the two halves of a way back: the stack knows of none.
        right = next((v for v in functions.versions(function) if v.digest == digest), None)
        if right is None:
            raise CloudError(
                f"{function} has no version of {digest[:19]}.", fix="kennel cloud deploy again"
            )
        functions.point(function, right.number)
        present = right
    bundle = planned.image.bundle if planned.image else ""
    result = replace(
        stood, digest=digest, bundle=bundle, version=present.number, url=url, checked=False
    )
    if check is None:
        return result
    try:
        answer = functions.compare(url, check, sleep=sleep)
    except CloudError as error:
        if planned.answering is None or planned.answering.digest == digest:
            raise
        say(f"{function}: {error.message} Back to version {planned.answering.number}")
        back_to(deployment, function, planned.answering, say=say, sleep=sleep)
        raise CloudError(
            f"{error.message} The version before answers again.", fix=error.fix, code="WentBack"
        ) from error
    say(f"{function}: answers {answer.label} {answer.probability:.3f}, as the bundle does")
    return replace(result, checked=True)


def _digest_there(deployment: Deployment, image: Image | None) -> str | None:
    uri = repository(deployment) if image else ""
    return pushed(uri.partition("/")[2], image) if uri and image else None


def _pushed(planned: Plan, *, say: Say) -> str:
    assert planned.image is not None
    uri = repository(planned.deployment)
    if not uri:
        raise CloudError(
            "there is no repository for the image.", fix="kennel cloud deploy --only images"
        )
    if planned.digest is None:
        say(f"{uri.partition('/')[2]}: {planned.image.tag} is pushed")
    return push(uri.partition("/")[2], uri, planned.image)


def _answering(deployment: Deployment) -> Version | None:
    function = outputs(deployment, "service").get(OUT_FUNCTION, "")
    return functions.live(function) if function else None


def _stood(planned: Plan, done: tuple[str, ...]) -> Deployed:
    found: dict[str, str] = {}
    for step in planned.steps:
        found |= outputs(planned.deployment, step.stack.room)
    return Deployed(done, found)
