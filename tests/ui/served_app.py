"""`kennel ui` in a process of its own, as several files start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Served:
    """`kennel ui`, running: its address, its process, and where it may leave files."""

    url: str
    process: subprocess.Popen[str]
    home: Path

    def left(self) -> list[Path]:
        """Files in its temporary folder."""
        return [path for path in self.home.rglob("*") if path.is_file()]

    def post(self, *data: Any, name: str = "predict") -> str:
        """What the queue's own HTTP says to a question, in raw events."""
        import httpx

        asked = httpx.post(f"{self.url}/gradio_api/call/{name}", json={"data": data}, timeout=60)
        event = asked.json()["event_id"]
        got = httpx.get(f"{self.url}/gradio_api/call/{name}/{event}", timeout=60)
        return got.text


@contextmanager
def serving_app(bundle: Path, home: Path, *words: str) -> Iterator[Served]:
    """The app of a bundle in a process of its own, on a port that is free."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "kennel", "ui", str(bundle), "--port", "0", "--json", *words]
    environment = {**os.environ, "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read())
        try:
            yield Served(json.loads(line)["url"], process, home)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=30)
