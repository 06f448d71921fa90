"""Any classifier on any photos: answers for files as a stream, and the figures of one split.

Knows neither torch nor onnxruntime: what gives the logits is behind `Classifier`. Photos are read
by `kennel.images` in a few threads while the classifier works on the batch before; never more than
`AHEAD` batches wait, whatever the number of photos.

N photos, K labels, D features, H x W pixels.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kennel.bundle import Preprocess
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError, KennelError, PhotoError
from kennel.folders import Skipped
from kennel.images import read_photo
from kennel.metrics import Figures, measure
from kennel.outputs import Classifier, Outputs
from kennel.splits import SPLITS

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

Source = TypeVar("Source")  # a file, a picture: whatever `read` can make an input of

AHEAD = 2  # batches being read while one is with the classifier


Score = Callable[[Float32, Float32 | None], Float64]  # logits, features -> Float64[N]: how known


@dataclass(frozen=True, eq=False)
class SplitReport:
    """A classifier measured on one split.

    Attributes:
        split: "train", "validation" or "test".
        labels: the classifier's, length K.
        figures: with their intervals, from the logits divided by `temperature`.
        paths: of the N photos measured, as the dataset names them.
        truth: Int64[N], indexes into `labels`.
        logits: Float32[N, K] as the classifier gave them, before `temperature`.
        skipped: photos that could not be read, with the reason; they are in no figure.
        images_per_s: photos measured per second, reading and preprocessing included.
        temperature: what the logits were divided by before the figures, > 0.
        scores: Float64[N], how known each photo looks; None where the classifier refuses nothing.
        sha256s: of the N photos' bytes, as the index says; empty where nobody wrote them down.
    """

    split: str
    labels: tuple[str, ...]
    figures: Figures
    paths: tuple[str, ...]
    truth: Int64
    logits: Float32
    skipped: tuple[Skipped, ...]
    images_per_s: float
    temperature: float = 1.0
    scores: Float64 | None = None
    sha256s: tuple[str, ...] = ()


def evaluate_split(
    classifier: Classifier,
    dataset: Dataset,
    split: str,
    preprocess: Preprocess,
    *,
    temperature: float = 1.0,
    score: Score | None = None,
    batch_size: int = 32,
    threads: int = 2,
    seed: int = 0,
    on_photo: Callable[[Path], None] | None = None,
    clock_s: Callable[[], float] = time.perf_counter,
) -> SplitReport:
    """Measures a classifier on one split of a dataset.

    Labels are matched by name, so the dataset may have fewer than the classifier.

    Args:
        split: "train", "validation" or "test".
        temperature: divides the logits before the figures, > 0.
        score: gives the report its scores.
        batch_size: photos a call of the classifier, >= 1.
        threads: that read photos, >= 1.
        seed: of the bootstrap behind the intervals.
        on_photo: called with each photo's file, in dataset order, once it was answered or skipped.
        clock_s: seconds that only grow.
    Returns:
        Figures over the photos that could be read; the others are named in `skipped`.
    Raises:
        DatasetError: a label that the classifier does not know, an empty split, or no photo in it
            that can be read.
        KennelError: the classifier's logits are not finite.
        ValueError: no such split, or temperature, batch_size or threads out of range.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; known: {', '.join(SPLITS)}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature is {temperature}; it must be positive and finite")
    number = _label_numbers(classifier.labels, dataset)
    photos = _photos(dataset, split)

    paths: list[str] = []
    sha256s: list[str] = []
    truth: list[int] = []
    logits: list[Float32] = []
    scores: list[float] = []
    skipped: list[Skipped] = []
    start_s = clock_s()
    answers = classify_files(
        classifier,
        map(dataset.file, photos),
        preprocess,
        batch_size=batch_size,
        threads=threads,
    )
    for photo, (file, answer) in zip(photos, answers, strict=True):
        if isinstance(answer, PhotoError):
            skipped.append(Skipped(photo.path, answer.message))
        else:
            paths.append(photo.path)
            sha256s.append(photo.sha256)
            truth.append(number[photo.label])
            logits.append(answer.logits)
            if score is not None:
                features = None if answer.features is None else answer.features[None]
                scores.append(float(score(answer.logits[None], features)[0]))
        if on_photo is not None:
            on_photo(file)
    duration_s = clock_s() - start_s

    if not paths:
        raise DatasetError(
            f"none of the {len(skipped)} {split} photos in {dataset.csv} can be read; "
            f"the first: {skipped[0].reason}",
            fix=f"check that the photos still lie in {dataset.photos_dir}, then index them again: "
            f"kennel index {dataset.photos_dir} --to {dataset.csv}",
        )
    logits_all = np.stack(logits)  # Float32[N, K]
    truth_all = np.array(truth, dtype=np.int64)  # Int64[N]
    return SplitReport(
        split=split,
        labels=tuple(classifier.labels),
        figures=measure(logits_all / np.float32(temperature), truth_all, seed=seed),
        paths=tuple(paths),
        truth=truth_all,
        logits=logits_all,
        skipped=tuple(skipped),
        images_per_s=len(paths) / max(duration_s, 1e-9),
        temperature=temperature,
        scores=None if score is None else np.array(scores, dtype=np.float64),
        sha256s=tuple(sha256s),
    )


