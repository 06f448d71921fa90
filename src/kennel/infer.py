"""Bundle -> logits -> calibrated answers, "not one I know" among them. The only file that knows
onnxruntime.

N photos, K labels, D features, H x W pixels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# onnxruntime 1.32 keeps a device id in the home folder and calls mobile.events.data.microsoft.com.
# Only this, before it is loaded, keeps it from both: its disable_telemetry_events() does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from kennel.bundle import MODEL_ONNX, Bundle
from kennel.calibration import prediction_sets
from kennel.errors import BundleError
from kennel.machine import usable_cores
from kennel.metrics import softmax
from kennel.onnx_file import check_model
from kennel.outputs import Outputs
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
        score: how known, by the bundle's rejection; None where it refuses nothing.
        among: the labels of which one is the truth at the bundle's coverage, best first; None where
            the bundle promises none, or the photo is not known: the promise is for photos of the
            labels.
    """

    label: str
    probability: float
    known: bool
    top: tuple[tuple[str, float], ...]
    among: tuple[str, ...] | None = None
    score: float | None = None


class OnnxFunction:
    """One ONNX graph with one image input.

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
        self._model = model
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
        self.names = tuple(output.name for output in self._session.get_outputs())
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Float32[N, 3, H, W] -> Float32[N, K or D] by the names of the outputs."""
        try:
            given = self._session.run(self.names, {self._input: batch})
        except Exception as error:  # its own classes again, as where memory does not suffice
            raise BundleError(
                f"{self._model} gives no answer to {len(batch)} photos: {error}.",
                fix="export the run again with this version of kennel",
            ) from error
        return dict(zip(self.names, map(np.asarray, given), strict=True))


class OnnxClassifier:
    """The classifier of a bundle: satisfies `kennel.outputs.Classifier`.

    Args:
        bundle: its files' sha256 are verified, and what the model holds is checked, before the
            bytes that were verified are parsed.
        threads: see OnnxFunction.
    Raises:
        BundleError: a file is not the one exported, is refused by `check_model`, or does not give
            what bundle.json says.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.labels = bundle.labels
        content = bundle.read(MODEL_ONNX)
        check_model(content, bundle)
        self._function = OnnxFunction(bundle.path / MODEL_ONNX, content=content, threads=threads)
        self.score = _scorer(bundle)

    def outputs(self, batch: np.ndarray) -> Outputs:
        """Float32[N, 3, H, W] -> logits Float32[N, K], and features Float32[N, D] if it has any."""
        given = self._function(batch)
        logits = given[self._function.names[0]]
        if logits.shape != (len(batch), len(self.labels)):  # where the file does not say it
            raise BundleError(
                f"{self.bundle.path / MODEL_ONNX} answers {len(batch)} photos with numbers of "
                f"shape {list(logits.shape)}, for {len(self.labels)} labels.",
                fix="export the run again with this version of kennel",
            )
        return Outputs(logits, given.get("features"))

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
        known, score = True, None
        if bundle.rejection is not None and self.score is not None:
            features = None if outputs.features is None else outputs.features[None]
            score = float(self.score(logits[None], features)[0])
            known = score >= bundle.rejection.threshold
        among = None
        if known and bundle.conformal is not None:
            named = prediction_sets(probabilities[None], bundle.conformal.threshold)[0]
            among = tuple(bundle.labels[i] for i in order if named[i])
        return Answer(best[0][0], best[0][1], known, best, among, score)


def _scorer(bundle: Bundle) -> Scorer | None:
    rejection = bundle.rejection
    if rejection is None:
        return None
    if rejection.bank is None:
        return Scorer(rejection)
    bank = rejection.bank  # of as many bytes and features as it says, or it was not read
    rows = np.frombuffer(bundle.read(bank.file), np.int8).reshape(bank.rows, bank.features)
    return Scorer(rejection, rows)


def temperature(bundle: Bundle) -> float:
    """What the bundle's logits are divided by before the softmax."""
    return 1.0 if bundle.calibration is None else bundle.calibration.temperature
