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
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        came = int(claimed) if claimed.isdigit() else 0
        if came > most:
            await _refuse(send, most)
            return
        came, refused = 0, False

        async def counted() -> Message:
            nonlocal came
            message = {"type": "http.disconnect"} if came > most else await receive()
            came += len(message.get("body", b""))
            return {"type": "http.disconnect"} if came > most else message

        async def guarded(message: Message) -> None:
            nonlocal refused
            if refused:
                return
            if message["type"] == "http.response.start" and came > most:
                refused = True  # whatever the app makes of a request that broke off
                await _refuse(send, most)
                return
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self._app(scope, counted, guarded)


async def _refuse(send: Send, most: int) -> None:
    said = f"At most {most >> 20} MiB are taken at once; send fewer or smaller files.".encode()
    plain = (b"content-type", b"text/plain; charset=utf-8")
    headers = [plain, (b"connection", b"close"), *HEADERS]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": said})
