"""A notice that the machine will be taken away: a file, or an address of its own network."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kennel.errors import Stopped
from kennel.learn.interruption import Interruption, leaving_on_sigterm

pytestmark = pytest.mark.slow

SPOT = "/latest/meta-data/spot/instance-action"


class Metadata(BaseHTTPRequestHandler):
    """EC2's metadata service, version 2: no answer without a token."""

    server: Any

    def do_PUT(self) -> None:
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.server.tokens += 1
        self._say(200 if self.path == "/latest/api/token" and ttl else 400, "a-token")

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/there")
            self.end_headers()
        elif self.path == "/there":
            self._say(200, "a page")
        elif self.path == "/broken":
            self._say(500, "")
        elif self.path == SPOT and self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            self._say(401, "")
        else:
            self._say(200 if self.server.notice else 404, '{"action": "terminate"}')

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    serving: Any = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    serving.notice, serving.asked, serving.tokens = False, 0, 0
    thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


def watching(watch: str) -> tuple[Interruption, Any]:
    told = Interruption(watch=watch, every_s=0.01)
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        world_size=1,
        datamodule=SimpleNamespace(between_steps=[]),
        callbacks=[],
    )
    # In a thread, so that the signals of the tests' own process stay as they are.
    start = threading.Thread(target=told.on_train_start, args=(trainer, None))
    start.start()
    start.join()
    return told, trainer.datamodule.between_steps[0]


def until(there: Any) -> None:
    until_s = time.monotonic() + 10
    while not there():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_a_file_that_appears_ends_the_run_after_its_step(tmp_path: Path) -> None:
    told, between_steps = watching(str(tmp_path / "notice"))
    between_steps()  # goes on
    (tmp_path / "notice").touch()
    until(lambda: told._told)
    with pytest.raises(Stopped, match="notice at") as raised:
        between_steps()
    assert raised.value.exit_code == 143


@pytest.mark.parametrize("path", [SPOT, "/plain"])
def test_an_address_that_answers_200_ends_the_run_and_404_does_not(
    path: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which knows nothing of it
    told, between_steps = watching(f"http://127.0.0.1:{server.server_port}{path}")
    until(lambda: server.asked > 2)
    between_steps()
    server.notice = True
    until(lambda: told._told)
    with pytest.raises(Stopped, match="notice at"):
        between_steps()
    assert server.tokens == (path == SPOT)


@pytest.mark.parametrize("path", ["/elsewhere", "/broken", None])
def test_an_address_that_cannot_be_watched_is_said_once_and_the_run_goes_on(
    path: str | None, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    port = server.server_port if path else 9  # where nobody listens
    told, between_steps = watching(f"http://127.0.0.1:{port}{path or '/'}")
    until(lambda: "cannot be watched" in caplog.text)
    if path:
        until(lambda: server.asked > 3)
    else:
        time.sleep(0.05)
    told.teardown(None, None, "fit")  # type: ignore[arg-type]
    between_steps()
    assert caplog.text.count("cannot be watched") == 1


def test_sigterm_before_training_cleans_up_as_ctrl_c_does() -> None:

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as raised, leaving_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert raised.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == before
