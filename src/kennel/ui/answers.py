"""What every tab asks: a photo's own bytes -> an answer. All that Gradio calls is behind this."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kennel.bundle import Bundle
from kennel.errors import PhotoError
from kennel.images import fit, open_photo, read_photo, working_short_side
from kennel.infer import Answer, OnnxClassifier
from kennel.outputs import Outputs

MOST_PHOTO_BYTES = 64 << 20


@dataclass(frozen=True)
class Said:
    """An answer, and how long reading the photo and answering took."""

    answer: Answer
    took_ms: float


class Answers:
    """A bundle that answers photos, and lets be seen what it saw.

    Args:
        bundle: verified as it is opened.
        clock_s: seconds that only grow.
    Raises:
        BundleError: it cannot be used, see `OnnxClassifier`.
    """

    def __init__(self, bundle: Bundle, *, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self.bundle = bundle
        self.classifier = OnnxClassifier(bundle)
        self._clock_s = clock_s

    def __call__(self, photo: Path | bytes, *, top: int = 3) -> Said:
        """The answer for one photo, read by `kennel.images` from the bytes as they came.

        Args:
            photo: a file, or the bytes of one.
            top: labels to name, >= 1; more than there are gives all.
        Raises:
            PhotoError: it cannot be read, or is refused.
        """
        started_s = self._clock_s()
        pixels = read_photo(photo_bytes(photo), self.bundle.preprocess)
        given = self.classifier.outputs(pixels[None])
        features = None if given.features is None else given.features[0]
        answer = self.classifier.answer(Outputs(given.logits[0], features), top=top)
        return Said(answer, took_ms=1000 * (self._clock_s() - started_s))

    def seen(self, photo: Path | bytes) -> npt.NDArray[np.uint8]:
        """What the model sees of a photo, before it becomes numbers: UInt8[H, W, 3].

        Raises:
            PhotoError: it cannot be read, or is refused.
        """
        spec = self.bundle.preprocess
        at_least = working_short_side(spec)
        return fit(open_photo(photo_bytes(photo), at_least=at_least, fill=spec.fill), spec)


def photo_bytes(photo: Path | bytes) -> bytes:
    """The bytes of a photo. Errors do not name the file: where a server keeps it helps nobody.

    Raises:
        PhotoError: the file is gone, or too large.
    """
    if isinstance(photo, bytes):
        return photo
    try:
        with photo.open("rb") as file:
            content = file.read(MOST_PHOTO_BYTES + 1)
    except OSError as error:
        raise PhotoError("the photo is no longer here.", fix="choose it again") from error
    if len(content) > MOST_PHOTO_BYTES:
        raise PhotoError(
            f"the photo has more than {MOST_PHOTO_BYTES >> 20} MiB.", fix="make it smaller first"
        )
    return content


def document(said: Said, bundle: Bundle) -> dict[str, Any]:
    """An answer as data: what `POST /predict` of the contract gives."""
    answer = said.answer
    values: dict[str, Any] = {
        "label": answer.label,
        "probability": answer.probability,
        "known": answer.known,
        "top": [{"label": label, "probability": chance} for label, chance in answer.top],
        "bundle": bundle.bundle_id,
        "took_ms": round(said.took_ms, 1),
    }
    return values if answer.among is None else {**values, "among": list(answer.among)}
