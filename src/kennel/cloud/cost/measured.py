"""How long an answer takes, measured: what a bill of Lambda's depends on.

Lambda gives a function a share of a processor by its memory, a whole one at 1,769 MB, and Kennel
answers one photo in one thread. So milliseconds of a core are divided by that share, and more than
one whole core makes nothing faster. What Lambda's own cores are worth beside the one that was
measured is not known from here; nor is the adapter in front of the server in the figure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from kennel.errors import KennelError, UsageError
from kennel.typed import build

WHOLE_CORE_MB = 1769
MOST_BYTES = 64 << 20  # of a report
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Work:
    """One kind of request, as it was measured.

    Attributes:
        name: what is sent, in words.
        core_ms: milliseconds of one whole core, > 0.
        answer_bytes: that go out.
        need_mb: memory that the process takes with it; 0 where nobody measured it.
    """

    name: str
    core_ms: float
    answer_bytes: int = 1024
    need_mb: int = 0

    def duration_ms(self, memory_mb: int) -> float:
        """How long it takes in a function of that memory, by the model above."""
        return self.core_ms / min(1.0, memory_mb / WHOLE_CORE_MB)

    def billed_ms(self, memory_mb: int) -> int:
        """What Lambda bills: whole milliseconds, begun ones too."""
        return math.ceil(round(self.duration_ms(memory_mb), 6))


@dataclass(frozen=True)
class Tutorial:
    """A photo of 12 megapixels read the tutorial's way, and its network, on the same core."""

    reading_ms: float
    network_ms: float


@dataclass(frozen=True)
class Measured:
    """Milliseconds, and where they come from. A month is priced by the first of `works`.

    Attributes:
        source: in words: which program, which hardware, n.
        log_bytes: of log that the server writes for a request. lambda_log_bytes: that Lambda does.
        largest_answer_bytes: of all that the server hands out to somebody who asks.
        tutorial: the same photo, the tutorial's way, where it was measured beside.
    """

    works: tuple[Work, ...]
    source: str
    log_bytes: int = 250
    lambda_log_bytes: int = 400
    largest_answer_bytes: int = 100_000
    tutorial: Tutorial | None = None


@dataclass(frozen=True)
class Document:
    """What benchmarks/cloud/answers.py writes."""

    schema_version: int
    works: tuple[Work, ...]
    log_bytes: int
    lambda_log_bytes: int
    largest_answer_bytes: int
    n: int
    backbone: str
    hardware: dict[str, str]
    tutorial: Tutorial | None = None
    versions: dict[str, str] = field(default_factory=dict)


def by_hand(ms: float) -> Measured:
    """Milliseconds of a whole core that somebody names.

    Raises:
        UsageError: they are none.
    """
    if not (math.isfinite(ms) and 0 < ms <= 900_000):
        raise UsageError(f"--ms is {ms:g}.", fix="milliseconds of one core, such as --ms 52")
    return Measured((Work("a photo", ms),), f"{ms:g} ms of a core, as named by --ms")


def shipped() -> Measured:
    """What was measured of Kennel itself, by benchmarks/cloud/answers.py."""
    text = files("kennel.cloud.cost").joinpath("measured.json").read_text(encoding="utf-8")
    return _of_benchmark(json.loads(text))


def measured_in(path: Path) -> Measured:
    """What a file says: of benchmarks/cloud/answers.py, or a report.json of `kennel evaluate`.

    Raises:
        KennelError: it is neither, or cannot be read.
    """
    wanted = "a file of benchmarks/cloud/answers.py, a bundle's report/report.json, or --ms N"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KennelError(f"{path} is too large to be a report.", fix=wanted)
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "works" in document:
            return _of_benchmark(document)
        if isinstance(document, dict) and isinstance(document.get("splits"), dict):
            return _of_report(document)
    except OSError as error:
        raise KennelError(f"{path} cannot be read: {error.strerror}.", fix=wanted) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise KennelError(f"{path} says no milliseconds: {error}.", fix=wanted) from error
    raise KennelError(f"{path} says no milliseconds.", fix=wanted)


def _of_benchmark(told: dict[str, Any]) -> Measured:
    document: Document = build(Document, told)
    if document.schema_version != SCHEMA_VERSION:
        raise ValueError(f"it has schema {document.schema_version}, not {SCHEMA_VERSION}")
    if not document.works:
        raise ValueError("it measured nothing")
    for each in document.works:
        if not each.core_ms > 0 or each.answer_bytes < 0 or each.need_mb < 0:
            raise ValueError(f"{each.name} took {each.core_ms} ms")
    if min(document.log_bytes, document.lambda_log_bytes, document.largest_answer_bytes) < 0:
        raise ValueError("bytes below 0")
    return Measured(
        document.works,
        f"{document.backbone}, processor time of the server for a request, n {document.n}, one "
        f"core of {document.hardware.get('cpu', 'an unknown processor')}",
        document.log_bytes,
        document.lambda_log_bytes,
        document.largest_answer_bytes,
        document.tutorial,
    )


def _of_report(told: dict[str, Any]) -> Measured:
    """Photos a second of `kennel evaluate`, as if all its cores had worked: never too few ms."""
    for split in ("test", "validation", "train"):
        figures = told["splits"].get(split)
        rate = figures.get("images_per_s") if isinstance(figures, dict) else None
        if isinstance(rate, (int, float)) and math.isfinite(rate) and rate > 0:
            said = told.get("hardware")
            hardware = said if isinstance(said, dict) else {}
            cores = str(hardware.get("cores", "1"))
            used = int(cores) if cores.isdecimal() and int(cores) > 0 else 1
            return Measured(
                (Work(f"a photo of the {split} split", 1000 * used / rate),),
                f"kennel evaluate: {rate:.1f} photos a second on {used} cores of "
                f"{hardware.get('cpu', 'an unknown processor')}, n {figures.get('n')}, taken for "
                "all of their time; without HTTP",
            )
    raise ValueError("no split has images_per_s")
