"""What `bundle.json` says, typed: each part of it and what makes it sound in itself.

Standard library only, so that every room can know it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

ResizeRule = Literal["crop", "letterbox", "squash"]
ResizeFilter = Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocess:
    """How a photo becomes the model's input: the whole specification that `kennel.images` carries
    out.

    Attributes:
        size: height and width of the input, pixels.
        mean: per channel R, G, B, in units of 0..1.
        std: per channel, in units of 0..1, > 0.
        resize: `crop` keeps the shape of the photo and cuts its edges; `letterbox` keeps all of it
            between bars; `squash` bends it to a square.
        filter: antialiased resampling filter.
        crop: for `crop`, the share of the resized photo's short side that the centre crop keeps, 0
            < crop <= 1.
        fill: colour of letterbox bars and of what lies behind transparency, 0..255.
        colour: mode of the input.
        exif_transpose: whether the photo is turned upright by its EXIF orientation first.
        dtype: of the input.
        layout: of the input.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: ResizeRule = "crop"
    filter: ResizeFilter = "bicubic"
    crop: float = 0.875
    fill: tuple[int, int, int] = (128, 128, 128)
    colour: Literal["RGB"] = "RGB"
    exif_transpose: Literal[True] = True
    dtype: Literal["float32"] = "float32"
    layout: Literal["NCHW"] = "NCHW"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("resize", self.resize, get_args(ResizeRule)),
            ("filter", self.filter, get_args(ResizeFilter)),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")
        if not 1 <= self.size <= 4096:
            raise ValueError(f"size is {self.size}; it must lie in 1..4096")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop is {self.crop}; it must lie in (0, 1]")
        if not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"std is {self.std}; it must be positive")
        if not all(math.isfinite(value) for value in self.mean):
            raise ValueError(f"mean is {self.mean}; it must be finite")


@dataclass(frozen=True)
class Tensor:
    """One input or output of the model: `shape` uses names for what may vary, such as "batch"."""

    name: str
    dtype: str
    shape: tuple[str | int, ...]


@dataclass(frozen=True)
class Calibration:
    """Temperature that divides the logits before the softmax, fitted on `n` photos of `split`."""

    method: Literal["temperature"]
    temperature: float
    split: str
    n: int

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be positive")


RejectionMethod = Literal["energy", "max_logit", "knn", "knn_energy"]


@dataclass(frozen=True)
class Bank:
    """Features of training photos that a photo is held against: `file` is Int8[rows, features],
    row by row, each row a direction (its length means nothing).
    """

    file: str
    rows: int
    features: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.features < 1:
            raise ValueError(f"the bank {self.file} is {self.rows} x {self.features}")


@dataclass(frozen=True)
class Candidate:
    """A method and its AUROC on validation photos of labels that were left out, see
    `kennel.rejection`.
    """

    method: RejectionMethod
    auroc: float


@dataclass(frozen=True)
class Rejection:
    """When the answer is "not one I know": where the score is under `threshold`.

    Attributes:
        method: how the score is made, see `kennel.rejection`.
        false_refusal_rate: the share of photos of known labels that the threshold was set to
            refuse, on `n` photos of `split`.
        bank: for methods with knn, which compare with the nearest `neighbours` of it.
        scales: for knn_energy, mean and standard deviation of knn and of energy.
        candidates: what the method was chosen among; none where there were too few labels.
    """

    method: RejectionMethod
    threshold: float
    false_refusal_rate: float
    split: str
    n: int
    bank: Bank | None = None
    neighbours: int = 0
    scales: tuple[tuple[float, float], tuple[float, float]] | None = None
    candidates: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        if self.method in ("knn", "knn_energy"):
            if self.bank is None:
                raise ValueError(f"rejection by {self.method} names no bank")
            if not 1 <= self.neighbours <= self.bank.rows:
                raise ValueError(
                    f"rejection.neighbours is {self.neighbours} of {self.bank.rows} rows"
                )
        if self.method == "knn_energy" and self.scales is None:
            raise ValueError("rejection by knn_energy has no scales")
        numbers = (self.threshold, *(value for pair in self.scales or () for value in pair))
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError("rejection holds a number that is not finite")
        if any(spread <= 0 for _, spread in self.scales or ()):
            raise ValueError(f"rejection.scales is {self.scales}; spreads must be positive")

    def in_words(self) -> str:
        """One line: by what, from where on, set for which rate, and how it was chosen."""
        own = next((c.auroc for c in self.candidates if c.method == self.method), None)
        chosen = "" if own is None else f"; AUROC {own:.3f} on labels left out"
        return (
            f"{self.method} under {self.threshold:.3f}, set to refuse {self.false_refusal_rate:.0%}"
            f" of {self.n} {self.split} photos{chosen}"
        )


@dataclass(frozen=True)
class Conformal:
    """Which labels an answer names so that the truth is among them at `coverage`, on photos like
    the `n` of `split`: all whose probability is at least `threshold`, and always the first.
    """

    coverage: float
    threshold: float
    split: str
    n: int

    def __post_init__(self) -> None:
        if not (0 < self.coverage < 1 and 0 <= self.threshold <= 1):
            raise ValueError(
                f"conformal has coverage {self.coverage} and threshold {self.threshold}"
            )

    def in_words(self) -> str:
        """One line: how often the truth is among the labels named, and from which photos."""
        return (
            f"the truth is among the labels named {self.coverage:.0%} of the time (probability "
            f"{self.threshold:.3f} or more; {self.n} {self.split} photos)"
        )


@dataclass(frozen=True)
class ParityRow:
    """One exported format beside the trained model, on `photos` photo files, read as the format
    itself says.

    `max_abs_diff` is of probabilities as the doors show them, with the temperature;
    `label_flips` are photos of which the trained model was surer than `tolerance`.
    """

    format: str
    photos: int
    max_abs_diff: float
    label_flips: int
    tolerance: float


@dataclass(frozen=True)
class ParityPhotos:
    """What the parity was measured on: photos of the two splits, chosen by `seed`, and drawn ones
    that preprocessings get wrong. None of the test split.
    """

    seed: int
    validation: int
    train: int
    awkward: int


@dataclass(frozen=True)
class SplitFigures:
    """Headline figures of one split, each with its 95 % interval."""

    n: int
    top1: float
    top1_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    log_loss: float
    log_loss_interval: tuple[float, float]


@dataclass(frozen=True)
class Backbone:
    """Where the network comes from. `weights` is "random" or names the file or package they were
    read from.
    """

    name: str
    weights: str
    source: str
    licence: str


@dataclass(frozen=True)
class Lineage:
    """Everything needed to say how the model came to be. What has a default is absent from bundles
    of the first days.

    Attributes:
        created_utc: of the export; `trained_utc` and `duration_s` are the run's.
        counts: photos by split and label, as the index says.
        data_source: where the photos come from, and `data_licence` their licence, as `kennel fetch`
            wrote them down.
        weights_sha256: of the run's best weights, from which the bundle was made.
        overrides: the words of the run's command that are settings.
        from_run: run_id of the run that this one repeats.
    """

    run_id: str
    git_commit: str | None
    dirty: bool | None
    dataset_id: str
    dataset_csv: str
    config_sha256: str
    seed: int
    backbone: Backbone
    versions: dict[str, str]
    hardware: dict[str, str]
    created_utc: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    data_source: str | None = None
    data_licence: str | None = None
    weights_sha256: str | None = None
    overrides: tuple[str, ...] = ()
    trained_utc: str | None = None
    duration_s: float | None = None
    from_run: str | None = None


@dataclass(frozen=True)
class FileEntry:
    sha256: str
    bytes: int
