"""One request: where it leads, what is answered, and whether a failure may pass."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kennel import __version__
from kennel.sources import FetchError
from kennel.sources.address import authorised, following, plain, refuse_address
from kennel.sources.catalogue import Source

PIECE_BYTES = 1 << 18
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses worth another try


class CutError(Exception):
    """A try that failed in a way that may pass.

    Args:
        what: happened, for people, without a full stop.
        retry_after_s: what the server asks for.
    """

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.what, self.retry_after_s = what, retry_after_s


@dataclass(frozen=True)
class Answer:
    """What a server says of a file, and its bytes.

    Attributes:
        gives: the whole file, the part that was asked for, or nothing, as there is no such part.
        start: where in the file its bytes begin; -1 where that is not said.
        total: bytes of the file, where that is said.
        etag, modified: as the headers have them.
    """

    gives: Literal["all", "part", "nothing"]
    start: int
    total: int | None
    etag: str | None
    modified: str | None
    _body: http.client.HTTPResponse | None = None

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they come in. A connection that closes early just ends them.

        Raises:
            CutError: the connection breaks, or brings nothing for too long.
        """
        while self._body is not None:
            try:
                piece = self._body.read1(PIECE_BYTES)
            except TimeoutError as error:
                raise CutError("the server has fallen silent") from error
            except (OSError, http.client.HTTPException) as error:
                raise CutError("the connection broke") from error
            if not piece:
                return
            yield piece


@contextmanager
def ask(
    source: Source,
    *,
    have: int,
    validator: str | None,
    authorisation: str | None,
    timeout_s: float,
) -> Iterator[Answer]:
    """Asks for the archive from byte `have` on, or for all of it.

    Args:
        validator: ETag or date of what is there already: where the file has another now, all of it
            is sent.
    Raises:
        CutError: nobody answered, or with a status that may pass.
        FetchError: the address leads nowhere that is fetched from, or the answer is a refusal.
    """
    headers = {"User-Agent": f"kennel/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = _follow(source, headers, authorisation, timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416 or not have:
                raise _refusal(error) from None
            yield Answer("nothing", -1, _total(error.headers.get("Content-Range")), None, None)
            return
    with response:
        marks = response.headers.get("ETag"), response.headers.get("Last-Modified")
        if response.status == 206:
            content_range = response.headers.get("Content-Range", "")
            begins = re.match(r"bytes ([0-9]{1,18})-", content_range)
            start = int(begins[1]) if begins else -1
            yield Answer("part", start, _total(content_range), *marks, response)
        else:
            length = response.headers.get("Content-Length", "")
            total = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
            yield Answer("all", 0, total, *marks, response)


def _follow(
    source: Source, headers: dict[str, str], authorisation: str | None, timeout_s: float
) -> http.client.HTTPResponse:
    """The answer, redirects followed. Raises HTTPError for a status that is no success."""
    # Not build_opener, which would also open files and FTP; and not its redirects, which carry
    # every header to any host and read an answer's body whole.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    checked = authorisation is None and bool(source.sha256 or source.md5)
    url, before = source.url, None
    for _ in range(MAX_REDIRECTS + 1):
        refuse_address(url, before=before, checked=checked)
        own = authorised(headers, url, first=source.url, authorisation=authorisation)
        try:
            request = urllib.request.Request(url, headers=own)  # noqa: S310 - refuse_address
            answer: Any = opener.open(request, timeout=timeout_s)
            return answer  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            if error.code not in REDIRECTS:
                raise
            with error:
                before, url = url, following(url, error.headers.get("Location"))
        except (http.client.InvalidURL, UnicodeError) as error:
            raise FetchError(
                f"{plain(url)} is not an address: {error}.", fix="see how it is written"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise FetchError(
                    f"{plain(url)} does not show a certificate that is trusted: {reason}.",
                    fix="see the address; behind a company's proxy name its certificate in "
                    "SSL_CERT_FILE",
                ) from error
            raise CutError(f"{plain(url)} cannot be reached: {reason}") from error
    raise FetchError(
        f"{plain(source.url)} leads on and on: more than {MAX_REDIRECTS} redirects.",
        fix="see the address in a browser, and name the one that it ends at",
    )


def _total(content_range: str | None) -> int | None:
    found = re.search(r"/([0-9]{1,18})$", content_range or "")
    return int(found[1]) if found else None


def _refusal(error: urllib.error.HTTPError) -> Exception:
    # In our words and not the server's, which may hold anything.
    reason = http.client.responses.get(error.code, "")
    what = f"{plain(error.url)} answers {error.code} {reason}".rstrip()
    if error.code in PASSING:
        asked = error.headers.get("Retry-After", "")
        return CutError(what, float(asked) if asked.isdecimal() else None)
    fix = {
        401: "it wants a name and a password or token: see that yours is set and still valid",
        403: "it is not public, or you have not agreed to its terms: open its page in a browser",
        404: "see the address; the archive may have moved",
    }
    return FetchError(f"{what}.", fix=fix.get(error.code, "see the address in a browser"))
