"""AWS, GitHub and a simulated clock; one crash played in them, and what became of machines."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from faults import Fault, befall
from flows import JOBS, REQUESTS, Clock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding  # noqa: E402
from github_server import APP, REPOSITORY, Github, github_server  # noqa: E402
from rented import ENDER, Cloud, rented_cloud  # noqa: E402

from kennel.cloud import client  # noqa: E402
from kennel.cloud.runner import sweep  # noqa: E402

REAPER = ROOT / "deploy" / "aws" / "functions" / "reaper.py"
REAP_S, SWEEP_S = 15 * 60.0, 3 * 3600.0
HORIZON_S = 30 * 3600.0
WAIT_S = 900.0  # real ones, for a job whose clock is simulated
USD_PER_HOUR = 0.526  # g4dn.xlarge on demand, us-east-1, 2026
NOTHING = Fault()
CHILDREN = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Crash:
    """What goes wrong with one job and its machine, in the order in which it would.

    Attributes:
        kind: of the crash, in words.
        started: whether the start job runs at all.
        start: what befalls its process, by requests. kill_after_s: real seconds after which a real
            process of the command is ended, by `by`, and by SIGKILL `then_s` later; 0 is none.
        comes: whether the runner registers. told: whether the start's output reaches the workflow.
        job_s: how long the job works. hangs: the machine never ends itself.
        stops: whether the stop job runs. stop: what befalls it.
        hours: of its limit.
    """

    kind: str
    started: bool = True
    start: Fault = NOTHING
    kill_after_s: float = 0.0
    by: int = signal.SIGKILL
    then_s: float = 0.0
    comes: bool = True
    told: bool = True
    job_s: float = 3600.0
    hangs: bool = False
    stops: bool = True
    stop: Fault = NOTHING
    hours: float = 4.0


@dataclass
class Life:
    """A machine: when it began and ended, simulated, and by what; `end_s` None: it lives."""

    begin_s: float
    until_s: float | None
    end_s: float | None = None
    by: str = ""


@dataclass
class World:
    cloud: Cloud
    hub: Github
    scratch: Path
    reaper: ModuleType
    environment: dict[str, str] = field(default_factory=dict)
    now_s: float = 0.0
    name: str = ""
    played: int = 0
    limited: bool = True  # whether the Scheduler does what it was told

    # ---- one crash

    def play(self, flow: str, crash: Crash) -> list[Life]:
        """Every machine that came of it."""
        self._clear(flow, crash)
        begun = self.now_s
        lives: dict[str, Life] = {}
        output = self.scratch / "output"
        output.unlink(missing_ok=True)
        worked = crash.started and self._run(flow, "start", crash, output)
        told = output.exists() and crash.told
        if not crash.told:
            output.unlink(missing_ok=True)
        self._look(lives, "start's own mend")
        due = [(begun + HORIZON_S, "horizon")]
        job_ends = self.now_s + (crash.job_s if worked and told else 0.0)
        if worked and told and not crash.hangs:
            due.append((job_ends, "itself, after its job"))
        if crash.started and crash.stops and (flow == "kennel" or told):
            due.append((job_ends + 30.0, "stop"))
        if flow == "kennel":
            due += self._ends(begun, hours=crash.hours, hangs=crash.hangs)
        for when, what in sorted(due):
            if what in ("limit", "stop") or any(each.end_s is None for each in lives.values()):
                self.now_s = max(self.now_s, when)
                if self._happens(what, flow, crash, output):
                    self._look(lives, what)
        self._end_living()
        return list(lives.values())

    def _ends(self, begun: float, *, hours: float, hangs: bool) -> list[tuple[float, str]]:
        """When what ends the machine without the workflow comes, until the horizon."""
        times = [begun + k * REAP_S for k in range(1, int(HORIZON_S / REAP_S))]
        # Hours before its time the reaper looks and does nothing: the first of them are left out.
        due = [(when, "reaper") for when in times if when > begun + 3600 * (hours - 1)]
        due += [(begun + k * SWEEP_S, "sweep") for k in range(1, int(HORIZON_S / SWEEP_S))]
        if self.limited:
            due += [(self.cloud.fires_at(each).timestamp(), "limit") for each in self._limits()]
        if (minutes := self._own_end()) and not hangs:
            due.append((begun + 60 * minutes, "itself, at its time"))
        return due

    def _happens(self, what: str, flow: str, crash: Crash, output: Path) -> bool:
        """Whether it may have ended a machine."""
        if what == "stop":
            due = [self.cloud.fires_at(each).timestamp() for each in self._limits()]
            self._run(flow, "stop", crash, output)
            # A job that waits does not hold up the Scheduler: what was due meanwhile had fired.
            if self.limited and due and min(due) < self.now_s:
                self.now_s = min(due)
        elif what == "limit":
            for name in self._limits():
                self.cloud.fire(name)
        elif what == "reaper":
            return bool(self._reap())
        elif what == "sweep":
            return bool(sweep(now=lambda: self.now_s))
        elif what.startswith("itself"):
            self._end_living()
        return True

    def _clear(self, flow: str, crash: Crash) -> None:
        self.now_s = time.time()
        self.played += 1
        self.name = f"kennel-{self.played}-1"
        self.environment["RUNNER_NAME"] = self.name
        self._end_living()
        for name in self.cloud.limits():
            self.cloud.client("scheduler").delete_schedule(Name=name)
        self.cloud.asked.clear()
        self.cloud.made.clear()
        self.hub.runners.clear()
        self.hub.online = crash.comes
        if flow == "usual":
            status = "online" if crash.comes else "offline"
            self.hub.runners.append({"id": 1, "name": self.name, "status": status})

    def _run(self, flow: str, job: str, crash: Crash, output: Path) -> bool:
        """The job, in a process of its own; whether it ended well."""
        if job == "start" and crash.kill_after_s:
            return self._run_command(flow, crash, output)
        fault = crash.start if job == "start" else crash.stop
        kept = self.scratch / "clock"
        kept.write_text("0")
        clock = (self.now_s, kept)
        words = ((flow, job), fault, clock, output, (crash.hours, self.environment))
        child = CHILDREN.Process(target=work, args=words)
        child.start()
        child.join(WAIT_S)
        assert child.exitcode is not None, f"{flow}, {job}: {fault} does not end"
        self.now_s += float(kept.read_text() or 0)
        return child.exitcode == 0

    def _run_command(self, flow: str, crash: Crash, output: Path) -> bool:
        """The real command, ended at a real moment."""
        command = ["-m", "kennel", "cloud", "runner", "start", "--hours", f"{crash.hours:g}"]
        if flow == "usual":
            command = [str(Path(__file__).with_name("flows.py")), "start"]
        else:
            command += ["--name", self.name]
        with subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **self.environment, "GITHUB_OUTPUT": str(output)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                return process.wait(crash.kill_after_s) == 0
            except subprocess.TimeoutExpired:
                process.send_signal(crash.by)
            try:
                process.wait(crash.then_s)
            except subprocess.TimeoutExpired:
                process.kill()
        return False

    def _limits(self) -> list[str]:
        return list(self.cloud.limits())

    def _own_end(self) -> int:
        """Minutes after which the machine ends itself, as it was told when it was rented."""
        for told in self.cloud.asked:
            if "UserData" in told:
                data = base64.b64decode(told["UserData"][0])
                text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
                found = re.search(r"shutdown -h \+(\d+)", text)
                assert found is not None
                return int(found[1])
        return 0

    def _reap(self) -> dict[str, str]:
        """The function of the runner stack, as it stands in its template, at its time."""
        present = datetime.fromtimestamp(self.now_s, UTC)

        class Simulated(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return present

        self.reaper.datetime = Simulated  # type: ignore[attr-defined]
        with redirect_stdout(io.StringIO()):
            ended: dict[str, str] = self.reaper.handler({}, None)
        return ended

    def _end_living(self) -> None:
        found = [each["InstanceId"] for each in self._machines("pending", "running")]
        if found:
            self.cloud.client("ec2").terminate_instances(InstanceIds=found)

    def _look(self, lives: dict[str, Life], by: str) -> None:
        """Keeps which machines came and went since the last look."""
        alive = set()
        for each in self._machines():  # those that came and went since then count too
            name = str(each["InstanceId"])
            lives.setdefault(name, Life(self.now_s, _until(each)))
            if each["State"]["Name"] in ("pending", "running"):
                alive.add(name)
        for name, life in lives.items():
            if life.end_s is None and name not in alive:
                life.end_s, life.by = self.now_s, by

    def _machines(self, *states: str) -> list[dict[str, Any]]:
        filters = [{"Name": "tag:kennel-runner", "Values": [self.name]}]
        if states:
            filters.append({"Name": "instance-state-name", "Values": list(states)})
        pages = self.cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return [each for page in pages for each in page["Instances"]]


def _until(machine: dict[str, Any]) -> float | None:
    for tag in machine.get("Tags", ()):
        if tag["Key"] == "kennel-until":
            found = datetime.strptime(tag["Value"], "%Y-%m-%dT%H:%M:%SZ")
            return found.replace(tzinfo=UTC).timestamp()
    return None


def work(
    job: tuple[str, str],
    fault: Fault,
    clock: tuple[float, Path],
    output: Path,
    given: tuple[float, dict[str, str]],
) -> None:
    """One job, in this process, with what befalls it."""
    hours, environment = given
    os.environ.update(environment)
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - refusals are what is played
    own = Clock(*clock)
    befall(fault, requests=REQUESTS[job], advance=own.sleep)
    JOBS[job](own, output, hours)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """AWS and GitHub on this machine, until the block ends."""
    # The process that jobs are forked from has loaded all they need, by the paths of this one.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    CHILDREN.set_forkserver_preload(["faults", "flows", "world"])
    with rented_cloud(folder) as cloud, github_server() as hub:
        kms = cloud.client("kms")
        key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        public: Any = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])

        def verify(message: bytes, signature: bytes) -> bool:
            try:
                public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                return False
            return True

        hub.verify = verify
        own = {
            **cloud.environment(),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_API_URL": hub.address,
            "GITHUB_PAT": APP,
            "KENNEL_RUNNER_TEMPLATE": "kennel-runner",
            "KENNEL_RUNNER_ENDER": ENDER,
            "KENNEL_APP_ID": "12345",
            "KENNEL_APP_KEY": key,
            "MOST_HOURS": "24",
        }
        os.environ.update(
            own, KENNEL_CRASHES="1"
        )  # of this process too: reaper and sweep run in it
        described = importlib.util.spec_from_file_location("reaper", REAPER)
        assert described is not None
        assert described.loader is not None
        reaper = importlib.util.module_from_spec(described)
        described.loader.exec_module(reaper)
        ec2 = client("ec2")  # a function of AWS's is warm, and has its client
        reaper.boto3 = SimpleNamespace(client=lambda _: ec2)  # type: ignore[attr-defined]
        yield World(cloud, hub, folder, reaper, own)
