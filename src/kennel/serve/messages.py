"""A request as the counter knows it, its body within limits, and the reply to it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kennel.serve.bodies import Holder, read_body
from kennel.serve.problems import CONTENT_TYPE, ProblemError
from kennel.serve.settings import Settings

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
NOTHING = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]


@dataclass
class Request:
    """What is known of a request, and what its answer's log line will say."""

    scope: Scope
    receive: Receive
    path: str
    headers: dict[bytes, bytes]
    trace_id: str
    parent_id: str
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.perf_counter)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def gone(self) -> Callable[[], bool]:
        extension = self.scope.get("extensions", {}).get("kennel.gone")
        return extension["is"] if extension else lambda: False


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class Held:
    """`async with`: a body whose bytes count as held while it is used."""

    def __init__(self, request: Request, settings: Settings, holder: Holder) -> None:
        self._request, self._settings, self._holder = request, settings, holder
        self._size = 0

    async def __aenter__(self) -> bytes:
        body = await read_body(
            self._request.receive,
            self._request.headers,
            most=self._settings.bytes,
            seconds=self._settings.body_seconds,
            holder=self._holder,
        )
        self._size = len(body)
        return body

    async def __aexit__(self, *_: object) -> None:
        self._holder.held -= self._size


async def send_reply(send: Send, reply: Reply) -> None:
    """Sends a reply with the headers that every reply has."""
    headers = [*SAFE, *reply.headers]
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode()))
        headers.append((b"content-type", reply.content_type))
    if not any(name == b"content-security-policy" for name, _ in reply.headers):
        headers += NOTHING
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def refusal(problem: ProblemError, trace_id: str) -> Reply:
    """A problem document, with the trace to look for in the log."""
    document = {**problem.document(), "instance": f"urn:trace:{trace_id}"}
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers.append((b"cache-control", b"no-store"))
    body = json.dumps(document, ensure_ascii=False).encode()
    return Reply(problem.status, body, CONTENT_TYPE, headers)


def cors(request: Request, allowed: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """Headers that let pages of other origins read a reply."""
    origin = request.headers.get(b"origin")
    if not allowed:
        return []
    if "*" not in allowed and (not origin or origin.decode("latin-1") not in allowed):
        return [(b"vary", b"origin")]
    return [
        (b"access-control-allow-origin", b"*" if "*" in allowed else origin or b""),
        (b"access-control-allow-methods", b"GET, POST"),
        (
            b"access-control-allow-headers",
            b"authorization, content-type, traceparent, x-api-key",
        ),
        (b"access-control-expose-headers", b"server-timing, retry-after, traceresponse"),
        (b"vary", b"origin"),
    ]
