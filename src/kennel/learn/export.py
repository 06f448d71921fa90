"""A run -> a bundle, or a refusal: the ONNX must answer as the trained network does, on photo
files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file
from yaml import YAMLError  # type: ignore[import-untyped]

from kennel.bundle import (
    BUNDLE_JSON,
    MODEL_ONNX,
    Bundle,
    FileEntry,
    Lineage,
    ParityRow,
    RejectionMethod,
    Tensor,
    file_sha256,
    read_bundle,
    write_bundle,
)
from kennel.card import CARD, headline, write_card
from kennel.dataset import Dataset, read_dataset
from kennel.errors import BundleError, DatasetError, ParityError, RunError, UsageError
from kennel.evaluate import Outputs
from kennel.folders import origin_of
from kennel.images import describe, read_photo
from kennel.infer import OnnxClassifier, OnnxFunction
from kennel.learn.judge import FALSE_REFUSAL_RATE, Judged, judge
from kennel.learn.models import Model
from kennel.learn.onnx import write_onnx
from kennel.learn.settings import read_own
from kennel.machine import utc_now
from kennel.metrics import softmax
from kennel.rejection import BANK_FILE
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run

PARITY_PHOTOS = 64
TOLERANCE = 1e-4  # largest difference of a probability; fp32 on other kernels stays under 1e-5


class TrainedClassifier:
    """The network as training left it: satisfies kennel.evaluate.Classifier."""

    def __init__(self, model: Model, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._network = model.network.eval()

    def outputs(self, batch: np.ndarray) -> Outputs:
        """Float32[N, 3, H, W] -> logits Float32[N, K], without the features."""
        with torch.inference_mode():
            return Outputs(np.asarray(self._network(torch.from_numpy(batch)).numpy()))


class _Exported:
    """The ONNX file that was just written, before it is in a bundle."""

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._function = OnnxFunction(path)

    def outputs(self, batch: np.ndarray) -> Outputs:
        """Float32[N, 3, H, W] -> logits Float32[N, K], features Float32[N, D]."""
        given = self._function(batch)
        return Outputs(given["logits"], given["features"])


def export(
    run: Run,
    *,
    to: Path | None = None,
    bundles: Path = Path("bundles"),
    refuse: float = FALSE_REFUSAL_RATE,
    method: RejectionMethod | None = None,
    coverage: float | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> Bundle:
    """Exports the best weights of a run.

    Parity is measured on photo files of the validation split, read by the one preprocessing;
    calibration and the refusal threshold are fitted on that split. The test split is not opened.

    Args:
        to: the bundle's folder; by default `bundles`/<bundle_id>.
        refuse, method, coverage: see kennel.learn.judge.
        on_photo: called with each validation and training photo that was answered.
    Returns:
        the bundle; the one that is already there where the same was exported before.
    Raises:
        RunError: the run has no weights or cannot be rebuilt.
        ParityError: the exported model answers differently.
        BundleError: `to` holds something else.
    """
    model = load_model(run)
    dataset = _dataset_of(run)
    if to is not None and _occupied(to) and not (to / BUNDLE_JSON).is_file():
        raise _holds_something_else(to)
    home = to.parent if to is not None else bundles
    home.mkdir(parents=True, exist_ok=True)
    with _staging(home) as stage:
        metadata = _metadata(run)
        write_onnx(
            model.network,
            stage / MODEL_ONNX,
            size=run.preprocess.size,
            metadata=metadata,
        )
        exported = _Exported(stage / MODEL_ONNX, run.labels)
        parity = measure_parity(TrainedClassifier(model, run.labels), exported, dataset, run)
        judged = judge(
            exported,
            dataset,
            run,
            refuse=refuse,
            method=method,
            coverage=coverage,
            on_photo=on_photo,
        )
        bundle = _describe(run, dataset, stage, parity, judged)
        target = to if to is not None else bundles / bundle.bundle_id
        if _occupied(target):
            return _already_there(target, bundle.bundle_id)
        write_card(bundle)
        names = [MODEL_ONNX, CARD]
        if judged.bank is not None:
            (stage / BANK_FILE).write_bytes(judged.bank.tobytes())
            names.append(BANK_FILE)
        files = {name: _entry(stage / name) for name in names}
        write_bundle(replace(bundle, files=files))
        OnnxClassifier(read_bundle(stage))  # what every door would refuse is not exported
        if target.is_dir():
            target.rmdir()  # it is empty
        stage.rename(target)
    return read_bundle(target)


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


def measure_parity(
    trained: TrainedClassifier,
    exported: _Exported,
    dataset: Dataset,
    run: Run,
    *,
    tolerance: float = TOLERANCE,
) -> ParityRow:
    """Compares both on up to 64 validation photo files.

    Raises:
        ParityError: a probability differs by more than `tolerance`, or a label flips where the
            trained network was surer than that.
    """
    photos = dataset.split("validation")
    photos = photos[:: -(-len(photos) // PARITY_PHOTOS)]
    files = [dataset.file(photo) for photo in photos]
    difference, flips, worst = 0.0, 0, files[0]
    for file in files:
        batch = read_photo(file, run.preprocess)[None]
        ours, theirs = (softmax(c.outputs(batch).logits)[0] for c in (trained, exported))
        here = float(np.abs(ours - theirs).max())
        if here > difference or not np.isfinite(here):
            difference, worst = here, file
        second, first = np.sort(ours)[-2:]
        flips += int(ours.argmax() != theirs.argmax() and first - second > tolerance)
    if not difference <= tolerance or flips:
        raise ParityError(
            "the ONNX file answers differently from the trained network: largest difference "
            "of a probability "
            f"{difference:.2g} (allowed {tolerance:g}), {flips} other labels, on {len(files)} "
            f"photos; worst: {worst}.",
            fix="nothing was exported; report it with the run's config.yaml",
        )
    return ParityRow(
        format="onnx",
        photos=len(files),
        max_abs_diff=difference,
        label_flips=flips,
        tolerance=tolerance,
    )


def _dataset_of(run: Run) -> Dataset:
    csv = Path(run.dataset_csv)
    if not csv.is_file():
        raise DatasetError(
            f"the index it was trained on, {csv}, is not on this machine.",
            fix="name where it is: --data data/dataset.csv",
        )
    dataset = read_dataset(csv)
    if dataset.dataset_id != run.dataset_id:
        raise DatasetError(
            f"{csv} is not the index that {run.path} was trained on: its dataset_id differs.",
            fix="index the same photos with the same seed and fractions again, or train on "
            "the new index",
        )
    return dataset


def _describe(run: Run, dataset: Dataset, stage: Path, parity: ParityRow, judged: Judged) -> Bundle:
    """All of bundle.json but the files."""
    digest = hashlib.sha256(file_sha256(stage / MODEL_ONNX).encode())
    digest.update(json.dumps(asdict(run.preprocess), sort_keys=True).encode())
    # What was asked for, not what was fitted: that may differ in its last bits.
    asked = (judged.rejection.false_refusal_rate, judged.rejection.method, judged.coverage)
    digest.update(json.dumps(asked).encode())
    side: tuple[str | int, ...] = ("batch", 3, run.preprocess.size, run.preprocess.size)
    return Bundle(
        bundle_id=f"{run.run_id}-{digest.hexdigest()[:8]}",
        labels=run.labels,
        preprocess=run.preprocess,
        input=Tensor(name="image", dtype="float32", shape=side),
        outputs=(
            Tensor(name="logits", dtype="float32", shape=("batch", len(run.labels))),
            Tensor(name="features", dtype="float32", shape=("batch", judged.features)),
        ),
        calibration=judged.calibration,
        rejection=judged.rejection,
        conformal=judged.conformal,
        parity=(parity,),
        metrics={"validation": headline(judged.figures)},
        lineage=_lineage(run, dataset),
        files={},
        path=stage,
    )


def _lineage(run: Run, dataset: Dataset) -> Lineage:
    origin = origin_of(dataset.photos_dir)
    return Lineage(
        run_id=run.run_id,
        git_commit=run.git_commit,
        dirty=run.dirty,
        dataset_id=run.dataset_id,
        dataset_csv=run.dataset_csv,
        config_sha256=file_sha256(run.path / CONFIG_YAML),
        seed=run.seed,
        backbone=run.backbone,
        versions=run.versions,
        hardware=run.hardware,
        created_utc=utc_now(),
        counts=dataset.counts,
        data_source=origin.source,
        data_licence=origin.licence,
        weights_sha256=file_sha256(run.path / BEST_WEIGHTS),
        overrides=run.overrides,
        trained_utc=run.created_utc,
        duration_s=run.duration_s,
        from_run=run.from_run,
    )


def _metadata(run: Run) -> dict[str, str]:
    """metadata_props of the ONNX file: where tools that know no bundle look."""
    return {
        "labels": json.dumps(run.labels, ensure_ascii=False),
        "preprocess": json.dumps(asdict(run.preprocess)),
        "preprocess_in_words": describe(run.preprocess),
        "run_id": run.run_id,
        "dataset_id": run.dataset_id,
    }


def _already_there(target: Path, bundle_id: str) -> Bundle:
    if (target / BUNDLE_JSON).is_file():
        try:
            found = read_bundle(target)
            for name in found.files:
                found.file(name)
        except BundleError as error:
            raise BundleError(
                f"{target} holds a damaged bundle: {error.message}",
                fix=f"remove {target}, or name another folder: --to DIR",
            ) from error
        if found.bundle_id == bundle_id:
            return found
    raise _holds_something_else(target)


def _occupied(target: Path) -> bool:
    return target.exists() and (not target.is_dir() or any(target.iterdir()))


def _holds_something_else(target: Path) -> BundleError:
    return BundleError(
        f"{target} already holds something else.", fix="name an empty or a new folder: --to DIR"
    )


def _entry(path: Path) -> FileEntry:
    return FileEntry(sha256=file_sha256(path), bytes=path.stat().st_size)


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """A folder that becomes the bundle by a rename, or is gone."""
    stage = Path(mkdtemp(dir=home, prefix=".bundle-"))
    stage.chmod(0o755)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
