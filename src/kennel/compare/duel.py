"""Both bundles answer the same photos, each as it is served: its preprocessing, its temperature,
its threshold. N photos, K labels that both know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kennel.bundle import Bundle
from kennel.compare.subject import Subject, same_model
from kennel.dataset import Photo
from kennel.errors import DatasetError, PhotoError
from kennel.evaluate import classify_files
from kennel.folders import Skipped
from kennel.metrics import logsumexp
from kennel.paired import RESAMPLES, Comparison, Said, compare_answers


@dataclass(frozen=True)
class Reply:
    """What a bundle said of one photo, and what it cost: -log of the truth's probability, nats."""

    label: str
    probability: float
    known: bool
    loss: float


@dataclass(frozen=True)
class Differing:
    """A photo on which the bundles do not say the same; `path` is as the index names it."""

    path: str
    truth: str
    first: Reply
    second: Reply

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether the first and the second are right, refused or not."""
        return self.first.label == self.truth, self.second.label == self.truth


@dataclass(frozen=True)
class Duel:
    """Two bundles, compared.

    Attributes:
        comparison: the second beside the first, over the photos that could be read.
        differing: all photos with another label or another "not one I know": first those that only
            the first has right, then those that only the second has, then the rest, by path.
        skipped: photos that could not be read; they are in no figure.
        same: whether both are one model, which cannot differ.
    """

    first: Bundle
    second: Bundle
    subject: Subject
    comparison: Comparison
    differing: tuple[Differing, ...]
    skipped: tuple[Skipped, ...]
    same: bool

    def not_worse(self, margin: float) -> bool:
        """Whether the second is shown to lose less than `margin` of top1; one model loses none."""
        return self.same or self.comparison.not_worse(margin)


def duel(
    first: Bundle,
    second: Bundle,
    subject: Subject,
    *,
    threads: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    on_photo: Callable[[Path], None] | None = None,
) -> Duel:
    """Compares two bundles.

    Args:
        subject: chosen for both.
        threads: that read photos, >= 1.
        seed: of the bootstrap.
        on_photo: called with each photo that a bundle has answered: 2 N times.
    Raises:
        BundleError: a bundle is not what was exported.
        DatasetError: none of the photos can be read.
        KennelError: logits that are not finite.
    """
    one = ask(first, subject, threads=threads, on_photo=on_photo)
    other = ask(second, subject, threads=threads, on_photo=on_photo)
    photos, said, skipped = _both(subject, one, other)
    number = {label: at for at, label in enumerate(subject.labels)}
    truth = np.array([number[photo.label] for photo in photos], dtype=np.int64)
    comparison = compare_answers(
        truth,
        heard([pair[0] for pair in said], subject.labels),
        heard([pair[1] for pair in said], subject.labels),
        labels=len(subject.labels),
        resamples=resamples,
        seed=seed,
    )
    return Duel(
        first,
        second,
        subject,
        comparison,
        _differing(photos, said),
        skipped,
        same_model(first, second),
    )


def ask(
    bundle: Bundle,
    subject: Subject,
    *,
    threads: int,
    on_photo: Callable[[Path], None] | None = None,
) -> list[Reply | PhotoError]:
    """What a bundle says of each photo, or why it cannot be read.

    Args:
        threads: that read photos, >= 1.
    Raises:
        BundleError: it is not what was exported.
        KennelError: logits that are not finite.
    """
    from kennel.infer import OnnxClassifier, temperature

    number = {label: at for at, label in enumerate(bundle.labels)}
    files = map(subject.dataset.file, subject.photos)
    classifier = OnnxClassifier(bundle)
    answers = classify_files(classifier, files, bundle.preprocess, batch_size=16, threads=threads)
    replies: list[Reply | PhotoError] = []
    for photo, (file, outputs) in zip(subject.photos, answers, strict=True):
        if isinstance(outputs, PhotoError):
            replies.append(outputs)
        else:
            said = classifier.answer(outputs, top=1)
            scaled = outputs.logits.astype(np.float64) / temperature(bundle)
            loss = float(logsumexp(scaled[None])[0] - scaled[number[photo.label]])
            replies.append(Reply(said.label, said.probability, said.known, loss))
        if on_photo is not None:
            on_photo(file)
    return replies


def heard(replies: Sequence[Reply], labels: Sequence[str]) -> Said:
    """Replies as arrays over `labels`."""
    number = {label: at for at, label in enumerate(labels)}
    return Said(
        answers=np.array([number.get(each.label, len(labels)) for each in replies], np.int64),
        loss=np.array([each.loss for each in replies], np.float64),
        refused=np.array([not each.known for each in replies], np.bool_),
    )


def readable(
    subject: Subject, *replies: Sequence[Reply | PhotoError]
) -> tuple[list[int], tuple[Skipped, ...]]:
    """Places of the photos that every bundle could read, and the others.

    Raises:
        DatasetError: there are none.
    """
    skipped = {}
    for each in replies:
        for photo, reply in zip(subject.photos, each, strict=True):
            if isinstance(reply, PhotoError):
                skipped[photo.path] = reply.message
    places = [at for at, photo in enumerate(subject.photos) if photo.path not in skipped]
    if not places:
        raise DatasetError(
            f"none of the {len(skipped)} photos of {subject.dataset.csv} can be read; the first: "
            f"{next(iter(skipped.values()))}",
            fix=f"see that the photos still lie in {subject.dataset.photos_dir}",
        )
    return places, tuple(Skipped(path, why) for path, why in skipped.items())


def _both(
    subject: Subject, one: Sequence[Reply | PhotoError], other: Sequence[Reply | PhotoError]
) -> tuple[list[Photo], list[tuple[Reply, Reply]], tuple[Skipped, ...]]:
    places, skipped = readable(subject, one, other)
    said = []
    for at in places:
        a, b = one[at], other[at]
        assert isinstance(a, Reply)
        assert isinstance(b, Reply)
        said.append((a, b))
    return [subject.photos[at] for at in places], said, skipped


def _differing(
    photos: Sequence[Photo], said: Sequence[tuple[Reply, Reply]]
) -> tuple[Differing, ...]:
    found = [
        Differing(photo.path, photo.label, one, other)
        for photo, (one, other) in zip(photos, said, strict=True)
        if (one.label, one.known) != (other.label, other.known)
    ]
    order = {(True, False): 0, (False, True): 1}
    return tuple(sorted(found, key=lambda each: (order.get(each.right, 2), each.path)))
