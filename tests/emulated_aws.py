"""AWS in this process, for tests that deploy: moto's server with what a rehearsal adds to it, and
before it a door that counts, refuses, holds up and forgets; and who answers as the function would.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from small_stacks import ACCOUNT, NAME, REGION

ROOT = Path(__file__).parents[1]
# What changes something, by the beginning of its name.
READS = ("Describe", "Get", "List", "Batch", "Filter", "Head")


@cache
def _client(address: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id="a-person",
        aws_secret_access_key="a-person",
    )


@dataclass
class Answering:
    """The function, as it is asked at its address: by bundle, what it says."""

    address: str = ""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    status: int = 200


@dataclass
class Aws:
    """What is there, and how it behaves.

    Attributes:
        refuse: operation -> code and message with which it is refused.
        hold: number of the request that changes something that is held up, and whether it is done
            before: (number, "before" or "after").
        changed: operations that changed something, in order.
    """

    address: str = ""
    function: Answering = field(default_factory=Answering)
    refuse: dict[str, tuple[str, str]] = field(default_factory=dict)
    answer: dict[str, Callable[[], Any]] = field(default_factory=dict)
    hold: tuple[int, str] | None = None
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    changed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def client(self, service: str) -> Any:
        return _client(self.address, service)

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "kennel",
            "AWS_SECRET_ACCESS_KEY": "kennel",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1",
        }

    def reset(self) -> None:
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()
        self.refuse.clear()
        self.answer.clear()
        self.changed.clear()
        self.asked.clear()
        self.hold = None
        self.held.clear()
        self.go_on.clear()
        self.function.answers.clear()
        self.function.asked.clear()
        self.function.status = 200

    # ---- what is there

    def stacks(self) -> dict[str, str]:
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        names = [each["StackName"] for each in found]
        assert len(set(names)) == len(names), names
        return {each["StackName"]: each["StackStatus"] for each in found}

    def change_sets(self) -> list[str]:
        from moto.cloudformation.models import cloudformation_backends

        found = cloudformation_backends[ACCOUNT][REGION].change_sets.values()
        return [each.change_set_name for each in found if each.execution_status == "AVAILABLE"]

    def hands(self, stack: str) -> list[str]:
        """By which role each change of that stack was asked for; "" is who asked."""
        from moto.cloudformation.models import cloudformation_backends

        found = cloudformation_backends[ACCOUNT][REGION].change_sets.values()
        return [each.role_arn or "" for each in found if each.stack_name == stack]

    def become(self, stack: str, status: str) -> None:
        """Lets that stack be in that state, as AWS would leave it."""
        from moto.cloudformation.models import cloudformation_backends

        [found] = [
            each
            for each in cloudformation_backends[ACCOUNT][REGION].stacks.values()
            if each.name == stack
        ]
        found.status = status

    def live(self) -> tuple[str, str]:
        """Version and digest that answer."""
        aws = self.client("lambda")
        number = aws.get_alias(FunctionName=f"{NAME}-serve", Name="live")["FunctionVersion"]
        code = aws.get_function(FunctionName=f"{NAME}-serve", Qualifier=number)["Code"]
        return number, code["ImageUri"].rpartition("@")[2]

    def bundle(self) -> str:
        """What is in the version that answers."""
        found = self.client("lambda").get_function(FunctionName=f"{NAME}-serve", Qualifier="live")
        return str(found["Configuration"]["Environment"]["Variables"]["KENNEL_BUNDLE"])


class Door:
    """Before moto: each request is named, counted, and let through or not."""

    def __init__(self, application: Any, aws: Aws) -> None:
        self.application, self.aws = application, aws

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        from kennel.cloud.rehearsal.aws.heard import CREDENTIAL, Listening

        aws = self.aws
        found = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found is None or found[1] != "kennel":
            return self.application(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = Listening(None, Path(os.devnull))._operation(environ, found[3])
        aws.asked.append(operation)
        environ["wsgi.input"] = io.BytesIO(body)
        if operation in aws.refuse:
            return _refused(start, environ, *aws.refuse[operation])
        if operation in aws.answer:
            answer = aws.answer[operation]()
            kind = "text/xml" if isinstance(answer, str) else "application/json"
            start("200 OK", [("Content-Type", kind)])
            return [(answer if isinstance(answer, str) else json.dumps(answer)).encode()]
        if operation.startswith(READS):
            return self.application(environ, start)
        aws.changed.append(operation)
        when = aws.hold[1] if aws.hold and len(aws.changed) == aws.hold[0] else ""
        if when == "before":
            return self._hold(start)
        answer = self.application(environ, start if not when else lambda *_: None)
        return self._hold(start) if when else answer

    def _hold(self, start: Callable[..., Any]) -> Iterable[bytes]:
        self.aws.held.set()
        self.aws.go_on.wait(60)
        start("503 Service Unavailable", [])
        return [b""]


def _refused(start: Any, environ: dict[str, Any], code: str, message: str) -> Iterable[bytes]:
    if environ.get("HTTP_X_AMZ_TARGET") or "application/json" in environ.get("CONTENT_TYPE", ""):
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amzn-Errortype", code)]
        start("400 Bad Request", headers)
        return [json.dumps({"__type": code, "message": message}).encode()]
    start("400 Bad Request", [("Content-Type", "text/xml"), ("X-Amzn-Errortype", code)])
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if "Version=2016-11-15" in environ.get("QUERY_STRING", "") or environ["PATH_INFO"] == "/":
        return [f"<Response><Errors>{inner}</Errors>{inner}</Response>".encode()]
    return [f"<ErrorResponse>{inner}</ErrorResponse>".encode()]


@contextmanager
def emulated_aws() -> Iterator[Aws]:
    """AWS, until the block ends."""
    from kennel.cloud.rehearsal.aws import engine, kinds, of_lambda

    os.environ["MOTO_LAMBDA_STUB_ECR"] = "false"
    from moto.moto_server import werkzeug_app
    from werkzeug.serving import make_server

    aws = Aws()
    with _answering(aws) as function:
        os.environ["KENNEL_REHEARSAL_DOOR"] = function.address
        kinds.teach()
        engine.correct()
        of_lambda.teach_urls()
        application = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
        server = make_server(
            "127.0.0.1",
            0,
            Door(application, aws),
            threaded=True,
            request_handler=_Quiet.of(werkzeug_app.MotoRequestHandler),
        )
        aws.address = f"http://127.0.0.1:{server.server_port}"
        os.environ["KENNEL_REHEARSAL_AWS"] = aws.address
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield aws
        finally:
            aws.go_on.set()
            server.shutdown()
            thread.join()


class _Quiet:
    @staticmethod
    def of(kind: Any) -> Any:
        return type("Quiet", (kind,), {"log": lambda *_: None})


@contextmanager
def _answering(aws: Aws) -> Iterator[Answering]:
    function = aws.function

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            function.asked.append(dict(self.headers.items()))
            answer = function.answers.get(aws.bundle(), {})
            content = json.dumps(answer).encode()
            self.send_response(function.status if answer else 502)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        function.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield function
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Engine:
    """The stand-in for Docker, and the images that it has."""

    folder: Path

    def image(self, name: str, *, bundle: str, architecture: str = "amd64", **more: Any) -> str:
        """An image of that name; its id, sha256:..."""
        identity = hashlib.sha256(f"{name} {bundle} {architecture}".encode()).hexdigest()
        told = {
            "Id": f"sha256:{identity}",
            "Architecture": architecture,
            "Config": {"Labels": {"kennel.bundle_id": bundle}},
            "files": ["/opt/extensions/lambda-adapter"],
            **more,
        }
        (self.folder / "images" / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
        return f"sha256:{identity}"

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STAND_IN_IMAGES": str(self.folder / "images"),
            "STAND_IN_SAID": str(self.folder / "said"),
        }

    def said(self) -> list[list[str]]:
        path = self.folder / "said"
        rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(row) for row in rows]


def stand_in_engine(folder: Path) -> Engine:
    (folder / "images").mkdir(parents=True)
    (folder / "bin").mkdir()
    program = folder / "bin" / "docker"
    shutil.copy(ROOT / "tests" / "stand_in_docker.py", program)
    text = program.read_text(encoding="utf-8").replace("/usr/bin/env python3", sys.executable, 1)
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return Engine(folder)


def kennel(*words: str, env: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
    """`kennel cloud ...`, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kennel", "cloud", *words],
        cwd=cwd,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
