"""A line a request on stderr, as JSON or as text; never what a photo shows.

Lines are written by a thread of their own: a pipe that nobody reads must not hold up an answer.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import sys
import threading
import time
from contextlib import suppress
from typing import Any

MOST_LINES = 10_000  # that wait to be written; the next are dropped, and counted

Trace = tuple[str, str]  # trace id, the id of the span that asked; hex, as in a traceparent


class Log:
    """Where the server writes what it did.

    Args:
        style: "json", "text" or "none".
    """

    def __init__(self, style: str, *, worker: int = 0) -> None:
        self._style, self._worker = style, worker
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def write(self, event: str, **facts: Any) -> None:
        """One line. Facts that are None are left out."""
        if self._style != "none":
            self._put(line(self._style, event, worker=self._worker, **facts))

    def close(self) -> None:
        """Writes what waits, for a second at most."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._lines.put(None, timeout=1)
            self._thread.join(1)

    def _put(self, text: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._drain, name="log", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def _drain(self) -> None:
        while (first := self._lines.get()) is not None:
            lines = [first]
            while len(lines) < 100:
                try:
                    more = self._lines.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._lines.put(None)
                    break
                lines.append(more)
            if self._dropped:
                lines.append(json.dumps({"event": "log lines dropped", "n": self._dropped}))
                self._dropped = 0
            content = "".join(f"{each}\n" for each in lines).encode("utf-8", "backslashreplace")
            with suppress(OSError):
                while content:  # a pipe takes what it has room for
                    content = content[os.write(sys.stderr.fileno(), content) :]


def line(style: str, event: str, **facts: Any) -> str:
    """A line in that style. Facts that are None are left out."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
    known = {name: value for name, value in facts.items() if value is not None}
    if style == "json":
        record = {"time": stamp, "event": event, **known}
        return json.dumps(record, ensure_ascii=False, default=str)
    words = " ".join(f"{name}={_plain(value)}" for name, value in known.items())
    return f"{stamp} {event} {words}"


def trace(header: str | None) -> Trace:
    """Trace and span that a request belongs to; new ones where it names none that is valid.

    Source: W3C Trace Context, section 3.2.
    """
    parts = (header or "").strip().split("-")
    if len(parts) >= 4 and parts[0] != "ff" and (parts[0] != "00" or len(parts) == 4):
        version, trace_id, span_id, flags = parts[:4]
        whole = all(
            len(part) == size and set(part) <= set("0123456789abcdef")
            for part, size in ((version, 2), (trace_id, 32), (span_id, 16), (flags, 2))
        )
        if whole and int(trace_id, 16) and int(span_id, 16):
            return trace_id, span_id
    return secrets.token_hex(16), ""


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text.isprintable() or " " in text or not text else text
