"""The way back: the version before answers again, at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

from kennel.cloud import CloudError, asking, client
from kennel.cloud import function as functions
from kennel.cloud.changes import apply, propose
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
from kennel.cloud.deployment import Deployment
from kennel.cloud.function import Version
from kennel.cloud.image import bundle_of
from kennel.cloud.mending import settle

Say = Callable[[str], None]
Sleep = Callable[[float], None]


def answering(deployment: Deployment) -> tuple[str, Version]:
    """Name of the function, and the version that answers.

    Raises:
        CloudError: there is none.
    """
    function = outputs(deployment, "service").get(OUT_FUNCTION, "")
    present = functions.live(function) if function else None
    if present is None:
        raise CloudError("there is no service to go back in.", fix="kennel cloud deploy")
    return function, present


def the_one_before(function: str, present: Version) -> Version:
    """The version to go back to.

    Raises:
        CloudError: there is none.
    """
    earlier = functions.before(function, present)
    if earlier is None:
        raise CloudError(
            f"{function} has no version before {present.number} with another image.",
            fix="deploy the bundle that is meant: kennel cloud deploy --bundle bundles/<id>",
        )
    return earlier


def roll_back(
    deployment: Deployment, *, say: Say = lambda _: None, sleep: Sleep = time.sleep
) -> Deployed:
    """Lets the version before answer: at once by the alias, then in the stack as well.

    Raises:
        CloudError: there is no service, or no version before.
    """
    account()
    function, present = answering(deployment)
    earlier = the_one_before(function, present)
    back_to(deployment, function, earlier, say=say, sleep=sleep)
    _, now = answering(deployment)
    stands = outputs(deployment, "service")
    return Deployed(
        (f"{deployment.name}-service",),
        stands,
        digest=earlier.digest,
        bundle=_bundle(deployment, earlier.digest),
        version=now.number,
        url=stands.get(OUT_URL, ""),
    )


def back_to(
    deployment: Deployment, function: str, earlier: Version, *, say: Say, sleep: Sleep
) -> None:
    """The alias first, which takes a moment; then the stack, or its next update would undo it."""
    functions.point(function, earlier.number)
    say(f"{function}: version {earlier.number} answers")
    stack = deployment.stack("service")
    assert stack is not None
    state = settle(deployment, stack, say=say, sleep=sleep)
    with asking(f"cloudformation:GetTemplate {stack.name}", fixes={}):
        told = client("cloudformation").get_template(StackName=stack.name)["TemplateBody"]
    # As it stands there, and not as settings.yaml has it by now: it is the image that goes back.
    standing = replace(stack, body=told if isinstance(told, str) else json.dumps(told))
    values = {DIGEST: earlier.digest, BUNDLE: _bundle(deployment, earlier.digest)}
    proposal = propose(deployment, standing, state, values, sleep=sleep)
    if proposal.token:
        apply(proposal, new=False, say=say, sleep=sleep)


def _bundle(deployment: Deployment, digest: str) -> str:
    """Which bundle is in that image."""
    uri = repository(deployment)
    bundle = bundle_of(uri.partition("/")[2], digest) if uri else ""
    if not bundle:
        raise CloudError(
            f"no tag in the repository says which bundle is in {digest[:19]}.",
            fix="deploy the bundle that is meant: kennel cloud deploy --bundle bundles/<id>",
        )
    return bundle
