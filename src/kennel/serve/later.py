"""What FastAPI answers, asked for the first time when somebody asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kennel.serve.messages import JSON, Message, Reply, Request

if TYPE_CHECKING:
    from kennel.serve.counter import Counter

PATHS = ("/openapi.json", "/v2")


class Later:
    """FastAPI's application over a counter, not imported before `reply` is asked for."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._api: Callable[..., Awaitable[None]] | None = None

    async def reply(self, request: Request) -> Reply:
        """Its answer, kept until it is whole: they are small."""
        method = request.scope["method"]
        if request.path.startswith("/v2/models") and method == "POST":
            self._counter.let_in(request)
        if self._api is None:
            self._api = await self._counter.lanes.aside(self._make)
        api = self._api
        started: Message = {}
        parts: list[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                parts.append(message.get("body", b""))

        async with self._counter.body(request) as body:
            sent = False

            async def receive() -> Message:
                nonlocal sent
                if sent:
                    return {"type": "http.disconnect"}
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}

            scope = {
                **request.scope,
                "method": "GET" if method == "HEAD" else method,
                "path": request.path,
                "root_path": "",
                "app_request": request,
            }
            await api(scope, receive, send)
        if method == "OPTIONS" and started["status"] == 405:
            allow = next(value for name, value in started["headers"] if name == b"allow")
            return Reply(204, b"", headers=[(b"allow", allow + b", OPTIONS")])
        headers = [pair for pair in started["headers"] if pair[0] != b"content-length"]
        kinds = [value for name, value in headers if name == b"content-type"]
        rest = [pair for pair in headers if pair[0] != b"content-type"]
        return Reply(started["status"], b"".join(parts), kinds[0] if kinds else JSON, rest)

    def _make(self) -> Callable[..., Awaitable[None]]:
        from kennel.serve.api import make_api

        return make_api(self._counter)
