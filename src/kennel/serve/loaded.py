"""A bundle that answers: loaded, checked by answering, and exchanged as a whole.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kennel.bundle import Bundle, read_bundle
from kennel.errors import BundleError
from kennel.images import fit, full_size, normalise, open_photo, working_short_side
from kennel.impression import answered, look
from kennel.infer import Answer, OnnxClassifier
from kennel.named import bundle_named
from kennel.outputs import Outputs
from kennel.serve.sniff import check
from kennel.sketch import read_reference

# What browsers and cameras send.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", *(("HEIC",) if find_spec("pillow_heif") else ()))


@dataclass(frozen=True)
class Seen:
    """One photo, answered.

    Attributes:
        seconds: of each stage: "decode" (bytes to input) and "model" (input to answer).
        figures: what is counted of it for drift; None where the bundle has no reference.
    """

    answer: Answer
    seconds: dict[str, float]
    figures: dict[str, float] | None


class Loaded:
    """A bundle ready to answer.

    Args:
        path: of the bundle, or of a folder of bundles: the last one in it.
        threads: for one photo.
        public_key: of who must have signed it; None asks for no signature.
    Raises:
        BundleError: it cannot be loaded, or its first answer is no answer.
    """

    def __init__(self, path: Path, *, threads: int, public_key: Path | None = None) -> None:
        path = bundle_named(path)
        if public_key is None:
            self.bundle = read_bundle(path)
        else:
            from kennel.signing import require_signature

            self.bundle = require_signature(path, public_key=public_key)
        self.classifier = OnnxClassifier(self.bundle, threads=threads)
        self.reference = read_reference(self.bundle)
        self._at_least = working_short_side(self.bundle.preprocess)
        self._check()

    def answer(self, photo: bytes, *, top: int, max_pixels: int) -> Seen:
        """The answer for one photo, by the preprocessing of every door.

        Raises:
            PhotoError: it cannot be read, or is refused.
            BundleError: the model gives none.
        """
        began = time.perf_counter()
        image = self._open(photo, max_pixels)
        pixels = fit(image, self.bundle.preprocess)
        values = normalise(pixels, self.bundle.preprocess)
        read = time.perf_counter()
        outputs = self.classifier.outputs(values[None])
        features = None if outputs.features is None else outputs.features[0]
        answer = self.classifier.answer(Outputs(outputs.logits[0], features), top=top)
        done = time.perf_counter()
        figures = None
        if self.reference is not None:
            width, height = full_size(image)
            figures = answered(
                look(width=width, height=height, pixels=pixels),
                features=features,
                probability=answer.probability,
                score=answer.score,
                known=answer.known,
                seed=self.reference.seed,
            )
        return Seen(answer, {"decode": read - began, "model": done - read}, figures)

    def read(self, photo: bytes, *, max_pixels: int) -> NDArray[np.float32]:
        """A photo as the model's input: Float32[3, H, W].

        Raises:
            PhotoError: it cannot be read, or is refused.
        """
        preprocess = self.bundle.preprocess
        return normalise(fit(self._open(photo, max_pixels), preprocess), preprocess)

    def _open(self, photo: bytes, max_pixels: int) -> Image.Image:
        check(photo)
        return open_photo(
            photo,
            at_least=self._at_least,
            fill=self.bundle.preprocess.fill,
            max_pixels=max_pixels,
            formats=FORMATS,
        )

    def _check(self) -> None:
        """Answers a grey picture: the model runs, and the first client does not wait for its
        memory.
        """
        size = self.bundle.preprocess.size
        grey = np.full((1, size, size, 3), 128, np.uint8)
        outputs = self.classifier.outputs(normalise(grey, self.bundle.preprocess))
        if not np.isfinite(outputs.logits).all():
            raise BundleError(
                f"{self.bundle.path} answers a grey picture with numbers that are not finite.",
                fix="export the run again with this version of kennel",
            )


def public(bundle: Bundle, *, limits: dict[str, Any], keys: bool) -> bytes:
    """What clients are told of a bundle: no path of this machine."""
    lineage = bundle.lineage
    told = ("run_id", "git_commit", "dirty", "dataset_id", "seed", "created_utc", "trained_utc")
    document: dict[str, Any] = {
        "bundle_id": bundle.bundle_id,
        "labels": bundle.labels,
        "preprocess": asdict(bundle.preprocess),
        "metrics": {split: asdict(figures) for split, figures in bundle.metrics.items()},
        "calibration": bundle.calibration and asdict(bundle.calibration),
        "rejection": bundle.rejection and asdict(bundle.rejection),
        "conformal": bundle.conformal and asdict(bundle.conformal),
        "parity": [asdict(row) for row in bundle.parity],
        "lineage": {name: getattr(lineage, name) for name in told},
        "backbone": {
            "name": lineage.backbone.name,
            "source": lineage.backbone.source,
            "licence": lineage.backbone.licence,
        },
        "limits": limits,
        "keys": keys,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def row(answer: Answer, *, bundle_id: str, took_ms: float) -> dict[str, Any]:
    """The answer of `POST /predict`."""
    document: dict[str, Any] = {
        "label": answer.label,
        "probability": answer.probability,
        "known": answer.known,
        "top": _top(answer.top),
        "bundle": bundle_id,
        "took_ms": round(took_ms, 2),
    }
    if answer.among is not None:
        document["among"] = answer.among
    return document


def _top(top: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": label, "probability": probability} for label, probability in top]
