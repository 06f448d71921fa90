"""Digests in docker/ are compared with what a registry says of their tags."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import image_pins

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


class Registry(ThreadingHTTPServer):
    """Knows manifests by name; gives them to those who fetched a token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manifests: dict[str, str] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_HEAD(self) -> None:
        if self.headers.get("authorization") != "Bearer for-all":
            realm = f'Bearer realm="http://{self.server.host}/token",service="s",scope="pull"'
            return self.say(401, {"www-authenticate": realm})
        digest = self.server.manifests.get(self.path.rpartition("/")[2])
        if digest is None:
            return self.say(404, {})
        return self.say(200, {"docker-content-digest": digest})

    def do_GET(self) -> None:
        self.say(200, {}, b'{"token": "for-all"}')

    def say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    serving = Registry()
    threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


def asked(registry: Registry, folder: Path) -> int:
    line = f"FROM {registry.host}/library/python:3.12-slim@{ONE} AS python\n"
    (folder / "serve.Dockerfile").write_text(line, encoding="utf-8")
    return image_pins.main(folder, scheme="http")


def test_a_digest_that_its_tag_means_is_good(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.manifests = {ONE: ONE, "3.12-slim": ONE}
    assert asked(registry, tmp_path) == 0
    assert capsys.readouterr().out == f"{registry.host}/library/python:3.12-slim  good\n"


def test_a_tag_that_moved_on_is_said_and_is_no_fault(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.manifests = {ONE: ONE, "3.12-slim": TWO}
    assert asked(registry, tmp_path) == 0
    assert f"moved on to {TWO}" in capsys.readouterr().out


def test_a_digest_that_does_not_exist_is_a_fault(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.manifests = {"3.12-slim": TWO}
    assert asked(registry, tmp_path) == 1
    assert f"the registry has no {ONE}" in capsys.readouterr().out


def test_a_registry_out_of_reach_is_no_good_answer(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.shutdown()
    registry.server_close()
    assert asked(registry, tmp_path) == 1
    assert "cannot be asked for" in capsys.readouterr().out


def test_the_images_pins_are_all_looked_at() -> None:
    texts = [path.read_text("utf-8") for path in (image_pins.ROOT / "docker").glob("*Dockerfile")]
    assert len({found[0] for text in texts for found in image_pins.PINNED.findall(text)}) == 2
