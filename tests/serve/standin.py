"""Stands in for `kennel serve` until it is there: the contract's page, bundle and predict."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kennel.bundle import Bundle
from kennel.errors import PhotoError
from kennel.evaluate import Outputs
from kennel.images import read_photo
from kennel.infer import OnnxClassifier
from kennel.serve.assets import PAGE_POLICY, assets


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bundle: Bundle, key: str | None, delay_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bundle, self.key, self.delay_s = bundle, key, delay_s
        self.classifier = OnnxClassifier(bundle)
        self.assets = assets()

    def handle_error(self, *_: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/bundle":
            if not self.allowed():
                return
            b = self.server.bundle
            said = {
                key: value
                for key, value in asdict(b).items()
                if key in ("bundle_id", "labels", "preprocess", "metrics", "rejection", "calibration", "conformal", "lineage")
            }
            said["backbone"] = said["lineage"].pop("backbone")
            said["limits"] = {"bytes": 20_000_000, "pixels": 100_000_000, "formats": ["JPEG", "PNG", "WebP", "GIF"]}
            said["keys"] = self.server.key is not None
            return self.say(200, said)
        asset = self.server.assets.get(self.path.partition("?")[0])
        if asset is None:
            return self.say(404, {"title": "Nothing here", "status": 404})
        return self.give(200, asset.body, {"Content-Type": asset.content_type, "ETag": asset.etag, "Content-Security-Policy": PAGE_POLICY, "X-Content-Type-Options": "nosniff"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
            return
        time.sleep(self.server.delay_s)
        if not self.headers["Content-Type"].startswith("image/"):
            return self.say(415, {"title": "This is not a photo", "status": 415, "detail": f"It was sent as {self.headers['Content-Type']}.", "fix": "Send JPEG, PNG, WebP or GIF."})
        began = time.perf_counter()
        try:
            photo = read_photo(body, self.server.bundle.preprocess)
        except PhotoError as error:
            return self.say(422, {"title": "The photo cannot be read", "status": 422, "detail": error.message, "fix": error.fix})
        decoded = time.perf_counter()
        outputs = self.server.classifier.outputs(photo[None])
        features = None if outputs.features is None else outputs.features[0]
        top = int(self.path.partition("top=")[2] or 3)
        answer = self.server.classifier.answer(Outputs(outputs.logits[0], features), top=top)
        done = time.perf_counter()
        said: dict[str, Any] = {
            "label": answer.label,
            "probability": answer.probability,
            "known": answer.known,
            "top": [{"label": a, "probability": b} for a, b in answer.top],
            "bundle": self.server.bundle.bundle_id,
            "took_ms": 1e3 * (done - began),
        }
        if answer.among is not None:
            said["among"] = list(answer.among)
        self.say(200, said, {"Server-Timing": f"queue;dur=0.1, decode;dur={1e3 * (decoded - began):.2f}, model;dur={1e3 * (done - decoded):.2f}"})

    def allowed(self) -> bool:
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self.say(401, {"title": "A key is needed", "status": 401, "fix": "send it as Authorization: Bearer KEY"})
        return False

    def say(self, status: int, said: dict[str, Any], more: dict[str, str] | None = None) -> None:
        kind = "application/json" if status == 200 else "application/problem+json"
        self.give(status, json.dumps(said).encode(), {"Content-Type": kind, **(more or {})})

    def give(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def standing_in(bundle: Bundle, *, key: str | None = None, delay_s: float = 0.0) -> Iterator[str]:
    server = Server(bundle, key, delay_s)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
