"""Bundles with a report: of answers that are chosen, photo by photo, or of a model's own; and runs
that they come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from bundles import REJECTION, tiny_bundle
from duels import EQUAL, GREENISH, bundle_on, coloured_index

from kennel.bundle import Bundle, Conformal, write_bundle, write_json
from kennel.card import headline, note_figures
from kennel.dataset import Dataset
from kennel.evaluate import SplitReport, evaluate_split
from kennel.infer import OnnxClassifier, temperature
from kennel.machine import hardware, versions
from kennel.metrics import measure
from kennel.report import (
    ANSWERS_CSV,
    REPORT_JSON,
    Birth,
    Examination,
    Judged,
    write_report,
)
from kennel.report.answers import write_answers
from kennel.report.document import document
from kennel.run import RUN_JSON, Run
from kennel.strangers import Judge, drawn, known_photos

DOGS = ("Beagle", "Golden_Retriever", "Poodle")


def measured_bundle(
    folder: Path,
    *,
    labels: Sequence[str] = DOGS,
    n: int = 60,
    wrong: Mapping[int, int] | None = None,
    splits: Sequence[str] = ("test", "validation", "train"),
    photos: str = "photo",
    dataset_id: str = "d" * 64,
    answers: bool = True,
    measured_with: Mapping[str, str] | None = None,
    **lineage: Any,
) -> Bundle:
    """A bundle in `folder`, whose name is its bundle_id. Photo `at` of a split shows label
    `at` modulo K and is answered right, but for those in `wrong`.

    Args:
        wrong: photo of the test split -> label, by its number, that is answered instead.
        photos: another word makes other photos.
        answers: whether the report keeps them, as older ones did not.
        lineage: fields of it that shall be otherwise.
    """
    gains = (1.0 + len(wrong or {}) / 100, 1.0, 1.0)  # another model, where answers are others
    made = tiny_bundle(folder, bundle_id=folder.name, dataset_id=dataset_id, gains=gains)
    outputs = tuple(replace(each, shape=("batch", len(labels))) for each in made.outputs)
    counts = {split: {label: n // len(labels) for label in labels} for split in splits}
    said = replace(made.lineage, counts=counts, **lineage)
    made = replace(made, labels=tuple(labels), outputs=outputs, lineage=said)
    judged = [
        Judged(
            split_report(split, labels, n, wrong or {} if split == "test" else {}, photos),
            REJECTION,
            Conformal(0.9, 0.2, "validation", 40),
        )
        for split in splits
    ]
    figures = {each.report.split: headline(each.report.figures) for each in judged}
    made = replace(made, metrics=figures)
    write_bundle(made)
    birth = Birth(
        made.bundle_id,
        dataset_id,
        "2026-11-23T09:00:00Z",
        measured_with or {"kennel": "0.1.0", "onnxruntime": "1.32.0"},
        {"cpu": "a processor", "cores": "2"},
        seed=0,
    )
    told = document(judged, Examination(), birth, own=True)
    if answers:
        rows = {each.report.split: each.answers() for each in judged}
        told["answers"] = write_answers(folder / "report" / ANSWERS_CSV, labels, rows)
    write_json(folder / "report" / REPORT_JSON, told)
    return made


def split_report(
    split: str, labels: Sequence[str], n: int, wrong: Mapping[int, int], photos: str
) -> SplitReport:
    truth = np.arange(n) % len(labels)
    answer = np.array([wrong.get(at, int(truth[at])) for at in range(n)])
    logits = (6 * np.eye(len(labels))[answer]).astype(np.float32)
    logits += np.random.default_rng(0).normal(scale=0.3, size=logits.shape).astype(np.float32)
    names = [f"{photos}-{split}-{at:04d}" for at in range(n)]
    return SplitReport(
        split=split,
        labels=tuple(labels),
        figures=measure(logits, truth, resamples=20),
        paths=tuple(f"{name}.jpg" for name in names),
        truth=truth,
        logits=logits,
        skipped=(),
        images_per_s=12.5,
        scores=logits.max(axis=1).astype(np.float64),
        sha256s=tuple(hashlib.sha256(name.encode()).hexdigest() for name in names),
    )


def duellists(folder: Path) -> Path:
    """bundles/main and bundles/new in `folder`, really measured, on photos of which main has twenty
    wrong.
    """
    dataset = coloured_index(folder, nearly_green=20)
    for name, gains in (("main", GREENISH), ("new", EQUAL)):
        measure_as_the_verb(bundle_on(dataset, folder / "bundles" / name, gains), dataset)
    return folder


def measure_as_the_verb(bundle: Bundle, dataset: Dataset) -> None:
    """As `kennel evaluate` does, with ten drawn strangers and no spoiled photos."""
    classifier = OnnxClassifier(bundle)
    judged = [
        Judged(
            evaluate_split(
                classifier,
                dataset,
                split,
                bundle.preprocess,
                temperature=temperature(bundle),
                score=classifier.score,
            ),
            bundle.rejection,
            bundle.conformal,
        )
        for split in ("train", "test")
    ]
    rejection = bundle.rejection
    assert rejection is not None
    judge = Judge(
        classifier,
        bundle.preprocess,
        temperature(bundle),
        rejection.method,
        classifier.score,
        rejection.threshold,
        rejection.false_refusal_rate,
    )
    known = known_photos(judge, judged[1].report, judged[1].report)
    strangers = (drawn(judge, known, "noise", n=10, seed=0),)
    birth = Birth(
        bundle.bundle_id,
        dataset.dataset_id,
        "2026-11-23T09:00:00Z",
        versions(("numpy",)),
        hardware(),
        seed=0,
    )
    write_report(
        bundle.path / "report",
        judged,
        birth,
        file=lambda path: dataset.photos_dir / path,
        preprocess=bundle.preprocess,
        examination=Examination(known=known, strangers=strangers),
    )
    note_figures(bundle, [each.report for each in judged])


def a_run(folder: Path, config: str, **more: Any) -> Run:
    """A run in `folder` with that config.yaml, from which measured_bundle's bundles come."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    of = measured_bundle(folder.with_name(f"of-{folder.name}"))
    facts = {
        "run_id": folder.name,
        "status": "done",
        "git_commit": "c" * 40,
        "dirty": False,
        "dataset_id": "d" * 64,
        "dataset_csv": "data/dataset.csv",
        "labels": DOGS,
        "preprocess": of.preprocess,
        "backbone": of.lineage.backbone,
        "seed": 0,
        "metrics": {"validation/top1": 0.9, "validation/loss": 0.31, "train/top1": 0.8},
        "best_checkpoint": None,
        "best_epoch": 3,
        "duration_s": 5400.0,
        "images_per_s": 321.5,
        "hardware": {"cpu": "a processor"},
        "versions": {"torch": "2"},
        "created_utc": "2026-11-23T07:00:00Z",
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        **more,
    }
    run = Run(**facts)
    document = asdict(run)
    del document["path"]
    write_json(folder / RUN_JSON, document)
    return run


def of_run(run: Run, folder: Path, **more: Any) -> Bundle:
    return measured_bundle(
        folder,
        run_id=run.run_id,
        config_sha256=run.config_sha256,
        duration_s=run.duration_s,
        hardware=run.hardware,
        **more,
    )
