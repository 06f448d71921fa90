"""BentoML by its documentation: as many workers, a synchronous API on their threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
from model import Model


@bentoml.service(
    workers=int(os.environ["KENNEL_BENCH_WORKERS"]),
    traffic={"timeout": 600, "max_concurrency": 256},
    logging={"access": {"enabled": False}},
)
class Labels:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    def predict(self, image: Path) -> dict[str, Any]:
        return self.model(image.read_bytes())
