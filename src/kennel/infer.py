"""Bundle -> logits -> calibrated answers, "not one I know" among them. The only file that knows
onnxruntime.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from kennel.bundle import MODEL_ONNX, Bundle
from kennel.calibration import energy
from kennel.errors import BundleError
from kennel.machine import usable_cores
from kennel.metrics import softmax
from kennel.onnx_file import check_model

ERRORS_ONLY = (
    3  # onnxruntime's severity; its warnings (no GPU found, ...) are not for Kennel's users
)


@dataclass(frozen=True)
class Answer:
    """What a door says of one photo. `top` is ordered, best first; `label` and `probability` are
    its first entry.
    """

    label: str
    probability: float
    known: bool
    top: tuple[tuple[str, float], ...]


class OnnxFunction:
    """One ONNX graph with one image input and one output.

    Args:
        model: path of the ONNX file.
        content: its bytes, where they were verified: then these are what is parsed.
        threads: for one call, >= 1; None leaves it to the number of usable cores.
    Raises:
        BundleError: onnxruntime cannot load the file.
    """

    def __init__(
        self, model: Path, *, content: bytes | None = None, threads: int | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.load_model_format", "ONNX")  # not its own
        try:
            self._session = ort.InferenceSession(
                str(model) if content is None else content,
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # onnxruntime raises its own classes, straight from Exception
            raise BundleError(
                f"{model} cannot be loaded by onnxruntime {ort.__version__}: {error}.",
                fix="export the run again with this version of kennel",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, batch: np.ndarray) -> np.ndarray:  # Float32[N, 3, H, W] -> Float32[N, D]
        return np.asarray(self._session.run(None, {self._input: batch})[0])


class OnnxClassifier:
    """The classifier of a bundle: satisfies `kennel.evaluate.Classifier`.

    Args:
        bundle: its model's sha256 is verified, and what it holds is checked, before onnxruntime
            parses the bytes that were verified.
        threads: see OnnxFunction.
    Raises:
        BundleError: the file is not the one that was exported, or is refused by `check_model`.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.labels = bundle.labels
        content = bundle.read(MODEL_ONNX)
        check_model(content, bundle)
        self._function = OnnxFunction(bundle.path / MODEL_ONNX, content=content, threads=threads)

    def logits(self, batch: np.ndarray) -> np.ndarray:  # Float32[N, 3, H, W] -> Float32[N, K]
        return self._function(batch)


def answer(logits: np.ndarray, bundle: Bundle, *, top: int = 3) -> Answer:
    """The answer for one photo.

    Args:
        logits: Float32[K], as the model gives them; the bundle's temperature is applied here.
        bundle: whose labels, calibration and rejection count.
        top: how many labels to name, >= 1; more than K gives K.
    """
    probabilities = softmax(logits[None] / temperature(bundle))[0]
    order = np.argsort(-logits, kind="stable")[: max(top, 1)]  # where probabilities are all 0, too
    best = tuple((bundle.labels[i], float(probabilities[i])) for i in order)
    rejection = bundle.rejection
    known = rejection is None or float(energy(logits[None])[0]) >= rejection.threshold
    return Answer(label=best[0][0], probability=best[0][1], known=known, top=best)


def temperature(bundle: Bundle) -> float:
    """What the bundle's logits are divided by before the softmax."""
    return 1.0 if bundle.calibration is None else bundle.calibration.temperature
