"""HTTP as uvicorn speaks it, but for what it lets through: heads that are slow, or have no end.

uvicorn 0.54 sets no limit to the time or the size of a request's head: a client that sends a byte
now and then keeps a connection for ever.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024


class CarefulProtocol(HttpToolsProtocol):
    """One connection. `header_seconds` and `most_connections` are set by `careful`."""

    header_seconds = 10.0
    most_connections = 512

    _head: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.most_connections:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self.flow is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # the next request on this connection
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(431, "Request Header Fields Too Large", "The head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()
        cycle = self.cycle
        self.scope["extensions"] = {"kennel.gone": {"is": lambda: cycle.disconnected}}

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", "This is no HTTP request.")

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head = self.loop.call_later(self.header_seconds, self._too_slow)

    def _head_came(self) -> None:
        self._in_head = False
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if self._in_head:
            self._refuse(408, "Request Timeout", "The head did not arrive in time.")
        elif not self.transport.is_closing():
            self.transport.close()  # nothing was sent at all

    def _refuse(self, status: int, title: str, detail: str) -> None:
        """Answers without the application, which never saw the request, and hangs up."""
        self._head_came()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else its answer is not ended yet
            document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
            body = json.dumps(document).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, title.encode(), len(body), body)
            )
        self.transport.close()


def careful(*, header_seconds: float, most_connections: int) -> type[CarefulProtocol]:
    """The protocol with its limits."""
    limits: dict[str, Any] = {
        "header_seconds": header_seconds,
        "most_connections": most_connections,
    }
    return type("Careful", (CarefulProtocol,), limits)
