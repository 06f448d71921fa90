"""FastAPI as most tutorials have it: an async handler that does the work itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, File, UploadFile
from model import Model

app = FastAPI()
model = Model()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
async def predict(image: UploadFile = File(...)) -> dict[str, Any]:  # noqa: B008
    return model(await image.read())
