"""The formats beside ONNX: each as it is written, and every format as a stranger would open it.

What a format says of labels and preprocessing is read back from its own files, never from memory.
Opening torch's formats unpickles: only files that were written in the same run are opened here, and
only once their sha256 was seen to match.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kennel.bundle import MODEL_ONNX, Bundle, Preprocess, build, write_json
from kennel.errors import ParityError
from kennel.formats import FILES
from kennel.images import describe
from kennel.infer import OnnxFunction, temperature
from kennel.learn.models import Model
from kennel.learn.onnx import quiet

_JIT: Any = torch.jit
CROP_MODES = {"crop": "center", "letterbox": "border", "squash": "squash"}  # timm's words


@dataclass(frozen=True)
class Opened:
    """A format as its files say it is to be used."""

    labels: tuple[str, ...]
    preprocess: Preprocess
    logits: Callable[[np.ndarray], np.ndarray]  # Float32[N, 3, H, W] -> Float32[N, K]


def write_safetensors(model: Model, bundle: Bundle) -> None:
    """Weights and config.json in timm's layout, into `bundle.path`.

    timm.create_model("local-dir:FOLDER", pretrained=True) gives the network with its weights, and
    label_names in its pretrained_cfg. What that layout has no word for stands under "kennel".
    """
    weights, config = (bundle.path / name for name in FILES["safetensors"])
    body: Any = model.network.body
    state: dict[str, Tensor] = body.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights,
              metadata={"format": "pt"})  # fmt: skip
    own = timm.get_pretrained_cfg(model.architecture)
    pre = bundle.preprocess
    write_json(
        config,
        {
            "architecture": model.architecture,
            "num_classes": len(bundle.labels),
            "num_features": model.network.head.in_features,
            "label_names": bundle.labels,
            "model_args": model.arguments,
            "pretrained_cfg": {
                "input_size": (3, pre.size, pre.size),
                "fixed_input_size": bool(own and own.fixed_input_size),
                "interpolation": pre.filter,
                "crop_pct": pre.crop if pre.resize == "crop" else 1.0,
                "crop_mode": CROP_MODES[pre.resize],
                "mean": pre.mean,
                "std": pre.std,
                "num_classes": len(bundle.labels),
                "first_conv": own and own.first_conv,
                "classifier": own and own.classifier,
            },
            "kennel": {
                "bundle": bundle.bundle_id,
                "preprocess": asdict(pre),
                "preprocess_in_words": describe(pre),
                "temperature": temperature(bundle),
                "notes": _beyond_timm(pre),
            },
        },
    )


def open_safetensors(bundle: Bundle) -> Opened:
    """The folder as timm loads it. Mean, std, size and crop are those that timm reads."""
    weights, config_json = (bundle.file(name) for name in FILES["safetensors"])
    config = json.loads(config_json.read_text(encoding="utf-8"))
    network: Any = timm.create_model(f"local-dir:{weights.parent}", pretrained=True).eval()
    said = network.pretrained_cfg
    own: Preprocess = build(Preprocess, config["kennel"]["preprocess"], at="preprocess.")
    resize: Any = {mode: rule for rule, mode in CROP_MODES.items()}[said["crop_mode"]]
    preprocess = replace(
        own,
        size=said["input_size"][-1],
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
        resize=resize,
        filter=said["interpolation"],
        crop=said["crop_pct"] if resize == "crop" else own.crop,
    )
    return Opened(tuple(said["label_names"]), preprocess, _by_torch(network))


def write_torchscript(model: Model, bundle: Bundle) -> None:
    """A traced network that torch.jit.load opens without Kennel or timm: logits by calling it, its
    `labels`, and as extra files labels.json, preprocess.json and calibration.json.
    """
    size, labels = bundle.preprocess.size, list(bundle.labels)
    with quiet(), torch.no_grad():
        # Two photos: with one, what is as long as the batch could be taken for a constant 1.
        traced: Any = _JIT.trace(model.network.eval(), torch.zeros(2, 3, size, size),
                                 check_trace=False)  # fmt: skip
        labelled: Any = _JIT.script(_Labelled(traced, labels))
        path = str(bundle.path / FILES["torchscript"][0])
        _JIT.save(labelled, path, _extra_files=_extra_files(bundle))


def open_torchscript(bundle: Bundle) -> Opened:
    """The traced network that was just written."""
    extra: dict[str, Any] = dict.fromkeys(_extra_files(bundle), "")
    with quiet():
        module = _JIT.load(str(bundle.file(FILES["torchscript"][0])), _extra_files=extra)
    return _with_extra(extra, module.eval())


def write_pt2(model: Model, bundle: Bundle) -> None:
    """The network as torch.export keeps it, for a batch of any size, with the same extra files."""
    size = bundle.preprocess.size
    with quiet():
        program = torch.export.export(
            model.network.eval(),
            (torch.zeros(2, 3, size, size),),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        )
        path = bundle.path / FILES["pt2"][0]
        torch.export.save(program, path, extra_files=_extra_files(bundle))


def open_pt2(bundle: Bundle) -> Opened:
    """The exported program that was just written."""
    extra: dict[str, Any] = dict.fromkeys(_extra_files(bundle), "")
    with quiet():
        program = torch.export.load(bundle.file(FILES["pt2"][0]), extra_files=extra)
    return _with_extra(extra, program.module())


def open_onnx(bundle: Bundle) -> Opened:
    """The bundle as every door opens it, by bundle.json.

    Raises:
        ParityError: the ONNX file says other labels or another preprocessing than bundle.json.
    """
    opened = _by_metadata(bundle.file(MODEL_ONNX))
    for what, own, theirs in (
        ("labels", opened.labels, bundle.labels),
        ("preprocessing", opened.preprocess, bundle.preprocess),
    ):
        if own != theirs:
            raise ParityError(
                f"{MODEL_ONNX} says of its {what} {own}, bundle.json says {theirs}.",
                fix="nothing was exported; report it with the run's config.yaml",
            )
    return opened


def open_int8(bundle: Bundle) -> Opened:
    """The 8-bit ONNX file, by what stands in it."""
    return _by_metadata(bundle.file(FILES["int8"][0]))


# By name; ONNX is written by kennel.learn.onnx and int8 by kennel.learn.int8, which may decline.
WRITERS: dict[str, Callable[[Model, Bundle], None]] = {
    "safetensors": write_safetensors,
    "torchscript": write_torchscript,
    "pt2": write_pt2,
}
OPENERS: dict[str, Callable[[Bundle], Opened]] = {
    "onnx": open_onnx,
    "safetensors": open_safetensors,
    "torchscript": open_torchscript,
    "pt2": open_pt2,
    "int8": open_int8,
}


class _Labelled(nn.Module):
    """A network that knows the names of its answers."""

    def __init__(self, network: nn.Module, labels: list[str]) -> None:
        super().__init__()
        self.network, self.labels = network, labels

    def forward(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.network(batch)
        return logits


def _extra_files(bundle: Bundle) -> dict[str, str]:
    return {
        "labels.json": json.dumps(bundle.labels, ensure_ascii=False),
        "preprocess.json": json.dumps(asdict(bundle.preprocess)),
        "calibration.json": json.dumps({"temperature": temperature(bundle)}),
    }


def _with_extra(extra: dict[str, Any], network: Callable[[Tensor], Tensor]) -> Opened:
    return Opened(
        tuple(json.loads(extra["labels.json"])),
        build(Preprocess, json.loads(extra["preprocess.json"]), at="preprocess."),
        _by_torch(network),
    )


def _by_metadata(path: Path) -> Opened:
    function = OnnxFunction(path)
    return Opened(
        tuple(json.loads(function.metadata["labels"])),
        build(Preprocess, json.loads(function.metadata["preprocess"]), at="preprocess."),
        lambda batch: function(batch)["logits"],
    )


def _by_torch(network: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    def logits(batch: np.ndarray) -> np.ndarray:  # Float32[N, 3, H, W] -> Float32[N, K]
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).numpy())

    return logits


def _beyond_timm(preprocess: Preprocess) -> list[str]:
    """What timm's own transform does otherwise, and what its layout has no word for."""
    notes = [
        "Probabilities are the softmax of the logits divided by temperature; timm divides by 1.",
        "timm's transform rounds between the passes of its resize, does not turn photos by their "
        "EXIF orientation and ignores transparency: single pixels, and such photos, differ.",
    ]
    bars = tuple(round(255 * value) for value in preprocess.mean)
    if preprocess.resize == "letterbox" and bars != preprocess.fill:
        notes.append(
            f"timm fills the bars beside a photo with the mean, rgb{bars}; "
            f"the network was trained with rgb{preprocess.fill}."
        )
    return notes
