"""Sketches from elsewhere: a server's, or a file's. Nothing that comes in is believed."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kennel import __version__
from kennel.errors import KennelError, UsageError
from kennel.typed import build, quoted

TIMEOUT_S = 20.0
MOST_BYTES = 16 * 2**20  # of a document
STATUSES = {
    401: "it asks for a key",
    403: "it does not take this key",
    404: "it keeps no sketch",
    429: "it was asked too often",
}


@dataclass(frozen=True)
class Told:
    """What a server says it saw: `sketch` and `reference` are documents that nobody checked yet."""

    bundle: str
    sketch: dict[str, Any]
    since: str | None = None
    reference: dict[str, Any] | None = None


def told(document: object, *, source: str) -> Told:
    """The document that holds a sketch.

    Raises:
        KennelError: it holds none.
    """
    if isinstance(document, dict) and isinstance(document.get("sketch"), dict):
        reference = document.get("reference")
        rest = {key: value for key, value in document.items() if key in ("bundle", "since")}
        try:
            read = build(_Head, rest)
        except (TypeError, ValueError) as error:
            raise _nothing(source, str(error)) from error
        if not (read.bundle.isprintable() and (read.since or "").isprintable()):
            raise _nothing(source, "a name in it cannot be printed")
        if reference is None or isinstance(reference, dict):
            return Told(read.bundle, document["sketch"], read.since, reference)
    raise _nothing(source, "it has no sketch")


@dataclass(frozen=True)
class _Head:
    bundle: str
    since: str | None = None


def read_file(path: Path) -> Any:
    """The JSON of a file.

    Raises:
        KennelError: it is none, or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} does not exist.",
            fix="name a server's URL, a saved sketch or a folder of photos",
        ) from error
    return _parsed(content, str(path))


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
    return _parsed(content, where)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer itself is the error then."""


def _mend(status: int) -> str:
    if status in (401, 403):
        return "name the file that holds a key of the server: --key-file FILE"
    if status == 404:
        return (
            "serve a bundle that kennel exported with a sketch.json, by this version: kennel serve"
        )
    return "try again later, and read the server's log"


def _parsed(content: bytes, source: str) -> Any:
    if len(content) > MOST_BYTES:
        raise _nothing(source, f"it has more than {MOST_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _nothing(source, f"it is no JSON: {error}") from error


def _nothing(source: str, reason: str) -> KennelError:
    return KennelError(
        f"{source} is no sketch: {reason}.",
        fix="name a server of kennel's, what it answers at /sketch, or a folder of photos",
    )
