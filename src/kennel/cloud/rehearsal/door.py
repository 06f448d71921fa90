"""Plays a function URL: who may come in, how much, and what is answered when it goes wrong.

Each request is decided by what the emulated Lambda says at that moment: URL, alias, policy, time,
concurrency. Source: AWS Lambda Developer Guide, "Control access to Lambda function URLs" (with the
two permissions that have been needed since October 2025), "Lambda quotas", "Invoking Lambda
function URLs".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from kennel.cloud.rehearsal.events import Reply, reply_of, url_event
from kennel.cloud.rehearsal.function import Function, ThrottledError
from kennel.cloud.rehearsal.permissions import Question, by_identity, by_resource
from kennel.cloud.rehearsal.runtime import MOST_BYTES, FunctionError, TimedOutError
from kennel.cloud.rehearsal.sandbox import Configuration
from kennel.cloud.rehearsal.signature import Request, SignatureError, signer

ACTIONS = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
THROTTLED = {
    "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
    "Type": "User",
    "message": "Rate Exceeded.",
}
LARGE = {"Message": "Request Entity Too Large"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True)
class Url:
    """A function URL, and all that decides who is answered by what.

    Attributes:
        auth: "AWS_IAM" or "NONE".
        arn: of the alias that it belongs to.
        policy: of that alias.
        concurrency: reserved for the function; None where nothing is.
    """

    auth: str
    arn: str
    policy: Mapping[str, Any] | None
    concurrency: int | None
    configuration: Configuration


class Cloud(Protocol):
    """What the door asks of the emulated AWS, each time anew."""

    region: str

    def url(self) -> Url | None: ...
    def secrets(self) -> Mapping[str, str]: ...
    def who(self, access_key: str) -> tuple[str, list[Mapping[str, Any]]]: ...


@dataclass(frozen=True)
class Answered:
    """A request that came to the door."""

    method: str
    path: str
    status: int
    why: str


@dataclass
class Door:
    """The URL, while it is served."""

    server: ThreadingHTTPServer
    function: Function
    cloud: Cloud | None = None
    answered: list[Answered] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: Request) -> Reply:
        """What a client is told, and why in `answered`."""
        reply, why = self._answer(request)
        self.answered.append(Answered(request.method, request.path, reply.status, why))
        return reply

    def _answer(self, request: Request) -> tuple[Reply, str]:
        url = self.cloud.url() if self.cloud is not None else None
        if self.cloud is None or url is None:
            return _said(403, {"Message": None}), "there is no such URL"
        if len(request.body) > MOST_BYTES:  # before the signature: of such a body none is made
            return _said(413, LARGE), "payload over 6 MB"
        try:
            caller = self._caller(request, url)
        except SignatureError as error:
            return _said(
                403, {"Message": FORBIDDEN if str(error) == "Forbidden" else str(error)}
            ), str(error)
        event = url_event(
            request.method,
            request.path,
            query=request.query,
            headers={name: said for name, said in request.headers.items() if name != "host"},
            body=request.body,
            host=f"door.lambda-url.{self.cloud.region}.on.aws",
            caller=caller,
        )
        if len(json.dumps(event)) > MOST_BYTES:
            return _said(413, LARGE), "payload over 6 MB"
        try:
            said = self.function.invoke(url.configuration, event, concurrency=url.concurrency)
            return reply_of(said), "answered by the function"
        except ThrottledError:
            return _said(429, THROTTLED), "concurrency"
        except (TimedOutError, FunctionError, ValueError) as error:
            return Reply(502, {"content-type": "application/json"}, b"Internal Server Error"), str(
                error
            )

    def _caller(self, request: Request, url: Url) -> dict[str, Any] | None:
        """Who signed, where somebody has to.

        Raises:
            SignatureError: he may not come in.
        """
        assert self.cloud is not None
        who, policies, key = "", list[Mapping[str, Any]](), ""
        if url.auth == "AWS_IAM":
            key = signer(
                request,
                self.cloud.secrets(),
                service="lambda",
                region=self.cloud.region,
                now=datetime.now(UTC),
            )
            who, policies = self.cloud.who(key)
        for action in ACTIONS:
            if not _may(action, who, policies, url):
                raise SignatureError("Forbidden")
        if not who:
            return None
        account, name = who.split(":")[4], who.rpartition("/")[2]
        return {
            "accessKey": key,
            "accountId": account,
            "callerId": name,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": who,
            "userId": name,
        }


def _may(action: str, who: str, policies: list[Mapping[str, Any]], url: Url) -> bool:
    """Within an account either side may let somebody in, and both can forbid it."""
    context = {
        "lambda:functionurlauthtype": url.auth,
        "lambda:invokedviafunctionurl": "true",
    }
    asked = Question(who, action, url.arn, context)
    own = by_identity(policies, asked) if who else None
    of_function = by_resource(url.policy, asked)
    return own is not False and of_function is not False and bool(own or of_function)


def _said(status: int, document: Mapping[str, Any]) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(document).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, request: Request) -> Reply:
        raise NotImplementedError

    def handle_any(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        # What is far over the limit is not kept; it is read, so that the answer can be.
        body = self.rfile.read(min(size, MOST_BYTES + 1))
        left = size - len(body)
        while left > 0:
            left -= len(self.rfile.read(min(left, 2**20))) or left
        path, _, query = self.path.partition("?")
        headers = {name.lower(): said for name, said in self.headers.items()}
        reply = self.answer(Request(self.command, path, query, headers, body))
        self.send_response_only(reply.status)
        for name, said in reply.headers.items():
            if name not in HOP:
                self.send_header(name, said)
        for cookie in reply.cookies:
            self.send_header("set-cookie", cookie)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Nothing: `answered` has it."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # of a client that left
            super().handle()


@contextmanager
def opened(function: Function) -> Iterator[Door]:
    """A door while the block runs; it lets nobody in before it has a `cloud`."""

    class Handler(_Handler):
        def answer(self, request: Request) -> Reply:
            return door.answer(request)

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler.handle_any)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    door = Door(server, function)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        function.end()
