"""Bundle -> logits -> calibrated answers, "not one I know" among them. The only file that knows
onnxruntime.

N photos, K labels, D features, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from kennel.bundle import MODEL_ONNX, Bundle
from kennel.calibration import prediction_sets
from kennel.errors import BundleError
from kennel.evaluate import Outputs
from kennel.machine import usable_cores
from kennel.metrics import softmax
from kennel.rejection import Scorer

ERRORS_ONLY = (
    3  # onnxruntime's severity; its warnings (no GPU found, ...) are not for Kennel's users
)


@dataclass(frozen=True)
class Answer:
    """What a door says of one photo.

    Attributes:
        label: the first of `top`.
        probability: its own.
        known: whether the photo looks like those of the labels; else "not one I know".
        top: labels with their probabilities, best first.
        among: the labels of which one is the truth at the bundle's coverage, best first; None where
            the bundle promises none.
    """

    label: str
    probability: float
    known: bool
    top: tuple[tuple[str, float], ...]
    among: tuple[str, ...] | None = None


class OnnxFunction:
    """One ONNX graph with one image input.

    Args:
        model: path of the ONNX file.
        threads: for one call, >= 1; None leaves it to the number of usable cores.
    Raises:
        BundleError: onnxruntime cannot load the file.
    """

    def __init__(self, model: Path, *, threads: int | None = None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = ort.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own classes, straight from Exception
            raise BundleError(
                f"{model} cannot be loaded by onnxruntime {ort.__version__}: {error}.",
                fix="export the run again with this version of kennel",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.names = tuple(output.name for output in self._session.get_outputs())
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Float32[N, 3, H, W] -> Float32[N, K or D] by the names of the outputs."""
        given = self._session.run(self.names, {self._input: batch})
        return dict(zip(self.names, map(np.asarray, given), strict=True))


class OnnxClassifier:
    """The classifier of a bundle: satisfies `kennel.evaluate.Classifier`.

    Args:
        bundle: its files' sha256 are verified before they are parsed.
        threads: see OnnxFunction.
    Raises:
        BundleError: a file is not the one exported, or does not give what bundle.json says.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.labels = bundle.labels
        self._function = OnnxFunction(bundle.file(MODEL_ONNX), threads=threads)
        self._has_features = "features" in self._function.names
        self.score = _scorer(bundle, has_features=self._has_features)

    def outputs(self, batch: np.ndarray) -> Outputs:
        """Float32[N, 3, H, W] -> logits Float32[N, K], and features Float32[N, D] if it has any."""
        given = self._function(batch)
        return Outputs(given[self._function.names[0]], given.get("features"))

    def answer(self, outputs: Outputs, *, top: int = 3) -> Answer:
        """The answer for one photo.

        Args:
            outputs: of that photo: Float32[K], Float32[D]; the temperature is applied here.
            top: how many labels to name, >= 1; more than K gives K.
        """
        bundle, logits = self.bundle, outputs.logits
        probabilities = softmax(logits[None] / temperature(bundle))[0]
        order = np.argsort(-logits, kind="stable")  # where probabilities are all 0, too
        best = tuple((bundle.labels[i], float(probabilities[i])) for i in order[: max(top, 1)])
        known = True
        if bundle.rejection is not None and self.score is not None:
            features = None if outputs.features is None else outputs.features[None]
            known = float(self.score(logits[None], features)[0]) >= bundle.rejection.threshold
        among = None
        if bundle.conformal is not None:
            named = prediction_sets(probabilities[None], bundle.conformal.threshold)[0]
            among = tuple(bundle.labels[i] for i in order if named[i])
        return Answer(label=best[0][0], probability=best[0][1], known=known, top=best, among=among)


def _scorer(bundle: Bundle, *, has_features: bool) -> Scorer | None:
    rejection = bundle.rejection
    if rejection is None:
        return None
    if rejection.bank is None:
        return Scorer(rejection)
    bank, path = rejection.bank, bundle.file(rejection.bank.file)
    if bundle.files[bank.file].bytes != bank.rows * bank.features:
        raise BundleError(
            f"{path} has {bundle.files[bank.file].bytes} bytes; {bank.rows} rows of "
            f"{bank.features} features need {bank.rows * bank.features}.",
            fix="export the run again with this version of kennel",
        )
    if not has_features:
        raise BundleError(
            f"{bundle.path / MODEL_ONNX} gives no features, which rejection by "
            f"{rejection.method} needs.",
            fix="export the run again with this version of kennel",
        )
    rows = np.frombuffer(path.read_bytes(), np.int8).reshape(bank.rows, bank.features)
    return Scorer(rejection, rows)


def temperature(bundle: Bundle) -> float:
    """What the bundle's logits are divided by before the softmax."""
    return 1.0 if bundle.calibration is None else bundle.calibration.temperature
