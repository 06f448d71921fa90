"""Photos that lie here, as a server would have counted them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import PhotoError
from kennel.evaluate import classify_all
from kennel.impression import answered
from kennel.looking import Looking
from kennel.machine import usable_cores

if TYPE_CHECKING:
    from kennel.infer import OnnxClassifier


@dataclass(frozen=True)
class Seen:
    """What is counted of a photo: its figures, and the label it was answered with."""

    figures: dict[str, float]
    label: str


def look_at(
    paths: Iterable[Path], classifier: OnnxClassifier, *, seed: int = 0
) -> Iterator[tuple[Path, Seen | PhotoError]]:
    """Photo files, each once, as they are answered; or why one could not be read.

    Args:
        seed: `Reference.seed` of what they will be compared with.
    """
    looking = Looking(classifier.bundle.preprocess)
    answers = classify_all(classifier, paths, looking.read, batch_size=8, threads=usable_cores())
    for path, outputs in answers:
        if isinstance(outputs, PhotoError):
            yield path, outputs
            continue
        said = classifier.answer(outputs, top=1)
        figures = answered(
            looking.took(path),
            features=outputs.features,
            probability=said.probability,
            score=said.score,
            known=said.known,
            seed=seed,
        )
        yield path, Seen(figures, said.label)
