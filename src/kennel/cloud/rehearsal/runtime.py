"""What one sandbox sees of AWS Lambda: the Runtime API and the Extensions API, on loopback."""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kennel.cloud.rehearsal.events import Reply, reply_of, url_event

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:kennel"
MOST_BYTES = 6_291_556  # of an event, and of what is said to it
TOO_LARGE = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."


class TimedOutError(Exception):
    """No reply within the time that a function has."""


class FunctionError(Exception):
    """The function said that it failed, or said too much. `kind` is the name it gave."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


@dataclass
class _Extension:
    name: str
    wants: tuple[str, ...]
    events: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)


class Service(ThreadingHTTPServer):
    """Gives events to the one function that asks for them, one at a time."""

    daemon_threads = True

    def __init__(self, *, arn: str = ARN, version: str = "$LATEST") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arn, self.version = arn, version
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.replies: queue.Queue[tuple[str, object]] = queue.Queue()
        self.asked = threading.Event()  # the function is ready: it asks for its first event
        self.waits = threading.Event()  # it asks for an event right now
        self.registered: dict[str, _Extension] = {}
        self.errors: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def extensions(self) -> list[str]:
        return [each.name for each in self.registered.values()]

    def invoke(self, event: dict[str, Any], *, timeout_s: float) -> object:
        """Hands an event to the function.

        Returns:
            what it said, as JSON has it.
        Raises:
            TimedOutError: nothing, in time.
            FunctionError: it failed.
        """
        number = str(uuid.uuid4())
        deadline_ms = int((time.time() + timeout_s) * 1000)
        self.events.put({"number": number, "event": event, "deadline_ms": deadline_ms})
        self.tell({"eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": number})
        try:
            said_number, said = self.replies.get(timeout=timeout_s)
        except queue.Empty:
            raise TimedOutError(f"Task timed out after {timeout_s:.2f} seconds") from None
        if said_number != number:
            raise AssertionError(f"the reply is to {said_number}, asked was {number}")
        if isinstance(said, FunctionError):
            raise said
        return said

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        kind: str = "",
        timeout_s: float,
    ) -> Reply:
        """A request to the function's URL, of nobody in particular."""
        headers = {"content-type": kind} if kind else {}
        event = url_event(method, path, query=query, headers=headers, body=body)
        return reply_of(self.invoke(event, timeout_s=timeout_s))

    def tell(self, event: dict[str, Any]) -> None:
        """Tells the extensions that wanted to know."""
        for each in list(self.registered.values()):
            if event["eventType"] in each.wants:
                each.events.put(event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        if self.path == f"{EXTENSION}/event/next":
            known = self.server.registered.get(self.headers.get("lambda-extension-identifier", ""))
            if known is None:
                self.say(403, b'{"errorType": "Extension.UnknownExtensionIdentifier"}')
                return
            self.say(200, json.dumps(known.events.get()).encode())
        elif self.path == f"{RUNTIME}/invocation/next":
            self.server.waits.set()
            self.server.asked.set()
            given = self.server.events.get()
            self.server.waits.clear()
            head = {
                "lambda-runtime-aws-request-id": given["number"],
                "lambda-runtime-deadline-ms": str(given["deadline_ms"]),
                "lambda-runtime-invoked-function-arn": self.server.arn,
                "lambda-runtime-trace-id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            }
            self.say(200, json.dumps(given["event"]).encode(), head)
        else:
            self.say(404, b"{}")

    def do_POST(self) -> None:
        said = self.content()
        invocation = f"{RUNTIME}/invocation/"
        if self.path == f"{EXTENSION}/register":
            self.register(said)
        elif self.path.startswith(invocation) and self.path.endswith("/response"):
            self.reply(self.path.split("/")[-2], said)
        elif self.path.startswith(invocation) and self.path.endswith("/error"):
            kind = self.headers.get("lambda-runtime-function-error-type", "Unhandled")
            error = FunctionError(kind, said.decode(errors="replace"))
            self.server.replies.put((self.path.split("/")[-2], error))
            self.say(202, b'{"status": "OK"}')
        else:  # /init/error
            self.server.errors.append(said.decode(errors="replace"))
            self.say(202, b'{"status": "OK"}')

    def register(self, said: bytes) -> None:
        wants = tuple(json.loads(said or b"{}").get("events", ()))
        number = str(uuid.uuid4())
        name = self.headers.get("lambda-extension-name", "")
        self.server.registered[number] = _Extension(name, wants)
        told = {"functionName": "kennel", "functionVersion": self.server.version, "handler": ""}
        self.say(200, json.dumps(told).encode(), {"lambda-extension-identifier": number})

    def reply(self, number: str, said: bytes) -> None:
        if len(said) > MOST_BYTES:
            self.server.replies.put(
                (number, FunctionError("Function.ResponseSizeTooLarge", TOO_LARGE))
            )
            self.say(413, json.dumps({"errorType": "RequestEntityTooLarge"}).encode())
            return
        try:
            document: object = json.loads(said)
        except ValueError:
            document = FunctionError("Runtime.InvalidResponse", "what it said is no JSON")
        self.server.replies.put((number, document))
        self.say(202, b'{"status": "OK"}')

    def content(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue  # trailers
        return b"".join(parts)

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: what matters is asked for."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a sandbox that was ended
            super().handle()


@contextmanager
def service(*, arn: str = ARN, version: str = "$LATEST") -> Iterator[Service]:
    """A service while the block runs."""
    serving = Service(arn=arn, version=version)
    threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield serving
    finally:
        serving.shutdown()
        serving.server_close()
