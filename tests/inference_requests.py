"""Requests of the Open Inference Protocol, and what is in their answers."""

from __future__ import annotations

import base64
import json
from typing import Any

from running import Reply, Running


def tensor(values: Any = None, *, shape: list[int] | None = None, **more: Any) -> bytes:
    numbers = [1.0] * 64 + [0.0] * 128 if values is None else values
    given = {"name": "input", "shape": shape or [1, 3, 8, 8], "datatype": "FP32", "data": numbers}
    return json.dumps({"inputs": [given], **more}).encode()


def image(*files: str | bytes, n: int | None = None) -> bytes:
    texts = [each if isinstance(each, str) else base64.b64encode(each).decode() for each in files]
    shape = [len(texts) if n is None else n]
    given = {"name": "image", "shape": shape, "datatype": "BYTES", "data": texts}
    return json.dumps({"inputs": [given]}).encode()


def infer(server: Running, body: bytes, path: str = "/v2/models/kennel/infer") -> Reply:
    return server.ask("POST", path, body, {"content-type": "application/json"})


def outputs(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    return {each["name"]: each["data"] for each in reply.json["outputs"]}
