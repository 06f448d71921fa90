"""The bundle: all that crosses from training to serving, and the contract both sides read it by.

A bundle is a folder whose `bundle.json` names every other file with its sha256. Nothing in it is
parsed before its checksum was seen to match. Standard library only, so that every room can know it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import UnionType
from typing import IO, Any, Literal, Union, get_args, get_origin, get_type_hints

from kennel.errors import BundleError

SCHEMA_VERSION = 1
BUNDLE_JSON = "bundle.json"
MODEL_ONNX = "model.onnx"

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
    """Everything needed to say how the model came to be."""

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


@dataclass(frozen=True)
class FileEntry:
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Bundle:
    """`bundle.json`, typed. `path` is the folder it was read from and is not part of the
    document; `notes` say in words what a format lacks, or why it was left out ("int8: ...").
    """

    bundle_id: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    input: Tensor
    outputs: tuple[Tensor, ...]
    calibration: Calibration | None
    rejection: Rejection | None
    parity: tuple[ParityRow, ...]
    metrics: dict[str, SplitFigures]
    lineage: Lineage
    files: dict[str, FileEntry]
    conformal: Conformal | None = None
    parity_photos: ParityPhotos | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    path: Path = field(default=Path(), compare=False)

    def file(self, name: str) -> Path:
        """Path of a file of the bundle, after its size and sha256 were seen to match.

        Raises:
            BundleError: the bundle has no such file, or its bytes are not those that were exported.
        """
        entry = self.files.get(name)
        if entry is None:
            raise BundleError(
                f"{self.path} has no {name}; it holds {', '.join(sorted(self.files))}.",
                fix=f"export it again with that format: kennel export runs/{self.lineage.run_id}",
            )
        path = self.path / name
        if not path.is_file():
            raise BundleError(
                f"{path} is missing, though {BUNDLE_JSON} names it.",
                fix="copy the whole folder, or export again: kennel export "
                f"runs/{self.lineage.run_id}",
            )
        found = path.stat().st_size
        if found != entry.bytes or file_sha256(path) != entry.sha256:
            raise BundleError(
                f"{path} is not the file that was exported: its sha256 differs from {BUNDLE_JSON}.",
                fix=f"copy it again, or export again: kennel export runs/{self.lineage.run_id}",
            )
        return path


def read_bundle(path: Path) -> Bundle:
    """Reads `bundle.json` of a bundle folder; files are verified as they are asked for, by
    `Bundle.file`.

    Raises:
        BundleError: no bundle there, another schema, or a value of the wrong kind (named by its
            path).
    """
    document = path / BUNDLE_JSON
    if not document.is_file():
        raise BundleError(
            f"{path} is not a bundle: it has no {BUNDLE_JSON}.",
            fix="name a folder that kennel export wrote, such as bundles/<id>",
        )
    try:
        values = json.loads(document.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(
            f"{document} cannot be read: {error}.", fix="copy the bundle again, or export again"
        ) from error
    found = values.get("schema_version") if isinstance(values, dict) else None
    if found != SCHEMA_VERSION:
        raise BundleError(
            f"{document} has schema_version {found!r}; this kennel reads {SCHEMA_VERSION}.",
            fix="export the run again with this version of kennel",
        )
    try:
        bundle: Bundle = build(Bundle, {**values, "path": path})
        _check(bundle)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"{document} is not a bundle that kennel wrote: {error}.",
            fix="copy the bundle again, or export again",
        ) from error
    if values.get("checksum") != _checksum(values):
        raise BundleError(
            f"{document} was changed after it was exported: its own checksum does not match.",
            fix="copy the bundle again, or export again",
        )
    return bundle


def write_bundle(bundle: Bundle) -> None:
    """Writes `bundle.json` into `bundle.path`; the other files must lie there already."""
    document = asdict(bundle)
    del document["path"]
    document = json.loads(json.dumps(document))
    document["checksum"] = _checksum(document)
    write_json(bundle.path / BUNDLE_JSON, document)


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file that appears under its name only when it is whole: temporary name, flush to disk,
    rename.

    Raises whatever writing raises, leaving neither a part of the file nor the temporary one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = "utf-8" if mode == "w" else None
    newline = "" if mode == "w" else None
    temporary = NamedTemporaryFile(  # noqa: SIM115 - closed below, before the rename
        mode,
        dir=path.parent,
        prefix=f".{path.name}.",
        suffix=".part",
        delete=False,
        encoding=encoding,
        newline=newline,
    )
    try:
        with temporary:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(temporary.name).chmod(0o666 & ~_umask())
        Path(temporary.name).replace(path)
    except BaseException:
        Path(temporary.name).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document whole or not at all, with a stable layout."""
    with replacing(path) as file:
        json.dump(document, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _checksum(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _check(bundle: Bundle) -> None:
    if len(bundle.labels) < 2 or len(set(bundle.labels)) != len(bundle.labels):
        raise ValueError(f"labels must be two or more distinct names, not {list(bundle.labels)}")
    for name in bundle.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"files names {name!r}, which lies outside the bundle")


def build(kind: Any, value: Any, *, at: str = "") -> Any:
    """Builds `kind` (a dataclass, tuple, dict, literal or plain type) from what JSON gave, or says
    where it cannot.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise TypeError(f"{at.rstrip('.') or 'the document'} is not an object")
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        missing = [f.name for f in fields(kind) if f.name not in value and _required(f)]
        if missing:
            raise ValueError(f"{at}{missing[0]} is missing")
        make: Any = kind
        return make(
            **{k: build(hints[k], v, at=f"{at}{k}.") for k, v in value.items() if k in known}
        )
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        for option in arguments:
            if option is not type(None):
                try:
                    return build(option, value, at=at)
                except (TypeError, ValueError) as error:
                    last = error
        raise last
    if origin is Literal:
        if value not in arguments:
            raise ValueError(
                f"{at.rstrip('.')} is {value!r}; known: {', '.join(map(repr, arguments))}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{at.rstrip('.')} is not a list")
        kinds = (arguments[0],) * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise ValueError(f"{at.rstrip('.')} has {len(value)} values, not {len(kinds)}")
        return tuple(
            build(k, v, at=f"{at}{i}.") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"{at.rstrip('.')} is not an object")
        return {k: build(arguments[1], v, at=f"{at}{k}.") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool) and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise TypeError(f"{at.rstrip('.')} is {value!r}, not {kind.__name__}")
    return value


def _required(declared: Any) -> bool:
    from dataclasses import MISSING

    return declared.default is MISSING and declared.default_factory is MISSING
