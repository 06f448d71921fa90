"""One sandbox of a function: begun for its first request, frozen between two, ended at last."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kennel.cloud.rehearsal import container
from kennel.cloud.rehearsal.runtime import FunctionError, Service, TimedOutError

HERE = Path(__file__).resolve().parent
INIT_S = 10.0  # what AWS gives a function to begin
FULL_CORE_MB = 1769  # of memory come with a whole core
TEMPORARY_BYTES = 512 * 2**20  # of /tmp
FILES = 1024
STOP_S = 2.0  # between being told and being killed
USER = (993, 990)  # whom AWS runs functions as: not the image's own


@dataclass(frozen=True)
class Runnable:
    """What a digest stands for.

    Attributes:
        entry: entry point and its words.
        environment: the image's own.
        image: files of an image that was built; None where the processes of this Kennel play it.
        bundle: the folder that is /bundle; None where it is in the image.
    """

    digest: str
    entry: tuple[str, ...]
    environment: Mapping[str, str]
    image: container.Image | None = None
    bundle: Path | None = None


@dataclass(frozen=True)
class Configuration:
    """A version of a function, as the emulated Lambda has it."""

    name: str
    arn: str
    version: str
    digest: str
    region: str
    memory_mb: int
    timeout_s: float
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def cores(self) -> int:
        return max(1, math.ceil(self.memory_mb / FULL_CORE_MB))


@dataclass
class Sandbox:
    """A function's processes and the service that they ask.

    Attributes:
        init_s: from its processes' start until it asked for an event.
    """

    configuration: Configuration
    service: Service
    group: int
    processes: list[subprocess.Popen[bytes]]
    log: Path
    folder: Path
    began: float = field(default_factory=time.monotonic)
    init_s: float = 0.0
    frozen: bool = False
    told: int = 0  # bytes of the log that were handed on

    def ready(self, timeout_s: float) -> bool:
        """Waits for its first question; False when it does not come, or the processes end."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if self.service.asked.wait(0.01):
                self.init_s = time.monotonic() - self.began
                return True
            if not self.alive():
                return False
        return False

    def alive(self) -> bool:
        return all(each.poll() is None for each in self.processes)

    def invoke(
        self, event: dict[str, object], *, timeout_s: float, stalled: bool = False
    ) -> object:
        """Hands over one event; the sandbox is awake only meanwhile, or not at all.

        Raises:
            TimedOutError, FunctionError: it is of no more use.
        """
        self._signal(signal.SIGSTOP if stalled else signal.SIGCONT)
        self.frozen = stalled
        said = self.service.invoke(event, timeout_s=timeout_s)
        # It is frozen when it waits for the next event, not in the middle of asking.
        if not self.service.waits.wait(1.0) and not self.alive():
            raise FunctionError("Runtime.ExitError", "the runtime ended")
        return said

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self.frozen = True

    def end(self) -> None:
        """Ends its processes, all of them, and the service."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        until = time.monotonic() + STOP_S
        for each in self.processes:
            with suppress(subprocess.TimeoutExpired):
                each.wait(max(0.01, until - time.monotonic()))
        self._signal(signal.SIGKILL)
        for each in self.processes:
            each.wait()
        self.service.shutdown()
        self.service.server_close()

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def new_lines(self) -> list[str]:
        """What it said since this was asked last."""
        content = self.log.read_bytes()[self.told :]
        whole = content[: content.rfind(b"\n") + 1]
        self.told += len(whole)
        return whole.decode(errors="replace").splitlines()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)


def begin(what: Runnable, how: Configuration, folder: Path) -> Sandbox:
    """Starts a sandbox; `ready` says when it can be asked.

    Args:
        folder: exists not; is made, for the log, and for what the processes may write.
    """
    folder.mkdir(parents=True)
    service = Service(arn=how.arn, version=how.version)
    threading.Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
    port = str(_free_port())
    environment = {
        **what.environment,
        **_of_lambda(how, service.address),
        **dict(how.environment),
        "AWS_LWA_PORT": port,  # the machine's ports are shared; in AWS it is the image's own
        "KENNEL_SERVE_PORT": port,
        "KENNEL_SERVE_HOST": "127.0.0.1",  # a laptop has a network; a sandbox in AWS has none
    }
    log = folder / "log"
    began = time.monotonic()
    start = _as_image if what.image is not None else _as_processes
    processes = start(what, how, environment, folder=folder, log=log)
    return Sandbox(how, service, processes[0].pid, processes, log, folder, began)


def _as_image(
    what: Runnable,
    how: Configuration,
    environment: dict[str, str],
    *,
    folder: Path,
    log: Path,
) -> list[subprocess.Popen[bytes]]:
    assert what.image is not None
    extensions = sorted((what.image.root / "opt/extensions").iterdir())
    commands = [[f"/opt/extensions/{path.name}"] for path in extensions]
    started = container.start(
        what.image,
        log=log,
        commands=[*commands, list(what.entry)],
        environment=environment,
        user=USER,
        scratch_bytes=TEMPORARY_BYTES,
    )
    return [started.process]


def _as_processes(
    what: Runnable,
    how: Configuration,
    environment: dict[str, str],
    *,
    folder: Path,
    log: Path,
) -> list[subprocess.Popen[bytes]]:
    """The image's entry point and the adapter's stand-in, as processes of this machine."""
    temporary, work = folder / "tmp", folder / "work"
    temporary.mkdir()
    work.mkdir()
    work.chmod(0o555)
    words = [str(what.bundle) if word == "/bundle" else word for word in what.entry]
    if words[0] == "kennel":
        words[:1] = [sys.executable, "-m", "kennel"]
    environment = {
        **environment,
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        **({"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}),
    }
    limits = {
        "RLIMIT_DATA": how.memory_mb * 2**20,
        "RLIMIT_FSIZE": TEMPORARY_BYTES,
        "RLIMIT_NOFILE": FILES,
    }
    processes: list[subprocess.Popen[bytes]] = []
    with log.open("ab") as file:
        for each in (words, [sys.executable, "-I", str(HERE / "adapter.py")]):
            told = {
                "words": each,
                "environment": environment,
                "folder": str(work),
                "limits": limits,
                "cores": how.cores,
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", str(HERE / "launch.py"), json.dumps(told)],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    process_group=processes[0].pid if processes else 0,
                )
            )
    return processes


def _of_lambda(how: Configuration, service: str) -> dict[str, str]:
    """What AWS sets, of what an image may read."""
    return {
        "AWS_LAMBDA_RUNTIME_API": service,
        "AWS_LAMBDA_FUNCTION_NAME": how.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(how.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": how.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{how.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[{how.version}]{uuid.uuid4().hex}",
        "AWS_REGION": how.region,
        "AWS_DEFAULT_REGION": how.region,
        "TZ": ":UTC",
    }


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


__all__ = ["Configuration", "Runnable", "Sandbox", "TimedOutError", "begin"]
