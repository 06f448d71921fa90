"""A valid bundle whose answers can be worked out by hand: the mean colour of the photo decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from kennel.bundle import (
    MODEL_ONNX,
    Backbone,
    Bank,
    Bundle,
    Calibration,
    FileEntry,
    Lineage,
    ParityRow,
    Preprocess,
    Rejection,
    SplitFigures,
    Tensor,
    file_sha256,
    write_bundle,
)

LABELS = ("red", "green", "blue")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SCALE = 8.0  # logit of a label = SCALE * mean of its channel in 0..1
SIDE = 8
PREPROCESS = Preprocess(
    size=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash", filter="bilinear"
)
CALIBRATION = Calibration(method="temperature", temperature=2.0, split="validation", n=30)
# Pure colours have energy log(e^8 + 2) = 8.0007; black, log(3) = 1.1.
REJECTION = Rejection(
    method="energy", threshold=5.0, false_refusal_rate=0.05, split="validation", n=30
)


BANK = (127 * np.eye(3)).astype(np.int8)  # directions of pure red, green and blue


def by_bank(threshold: float) -> Rejection:
    """Rejection by the cosine to the nearest of BANK."""
    bank = Bank("bank.i8", rows=3, features=3)
    return replace(REJECTION, method="knn", threshold=threshold, bank=bank, neighbours=1)


def tiny_bundle(
    folder: Path,
    *,
    labels: Sequence[str] = LABELS,
    calibration: Calibration | None = CALIBRATION,
    rejection: Rejection | None = REJECTION,
    metrics: dict[str, SplitFigures] | None = None,
    dataset_csv: str = "data/dataset.csv",
    dataset_id: str = "d" * 64,
    bundle_id: str = "tiny-0a1b2c3d",
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
    features: bool = True,
) -> Bundle:
    """Writes a bundle into `folder`: features are mean red, green and blue in 0..1, logits SCALE
    times that.

    Args:
        labels: three names, of red, green and blue.
        gains: by which the logits are multiplied besides: what it takes for red, green and blue.
        features: whether the model gives them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"labels": json.dumps(list(labels)), "preprocess": json.dumps(asdict(PREPROCESS))}
    model = mean_colour_onnx(metadata, gains=gains, features=features)
    (folder / MODEL_ONNX).write_bytes(model)
    names = [MODEL_ONNX]
    if rejection is not None and rejection.bank is not None:
        (folder / rejection.bank.file).write_bytes(BANK.tobytes())
        names.append(rejection.bank.file)
    bundle = Bundle(
        bundle_id=bundle_id,
        labels=tuple(labels),
        preprocess=PREPROCESS,
        input=Tensor(name="image", dtype="float32", shape=("batch", 3, SIDE, SIDE)),
        outputs=tuple(
            Tensor(name=name, dtype="float32", shape=("batch", 3))
            for name in ("logits", "features")[: 1 + features]
        ),
        calibration=calibration,
        rejection=rejection,
        parity=(ParityRow("onnx", photos=30, max_abs_diff=1e-7, label_flips=0, tolerance=1e-4),),
        metrics=metrics or {},
        lineage=Lineage(
            run_id="tiny",
            git_commit="c" * 40,
            dirty=False,
            dataset_id=dataset_id,
            dataset_csv=dataset_csv,
            config_sha256="f" * 64,
            seed=0,
            backbone=Backbone("mean_colour", "by hand", "tests/bundles.py", "Apache-2.0"),
            versions={"kennel": "0"},
            hardware={"cpu": "a processor"},
            created_utc="2026-11-23T08:00:00Z",
        ),
        files={name: entry(folder / name) for name in names},
        path=folder,
    )
    write_bundle(bundle)
    return bundle


def mean_colour_onnx(
    metadata: dict[str, str] | None = None,
    *,
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
    features: bool = True,
) -> bytes:
    """image Float32["batch", 3, 8, 8] -> logits and features Float32["batch", 3], as ONNX."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["means"]),
            helper.make_node("Flatten", ["means"], ["features"]),
            helper.make_node("Gemm", ["features", "weight"], ["logits"]),
        ],
        "mean_colour",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
            for name in ("logits", "features")[: 1 + features]
        ],
        [numpy_helper.from_array(SCALE * np.diag(np.float32(gains)), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def entry(path: Path) -> FileEntry:
    return FileEntry(sha256=file_sha256(path), bytes=path.stat().st_size)


def coloured_photos(folder: Path, *, per_label: int = 4) -> Path:
    """red/0.png ... blue/3.png in `folder`: one colour each, every file another size."""
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for n in range(per_label):
            Image.new("RGB", (20 + n, 30 + n), colour).save(folder / label / f"{n}.png")
    return folder
