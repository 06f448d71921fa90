"""A server beside the Web Adapter, or what stands in for it, answers events of AWS Lambda."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle

from kennel.cloud.rehearsal import runtime

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "src" / "kennel" / "cloud" / "rehearsal" / "adapter.py"

LONGEST_S = 60.0


@pytest.fixture
def service() -> Iterator[runtime.Service]:
    with runtime.service() as serving:
        yield serving


@pytest.fixture
def function(service: runtime.Service, tmp_path: Path) -> Iterator[runtime.Service]:
    """A service whose function is kennel serve beside the adapter."""
    port = str(lambda_port())
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": service.address,
        "AWS_LWA_PORT": port,
        "AWS_LWA_READINESS_CHECK_PATH": "/ready",
        "AWS_LWA_READINESS_CHECK_HEALTHY_STATUS": "200-299",
        "KENNEL_SERVE_PORT": port,
        "KENNEL_SERVE_WORKERS": "1",
        "KENNEL_SERVE_LOG": "none",
    }
    bundle = tiny_bundle(tmp_path / "tiny").path
    adapter = subprocess.Popen([sys.executable, str(ADAPTER)], env=environment)
    server = subprocess.Popen(
        [sys.executable, "-m", "kennel", "serve", str(bundle)], env=environment, cwd=tmp_path
    )
    yield service
    adapter.kill()
    server.terminate()
    assert server.wait(LONGEST_S) == 0
    adapter.wait()


def lambda_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def test_a_photo_sent_to_the_function_s_url_is_answered(
    function: runtime.Service, photos: Path
) -> None:
    assert function.asked.wait(LONGEST_S)
    photo = (photos / "red" / "0.png").read_bytes()
    said = function.request(
        "POST", "/predict", query="top=2", body=photo, kind="image/png", timeout_s=LONGEST_S
    )
    assert said.status == 200
    answer = json.loads(said.body)
    assert answer["label"] == "red"
    assert len(answer["top"]) == 2
    assert function.extensions == ["lambda-adapter"]


def test_a_refusal_comes_through_as_a_problem_document(function: runtime.Service) -> None:
    said = function.request("POST", "/predict", body=b"x", kind="text/plain", timeout_s=LONGEST_S)
    assert said.status == 415
    assert said.headers["content-type"].startswith("application/problem+json")


def test_no_event_is_asked_for_before_a_photo_was_answered(
    service: runtime.Service, tmp_path: Path
) -> None:
    """Where /ready says 503 the function is not begun: Lambda waits instead of failing requests."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Event, Thread

    asked = Event()

    class NotReady(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            asked.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), NotReady)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": service.address,
        "AWS_LWA_PORT": str(server.server_port),
        "AWS_LWA_READINESS_CHECK_PATH": "/ready",
        "AWS_LWA_READINESS_CHECK_HEALTHY_STATUS": "200-299",
    }
    adapter = subprocess.Popen([sys.executable, str(ADAPTER)], env=environment)
    try:
        assert asked.wait(LONGEST_S)
        assert not service.asked.wait(0.2)
        assert service.extensions == ["lambda-adapter"]
    finally:
        adapter.kill()
        adapter.wait()
        server.shutdown()
        server.server_close()
