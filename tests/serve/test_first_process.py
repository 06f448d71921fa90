"""`kennel serve` as the first process of a container: heard by signals, and burying the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from bundles import tiny_bundle

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow

LONGEST_S = 60.0
# A namespace of its own, in which the command is process 1, as in a container.
ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.fixture(scope="module")
def alone() -> list[str]:
    """Words before a command that make it a first process."""
    for words in (ALONE, [*ALONE, "--user", "--map-root-user"]):
        try:
            done = subprocess.run([*words, "true"], check=False, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"needs unshare, of util-linux: {error}")
        if done.returncode == 0:
            return words
    pytest.skip(f"this system permits no process namespace: {done.stderr.strip()}")


@pytest.fixture
def begun(alone: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    bundle = tiny_bundle(tmp_path / "tiny")
    words = ["serve", str(bundle.path), "--port", "0", "--workers", "1", "--json"]
    server = subprocess.Popen(
        [*alone, sys.executable, "-m", "kennel", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield server
    server.kill()
    server.communicate()


def first_of(server: subprocess.Popen[bytes]) -> int:
    """The number that the container's process 1 has outside."""
    until = time.monotonic() + LONGEST_S
    while not (child := Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()):
        assert time.monotonic() < until
        time.sleep(0.005)
    return int(child[0])


def listens(pid: int, signum: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signum - 1) & 1)


def port_of(server: subprocess.Popen[bytes]) -> int:
    assert server.stdout is not None
    return int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])


def ready(port: int) -> int:
    asked = HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
    asked.request("GET", "/ready")
    return asked.getresponse().status


def test_it_is_stopped_by_sigterm_and_ends_with_0(begun: subprocess.Popen[bytes]) -> None:
    assert ready(port_of(begun)) == 200
    os.kill(first_of(begun), signal.SIGTERM)
    assert begun.wait(timeout=LONGEST_S) == 0


def test_it_is_stopped_while_it_still_starts(begun: subprocess.Popen[bytes]) -> None:
    first, until = first_of(begun), time.monotonic() + LONGEST_S
    while not listens(first, signal.SIGTERM):
        assert time.monotonic() < until
        time.sleep(0.001)
    os.kill(first, signal.SIGTERM)
    assert begun.wait(timeout=LONGEST_S) in (0, 143)
    assert begun.stdout is not None
    assert begun.stdout.read() == b"", "it had not come as far as to answer"


def test_whose_parent_died_does_not_stay_a_zombie(begun: subprocess.Popen[bytes]) -> None:
    port, first = port_of(begun), first_of(begun)
    # A shell in the container that leaves a process behind, as a health check does that is cut off.
    orphaned = subprocess.run(
        ["nsenter", "--target", str(first), "--pid", "--mount", "sh", "-c", "sleep 0.2 & echo $!"],
        check=True,
        capture_output=True,
        text=True,
    )
    inside = int(orphaned.stdout)
    until = time.monotonic() + LONGEST_S
    while inside in (there := processes_inside(first)):
        assert time.monotonic() < until, there
        time.sleep(0.05)
    assert ready(port) == 200


def processes_inside(first: int) -> dict[int, str]:
    """State of each process, by the number that it has in the namespace of `first`."""
    found, namespace = {}, Path(f"/proc/{first}/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns" / "pid").readlink() == namespace:
                lines = (path / "status").read_text().splitlines()
                said = dict(line.split(":", 1) for line in lines)
                found[int(said["NSpid"].split()[-1])] = said["State"].split()[0]
        except OSError:
            continue  # it ended meanwhile
    return found
