"""The model in 8 bits, tried: kept where it is faster here and answers nearly as well, else left
out and the reason written down.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from kennel.bundle import MODEL_ONNX, Bundle, replacing
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError, PhotoError
from kennel.evaluate import SplitReport, evaluate_split
from kennel.formats import FILES
from kennel.images import read_photo
from kennel.infer import OnnxFunction, temperature
from kennel.machine import usable_cores
from kennel.metrics import logsumexp
from kennel.outputs import Outputs
from kennel.paired import PairedTest, paired_test

CALIBRATION_PHOTOS = 128  # of the train split; they give each activation its range
TIMED_PHOTOS, ROUNDS = 8, 5
TOP1_LOSS = 0.01  # at most so much less top1 on the same validation photos
LOG_LOSS_RISE = 0.02  # and with 95 % confidence less than so many nats more log loss
RESAMPLES = 2000


@dataclass(frozen=True)
class Int8Trial:
    """The 8-bit model beside the one in float32.

    Attributes:
        ms: median milliseconds for one photo on one thread, of float32 and of int8.
        answers: on the validation photos, float32 as a, int8 as b.
        log_loss: on the same, with the bundle's temperature, of float32 and of int8.
        rise: 95 % interval of the difference of the two, from a paired bootstrap.
    """

    ms: tuple[float, float]
    answers: PairedTest
    log_loss: tuple[float, float]
    rise: tuple[float, float]

    @property
    def faster(self) -> bool:
        return self.ms[1] < self.ms[0]

    @property
    def as_good(self) -> bool:
        return self.answers.difference >= -TOP1_LOSS and self.rise[1] <= LOG_LOSS_RISE

    @property
    def kept(self) -> bool:
        return self.faster and self.as_good

    def in_words(self) -> str:
        """What was measured, and the limits."""
        low, high = self.rise
        return (
            f"{self.ms[1]:.1f} ms a photo on one thread, float32 {self.ms[0]:.1f} ms; "
            f"top1 {self.answers.difference:+.3f} (allowed {-TOP1_LOSS:+.2f}), "
            f"log loss {self.log_loss[1] - self.log_loss[0]:+.3f} [{low:+.3f}, {high:+.3f}] "
            f"(upper end allowed {LOG_LOSS_RISE:+.2f}), on the same {self.answers.n} "
            "validation photos"
        )

    def note(self) -> str:
        """For bundle.json."""
        if self.kept:
            return f"int8: kept: {self.in_words()}."
        reasons = [] if self.faster else ["it is not faster here"]
        reasons += [] if self.as_good else ["it answers worse than is allowed"]
        return f"int8: left out, as {' and '.join(reasons)}: {self.in_words()}."


def try_int8(bundle: Bundle, dataset: Dataset, *, seed: int = 0) -> Int8Trial:
    """Writes model.int8.onnx beside the ONNX file of `bundle` and measures it.

    Args:
        bundle: as exported so far; its folder gets the file.
        seed: of the train photos that give the ranges, and of the bootstrap.
    Raises:
        DatasetError: no photo of train or of validation can be read.
    """
    path = bundle.path / FILES["int8"][0]
    chosen = _some(dataset.split("train"), CALIBRATION_PHOTOS, seed=seed)
    _quantise(bundle.path / MODEL_ONNX, path, lambda: _batches(bundle, dataset, chosen))
    functions = {
        name: OnnxFunction(bundle.path / name, threads=1) for name in (MODEL_ONNX, path.name)
    }
    reports = [
        evaluate_split(
            _Answering(function, bundle.labels),
            dataset,
            "validation",
            bundle.preprocess,
            batch_size=8,
            threads=usable_cores(),
        )
        for function in functions.values()
    ]
    losses = [_log_losses(report, temperature(bundle)) for report in reports]
    right = [report.logits.argmax(axis=1) == report.truth for report in reports]
    ms = median_ms(functions, bundle.preprocess.size)
    return Int8Trial(
        ms=(ms[MODEL_ONNX], ms[path.name]),
        answers=paired_test(*right),
        log_loss=(float(losses[0].mean()), float(losses[1].mean())),
        rise=_interval(losses[1] - losses[0], seed=seed),
    )


def median_ms(
    functions: Mapping[str, Callable[[np.ndarray], object]],
    size: int,
    *,
    clock_s: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Milliseconds that each takes for one photo: medians of `ROUNDS` rounds, interleaved."""
    photo = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    took_ms: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function(photo)  # the first call allocates
    for _ in range(ROUNDS):
        for name, function in functions.items():
            started_s = clock_s()
            for _ in range(TIMED_PHOTOS):
                function(photo)
            took_ms[name].append((clock_s() - started_s) / TIMED_PHOTOS * 1e3)
    return {name: statistics.median(times) for name, times in took_ms.items()}


@dataclass(frozen=True)
class _Answering:
    function: OnnxFunction
    labels: tuple[str, ...]

    def outputs(self, batch: np.ndarray) -> Outputs:
        return Outputs(self.function(batch)["logits"])


def _quantise(source: Path, to: Path, batches: Callable[[], Iterator[np.ndarray]]) -> None:
    """Static QDQ quantisation, weights in int8 per channel, activations in uint8."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnx.load(source, load_external_data=False).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = batches()

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({name: batch} for batch in self.left), None)

    with TemporaryDirectory() as folder, _without_advice():
        prepared, written = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            written,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(written)
    del model.metadata_props[:]
    model.metadata_props.extend(onnx.load(source).metadata_props)
    with replacing(to, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


def _batches(
    bundle: Bundle, dataset: Dataset, photos: list[Photo], *, size: int = 16
) -> Iterator[np.ndarray]:
    found = False
    for start in range(0, len(photos), size):
        read = []
        for photo in photos[start : start + size]:
            try:
                read.append(read_photo(dataset.file(photo), bundle.preprocess))
            except PhotoError:
                continue
        if read:
            found = True
            yield np.stack(read)  # Float32[N, 3, H, W]
    if not found:
        raise DatasetError(
            f"none of the train photos in {dataset.csv} can be read, which int8 needs for the "
            "ranges of its numbers.",
            fix=f"check that the photos still lie in {dataset.photos_dir}, or leave out int8",
        )


def _some(photos: tuple[Photo, ...], most: int, *, seed: int) -> list[Photo]:
    order = np.random.default_rng(seed).permutation(len(photos))[:most]
    return [photos[index] for index in order]


def _log_losses(report: SplitReport, temperature: float) -> np.ndarray:  # Float64[N]
    logits = report.logits.astype(np.float64) / temperature
    return logsumexp(logits) - logits[np.arange(len(logits)), report.truth]


def _interval(differences: np.ndarray, *, seed: int) -> tuple[float, float]:  # Float64[N]
    """95 % percentile bootstrap of the mean."""
    generator, n = np.random.default_rng(seed), len(differences)
    means = [differences[generator.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


@contextmanager
def _without_advice() -> Iterator[None]:
    """onnxruntime's quantiser advises its callers through the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
