"""What a container sees of AWS Lambda: the Runtime API and the Extensions API, on loopback."""

from __future__ import annotations

import base64
import json
import queue
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:kennel"


@dataclass(frozen=True)
class Reply:
    """What the function said to an event."""

    status: int
    headers: dict[str, str]
    body: bytes


class Service(ThreadingHTTPServer):
    """Gives events to the one function that asks for them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.replies: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.asked = threading.Event()  # the function is ready: it asks for its first event
        self.extensions: list[str] = []
        self.errors: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def invoke(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        kind: str = "",
        timeout_s: float,
    ) -> Reply:
        """A request to the function's URL."""
        number = str(uuid.uuid4())
        self.events.put(
            {"number": number, "event": event(method, path, query=query, body=body, kind=kind)}
        )
        said_number, said = self.replies.get(timeout=timeout_s)
        if said_number != number:
            raise AssertionError(f"the reply is to {said_number}, asked was {number}")
        content = said.get("body") or ""
        plain = base64.b64decode(content) if said.get("isBase64Encoded") else content.encode()
        headers = {name.lower(): value for name, value in said.get("headers", {}).items()}
        return Reply(said["statusCode"], headers, plain)


def event(method: str, path: str, *, query: str, body: bytes, kind: str) -> dict[str, Any]:
    """An event of a function URL, payload format 2.0."""
    headers = {
        "host": "abc.lambda-url.us-east-1.on.aws",
        "user-agent": "images-check",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "https",
    }
    if kind:
        headers["content-type"] = kind
    context = {
        "accountId": "anonymous",
        "apiId": "abc",
        "domainName": headers["host"],
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": headers["user-agent"],
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": "01/Jan/2026:00:00:00 +0000",
        "timeEpoch": 1767225600000,
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": context,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        if self.path == f"{EXTENSION}/event/next":
            threading.Event().wait()  # there is none, until the service ends
        elif self.path == f"{RUNTIME}/invocation/next":
            self.server.asked.set()
            given = self.server.events.get()
            head = {
                "lambda-runtime-aws-request-id": given["number"],
                "lambda-runtime-deadline-ms": "9999999999999",
                "lambda-runtime-invoked-function-arn": ARN,
                "lambda-runtime-trace-id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            }
            self.say(200, json.dumps(given["event"]).encode(), head)
        else:
            self.say(404, b"{}")

    def do_POST(self) -> None:
        said = self.content()
        if self.path == f"{EXTENSION}/register":
            self.server.extensions.append(self.headers.get("lambda-extension-name", ""))
            told = {"functionName": "kennel", "functionVersion": "$LATEST", "handler": ""}
            identity = {"lambda-extension-identifier": str(uuid.uuid4())}
            self.say(200, json.dumps(told).encode(), identity)
        elif self.path.startswith(f"{RUNTIME}/invocation/") and self.path.endswith("/response"):
            number = self.path.split("/")[-2]
            self.server.replies.put((number, json.loads(said)))
            self.say(202, b'{"status": "OK"}')
        else:  # .../error, /init/error
            self.server.errors.append(said.decode(errors="replace"))
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


@contextmanager
def service() -> Iterator[Service]:
    """A service while the block runs."""
    serving = Service()
    threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield serving
    finally:
        serving.shutdown()
        serving.server_close()
