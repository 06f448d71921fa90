"""What is left of a deployment: everything with its tag, and the usual orphans without one.

Nothing is touched that has neither the tag nor the exact name. What a stack has is the stack's, and
what a machine has goes with the machine. AWS's index of tags lags behind, so each service is asked
itself; the index then names what no service was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from kennel.cloud import CloudError
from kennel.cloud.deployed import account
from kennel.cloud.deployment import Deployment
from kennel.cloud.sweeping import acting, computing, holding, inviting, rights, tagged
from kennel.cloud.sweeping.inviting import Guests
from kennel.cloud.sweeping.scope import Leftover, Scope, scope_of

__all__ = ["Guests", "Leftover", "leftovers", "sweep"]

Say = Callable[[str], None]
STACK = "AWS::CloudFormation::Stack"
FINDERS: tuple[Callable[[Scope], Iterator[Leftover]], ...] = (
    computing.find,
    acting.find,
    holding.find,
    rights.find,
)
REMOVERS: dict[str, Callable[[Leftover], None]] = {
    **computing.REMOVERS,
    **acting.REMOVERS,
    **holding.REMOVERS,
    **rights.REMOVERS,
}
# Machines before their limits and their networks; who acts before what it may.
ORDER = tuple(REMOVERS)
ROUNDS, PAUSE_S = 4, 5.0


def leftovers(
    deployment: Deployment,
    *,
    guests: Guests | None = None,
    now: Callable[[], float] = time.time,
    say: Say = lambda _: None,
) -> tuple[Leftover, ...]:
    """All that is there, whether a stack has it or nobody does. Nothing is changed.

    Args:
        guests: GitHub, asked for runners that never come; None does not ask.
    Raises:
        CloudError: AWS refuses to say.
    """
    present = datetime.fromtimestamp(now(), UTC)
    scope = scope_of(deployment, account=account(), now=present)
    found = [
        Leftover(
            STACK,
            name,
            stack_id,
            words=status,
            stays="kennel cloud destroy",
        )
        for name, stack_id, status in scope.stacks
    ]
    for finder in FINDERS:
        found += finder(scope)
    found += tagged.find(scope, {each.arn for each in found if each.arn})
    if guests is not None:
        found += inviting.find(guests, now())
    else:
        say("GitHub is not asked for runners that never come: KENNEL_APP_ID is not set")
    return tuple(found)


def sweep(
    found: tuple[Leftover, ...],
    *,
    guests: Guests | None = None,
    with_data: str = "",
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    say: Say = lambda _: None,
) -> tuple[Leftover, ...]:
    """Removes what may be removed.

    Args:
        with_data: name of a bucket that goes with all that is in it.
    Returns:
        what is still there, each with why.
    """
    if with_data:
        found = tuple(holding.emptied(each) if each.name == with_data else each for each in found)
    still = [each for each in found if each.stays]
    waiting = [each for each in found if not each.stays]
    waiting.sort(key=lambda each: ORDER.index(each.kind) if each.kind in ORDER else len(ORDER))
    for round_ in range(ROUNDS):
        if round_ and waiting:
            sleep(PAUSE_S)  # machines take a moment to end, and hold their network until then
        refused: list[Leftover] = []
        for each in waiting:
            try:
                if each.kind == inviting.KIND:
                    if guests is not None:
                        inviting.remove(guests, each, now())
                else:
                    REMOVERS[each.kind](each)
            except CloudError as error:
                refused.append(replace(each, stays=error.message))
            else:
                say(f"removed {each.kind} {each.name}")
        waiting = [replace(each, stays="") for each in refused]
        if not waiting:
            break
    return (*still, *refused)
