"""A real `kennel serve` process, and what is said to it: HTTP as it should be, or plain bytes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JPEG = {"content-type": "image/jpeg"}
DOCUMENT = {"type", "title", "status", "detail", "fix", "instance"}  # of RFC 9457, and ours


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP. Header names are in small letters; `took_s` from first byte to last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server that runs, and what it said so far."""

    process: subprocess.Popen[str]
    port: int
    said: dict[str, Any]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = 60.0,
    ) -> Reply:
        """One request on a connection of its own."""
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, dict(headers or {}))
            got = connection.getresponse()
            content = got.read()
        finally:
            connection.close()
        names = {name.lower(): value for name, value in got.getheaders()}
        return Reply(got.status, names, content, time.perf_counter() - began)

    def predict(self, photo: bytes, query: str = "", **headers: str) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/predict{query}", photo, JPEG | names)

    def connect(self, *, timeout_s: float = 30.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def raw(self, *pieces: bytes, timeout_s: float = 30.0, pause_s: float = 0.0) -> bytes:
        """All that comes back for bytes as they are, until the server hangs up; it is asked to."""
        with self.connect(timeout_s=timeout_s) as line:
            for piece in pieces:
                try:
                    line.sendall(piece)
                except OSError:
                    break  # it answered already, and hung up
                time.sleep(pause_s)
            return everything(line)

    def log(self, event: str = "request", *, within_s: float = 5.0, **facts: Any) -> dict[str, Any]:
        """The line of the log that says so, once it is there."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            for line in list(self.lines):
                if not line.startswith("{"):
                    continue
                row: dict[str, Any] = json.loads(line)
                if row["event"] == event and facts.items() <= row.items():
                    return row
            time.sleep(0.02)
        raise AssertionError(f"no line {event} {facts} in {self.lines[-20:]}")

    def processes(self) -> list[int]:
        """The server's process and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if children.exists():
            return [self.process.pid, *map(int, children.read_text("ascii").split())]
        done = subprocess.run(  # macOS has no /proc
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [self.process.pid, *map(int, done.stdout.split())]

    def stop(self, signum: int = signal.SIGTERM, *, timeout_s: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(
    bundle: Path,
    *words: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Starts `kennel serve` on a free port and waits until it answers.

    Raises:
        AssertionError: it does not.
    """
    process = popen(bundle, *words, cwd=cwd, environment=environment)
    assert process.stdout is not None
    first = process.stdout.readline()
    lines: list[str] = []
    thread = threading.Thread(target=_keep, args=(process, lines), daemon=True)
    thread.start()
    if not first:
        process.wait(10)
        thread.join(5)
        raise AssertionError(f"it did not start: {lines}")
    said = json.loads(first)
    return Running(process, int(said["url"].rpartition(":")[2]), said, lines)


def popen(
    bundle: Path,
    *words: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """`kennel serve` with `--json`, and of the settings that the environment holds only these."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("KENNEL_SERVE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "kennel", "serve", str(bundle), "--port", "0", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        env={**own, "TMPDIR": str(cwd), "OMP_NUM_THREADS": "1", **(environment or {})},
        start_new_session=True,
    )


def everything(line: socket.socket) -> bytes:
    """What comes until the other side hangs up, or says nothing for the timeout of the line."""
    parts: list[bytes] = []
    try:
        while part := line.recv(65_536):
            parts.append(part)
    except (ConnectionError, TimeoutError):
        pass
    return b"".join(parts)


def replies(content: bytes) -> list[Reply]:
    """The answers in a stream of them, each with its Content-Length."""
    found = []
    while content:
        head, _, content = content.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {}
        for each in rest:
            name, _, value = each.partition(":")
            headers[name.strip().lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        found.append(Reply(status, headers, content[:size]))
        content = content[size:]
    return found


def form(*fields: tuple[str, bytes], boundary: str = "a-boundary") -> tuple[bytes, dict[str, str]]:
    """A multipart form, and the header that names its type."""
    parts = []
    for name, value in fields:
        said = f'content-disposition: form-data; name="{name}"; filename="a.jpg"'
        parts.append(f"--{boundary}\r\n{said}\r\n\r\n".encode() + value + b"\r\n")
    body = b"".join((*parts, f"--{boundary}--\r\n".encode()))
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


def is_problem(reply: Reply, status: int) -> bool:
    """Whether a refusal is a whole problem document of that status."""
    assert reply.status == status, reply
    assert reply.headers["content-type"] == "application/problem+json"
    document = reply.json
    assert document.keys() >= DOCUMENT
    assert document["status"] == status
    assert document["detail"].endswith(".")
    return True


def head(method: str, path: str, *headers: str, host: Sequence[str] = ("host: here",)) -> bytes:
    """A request's line and headers, as bytes."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", *host, *headers, "", "")).encode("latin-1")


def _keep(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
