"""A sketch of photos that lie here: answered by the bundle, counted, and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from kennel.errors import PhotoError
from kennel.evaluate import classify_all
from kennel.impression import answered
from kennel.infer import OnnxClassifier
from kennel.looking import Looking
from kennel.machine import usable_cores
from kennel.sketch import Reference, Sketch


def sketch_photos(
    paths: Iterable[Path],
    classifier: OnnxClassifier,
    reference: Reference,
    *,
    on_photo: Callable[[Path], None] | None = None,
    on_skipped: Callable[[PhotoError], None] | None = None,
) -> Sketch:
    """Counts photo files.

    Args:
        paths: each once.
        reference: of the classifier's bundle.
        on_photo: called with each file, answered or skipped.
        on_skipped: called with why a file was.
    """
    sketch, looking = Sketch(reference), Looking(classifier.bundle.preprocess)
    answers = classify_all(classifier, paths, looking.read, batch_size=8, threads=usable_cores())
    for path, outputs in answers:
        if isinstance(outputs, PhotoError):
            if on_skipped is not None:
                on_skipped(outputs)
        else:
            said = classifier.answer(outputs, top=1)
            features = outputs.features
            row = None if features is None else features[None]
            score = classifier.score
            figures = answered(
                looking.took(path),
                features=features,
                probability=said.probability,
                score=None if score is None else float(score(outputs.logits[None], row)[0]),
                known=said.known,
                seed=reference.seed,
            )
            sketch.add(figures, said.label)
        if on_photo is not None:
            on_photo(path)
    return sketch
