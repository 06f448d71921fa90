"""A worker that dies is started again, and answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from bundles import tiny_bundle

pytest.importorskip("uvicorn")

LONGEST_S = 60.0


def workers_of(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def answers(port: int, photo: bytes) -> int:
    asked = HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
    asked.request("POST", "/predict", photo, {"content-type": "image/png"})
    return asked.getresponse().status


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_workers_that_are_killed_one_after_another_are_all_there_again(
    photos: Path, tmp_path: Path
) -> None:
    bundle, photo = tiny_bundle(tmp_path / "tiny"), (photos / "red" / "0.png").read_bytes()
    words = ["serve", str(bundle.path), "--port", "0", "--workers", "2", "--json"]
    server = subprocess.Popen(
        [sys.executable, "-m", "kennel", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])
        for _ in range(3):
            for killed in workers_of(server.pid):
                time.sleep(2.1)  # who lives longer is started again at once
                os.kill(killed, signal.SIGKILL)
                until = time.monotonic() + LONGEST_S
                while killed in (now := workers_of(server.pid)) or len(now) < 2:
                    assert time.monotonic() < until
                    time.sleep(0.02)
                assert answers(port, photo) == 200
        before = workers_of(server.pid)
        time.sleep(1.0)
        assert workers_of(server.pid) == before, "none of them dies by itself"
    finally:
        server.terminate()
        _, said = server.communicate(timeout=LONGEST_S)
    assert said.decode().count("worker ended") == 6
