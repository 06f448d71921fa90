"""One row of a table: a photo's answer, or why there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """What was said of one photo.

    Attributes:
        path: as it was named.
        bundle: bundle_id of who answered.
        top: labels with their probabilities, best first; empty where there is no answer.
        known: whether the photo looks like those of the labels; None where there is no answer.
        among: labels of which one is the truth, where the bundle promises that.
        error: why the photo has no answer; None where it has one.
    """

    path: str
    bundle: str
    top: tuple[tuple[str, float], ...] = ()
    known: bool | None = None
    among: tuple[str, ...] | None = None
    error: str | None = None

    def document(self) -> dict[str, Any]:
        """The object of `kennel predict --json`."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        document = {
            "path": self.path,
            "label": self.top[0][0],
            "probability": self.top[0][1],
            "known": self.known,
            "top": [{"label": label, "probability": value} for label, value in self.top],
            "bundle": self.bundle,
        }
        return document if self.among is None else {**document, "among": list(self.among)}

    @classmethod
    def of(cls, document: Mapping[str, Any], *, bundle: str) -> Row:
        """The row that `document` was made of.

        Raises:
            KeyError, TypeError: it is none.
        """
        if "error" in document:
            return cls(document["path"], bundle, error=document["error"])
        return cls(
            path=document["path"],
            bundle=document["bundle"],
            top=tuple((each["label"], each["probability"]) for each in document["top"]),
            known=document["known"],
            among=tuple(document["among"]) if "among" in document else None,
        )


def readable(row: Row) -> Row:
    """The row as text that every program can read.

    A path that is not UTF-8 becomes a file: address, whose %XX are its bytes; a relative path that
    begins with "file:" gets a "./", so that one is never taken for the other. In the words of an
    error such bytes become \\xXX.
    """
    path = row.path
    try:
        path.encode()
    except UnicodeEncodeError:
        path = Path(path).absolute().as_uri()
    else:
        path = f"./{path}" if path.startswith("file:") else path
    error = row.error and os.fsencode(row.error).decode(errors="backslashreplace")
    return replace(row, path=path, error=error)


def six_digits(probability: float) -> float:
    """To six significant digits: as many as float32 logits are good for."""
    return float(f"{probability:.6g}")
