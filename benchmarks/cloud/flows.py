"""The two flows that are compared, each as its start job and its stop job run it.

Kennel's are the functions behind `kennel cloud runner start` and `stop`. The usual one does what
actions that start and stop a machine do (machulav/ec2-github-runner and its kin): RunInstances, the
id as the job's output, wait for the registration; the stop job ends that id. It is given what many
of them lack: a client token, tags, and its output before it waits.

    python benchmarks/cloud/flows.py start      the usual start, as a process
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from kennel.cloud import client
from kennel.cloud.machine import Wish
from kennel.cloud.offers import Kind
from kennel.cloud.runner import dismiss, start, stop
from kennel.errors import KennelError
from kennel.github import Api

REQUESTS = {  # that a whole run makes, by flow and job
    ("kennel", "start"): 9,
    ("kennel", "stop"): 8,
    ("usual", "start"): 2,
    ("usual", "stop"): 1,
}
WAIT_S, POLL_S = 300.0, 10.0


class Clock:
    """Simulated: it moves when somebody sleeps, and a file keeps how far."""

    def __init__(self, begun_s: float, kept: Path) -> None:
        self.begun_s, self.kept, self.past_s = begun_s, kept, 0.0

    def now(self) -> float:
        return self.begun_s + self.past_s

    def sleep(self, seconds: float) -> None:
        self.past_s += seconds
        self.kept.write_text(str(self.past_s))


def kennel_start(clock: Clock, output: Path, hours: float) -> None:
    wish = Wish(
        name=os.environ["RUNNER_NAME"],
        template=os.environ["KENNEL_RUNNER_TEMPLATE"],
        kinds=(Kind("g4dn.xlarge", 0.526),),
        market="spot-first",
        hours=hours,
        ender=os.environ["KENNEL_RUNNER_ENDER"],
        app_id=os.environ["KENNEL_APP_ID"],
        app_key=os.environ["KENNEL_APP_KEY"],
    )
    rented = start(wish, _api(), now=clock.now, sleep=clock.sleep)
    output.write_text(rented.label, encoding="utf-8")


def kennel_stop(clock: Clock, output: Path, hours: float) -> None:
    name = os.environ["RUNNER_NAME"]
    stop(name)
    with suppress(KennelError):
        dismiss(
            name,
            _api(),
            app_id=os.environ["KENNEL_APP_ID"],
            app_key=os.environ["KENNEL_APP_KEY"],
            now=clock.now,
        )


def _api() -> Api:
    address = os.environ["GITHUB_API_URL"]
    return Api(os.environ["GITHUB_REPOSITORY"], token="", address=address)


def usual_start(clock: Clock, output: Path, hours: float) -> None:
    name = os.environ["RUNNER_NAME"]
    answer = client("ec2").run_instances(
        LaunchTemplate={"LaunchTemplateName": os.environ["KENNEL_RUNNER_TEMPLATE"]},
        InstanceType="g4dn.xlarge",
        MinCount=1,
        MaxCount=1,
        ClientToken=name,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "kennel-runner", "Value": name}]}
        ],
    )
    output.write_text(answer["Instances"][0]["InstanceId"], encoding="utf-8")
    begun = clock.now()
    while not _registered(name):
        if clock.now() - begun > WAIT_S:
            raise SystemExit("the runner was not registered")
        clock.sleep(POLL_S)


def _registered(name: str) -> bool:
    address, repository = os.environ["GITHUB_API_URL"], os.environ["GITHUB_REPOSITORY"]
    request = urllib.request.Request(  # noqa: S310 - a server on this machine
        f"{address}/repos/{repository}/actions/runners?name={name}",
        headers={"Authorization": f"Bearer {os.environ['GITHUB_PAT']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return any(each["status"] == "online" for each in json.load(answer)["runners"])


def usual_stop(clock: Clock, output: Path, hours: float) -> None:
    client("ec2").terminate_instances(InstanceIds=[output.read_text(encoding="utf-8")])


JOBS: dict[tuple[str, str], Any] = {
    ("kennel", "start"): kennel_start,
    ("kennel", "stop"): kennel_stop,
    ("usual", "start"): usual_start,
    ("usual", "stop"): usual_stop,
}


SERVICES = ("ec2", "kms", "scheduler")
if (
    "KENNEL_CRASHES" in os.environ
):  # in the process that jobs are forked from: made once, not each time
    for service in SERVICES:
        client(service)


class Waiting(Clock):
    """The real one, for a process that is killed by the real one."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


if __name__ == "__main__":
    output = Path(os.environ["GITHUB_OUTPUT"])
    usual_start(Waiting(time.time(), output), output, 1.0)
    sys.exit(0)
