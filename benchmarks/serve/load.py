"""Load in a closed loop: so many connections, each sending its next photo when it has an answer.

A process of its own (`python load.py '{"port": ...}'`), so that it can be put on another core than
the server. asyncio's protocols on bare sockets, so that it costs little: requests are put together
beforehand, connections kept open, answers searched for the label and not parsed.

What is not a whole answer with status 200 is counted by its kind: busy (503 with Retry-After),
refused (other 4xx and 5xx), lost (the connection ended before its answer did).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

BOUNDARY = b"kennelbench0123456789"
AGAIN_S = 0.02  # before a connection that broke is opened again


@dataclass(frozen=True)
class Plan:
    """What to send.

    Attributes:
        photos: files, sent in turn; each connection begins with another.
        labels: that their answers must have; empty where nothing is compared.
        warm_s: before anything is counted.
        drain_s: how long to wait for answers when the time is over.
    """

    port: int
    photos: list[str]
    labels: list[str]
    connections: int
    seconds: float
    warm_s: float = 1.0
    drain_s: float = 60.0
    path: str = "/predict"


@dataclass
class Seen:
    """What came back. Seconds of each answer that was asked for within the time."""

    answers: int = 0  # within the time
    other_label: int = 0
    busy: int = 0
    refused: int = 0
    lost: int = 0
    unanswered: int = 0  # when waiting ended
    seconds: float = 0.0
    cpu_s: float = 0.0
    took_s: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    lost_at: list[float] = field(default_factory=list)  # seconds since 1970


class Connection(asyncio.Protocol):
    """One client: sends, waits for the whole answer, sends the next."""

    def __init__(self, load: Load, first: int) -> None:
        self.load, self.next = load, first
        self.buffer = bytearray()
        self.asked_s = 0.0  # 0 while nothing is asked
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's
        self.ask()

    def ask(self) -> None:
        self.number = self.next % len(self.load.requests)
        self.next += 1
        self.buffer.clear()
        self.asked_s = time.perf_counter()
        assert self.transport is not None
        self.transport.write(self.load.requests[self.number])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not whole(self.buffer):
            return
        self.load.answered(self)
        if self.load.going:
            self.ask()
        else:
            self.asked_s = 0.0
            assert self.transport is not None
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked_s and not self.load.over:
            self.load.count("lost")
            self.asked_s = 0.0
        if self.load.going:
            self.load.open_again(self.next)
        else:
            self.load.closed()


class Load:
    """All connections, and what they saw."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.seen = plan, Seen()
        self.requests = [request(Path(name).read_bytes(), plan.path) for name in plan.photos]
        self.labels = [f'"{label}"'.encode() for label in plan.labels]
        self.going, self.over = True, False
        self.counted_from_s = self.counted_to_s = float("inf")
        self.open = 0
        self.none_open = asyncio.Event()

    async def run(self) -> Seen:
        plan = self.plan
        for number in range(plan.connections):
            self.open += 1
            await self._open(number * 7)
        await asyncio.sleep(plan.warm_s)
        self.counted_from_s, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(plan.seconds)
        self.counted_to_s = time.perf_counter()
        self.going = False
        try:
            await asyncio.wait_for(self.none_open.wait(), plan.drain_s)
        except TimeoutError:
            self.seen.unanswered = self.open
            self.over = True
        self.seen.cpu_s = time.process_time() - used
        self.seen.seconds = self.counted_to_s - self.counted_from_s
        return self.seen

    def answered(self, by: Connection) -> None:
        now = time.perf_counter()
        if now < self.counted_from_s:
            return
        status = bytes(by.buffer[9:12])
        if status != b"200":
            busy = status == b"503" and b"retry-after:" in by.buffer.lower()
            self.count("busy" if busy else "refused")
            if not busy:
                words = by.buffer[:300].decode("utf-8", "replace")
                self.seen.refusals[words] = self.seen.refusals.get(words, 0) + 1
            return
        if by.asked_s >= self.counted_from_s:
            self.seen.took_s.append(now - by.asked_s)
        if now <= self.counted_to_s:
            self.seen.answers += 1
        if self.labels:
            # The first label of an answer is its own, whatever else it names.
            at = by.buffer.find(b'"label"')
            mine = self.labels[by.number]
            self.seen.other_label += not by.buffer[at + 7 : at + 12 + len(mine)].count(mine)

    def count(self, kind: str) -> None:
        if time.perf_counter() >= self.counted_from_s:
            setattr(self.seen, kind, getattr(self.seen, kind) + 1)
            if kind == "lost":
                self.seen.lost_at.append(time.time())

    def open_again(self, first: int) -> None:
        asyncio.get_running_loop().call_later(AGAIN_S, self._open_soon, first)

    def _open_soon(self, first: int) -> None:
        if self.going:
            self._task = asyncio.ensure_future(self._open(first))
        else:
            self.closed()

    async def _open(self, first: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: Connection(self, first), "127.0.0.1", self.plan.port
            )
        except OSError:
            self.count("lost")
            self.open_again(first)

    def closed(self) -> None:
        self.open -= 1
        if not self.open:
            self.none_open.set()


def request(content: bytes, path: str) -> bytes:
    """A photo as a browser's form sends it, in the field `image`."""
    body = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n--" + BOUNDARY + b"--\r\n"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def whole(answer: bytearray) -> bool:
    """Whether an HTTP/1.1 answer has come to its end."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(answer[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return len(answer) >= end + 4 + length
    if b"transfer-encoding: chunked" in head:
        return answer.endswith(b"0\r\n\r\n")
    return head[9:12] in (b"204", b"304")


def main() -> None:
    try:
        import uvloop

        run = uvloop.run
    except ModuleNotFoundError:
        run = asyncio.run

    async def load() -> Seen:
        return await Load(Plan(**json.loads(sys.argv[1]))).run()

    print(json.dumps(asdict(run(load()))))


if __name__ == "__main__":
    main()
