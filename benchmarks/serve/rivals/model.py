"""The model as a user of the field would load it: onnxruntime, Pillow's default resize, NumPy.

The same ONNX file and labels that Kennel serves. KENNEL_BENCH_READ=kennel reads photos with
`kennel.images` instead (PYTHONPATH must have it): then what differs is the server alone.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy as np
import onnxruntime as ort
from PIL import Image


class Model:
    """One session with one thread."""

    def __init__(self) -> None:
        folder = Path(os.environ["KENNEL_BENCH_BUNDLE"])
        spec = json.loads((folder / "bundle.json").read_text("utf-8"))
        self.labels: list[str] = spec["labels"]
        self.temperature = (spec["calibration"] or {"temperature": 1.0})["temperature"]
        self.preprocess = spec["preprocess"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        self.read = _read_by_kennel if os.environ.get("KENNEL_BENCH_READ") == "kennel" else _read

    def __call__(self, content: bytes) -> dict[str, Any]:
        """An encoded photo -> the answer."""
        batch = self.read(content, self.preprocess)[None]
        logits = self.session.run(["logits"], {self.input: batch})[0][0] / self.temperature
        exp = np.exp(logits - logits.max())
        probabilities = exp / exp.sum()
        order = np.argsort(-probabilities)[:3]
        top = [{"label": self.labels[i], "probability": float(probabilities[i])} for i in order]
        return {**top[0], "top": top}


def _read(content: bytes, preprocess: dict[str, Any]) -> np.ndarray:
    """Resize and centre crop as torchvision's transforms have them, by Pillow's own default."""
    photo = Image.open(io.BytesIO(content)).convert("RGB")
    size, (width, height) = preprocess["size"], photo.size
    if preprocess["resize"] == "crop":
        scale = round(size / preprocess["crop"]) / min(width, height)
        photo = photo.resize((round(width * scale), round(height * scale)))
        left, top = (photo.width - size) // 2, (photo.height - size) // 2
        photo = photo.crop((left, top, left + size, top + size))
    else:
        photo = photo.resize((size, size))
    pixels = np.asarray(photo, dtype=np.float32) / 255
    pixels = (pixels - np.float32(preprocess["mean"])) / np.float32(preprocess["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _read_by_kennel(content: bytes, preprocess: dict[str, Any]) -> np.ndarray:
    from kennel.bundle import Preprocess
    from kennel.images import read_photo

    given = {key: tuple(v) if isinstance(v, list) else v for key, v in preprocess.items()}
    return read_photo(content, Preprocess(**given))
