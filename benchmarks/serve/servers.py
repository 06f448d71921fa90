"""The servers that are compared: how each is started, and what its processes use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

HERE = Path(__file__).parent
RIVALS = ("litserve", "bentoml", "plain")
NAMES = ("kennel", *RIVALS)
HEALTH = {"kennel": "/ready", "litserve": "/health", "bentoml": "/readyz", "plain": "/health"}
START_S = 90.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Setup:
    """How all of them run.

    Attributes:
        rival_python: of an environment that has litserve, bentoml, fastapi and onnxruntime.
        cores: that servers may use, as taskset has them; empty is all.
        read: "habit" lets rivals read photos as their users do; "kennel" by kennel.images.
    """

    bundle: Path
    rival_python: Path
    workers: int = 1
    cores: str = "0"
    port: int = 18080
    read: str = "habit"
    log: Path = Path("servers.log")


@dataclass(frozen=True)
class Used:
    """Of a server and its children. MiB and seconds."""

    pss_mib: float
    rss_mib: float
    cpu_s: float
    processes: int


@contextmanager
def serving(name: str, setup: Setup) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a server, waits until it is ready, and ends it with all its children."""
    with setup.log.open("ab") as log:
        server = start(name, setup, log=log)
        try:
            wait_ready(name, setup, server)
            yield server
        finally:
            stop(server)


def start(name: str, setup: Setup, *, log: object = None) -> subprocess.Popen[bytes]:
    """The server's process, in a session of its own."""
    bundle, workers = str(setup.bundle.absolute()), str(setup.workers)
    at = ["--host", "127.0.0.1", "--port", str(setup.port)]
    quiet = ["--log-level", "warning", "--no-access-log"]
    environ = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "KENNEL_BENCH_BUNDLE": bundle,
        "KENNEL_BENCH_WORKERS": workers,
        "KENNEL_BENCH_PORT": str(setup.port),
        "KENNEL_BENCH_READ": setup.read,
        "KENNEL_SERVE_LOG": "none",
    }
    python, folder = str(setup.rival_python.absolute()), HERE
    if name != "kennel":
        folder = HERE / "rivals"
        if setup.read != "kennel":
            environ.pop("PYTHONPATH", None)
    words = {
        "kennel": [sys.executable, "-m", "kennel", "serve", bundle, *at, "--workers", workers],
        "litserve": [python, "litserve_app.py"],
        "bentoml": [python, "-m", "bentoml", "serve", "bentoml_app:Labels", *at],
        "plain": [python, "-m", "uvicorn", "plain_app:app", *at, "--workers", workers, *quiet],
    }[name]
    return subprocess.Popen(
        [*pinned(setup.cores), *words],
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log or subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_ready(name: str, setup: Setup, server: subprocess.Popen[bytes]) -> None:
    """Until its health address says 200.

    Raises:
        RuntimeError: it ended, or is not ready within START_S.
    """
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"{name} ended with {server.returncode}: see {setup.log}")
        try:
            asked = HTTPConnection("127.0.0.1", setup.port, timeout=5)
            asked.request("GET", HEALTH[name])
            if asked.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{name} was not ready within {START_S:g} s: see {setup.log}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ends a server, gently at first, and then whatever is left of its session."""
    pids = tree(server.pid)
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for pid in pids:  # those alone that it started
        if _session(pid) == server.pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def rivals(folder: Path) -> Path:
    """Python of the rivals' environment; made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = ["-m", "pip", "install", "--quiet", "-r", str(HERE / "rivals.txt")]
        subprocess.run([str(python), *install], check=True)
    return python


def pinned(cores: str) -> list[str]:
    """Words before a command that keep it on these cores; none where it may run on all."""
    return ["taskset", "-c", cores] if cores else []


def used(pid: int) -> Used:
    """What a process and all below it hold and have used."""
    pss = rss = cpu = 0.0
    pids = tree(pid)
    for each in pids:
        try:
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1]) / 1024
                elif line.startswith("Rss:"):
                    rss += int(line.split()[1]) / 1024
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(map(int, fields[11:15])) / TICKS
        except OSError:
            continue
    return Used(pss, rss, cpu, len(pids))


def tree(pid: int) -> list[int]:
    """A process and all that it started, and they."""
    found, at = [pid], 0
    while at < len(found):
        try:
            tasks = list(Path(f"/proc/{found[at]}/task").iterdir())
            for task in tasks:
                found += map(int, (task / "children").read_text().split())
        except OSError:
            pass
        at += 1
    return found


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
