"""One entry of the history: what was made champion, when, over which, and by which figures."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Literal

from kennel.registry import RegistryError
from kennel.typed import build

SCHEMA_VERSION = 1
MARGIN = 0.03  # of top1, which a candidate must be shown not to lose: docs/decisions/0015
DIGITS = 6  # of an entry's number in the name of its file
NAME = re.compile(rf"history/(\d{{{DIGITS}}})\.json")
# A folder of the registry; no entry, whoever wrote it, leads out of it.
PLACE = re.compile(r"bundles/[A-Za-z0-9][A-Za-z0-9._-]*")

Action = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Figure:
    """A figure of champion and candidate on the same photos. `difference` is the candidate's minus
    the champion's, with its 95 % interval.
    """

    champion: float
    candidate: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Gate:
    """What the candidate was measured on and against, and what that said.

    Attributes:
        champion: its bundle_id; None where there was none, and the candidate stood against always
            answering the most frequent label.
        passed: whether it may be champion.
        why: in words.
        margin: of top1 that the candidate must be shown not to lose; None against no champion.
        same_model: whether both are one model, which needs no figures.
        dataset_id: of the index that the photos are from.
        split: of that index, or "all".
        n: photos.
        left_out: photos that could not judge, by reason.
        remarks: what weakens the outcome.
        only_champion: photos that the champion alone has right.
        only_candidate: photos that the candidate alone has right.
        p: exact two-sided McNemar probability.
        figures: by name: top1, macro_f1, log_loss, refused.
        seed: of the bootstrap behind the intervals of macro_f1 and log_loss.
        resamples: of that bootstrap.
    """

    champion: str | None
    passed: bool
    why: str
    margin: float | None
    same_model: bool
    dataset_id: str
    split: str
    n: int
    left_out: dict[str, int]
    remarks: tuple[str, ...]
    only_champion: int
    only_candidate: int
    p: float
    figures: dict[str, Figure]
    seed: int
    resamples: int


@dataclass(frozen=True)
class Entry:
    """A file of the history.

    Attributes:
        number: 1 for the first; each is one more than the one before.
        bundle_id: of the champion from here on.
        place: the folder of the registry that holds it.
        bundle_json_sha256: of its bundle.json, which holds those of its other files.
        signature_sha256: of its model.sig; None where it is not signed.
        previous_champion: the bundle_id of the champion until here; None for the first.
        previous_sha256: of the file of the entry before; None for the first.
        returns_to: of a rollback, the number of the entry whose champion is champion again.
        forced: whether the gate said no, or could not be asked.
        reason: what the person who did it said; "" where nothing was.
        gate: None for a rollback, and where it could not be asked.
        unmeasured: why it could not be asked; "" where it was.
        git_commit: of the working directory; None outside of a repository.
    """

    number: int
    action: Action
    bundle_id: str
    place: str
    bundle_json_sha256: str
    signature_sha256: str | None
    previous_champion: str | None
    previous_sha256: str | None
    returns_to: int | None
    forced: bool
    reason: str
    gate: Gate | None
    unmeasured: str
    created_utc: str
    kennel: str
    git_commit: str | None
    dirty: bool | None
    schema_version: int = SCHEMA_VERSION


def name_of(number: int) -> str:
    """The file of an entry: history/000001.json."""
    return f"history/{number:0{DIGITS}}.json"


def encode(entry: Entry) -> bytes:
    """The bytes of its file."""
    document = json.dumps(asdict(entry), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{document}\n".encode()


def decode(content: bytes, number: int, *, where: str) -> Entry:
    """An entry from the bytes of its file.

    Args:
        number: that its name says.
        where: the file, for words.
    Raises:
        RegistryError: it is damaged, or of another schema.
    """
    fix = "put the file back from a copy of the registry; kennel promote --verify looks at all"
    try:
        values = json.loads(content)
        found = values.get("schema_version") if isinstance(values, dict) else None
        if isinstance(found, int) and found != SCHEMA_VERSION:
            raise RegistryError(
                f"{where} has schema_version {found}; this kennel reads {SCHEMA_VERSION}.",
                fix="use the kennel that wrote it, or a newer one",
            )
        entry: Entry = build(Entry, values)
        if entry.number != number:
            raise ValueError(f"number is {entry.number}")
        if not PLACE.fullmatch(entry.place):
            raise ValueError(f"place is {entry.place!r}")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RegistryError(f"{where} is damaged: {error}.", fix=fix) from error
    return entry


def sha256(content: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(content).hexdigest()
