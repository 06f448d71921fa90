"""Photos of none of the labels: how many of them a bundle takes for one it knows.

N photos, M strangers, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from kennel.bundle import Preprocess
from kennel.calibration import refusal_threshold
from kennel.errors import DatasetError, PhotoError
from kennel.evaluate import Score, SplitReport, classify_all
from kennel.folders import Skipped
from kennel.images import PHOTO_SUFFIXES, fit, normalise, open_photo, working_short_side
from kennel.metrics import softmax
from kennel.outputs import Classifier, Outputs
from kennel.separation import Separation, separate
from kennel.strangers.drawn import PER_KIND, draw_strangers

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judge:
    """A bundle as strangers meet it.

    Attributes:
        classifier, preprocess: as they will be served.
        temperature: divides the logits before the softmax.
        method: how `score` is made; None, as the next two, where the bundle never refuses.
        score: how known a photo looks.
        threshold: a photo is refused where its score is under it.
        rate: share of known photos that may be refused.
    """

    classifier: Classifier
    preprocess: Preprocess
    temperature: float
    method: str | None
    score: Score | None
    threshold: float | None
    rate: float


@dataclass(frozen=True, eq=False)
class Known:
    """Photos of known labels, from which strangers are to be told.

    Attributes:
        split: that they are of.
        confidence: Float64[N], probability of each photo's answer.
        scores: Float64[N] of the bundle's rejection, None where it has none.
        confidence_threshold: under which the plain softmax refuses, set for the judge's rate.
        set_on: the split that it was set on, with `set_on_n` photos.
    """

    split: str
    confidence: Float64
    scores: Float64 | None
    confidence_threshold: float
    set_on: str
    set_on_n: int


@dataclass(frozen=True)
class Stranger:
    """One picture, and what was said of it. `refused` is None where the bundle never refuses."""

    path: str
    answer: str
    probability: float
    refused: bool | None


@dataclass(frozen=True)
class Group:
    """Strangers of one kind.

    Attributes:
        name: of the folder, or of what was drawn.
        source: the folder; "drawn" where Kennel drew them.
        seed: of the drawing; None for photos.
        n: pictures measured.
        softmax: told by the probability of the answer.
        rejection: told by the bundle's own score; None where it has none.
        strangers: all of them, those that look most known first.
        skipped: photos that could not be read.
    """

    name: str
    source: str
    seed: int | None
    n: int
    softmax: Separation
    rejection: Separation | None
    strangers: tuple[Stranger, ...]
    skipped: tuple[Skipped, ...]


def find_strangers(folder: Path) -> list[Path]:
    """Photo files anywhere below a folder, sorted; hidden ones are left out.

    Raises:
        DatasetError: no folder, or none in it.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}, where strangers should be, is not a folder.",
            fix="name a folder with photos of none of the labels: --strangers DIR",
        )
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not found:
        raise DatasetError(
            f"{folder} holds no photos.",
            fix=f"strangers are files that end in {', '.join(sorted(PHOTO_SUFFIXES))}",
        )
    return found


def known_photos(judge: Judge, measured: SplitReport, set_on: SplitReport) -> Known:
    """The known photos of a split, and the softmax threshold that another split asks for."""
    cautious = confidence(set_on.logits, judge.temperature)
    return Known(
        split=measured.split,
        confidence=confidence(measured.logits, judge.temperature),
        scores=measured.scores,
        confidence_threshold=refusal_threshold(cautious, judge.rate),
        set_on=set_on.split,
        set_on_n=len(cautious),
    )


def confidence(logits: np.ndarray, temperature: float) -> Float64:  # Float[N, K] -> Float64[N]
    """Probability of each photo's answer."""
    highest: Float64 = softmax(logits / np.float32(temperature)).max(axis=1)
    return highest


def photographed(
    judge: Judge,
    known: Known,
    folder: Path,
    *,
    name: str,
    seed: int = 0,
    threads: int = 2,
    on_photo: Callable[[object], None] | None = None,
) -> Group:
    """Measures the photos of a folder, which show none of the labels.

    Args:
        name: of the group.
        seed: of the bootstrap.
    Raises:
        DatasetError: no photo there that can be read.
    """
    at_least, fill = working_short_side(judge.preprocess), judge.preprocess.fill
    files = find_strangers(folder)

    def read(path: Path) -> Float32:
        picture = open_photo(path, at_least=at_least, fill=fill)
        return normalise(fit(picture, judge.preprocess), judge.preprocess)

    paths: list[str] = []
    answers: list[Outputs] = []
    skipped: list[Skipped] = []
    for path, answer in classify_all(judge.classifier, files, read, threads=threads):
        if isinstance(answer, PhotoError):
            skipped.append(Skipped(path.relative_to(folder).as_posix(), answer.message))
        else:
            paths.append(path.relative_to(folder).as_posix())
            answers.append(answer)
        if on_photo is not None:
            on_photo(path)
    if not answers:
        raise DatasetError(
            f"none of the {len(skipped)} photos in {folder} can be read; the first: "
            f"{skipped[0].reason}",
            fix="name a folder with photos of none of the labels: --strangers DIR",
        )
    group = _group(judge, known, name, paths, answers, seed=seed)
    return replace(group, source=str(folder), skipped=tuple(skipped))


def drawn(
    judge: Judge,
    known: Known,
    kind: str,
    *,
    n: int = PER_KIND,
    seed: int = 0,
    threads: int = 2,
    on_photo: Callable[[object], None] | None = None,
) -> Group:
    """Measures pictures of one kind of `kennel.strangers.drawn.KINDS`.

    Args:
        n: how many, >= 1.
        seed: of the drawing, and of the bootstrap.
    """

    def read(picture: Image.Image) -> Float32:
        return normalise(fit(picture, judge.preprocess), judge.preprocess)

    answers = []
    pictures = draw_strangers(kind, n=n, seed=seed)
    for _, answer in classify_all(judge.classifier, pictures, read, threads=threads):
        assert not isinstance(answer, PhotoError)  # nothing is decoded
        answers.append(answer)
        if on_photo is not None:
            on_photo(kind)
    names = [str(at) for at in range(n)]
    return replace(_group(judge, known, kind, names, answers, seed=seed), seed=seed)


def _group(
    judge: Judge,
    known: Known,
    name: str,
    paths: Sequence[str],
    answers: Sequence[Outputs],  # of one picture each
    *,
    seed: int,
) -> Group:
    logits = np.stack([each.logits for each in answers])  # Float32[M, K]
    rows = [each.features for each in answers if each.features is not None]
    features = np.stack(rows) if rows else None  # Float32[M, D]
    sure = confidence(logits, judge.temperature)
    by_softmax = separate(known.confidence, sure, known.confidence_threshold, seed=seed)
    by_score, refused, scores = None, None, sure
    if judge.score and judge.threshold is not None and known.scores is not None:
        scores = judge.score(logits, features)
        by_score = separate(known.scores, scores, judge.threshold, seed=seed)
        refused = scores < judge.threshold
    best = logits.argmax(axis=1)
    return Group(
        name=name,
        source="drawn",
        seed=None,
        n=len(paths),
        softmax=by_softmax,
        rejection=by_score,
        strangers=tuple(
            Stranger(
                paths[at],
                judge.classifier.labels[best[at]],
                float(sure[at]),
                None if refused is None else bool(refused[at]),
            )
            for at in np.argsort(-scores, kind="stable").tolist()
        ),
        skipped=(),
    )