def classify_files(
    classifier: Classifier,
    paths: Iterable[Path],
    preprocess: Preprocess,
    *,
    batch_size: int = 32,
    threads: int = 2,
) -> Iterator[tuple[Path, Outputs | PhotoError]]:
    """What a classifier says of photo files, one pair a file, in the order given, as they come.

    `paths` is drawn from as needed; at most `AHEAD` + 1 batches of photos are in memory at a time.

    Args:
        batch_size: photos a call of the classifier, >= 1.
        threads: that read photos, >= 1.
    Returns:
        Pairs of path and the outputs of that photo, Float32[K] and Float32[D], or of path and why
        it could not be read.
    Raises:
        KennelError: the classifier's logits are not finite.
        ValueError: batch_size or threads under 1.
    """
    return classify_all(
        classifier,
        paths,
        lambda path: read_photo(path, preprocess),
        batch_size=batch_size,
        threads=threads,
    )


def classify_all(
    classifier: Classifier,
    sources: Iterable[Source],
    read: Callable[[Source], Float32],
    *,
    batch_size: int = 32,
    threads: int = 2,
) -> Iterator[tuple[Source, Outputs | PhotoError]]:
    """The same for whatever `read` makes the model's input of, Float32[3, H, W]."""
    if batch_size < 1 or threads < 1:
        raise ValueError(
            f"batch_size is {batch_size} and threads is {threads}; both must be at least 1"
        )
    return _stream(classifier, iter(sources), read, batch_size=batch_size, threads=threads)


def _stream(
    classifier: Classifier,
    sources: Iterator[Source],
    read: Callable[[Source], Float32],
    *,
    batch_size: int,
    threads: int,
) -> Iterator[tuple[Source, Outputs | PhotoError]]:
    waiting: deque[tuple[list[Source], list[Future[Float32]]]] = deque()
    readers = ThreadPoolExecutor(threads, thread_name_prefix="kennel-photo")

    def read_ahead() -> None:
        while len(waiting) < AHEAD:
            chunk = list(islice(sources, batch_size))
            if not chunk:
                return
            waiting.append((chunk, [readers.submit(read, source) for source in chunk]))

    try:
        read_ahead()
        while waiting:
            chunk, reading = waiting.popleft()
            photos = [_outcome(future) for future in reading]
            del reading  # the futures hold the pixels
            read_ahead()
            answers = _answers(classifier, chunk, photos)
            del photos
            yield from zip(chunk, answers, strict=True)
    finally:  # also when the reader of this stream stops early
        readers.shutdown(cancel_futures=True)


def _outcome(reading: Future[Float32]) -> Float32 | PhotoError:
    try:
        return reading.result()
    except PhotoError as error:
        # Without its traceback, whose frames would keep the photo's pixels alive.
        return error.with_traceback(None)


def _answers(
    classifier: Classifier, sources: list[Source], photos: list[Float32 | PhotoError]
) -> list[Outputs | PhotoError]:
    readable = [
        source
        for source, photo in zip(sources, photos, strict=True)
        if not isinstance(photo, PhotoError)
    ]
    if not readable:
        return [photo for photo in photos if isinstance(photo, PhotoError)]
    batch = np.stack([photo for photo in photos if not isinstance(photo, PhotoError)])
    outputs = classifier.outputs(batch)
    expected = (len(readable), len(classifier.labels))
    assert outputs.logits.shape == expected, f"logits are {outputs.logits.shape}, not {expected}"
    each = iter(zip(readable, outputs.logits, _rows(outputs.features, len(batch)), strict=True))
    return [photo if isinstance(photo, PhotoError) else _checked(*next(each)) for photo in photos]


def _rows(features: Float32 | None, n: int) -> Iterable[Float32 | None]:
    return [None] * n if features is None else features


def _checked(source: object, logits: Float32, features: Float32 | None) -> Outputs:
    """The outputs of one photo, copied: a view would keep the whole batch alive."""
    one = Outputs(
        np.array(logits, np.float32), None if features is None else np.array(features, np.float32)
    )
    if not all(np.isfinite(x).all() for x in (one.logits, one.features) if x is not None):
        raise KennelError(
            f"the model answers {source} with logits or features that are not all finite numbers.",
            fix="the model diverged while training: train again with a lower learning rate",
        )
    return one


def _label_numbers(known: tuple[str, ...], dataset: Dataset) -> dict[str, int]:
    """Index of each label among the classifier's, which must have all of the dataset's."""
    strange = [label for label in dataset.labels if label not in known]
    if strange:
        raise DatasetError(
            f"the model does not know {_names(strange)}, which {dataset.csv} has; "
            f"it knows {_names(known)}.",
            fix="rename those folders if they are other names for labels that it knows, and index "
            f"the photos again; or train on this dataset: kennel train data.csv={dataset.csv}",
        )
    return {label: index for index, label in enumerate(known)}


def _photos(dataset: Dataset, split: str) -> tuple[Photo, ...]:
    photos = dataset.split(split)
    if photos:
        return photos
    filled = [name for name in SPLITS if dataset.split(name)]
    again = f"kennel index {dataset.photos_dir} --to {dataset.csv}"
    raise DatasetError(
        f"{dataset.csv} has no {split} photos; it has {_names(filled) or 'none at all'}.",
        fix=f"put photos into {dataset.photos_dir / split}, a folder a label, then index: {again}"
        if dataset.fractions is None
        else f"index the photos again with a share for it: {again} --fractions 0.7,0.1,0.2",
    )


def _names(labels: Iterable[str], *, most: int = 8) -> str:
    names = list(labels)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
