"""A request's body, and the photo in it: limits first, then bytes, and no file is ever written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from python_multipart import multipart
from python_multipart.exceptions import FormParserError

from kennel.serve.problems import ProblemError, busy

Receive = Callable[[], Awaitable[dict[str, Any]]]

FIELD = "image"
MOST_PARTS = 16
MOST_TYPE_BYTES = 1000
MOST_PART_HEADERS = 8
MOST_PART_HEADER_BYTES = 4096
DRAINED = 4  # times the limit that is read and thrown away, so that the refusal is heard
DRAIN_SECONDS = 5.0
SEND_A_PHOTO = (
    "send its bytes with content-type image/jpeg, or multipart/form-data with a field named image"
)


class Holder:
    """How many bytes of bodies a worker holds.

    Args:
        most: of all bodies at once.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, most: int, seconds: float, holder: Holder
) -> bytes:
    """All of a body. `holder` counts its bytes from the first on, until the caller gives back as
    many as the body has.

    Raises:
        ProblemError: 400, 408, 413 or 503.
        ConnectionError: the client left.
    """
    declared = headers.get(b"content-length", b"")
    if declared and (not declared.isdigit() or int(declared[:20]) > most):
        if b"expect" not in headers:  # who asks first has sent nothing yet, and will not
            await _drain(receive, most)
        raise _too_large(most)
    parts: list[bytes] = []
    size, whole = 0, False
    try:
        async with asyncio.timeout(seconds):
            while not whole:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                part = message.get("body", b"")
                whole = not message.get("more_body")
                if size + len(part) > most:
                    if not whole:
                        await _drain(receive, most)
                    raise _too_large(most)
                size += len(part)
                holder.held += len(part)
                if holder.held > holder.most:
                    raise busy(1)
                parts.append(part)
    except TimeoutError:
        holder.held -= size
        raise ProblemError(
            408,
            f"The body did not arrive within {seconds:g} s.",
            fix="send a smaller photo, or over a faster line",
            headers={"connection": "close"},
        ) from None
    except BaseException:
        holder.held -= size
        raise
    return parts[0] if len(parts) == 1 else b"".join(parts)


def take_type(header: bytes) -> str:
    """The content type of a request that may hold a photo.

    Raises:
        ProblemError: 415, another type.
    """
    content_type = header.decode("latin-1")
    kind = content_type.partition(";")[0].strip().lower()
    if len(content_type) > MOST_TYPE_BYTES:  # its parser's time grows with the square of that
        raise ProblemError(415, "The content type has no end.", fix=SEND_A_PHOTO)
    if kind in ("multipart/form-data", "application/octet-stream") or kind.startswith("image/"):
        return content_type
    said = f"{kind[:80]!r} is no type of image" if kind else "The request names no content type"
    raise ProblemError(415, f"{said}.", fix=SEND_A_PHOTO)


def photo_in(body: bytes, content_type: str) -> bytes:
    """The photo's bytes: the body itself, or the part of a form that is named `image`.

    Raises:
        ProblemError: 400, no photo, two, or a form that is broken or has too many parts.
    """
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return _part(body, content_type)
    if not body:
        raise ProblemError(400, "The body is empty.", fix=SEND_A_PHOTO)
    return body


def _part(body: bytes, content_type: str) -> bytes:
    # Here, since who sends plain bytes does not need it, the first to come least of all.

    _, options = multipart.parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise ProblemError(400, "The form names no boundary.", fix=SEND_A_PHOTO)
    form = _Form(multipart.parse_options_header)
    try:
        parser = multipart.MultipartParser(
            boundary,
            form.callbacks(),
            max_header_count=MOST_PART_HEADERS,
            max_header_size=MOST_PART_HEADER_BYTES,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ProblemError(400, f"The form is broken: {error}.", fix=SEND_A_PHOTO) from error
    if not form.ended:
        raise ProblemError(400, "The form is cut off.", fix=SEND_A_PHOTO)
    if not form.found:
        names = ", ".join(repr(name[:40]) for name in form.names[:4]) or "no field"
        raise ProblemError(
            400, f"The form has {names}; none of it is named {FIELD!r}.", fix=SEND_A_PHOTO
        )
    if len(form.found) > 1:
        raise ProblemError(
            400,
            f"The form has {len(form.found)} fields named {FIELD!r}.",
            fix="send one photo a request",
        )
    photo = b"".join(form.found[0])
    if not photo:
        raise ProblemError(400, f"The field {FIELD!r} is empty.", fix=SEND_A_PHOTO)
    return photo


class _Form:
    """Parts as the parser meets them: of those not named `image` only the name is kept."""

    def __init__(self, parse: Callable[[bytes], tuple[bytes, dict[bytes, bytes]]]) -> None:
        self._parse = parse
        self.names: list[str] = []
        self.found: list[list[bytes]] = []
        self.ended = False
        self._parts = 0
        self._header, self._value = b"", b""
        self._wanted = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ProblemError(
                400, f"The form has more than {MOST_PARTS} parts.", fix="send one photo a request"
            )
        self._wanted = False

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.found[-1].append(data[start:end])

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = self._parse(self._value)
            name = options.get(b"name", b"").decode("utf-8", "replace")
            self.names.append(name)
            if name == FIELD:
                self._wanted = True
                self.found.append([])
        self._header, self._value = b"", b""

    def _end(self) -> None:
        self.ended = True


async def _drain(receive: Receive, most: int) -> None:
    """Throws away what still comes, for a while: who is cut off while he sends hears no answer."""
    left = DRAINED * most
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        413,
        f"The body has more than {most} bytes.",
        fix=f"send at most {most / 2**20:.3g} MiB; 4000 pixels on the long side are plenty",
        headers={"connection": "close"},
    )
