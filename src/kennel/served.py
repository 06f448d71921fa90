"""What a server of Kennel's says of itself, fetched. Nothing that comes in is believed: documents
are bounded, and built strictly into what they claim to be.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from kennel import __version__
from kennel.bundle import Calibration, Conformal, ParityRow, Preprocess, Rejection, SplitFigures
from kennel.errors import KennelError, UsageError
from kennel.typed import build, quoted

TIMEOUT_S = 20.0
MOST_BYTES = 16 * 2**20  # of a document
STATUSES = {
    401: "it asks for a key",
    403: "it does not take this key",
    404: "it has nothing there",
    429: "it was asked too often",
}


@dataclass(frozen=True)
class ServedLineage:
    """What a server tells of how its model came to be."""

    run_id: str
    git_commit: str | None
    dirty: bool | None
    dataset_id: str
    seed: int
    created_utc: str
    trained_utc: str | None = None


@dataclass(frozen=True)
class ServedBackbone:
    name: str
    source: str
    licence: str


@dataclass(frozen=True)
class Served:
    """What a server answers at /bundle, but for its limits."""

    bundle_id: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    metrics: dict[str, SplitFigures]
    calibration: Calibration | None
    rejection: Rejection | None
    conformal: Conformal | None
    parity: tuple[ParityRow, ...]
    lineage: ServedLineage
    backbone: ServedBackbone


def read_served(url: str) -> Served:
    """The bundle that answers at a server.

    Raises:
        UsageError: no address of a server.
        KennelError: it cannot be reached, or is no server of Kennel's.
    """
    document = fetch(url, "bundle")
    own = {field.name for field in fields(Served)}
    try:
        if not isinstance(document, dict):
            raise ValueError(f"it is {quoted(document)}")
        _check_printable(document)
        served: Served = build(Served, {key: document[key] for key in document if key in own})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise KennelError(
            f"{url} does not say which bundle it answers with: {error}.",
            fix="name a server that kennel serve runs",
        ) from error
    return served


def fetch(url: str, name: str, *, key: str | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """The JSON that a server answers at `url`/`name`. Redirects are not followed: the key is for
    the server that was named.

    Raises:
        UsageError: no address of a server.
        KennelError: it cannot be reached, refuses, or answers with something else.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise UsageError(
            f"{quoted(url)} is no address of a server.", fix="such as http://127.0.0.1:8080"
        )
    where = f"{url.rstrip('/')}/{name}"
    headers = {"Accept": "application/json", "User-Agent": f"kennel/{__version__}"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    opener = urllib.request.build_opener(_NoRedirects())
    try:
        request = urllib.request.Request(where, headers=headers)  # noqa: S310 - http or https, see above
        with opener.open(request, timeout=timeout_s) as answer:
            content = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        why = STATUSES.get(error.code, f"it answers {error.code}")
        raise KennelError(f"{where} gives nothing: {why}.", fix=_mend(error.code)) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise KennelError(
            f"{where} cannot be reached: {reason}.",
            fix="check the address and that the server runs: kennel serve BUNDLE",
        ) from error
    return parsed(content, where)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer itself is the error then."""


def _check_printable(part: object) -> None:
    """A name could hold what moves a terminal's cursor."""
    if isinstance(part, str) and not part.isprintable():
        raise ValueError(f"{quoted(part)} cannot be printed")
    if isinstance(part, dict | list):
        for each in [*part, *(part.values() if isinstance(part, dict) else ())]:
            _check_printable(each)


def parsed(content: bytes, source: str) -> Any:
    """The JSON of a document.

    Raises:
        KennelError: it is none, or too large.
    """
    if len(content) > MOST_BYTES:
        raise _nothing(source, f"it has more than {MOST_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _nothing(source, f"it is no JSON: {error}") from error


def _mend(status: int) -> str:
    if status in (401, 403):
        return "name the file that holds a key of the server: --key-file FILE"
    if status == 404:
        return "export the run again, into a new folder, and serve that: kennel serve BUNDLE"
    return "try again later, and read the server's log"


def _nothing(source: str, reason: str) -> KennelError:
    return KennelError(
        f"{source} is no document of kennel's: {reason}.",
        fix="name a server that kennel serve runs, or what it answered",
    )
