"""Pretrained weights by name: from a Hub on this machine, as safetensors, and never as a pickle."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BUILD = """
import json, kennel.learn
from kennel.learn.models import Timm
from kennel.errors import KennelError
try:
    model = Timm(name="test_resnet").build(["a", "b", "c"])
except KennelError as error:
    print(json.dumps({"error": error.message, "fix": error.fix}))
else:
    body = model.network.body
    print(json.dumps({
        "stem": float(next(body.parameters()).sum()),
        "labels": body.get_classifier().out_features,
        **vars(model.backbone),
    }))
"""
WEIGHTS = """
import sys, kennel.learn, torch, timm
from safetensors.torch import save_file
torch.manual_seed(5)
body = timm.create_model("test_resnet")
save_file(body.state_dict(), sys.argv[1])
print(float(next(body.parameters()).sum()))
"""


class Hub(BaseHTTPRequestHandler):
    """Serves what is in `files`, by path, as the Hub does."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        self.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        body = self.files.get(name)
        self.send_response(200 if body is not None else 404)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        body = body or b""
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.end_headers()
        return body

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    Hub.files, Hub.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def build(port: int, home: Path) -> dict[str, object]:
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", BUILD], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_weights_come_from_the_hub_with_their_checksum_and_then_from_its_cache(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    made = subprocess.run(
        [sys.executable, "-c", WEIGHTS, str(path)], capture_output=True, text=True, check=True
    )
    Hub.files["model.safetensors"] = path.read_bytes()
    built = build(hub.server_port, tmp_path / "home")
    assert built["stem"] == pytest.approx(float(made.stdout))
    assert built["labels"] == 3
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(built["weights"])
    assert str(built["source"]).endswith("timm/test_resnet.r160_in1k")
    Hub.asked.clear()
    assert build(hub.server_port, tmp_path / "home") == built
    assert Hub.asked == []


def test_a_repository_with_a_pickle_alone_is_refused_and_the_pickle_never_asked_for(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    Hub.files["pytorch_model.bin"] = b"cos\nsystem\n(S'touch opened'\ntR."
    refused = build(hub.server_port, tmp_path / "home")
    assert "could not be fetched" in str(refused["error"])
    assert not any(path.endswith(".bin") for path in Hub.asked)


def test_a_hub_out_of_reach_is_said_with_what_to_do(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    port = hub.server_port
    hub.server_close()
    refused = build(port, tmp_path / "home")
    assert f"127.0.0.1:{port}" in str(refused["error"])
    assert "model=efficientnet_lite0" in str(refused["fix"])
