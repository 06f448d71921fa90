"""What a bundle says beyond its logits, fitted on the photos of a run: how sure it is, what it does
not know, and which labels are among the possible.

N photos, K labels, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from kennel.bundle import Calibration, Conformal, Rejection, RejectionMethod
from kennel.calibration import fit_conformal, fit_temperature
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError, PhotoError, RunError
from kennel.evaluate import classify_all
from kennel.images import read_photo
from kennel.impression import Look, answered
from kennel.learn.learner import fit_head
from kennel.looking import Looking
from kennel.machine import usable_cores
from kennel.metrics import Figures, measure, softmax
from kennel.outputs import Classifier
from kennel.rejection import (
    Answered,
    Float32,
    Float64,
    Int64,
    Scorer,
    bank_rows,
    fit_rejection,
)
from kennel.run import Run
from kennel.sketch import Reference

FALSE_REFUSAL_RATE = 0.05  # share of photos of known labels that "not one I know" may refuse
HEAD_L2 = 1e-3  # of the heads that choose the method of refusal; as `experiment=quick` has it


@dataclass(frozen=True, eq=False)
class Judged:
    """What goes into bundle.json, and `bank`, Int8[M, D], and `reference`, that go beside it.

    `figures` are those of the validation photos at the temperature; `features` is D.
    """

    calibration: Calibration
    rejection: Rejection
    bank: np.ndarray | None
    conformal: Conformal | None
    figures: Figures
    features: int
    reference: Reference


def judge(
    classifier: Classifier,
    dataset: Dataset,
    run: Run,
    *,
    bundle_id: str,
    refuse: float = FALSE_REFUSAL_RATE,
    method: RejectionMethod | None = None,
    coverage: float | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> Judged:
    """Fits all of it on validation photos; train photos give the bank. The test split stays shut.

    Args:
        classifier: the exported model, with features.
        bundle_id: of which the reference will be.
        refuse: share of validation photos that may be refused, 0 <= refuse < 1.
        method: of refusal; measured unless given.
        coverage: of prediction sets, 0 < coverage < 1; none are promised without.
        on_photo: called with each photo that was answered.
    Raises:
        DatasetError: no photo of a split can be read.
        RunError: the model answers every photo alike.
    """

    looks: list[Look] = []
    validation = _answers(
        classifier, dataset, dataset.split("validation"), run, on_photo, looks=looks
    )
    logits, truth, n = validation.logits, validation.truth, len(validation.truth)
    try:
        temperature = fit_temperature(logits, truth)
    except ValueError as error:
        raise RunError(f"{run.path} has learned nothing: {error}.", fix="train it again") from error
    photos = dataset.split("train")
    number = {label: index for index, label in enumerate(run.labels)}
    kept = bank_rows(np.array([number[photo.label] for photo in photos]), seed=run.seed)
    rejection, bank = fit_rejection(
        _answers(classifier, dataset, [photos[row] for row in kept], run, on_photo),
        validation,
        rate=refuse,
        fit_head=linear_head,
        method=method,
        seed=run.seed,
    )
    conformal = None
    if coverage is not None:
        threshold = fit_conformal(logits, truth, temperature=temperature, coverage=coverage)
        conformal = Conformal(coverage, threshold, split="validation", n=n)
    return Judged(
        Calibration("temperature", temperature, split="validation", n=n),
        rejection,
        bank,
        conformal,
        measure(logits / np.float32(temperature), truth),
        validation.features.shape[1],
        _reference(
            looks,
            validation,
            softmax(logits / np.float32(temperature)),
            Scorer(rejection, bank)(logits, validation.features),
            threshold=rejection.threshold,
            bundle_id=bundle_id,
            labels=run.labels,
        ),
    )


def _reference(
    looks: Sequence[Look],
    validation: Answered,
    probabilities: Float64,
    scores: Float64,
    *,
    threshold: float,
    bundle_id: str,
    labels: Sequence[str],
) -> Reference:
    """What the N validation photos were like: Float64[N, K], Float64[N] of their answers."""
    first = validation.logits.argmax(axis=1)
    rows = [
        answered(
            look,
            features=validation.features[n],
            probability=float(probabilities[n, first[n]]),
            score=float(scores[n]),
            known=bool(scores[n] >= threshold),
        )
        for n, look in enumerate(looks)
    ]
    return Reference.of(rows, [labels[k] for k in first], bundle=bundle_id, labels=labels)


def linear_head(features: Float32, truth: Int64) -> Callable[[Float32], Float32]:
    """A multinomial logistic regression: Float32[N, D], Int64[N] of 0..K-1 -> its logits."""
    head = nn.Linear(features.shape[1], int(truth.max()) + 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    fit_head(head, torch.from_numpy(features), torch.from_numpy(truth), l2=HEAD_L2)
    return lambda other: np.asarray(head(torch.from_numpy(other)).detach().numpy())


def _answers(
    classifier: Classifier,
    dataset: Dataset,
    photos: Sequence[Photo],
    run: Run,
    on_photo: Callable[[Path], None] | None,
    *,
    looks: list[Look] | None = None,
) -> Answered:
    """What the model gives for those of the photos that can be read, in their order; how they look
    is added to `looks`.
    """
    number = {label: index for index, label in enumerate(run.labels)}
    logits, features, truth = [], [], []
    looking = Looking(run.preprocess)
    answers = classify_all(
        classifier,
        map(dataset.file, photos),
        partial(read_photo, preprocess=run.preprocess) if looks is None else looking.read,
        batch_size=8,  # small ones are fastest on a processor, see kennel.learn.features
        threads=usable_cores(),
    )
    failed: PhotoError | None = None
    for photo, (file, answer) in zip(photos, answers, strict=True):
        if isinstance(answer, PhotoError):
            failed = answer
            continue
        assert answer.features is not None
        logits.append(answer.logits)
        features.append(answer.features)
        truth.append(number[photo.label])
        if looks is not None:
            looks.append(looking.took(file))
        if on_photo is not None:
            on_photo(file)
    if not truth:
        reason = "it has none" if failed is None else failed.message
        raise DatasetError(
            f"none of {len(photos)} {photos[0].split if photos else ''} photos in {dataset.csv} "
            f"can be read: {reason}",
            fix=f"check that the photos still lie in {dataset.photos_dir}",
        )
    return Answered(np.stack(logits), np.stack(features), np.array(truth, np.int64))
