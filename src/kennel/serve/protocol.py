"""HTTP as uvicorn speaks it, but for what it lets through: heads that are slow, or have no end;
bodies that are all framing; clients that never read; more connections than there may be.

uvicorn 0.54 sets no limit to any of these, answers a broken body with silence, and waits for ever
where a client offers to speak another protocol.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 200
SPEAK_HTTP = "see RFC 9112, or use a library for HTTP"


class CarefulProtocol(HttpToolsProtocol):
    """One connection. Its limits, and who is told of refusals, are set by `careful`."""

    header_seconds = 10.0
    stall_seconds = 30.0
    most_connections = 512
    refused: Callable[[int, str], None]

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _in_head = False
    _deaf = False  # what still comes is not looked at
    _since = 0.0  # when the head, or the body, that is still missing was begun
    _loose = 0  # bytes that are neither in a head's lines nor a body
    _lines = 0  # bytes of a head's lines, and of what follows a body in the same form
    _headers = 0
    _left = 0  # bytes of a body that the parser does not read
    _why: tuple[int, str, str, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        full = len(self.connections) >= self.most_connections
        super().connection_made(transport)
        self._expect_head()
        if full:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf or self.transport.is_closing():
            return
        if self._head is None and self._idle():
            self._expect_head()  # the next request on this connection
        self._loose += len(data)
        self._unset_keepalive_if_required()
        try:
            if self._left:
                self._read_rest(data)
            else:
                self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_rest(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_why()
            return
        if self._loose > MOST_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head:
                self._too_long()
                self._refuse_why()
            elif not self._idle():
                self._refuse(400, "Bad Request", "The body is little but framing.", SPEAK_HTTP)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._loose = self._lines = self._headers = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._headers += 1
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        self._head_came()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if self.parser.get_http_version() == "1.1" and hosts != 1:
            detail = f"The head names {hosts or 'no'} host{'s' * (hosts > 1)}; one is needed."
            self._why = (400, "Bad Request", detail, SPEAK_HTTP)
            raise ValueError(detail)
        super().on_headers_complete()
        cycle = self.cycle
        if self.parser.should_upgrade():
            # Answered in HTTP/1.1, as if nothing had been offered: Java's client offers h2c with
            # its first photo. The parser thinks that what follows the head is the other protocol's.
            cycle.keep_alive = False
            length = next((value for name, value in self.headers if name == b"content-length"), b"")
            self._left = int(length or 0)
        self.scope["extensions"] = {"kennel.gone": {"is": lambda: cycle.disconnected}}
        self._since = self.loop.time()

    def on_message_complete(self) -> None:
        if not self._left:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        # Chunks of a few bytes cost more than they bring; those of sixteen are still let through.
        self._loose = max(0, self._loose - 2 * len(body))
        super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting_for_reader()

    def waits_since(self) -> float | None:
        """Since when this connection has been waiting for its client, or None while a client waits
        for an answer on it.
        """
        if self._idle() or (self.cycle.more_body and not self.cycle.response_started):
            return self._since
        return None

    def give_up(self) -> None:
        """Closes it at once, for others."""
        self._deaf = True
        self.transport.abort()

    def _read_rest(self, data: bytes) -> None:
        """The body of a request after which the parser stopped."""
        body = data[: self._left]
        self._left -= len(body)
        if body:
            self.on_body(body)
        if not self._left:
            self.on_message_complete()
            self._deaf = True

    def _make_room(self) -> None:
        """Closes who has kept the server waiting for longest; where nobody has, the newcomer."""
        waiting = [
            (since, id(each), each)
            for each in self.connections
            if isinstance(each, CarefulProtocol)
            and each is not self
            and not each.transport.is_closing()
            and (since := each.waits_since()) is not None
        ]
        if waiting:
            min(waiting)[2].give_up()
        else:
            detail = f"{self.most_connections} connections are open, and all wait for answers."
            self._refuse(503, "Service Unavailable", detail, "ask again in 1 s")

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        self._loose = 0
        self._since = self.loop.time()
        self._head = self.loop.call_later(self.header_seconds, self._too_slow)

    def _head_came(self) -> None:
        self._in_head = False
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_waiting_for_reader(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _too_slow(self) -> None:
        self._head = None
        if self._in_head:
            detail = f"The head did not arrive within {self.header_seconds:g} s."
            self._refuse(408, "Request Timeout", detail, "send it at once")
        elif not self.transport.is_closing():
            self.transport.close()  # nothing was sent at all

    def _count(self, size: int) -> None:
        self._lines += size
        if self._lines > MOST_HEAD_BYTES or self._headers > MOST_HEADERS:
            self._too_long()
            raise ValueError("too long")  # the parser stops there

    def _too_long(self) -> None:
        most = f"{MOST_HEAD_BYTES} bytes and {MOST_HEADERS} headers"
        self._why = (
            431,
            "Request Header Fields Too Large",
            f"The head has more than {most}.",
            "send fewer headers, or shorter ones",
        )

    def _refuse_why(self) -> None:
        self._refuse(*(self._why or (400, "Bad Request", "This is no HTTP request.", SPEAK_HTTP)))

    def _refuse(self, status: int, title: str, detail: str, fix: str) -> None:
        """Answers without the application, and hangs up. An answer that is being worked on for an
        earlier request on this connection is waited for, and is the last.
        """
        self._head_came()
        if self.transport.is_closing():
            return
        self._deaf = True
        if not self._idle():
            if not self.cycle.more_body or self.cycle.response_started or self.pipeline:
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True  # it is this one's body that is wrong
            self.cycle.message_event.set()
        self.refused(status, detail)
        document = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "fix": fix,
        }
        body = json.dumps(document).encode()
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
            b"%sconnection: close\r\n\r\n%s" % (status, title.encode(), len(body), retry, body)
        )
        self.transport.close()


def careful(
    *,
    header_seconds: float,
    stall_seconds: float,
    most_connections: int,
    refused: Callable[[int, str], None],
) -> type[CarefulProtocol]:
    """The protocol with its limits.

    Args:
        header_seconds: for a head to arrive.
        stall_seconds: that a client may leave its answer unread.
        most_connections: open at once.
        refused: told the status and the words of what the application never sees.
    """
    limits: dict[str, Any] = {
        "header_seconds": header_seconds,
        "stall_seconds": stall_seconds,
        "most_connections": most_connections,
        "refused": staticmethod(refused),
    }
    return type("Careful", (CarefulProtocol,), limits)
