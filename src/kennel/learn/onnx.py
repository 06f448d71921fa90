"""Network -> ONNX file, with a batch of any size."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kennel.bundle import replacing
from kennel.learn.models import Network

OPSET = 18
Output = Literal["logits", "features"]


def write_onnx(
    network: Network,
    path: Path,
    *,
    size: int,
    outputs: tuple[Output, ...] = ("logits", "features"),
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes input "image" Float32["batch", 3, size, size] -> `outputs`, Float32["batch", K] and
    Float32["batch", D], whole or not at all.

    Args:
        network: is written as it answers in evaluation mode, and left as it is.
        metadata: metadata_props of the file, where tools look for labels.
    """
    plain = _with_plain_clamps(network).eval()
    module = _Outputs(plain, outputs)
    example = torch.zeros(2, 3, size, size)
    with quiet():
        program: Any = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=["image"],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
            verbose=False,
        )
    proto = program.model_proto
    proto.producer_name = "kennel"
    for node in [*proto.graph.node, *(node for f in proto.functions for node in f.node)]:
        del node.metadata_props[:]  # the exporter's stack traces: paths of this machine
    for key, value in (metadata or {}).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    with replacing(path, "wb") as file:
        file.write(proto.SerializeToString(deterministic=True))


def _with_plain_clamps(network: Network) -> Network:
    """A copy whose ReLU6 are clamps: the same numbers, but torch.export takes 3.5 s for
    EfficientNet-Lite0 where it took 6.6 s to decompose 33 hardtanh (two cores, torch 2.13).
    """
    copy = deepcopy(network)
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, _Clamp())
    return copy


class _Clamp(nn.Module):
    def forward(self, batch: Tensor) -> Tensor:
        return torch.clamp(batch, 0.0, 6.0)


class _Outputs(nn.Module):
    """Each by the head's own layer: what the backbone has to say is worked out once."""

    def __init__(self, network: Network, outputs: tuple[Output, ...]) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        features = self.network.features(batch)
        logits = self.network.head(features)
        return tuple({"logits": logits, "features": features}[name] for name in self.outputs)


@contextlib.contextmanager
def quiet() -> Any:
    """The exporter talks on stdout and through loggers and warnings, none of it for Kennel's
    users.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
