"""What the page may ask for, and what may be sent to it: an ASGI middleware round Gradio's app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_UPLOAD_BYTES = 512 << 20  # of one request, however many files are in it
MOST_QUESTION_BYTES = 1 << 20  # of any other request: names of uploaded files and settings

# Gradio's page needs scripts in line and `new Function`. What counts is that nothing else is asked
# for: not by a card, not by a label, not by Gradio itself.
POLICY = "; ".join(
    (
        "default-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """Counts the bytes of a request as they come, and sets the headers of each answer."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        uploads = scope["path"].rstrip("/").endswith("/upload")
        most = MOST_UPLOAD_BYTES if uploads else MOST_QUESTION_BYTES
        began = False

        async def guarded(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                names = {name for name, _ in HEADERS}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in names]
                message["headers"] = [*kept, *HEADERS]
            await send(message)

        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                raise _TooMuchError
            return message

        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if claimed.isdigit() and int(claimed) > most:
            await _refuse(guarded, most)
            return
        try:
            await self._app(scope, counted, guarded)
        except _TooMuchError:
            if not began:
                await _refuse(guarded, most)


class _TooMuchError(Exception):
    """More bytes came than are read."""


async def _refuse(send: Send, most: int) -> None:
    said = f"At most {most >> 20} MiB are taken at once; send fewer or smaller files.".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": said})
