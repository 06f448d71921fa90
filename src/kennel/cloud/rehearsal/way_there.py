"""The way there: the price, what is played, a deployment that is cut and gone on with."""

from __future__ import annotations

from collections.abc import Callable

from kennel.cloud import CloudError, deploying
from kennel.cloud import status as standing
from kennel.cloud.cost import cost_of
from kennel.cloud.cost.measured import shipped
from kennel.cloud.deployed import Deployed
from kennel.cloud.function import Check
from kennel.cloud.rehearsal.expected import FIX, expect
from kennel.cloud.rehearsal.stage import Stage


class _Cut(BaseException):
    """The command dies here: not an error that anything could handle."""


def price(stage: Stage) -> str:
    cost = cost_of(stage.deployment, shipped())
    million = f"; a million photos {cost.answers[0].per_million:.2f} $" if cost.answers else ""
    return f"{cost.idle.usd:.2f} $ a month idle{million}"


def types(stage: Stage) -> str:
    """Which types of CloudFormation are played, and by whom; one that nobody plays ends it."""
    found = played_types(stage)
    nobody = [name for name, who in found.items() if who == "nobody"]
    expect(not nobody, f"nobody plays {', '.join(nobody)}")
    ours = sum(who == "ours" for who in found.values())
    return f"{len(found)} types of CloudFormation: {ours} by ours, {len(found) - ours} by moto"


def played_types(stage: Stage) -> dict[str, str]:
    """Type -> "ours", "moto" or "nobody"."""
    found = sorted({kind for each in stage.deployment.stacks for kind in each.resources.values()})
    ours, moto = stage.emulator.ours, stage.emulator.moto
    return {
        each: "ours" if each in ours else "moto" if each in moto else "nobody" for each in found
    }


def cut_short(stage: Stage) -> str:
    """A deployment that dies in the middle of its second stack."""
    second = stage.deployment.stacks[1].name

    def die(words: str) -> None:
        if words.startswith(f"{second}: ") and "changes" not in words:
            raise _Cut

    try:
        deploy_one(stage, 0, say=die, checked=False)
    except _Cut:
        return f"killed while {second} was made"
    raise CloudError(f"{second} was made without a word", fix=FIX)


def deploy(stage: Stage) -> str:
    done = deploy_one(stage, 0)
    expect(done.checked, "the function was not asked")
    before = done.done
    again = deploy_one(stage, 0)
    expect(not again.done, f"deployed again, it changed {', '.join(again.done)}")
    stage.kept["outputs"] = done.outputs
    went_on = f"went on with {len(before)} of {len(stage.deployment.stacks)} stacks"
    return f"{went_on}, version {done.version} answers as the bundle does; again: nothing to do"


def deploy_one(
    stage: Stage, which: int, *, say: Callable[[str], None] = lambda _: None, checked: bool = True
) -> Deployed:
    image, check = stage.images[which], _check(stage, which) if checked else None
    with stage.acting("deploy"):
        planned = deploying.plan(stage.deployment, image=image, say=say, sleep=stage.sleep)
        return deploying.deploy(planned, check=check, say=say, sleep=stage.sleep)


def _check(stage: Stage, which: int) -> Check:
    bundle = stage.bundles[which]
    for photo, said in zip(stage.photos, stage.predicted(bundle), strict=True):
        if photo.suffix == ".jpg" and "label" in said:
            return Check(photo.read_bytes(), said["label"], said["probability"], bundle.bundle_id)
    raise CloudError("no photo could be answered.", fix="see the bundle: kennel verify")


def state(stage: Stage) -> str:
    with stage.acting("deploy"):
        found = standing.status(stage.deployment)
    expect(found.serving is not None, "status says that nothing serves")
    expect(all(each.ours for each in found.stacks), "status misses a stack")
    return f"{len(found.stacks)} stacks stand, and are ours"
