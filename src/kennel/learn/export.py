"""A run -> a bundle, or a refusal: every format must answer as the trained network does, on photo
files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np

from kennel.awkward import awkward_photos
from kennel.bundle import (
    BUNDLE_JSON,
    MODEL_ONNX,
    Bundle,
    FileEntry,
    Lineage,
    RejectionMethod,
    Tensor,
    file_sha256,
    read_bundle,
    write_bundle,
    write_json,
)
from kennel.card import CARD, headline, write_card
from kennel.dataset import Dataset, read_dataset
from kennel.errors import BundleError, DatasetError
from kennel.folders import origin_of
from kennel.formats import FILES, formats_in
from kennel.images import describe
from kennel.infer import OnnxClassifier, OnnxFunction, temperature
from kennel.learn.formats import OPENERS, WRITERS
from kennel.learn.int8 import try_int8
from kennel.learn.judge import FALSE_REFUSAL_RATE, Judged, judge
from kennel.learn.models import Model
from kennel.learn.onnx import write_onnx
from kennel.learn.parity import compare, parity_files
from kennel.learn.trained import TrainedClassifier, load_model
from kennel.machine import utc_now
from kennel.outputs import Outputs
from kennel.rejection import BANK_FILE
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, Run
from kennel.sketch import SKETCH_JSON, read_reference


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
    formats: Sequence[str] = ("onnx",),
    refuse: float = FALSE_REFUSAL_RATE,
    method: RejectionMethod | None = None,
    coverage: float | None = None,
    on_photo: Callable[[Path], None] | None = None,
    on_compared: Callable[[Path], None] | None = None,
) -> Bundle:
    """Exports the best weights of a run.

    Calibration and the refusal threshold are fitted on the validation split; parity is measured on
    photo files of validation and train and on awkward ones. The test split is not opened.

    Args:
        to: the bundle's folder; by default `bundles`/<bundle_id>.
        formats: names in kennel.formats.FILES; ONNX is always written. int8 is left out, with a
            note, where it is not worth it.
        refuse, method, coverage: see kennel.learn.judge.
        on_photo: called with each validation and training photo that was answered.
        on_compared: called with each photo file on which the formats were compared.
    Returns:
        the bundle; where the same was exported before, the one that is there, with the formats that
        it lacked.
    Raises:
        RunError: the run has no weights or cannot be rebuilt.
        ParityError: a format answers differently.
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
        bundle_id = _bundle_id(run, stage, refuse, method, coverage)
        target = to if to is not None else bundles / bundle_id
        found = _already_there(target, bundle_id) if _occupied(target) else None
        if found is not None:
            formats = [name for name in formats if name not in formats_in(found)]
            if not formats:
                return found
            bundle = replace(found, path=stage, files={})
            bank = found.read(BANK_FILE) if BANK_FILE in found.files else None
        else:
            judged = judge(
                _Exported(stage / MODEL_ONNX, run.labels),
                dataset,
                run,
                bundle_id=bundle_id,
                refuse=refuse,
                method=method,
                coverage=coverage,
                on_photo=on_photo,
            )
            bundle = _describe(run, dataset, stage, judged, bundle_id)
            bank = None if judged.bank is None else judged.bank.tobytes()
            write_json(stage / SKETCH_JSON, judged.reference.to_dict())
            bundle.files[SKETCH_JSON] = _entry(stage / SKETCH_JSON)
        if bank is not None:
            (stage / BANK_FILE).write_bytes(bank)
            bundle.files[BANK_FILE] = _entry(stage / BANK_FILE)
        bundle = _with_formats(bundle, formats, model, dataset)
        bundle = _compared(bundle, model, dataset, run, on_compared)
        if found is not None:
            return _add(bundle, target)
        write_card(bundle)
        write_bundle(replace(bundle, files={**bundle.files, CARD: _entry(stage / CARD)}))
        OnnxClassifier(read_bundle(stage))  # what every door would refuse is not exported
        read_reference(read_bundle(stage))
        if target.is_dir():
            target.rmdir()  # it is empty
        stage.rename(target)
    return read_bundle(target)


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


