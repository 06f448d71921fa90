"""A run's network as training left it: what every format is made of, and measured against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file
from yaml import YAMLError  # type: ignore[import-untyped]

from kennel.errors import RunError, UsageError
from kennel.learn.models import Model
from kennel.learn.settings import read_own
from kennel.outputs import Outputs
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run


class TrainedClassifier:
    """The network as training left it: satisfies kennel.outputs.Classifier."""

    def __init__(self, model: Model, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._network = model.network.eval()

    def outputs(self, batch: np.ndarray) -> Outputs:
        """Float32[N, 3, H, W] -> logits Float32[N, K], without the features."""
        with torch.inference_mode():
            return Outputs(np.asarray(self._network(torch.from_numpy(batch)).numpy()))


def load_model(run: Run) -> Model:
    """The run's network with its best weights.

    Raises:
        RunError: the run stopped before it had any, or its files do not fit together.
    """
    weights = run.path / BEST_WEIGHTS
    if run.best_checkpoint is None or not weights.is_file():
        raise RunError(
            f"{run.path} has no weights: its status is {run.status}.",
            fix=f"go on with it: kennel train ckpt_path=last paths.output_dir={run.path} and "
            "its other settings",
        )
    try:
        config = OmegaConf.load(run.path / CONFIG_YAML)
        settings = read_own(config.model, at="model")
    except (OSError, OmegaConfBaseException, YAMLError, UsageError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise RunError(
            f"{run.path / CONFIG_YAML} cannot be read: {reason}.", fix="train it again"
        ) from error
    if hasattr(settings, "pretrained"):
        settings = replace(settings, pretrained=False)  # the run's own weights follow
    model: Model = settings.build(run.labels)
    try:
        model.network.load_state_dict(load_file(weights), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise RunError(
            f"{weights} does not fit the network of {CONFIG_YAML}: {str(error).splitlines()[0]}.",
            fix="train it again",
        ) from error
    return replace(model, preprocess=run.preprocess, backbone=run.backbone)
