"""Another bundle and back, a machine for an hour, and the end of all of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kennel.cloud import destroying, going_back, runner, sweeping
from kennel.cloud.limit import set_limit
from kennel.cloud.machine import Wish, living
from kennel.cloud.offers import kinds_named, subnets_named
from kennel.cloud.rehearsal.answering import same_answers
from kennel.cloud.rehearsal.expected import expect
from kennel.cloud.rehearsal.stage import Stage
from kennel.cloud.rehearsal.way_there import deploy_one
from kennel.cloud.renting import rent_any

MACHINE = "kennel-rehearsal-1"


def second(stage: Stage) -> str:
    done = deploy_one(stage, 1)
    expect(done.digest == stage.images[1].digest, "another image answers than was deployed")
    expect(done.checked, "the function was not asked")
    same_answers(stage, 1)
    what = "another bundle" if stage.bundles[0] != stage.bundles[1] else "another image of it"
    return f"{what} as version {done.version}: answers as kennel predict does"


def back(stage: Stage) -> str:
    with stage.acting("deploy"):
        done = going_back.roll_back(stage.deployment, sleep=stage.sleep)
    expect(done.digest == stage.images[0].digest, "the image before does not answer")
    same_answers(stage, 0)
    return f"{done.bundle or stage.bundles[0].bundle_id} answers again, as version {done.version}"


def machine(stage: Stage) -> str:
    """Rented by the launch template, its limit before it; ended, and its limit with it."""
    told = stage.kept["outputs"]
    if "LaunchTemplateId" not in told:
        return "left out: this deployment rents none"
    until = datetime.now(UTC) + timedelta(hours=1)
    wish = Wish(
        MACHINE,
        told["LaunchTemplateId"],
        kinds_named(told["InstanceTypes"]),
        "spot-first",
        1.0,
        told["EnderRoleArn"],
        "",
        "",
        subnets=subnets_named(told["SubnetIds"]),
        deployment=stage.deployment.name,
    )
    with stage.acting("runner"):
        set_limit(MACHINE, until=until, role=wish.ender)
        found = rent_any(
            wish, b"#!/bin/sh\n", until, secret=MACHINE, sleep=stage.sleep, say=lambda _: None
        )
        expect(
            [each["InstanceId"] for each in living(MACHINE)] == [found.instance_id], "no machine"
        )
        ended = runner.stop(MACHINE)
        expect(len(ended) == 1 and not living(MACHINE), "the machine was not ended")
        expect(not runner.stop(MACHINE), "stopped again, it found another machine")
    schedules = stage.emulator.client("scheduler").list_schedules()["Schedules"]
    expect(not schedules, f"{len(schedules)} limits stay")
    return f"{found.offer}: rented, ended, its limit gone; GitHub was not asked"


def destroy(stage: Stage) -> str:
    """All stacks; what holds data only when it is said."""
    stage.function.rest()  # what a sandbox says after this would make its log anew
    with stage.acting("deploy"):
        planned = destroying.removal(stage.deployment, sleep=stage.sleep)
        kept = destroying.destroy(planned, sleep=stage.sleep)
        expect(bool(kept.kept), "it removed a bucket with data in it, and nobody said so")
        planned = destroying.removal(stage.deployment, sleep=stage.sleep)
        gone = destroying.destroy(planned, with_data=True, sleep=stage.sleep)
    expect(not gone.kept, f"{', '.join(gone.kept)} stay")
    return f"{len(kept.gone)} stacks; {len(kept.kept)} kept for its data until --with-data said so"


def sweep(stage: Stage) -> str:
    """A log group that Lambda made anew is planted. It goes, and then nothing is left."""
    logs = stage.emulator.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{stage.emulator.function}")
    with stage.acting("deploy"):
        found = sweeping.leftovers(stage.deployment)
        expect(any("LogGroup" in each.kind for each in found), "the planted log group is not seen")
        sweeping.sweep(found, sleep=stage.sleep)
        left = sweeping.leftovers(stage.deployment)
    stage.kept["left"] = [f"{each.kind} {each.name}" for each in left]
    still = [each for each in left if not each.going]
    expect(not still, f"left: {', '.join(f'{each.kind} {each.name}' for each in still)}")
    words = ["kennel", "cloud", "sweep", "--verify", "--templates", str(stage.templates)]
    stage.run(words, role="deploy", where=stage.folder)  # and the verb itself ends with 0
    going = f", {len(left)} goes by itself: {left[0].kind}" if left else ""
    return f"{len(found)} found and removed; nothing is left{going}"