def _with_formats(
    bundle: Bundle,
    formats: Sequence[str],
    model: Model,
    dataset: Dataset,
) -> Bundle:
    """The same with these formats beside its ONNX file, each file listed, in its folder."""
    notes, kept = _by_format(bundle.notes), ["onnx"]
    for name in FILES:
        if name not in formats:
            continue
        if name in WRITERS:
            WRITERS[name](model, bundle)
            kept.append(name)
        elif name == "int8":
            trial = try_int8(bundle, dataset)
            notes[name] = trial.note()
            if trial.kept:
                kept.append(name)
            else:
                _unlink(bundle, name)
    files = {name: _entry(bundle.path / name) for each in kept for name in FILES[each]}
    return replace(bundle, files={**bundle.files, **files}, notes=tuple(notes.values()))


def _compared(
    bundle: Bundle,
    model: Model,
    dataset: Dataset,
    run: Run,
    on_photo: Callable[[Path], None] | None,
) -> Bundle:
    """The same with its parity, measured on what lies in its folder.

    Raises:
        ParityError: a format answers differently; int8 is left out then, with a note.
    """
    write_bundle(bundle)
    written = read_bundle(bundle.path)
    opened = {name: OPENERS[name](written) for name in formats_in(written)}
    with TemporaryDirectory() as folder:
        comparisons, photos = compare(
            TrainedClassifier(model, run.labels),
            opened,
            parity_files(dataset, awkward_photos(Path(folder)).values()),
            preprocess=run.preprocess,
            temperature=temperature(bundle),
            on_photo=on_photo,
        )
    int8 = comparisons.get("int8")
    if int8 is not None and not int8.agrees:
        del comparisons["int8"]
        _unlink(bundle, "int8")
        reason = f"int8: left out, as it answers otherwise: {int8.in_words()}."
        notes = {**_by_format(bundle.notes), "int8": reason}
        files = {name: entry for name, entry in bundle.files.items() if name not in FILES["int8"]}
        bundle = replace(bundle, files=files, notes=tuple(notes.values()))
    for comparison in comparisons.values():
        if not comparison.agrees:
            raise comparison.refusal()
    rows = {row.format: row for row in bundle.parity}
    rows |= {name: comparison.row for name, comparison in comparisons.items()}
    parity = tuple(rows[name] for name in FILES if name in rows)
    return replace(bundle, parity=parity, parity_photos=photos)


def _add(more: Bundle, target: Path) -> Bundle:
    """Moves the formats of `more`, which were compared, into the same bundle at `target`."""
    found = read_bundle(target)
    for name in set(more.files) - set(found.files):
        (more.path / name).replace(target / name)
    bundle = replace(more, path=target, files={**found.files, **more.files})
    write_card(bundle)
    write_bundle(replace(bundle, files={**bundle.files, CARD: _entry(target / CARD)}))
    return read_bundle(target)


def _unlink(bundle: Bundle, name: str) -> None:
    for file in FILES[name]:
        (bundle.path / file).unlink()


def _by_format(notes: Sequence[str]) -> dict[str, str]:
    return {note.partition(":")[0]: note for note in notes}


def _bundle_id(
    run: Run, stage: Path, refuse: float, method: str | None, coverage: float | None
) -> str:
    """The run, and eight digits of the model, of what it sees, and of what was asked for: not of
    what was fitted, which may differ in its last bits.
    """
    digest = hashlib.sha256(file_sha256(stage / MODEL_ONNX).encode())
    digest.update(json.dumps(asdict(run.preprocess), sort_keys=True).encode())
    digest.update(json.dumps((refuse, method, coverage)).encode())
    return f"{run.run_id}-{digest.hexdigest()[:8]}"


def _describe(run: Run, dataset: Dataset, stage: Path, judged: Judged, bundle_id: str) -> Bundle:
    """All of bundle.json but the files and the parity."""
    side: tuple[str | int, ...] = ("batch", 3, run.preprocess.size, run.preprocess.size)
    return Bundle(
        bundle_id=bundle_id,
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
        parity=(),
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
