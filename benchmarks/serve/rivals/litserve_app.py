"""LitServe by its documentation: a LitAPI on the processor, as many workers, its fast queue.

No batching: on one core it gains nothing with this model, and a batch waits for its slowest photo.
"""

import os  # and no `from __future__ import annotations`: LitServe reads them as they are
from typing import Any

import litserve as ls
from fastapi import Request
from model import Model


class Labels(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.model = Model()

    def decode_request(self, request: Request) -> bytes:
        return request["image"].file.read()

    def predict(self, content: bytes) -> dict[str, Any]:
        return self.model(content)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    workers = int(os.environ["KENNEL_BENCH_WORKERS"])
    server = ls.LitServer(
        Labels(api_path="/predict"),
        accelerator="cpu",
        workers_per_device=workers,
        timeout=False,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["KENNEL_BENCH_PORT"]),
        num_api_servers=workers,
        generate_client_file=False,
        log_level="warning",
    )
