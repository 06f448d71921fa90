"""The counter itself: an ASGI application in which a photo's way is short.

What is asked for often (`/predict`, `/live`, `/ready`, the page) is answered here. The rest, which
is the OpenAPI document and the Open Inference Protocol, is FastAPI's (`kennel.serve.api`), loaded
when it is first asked for: its import takes longer than everything else together, and the first
photo must not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs

from kennel.errors import KennelError
from kennel.machine import give_back_freed_memory
from kennel.serve.assets import PAGE_POLICY, assets
from kennel.serve.bodies import Holder, photo_in, take_type
from kennel.serve.clients import Keys, Rate
from kennel.serve.counts import Counts
from kennel.serve.exposition import CONTENT_TYPE
from kennel.serve.lanes import GoneError, Lanes
from kennel.serve.later import PATHS, Later
from kennel.serve.loaded import FORMATS, Loaded, public, row
from kennel.serve.logs import Log, trace
from kennel.serve.messages import (
    Held,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    cors,
    refusal,
    send_reply,
)
from kennel.serve.problems import ProblemError, of
from kennel.serve.settings import Settings
from kennel.serve.sniff import quick
from kennel.serve.tally import Slots

CLIENT_LEFT = 499  # counted, never sent


class Counter:
    """Answers over HTTP for one worker process.

    Args:
        load: loads the bundle anew, for a reload.
        slots: memory shared with the other workers, of which this is `worker`.
        tell_others: after a reload that was asked for over HTTP.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        load: Callable[[], Loaded],
        settings: Settings,
        log: Log,
        slots: Slots,
        worker: int = 0,
        tell_others: Callable[[], None] = lambda: None,
    ) -> None:
        self.loaded, self.settings, self.stopping = loaded, settings, False
        self.lanes = Lanes(queue=settings.queue)
        self.keys = Keys(settings.keys)
        self.counts = Counts(loaded, slots=slots, worker=worker)
        self._load, self._log = load, log
        self._tell_others = tell_others
        self._rate = Rate(settings.rate, settings.burst)
        self._holder = Holder(settings.held_bytes)
        self._reloading = asyncio.Lock()
        self._later = Later(self)
        self._pages = assets()
        self._routes: dict[str, dict[str, Callable[[Request], Awaitable[Reply]]]] = {
            "/predict": {"POST": self.predict},
            "/live": {"GET": self.live},
            "/ready": {"GET": self.ready},
            "/bundle": {"GET": self.bundle},
            "/metrics": {"GET": self.metrics},
            "/sketch": {"GET": self.sketch},
            "/reference": {"GET": self.reference},
            "/-/reload": {"POST": self.reload_asked},
            **{path: {"GET": self.page} for path in self._pages},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        root = self.settings.root_path
        if root and path.startswith(f"{root}/"):
            path = path.removeprefix(root)
        headers = dict(scope["headers"])
        trace_id, parent_id = trace(headers.get(b"traceparent", b"").decode("latin-1"))
        request = Request(scope, receive, path, headers, trace_id, parent_id)
        try:
            if path.startswith(PATHS):
                reply = await self._later.reply(request)
            else:
                reply = await self._reply(request)
        except ProblemError as problem:
            reply = refusal(problem, trace_id)
        except KennelError as error:
            reply = refusal(of(error), trace_id)
        except (GoneError, ConnectionError):
            self._done(request, CLIENT_LEFT)
            return
        except Exception:  # a fault of Kennel's own: told in the log, never to the client
            self._log.write("failed", trace_id=trace_id, traceback=traceback.format_exc())
            fault = ProblemError(500, "This server failed.", fix=f"report it with trace {trace_id}")
            reply = refusal(fault, trace_id)
        reply.headers.append((b"traceresponse", f"00-{trace_id}-{request.span_id}-00".encode()))
        reply.headers.extend(cors(request, self.settings.cors))
        # Counted before it is sent: who asks for /metrics next finds himself there.
        self._done(request, reply.status)
        with suppress(ConnectionError):
            await send_reply(send, reply)

    async def _reply(self, request: Request) -> Reply:
        method = request.scope["method"]
        handlers = self._routes.get(request.path)
        if request.path == "*" and method == "OPTIONS":
            handlers = {"GET": self.live, "POST": self.predict}  # what the server can at all
        if request.path == self.settings.root_path and request.path:  # the page's own are below it
            return Reply(308, b"", headers=[(b"location", f"{request.path}/".encode())])
        if handlers is None:
            raise ProblemError(404, f"{request.path[:200]} is not here.", fix="see /openapi.json")
        if method == "OPTIONS":
            allowed = ", ".join((*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"))
            return Reply(204, b"", headers=[(b"allow", allowed.encode())])
        handler = handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join((*handlers, *(["HEAD"] if "GET" in handlers else [])))
            raise ProblemError(
                405,
                f"{request.path} does not take {method}.",
                fix=f"use {allowed}",
                headers={"allow": allowed},
            )
        return await handler(request)

    async def predict(self, request: Request) -> Reply:
        """`POST /predict`: the answer for one photo."""
        self.let_in(request)
        top = _top(request.scope["query_string"])
        content_type = take_type(request.headers.get(b"content-type", b""))
        async with self.body(request) as body:
            photo = photo_in(body, content_type)
            arrived = time.perf_counter()
            loaded, pixels = self.loaded, self.settings.pixels
            seen, waited = await self.lanes.run(
                lambda: loaded.answer(photo, top=top, max_pixels=pixels),
                quick=quick(photo),
                gone=request.gone,
            )
        stages = {"queue": waited, **seen.seconds}
        total = time.perf_counter() - arrived
        self.counts.answered(seen.answer.label if seen.answer.known else None, len(photo))
        self.counts.seen(seen, loaded)
        self.counts.stages({**stages, "total": time.perf_counter() - request.began})
        request.facts = {"known": seen.answer.known, "photo_bytes": len(photo)}
        request.facts |= {f"{name}_ms": round(1000 * s, 2) for name, s in stages.items()}
        document = row(seen.answer, bundle_id=loaded.bundle.bundle_id, took_ms=1000 * total)
        timing = ", ".join(f"{name};dur={1000 * s:.2f}" for name, s in stages.items())
        return Reply(
            200,
            json.dumps(document, ensure_ascii=False).encode(),
            headers=[(b"server-timing", timing.encode()), (b"cache-control", b"no-store")],
        )

    async def live(self, request: Request) -> Reply:
        """`GET /live`: this process runs."""
        return Reply(200, b'{"live": true}')

    async def ready(self, request: Request) -> Reply:
        """`GET /ready`: whether to send photos here."""
        if self.stopping:
            raise ProblemError(503, "This server is being stopped.", fix="ask another one")
        return Reply(200, b'{"ready": true}', headers=[(b"cache-control", b"no-store")])

    async def bundle(self, request: Request) -> Reply:
        """`GET /bundle`: which model answers, and what it was measured at."""
        limits = {"bytes": self.settings.bytes, "pixels": self.settings.pixels, "formats": FORMATS}
        return Reply(200, public(self.loaded.bundle, limits=limits, keys=bool(self.keys)))

    async def metrics(self, request: Request) -> Reply:
        """`GET /metrics`: what all workers have counted."""
        self.keys.check(request.headers)
        self.counts.now(queue_photos=self.lanes.waiting, held_bytes=self._holder.held)
        text = self.counts.metrics(queue=self.settings.queue)
        return Reply(200, text, content_type=CONTENT_TYPE)

    async def sketch(self, request: Request) -> Reply:
        """`GET /sketch`: how many photos of which kind were seen, for `kennel drift`."""
        self.keys.check(request.headers)
        document = self.counts.sketch()
        if document is None:
            raise _no_reference()
        return Reply(200, json.dumps(document, ensure_ascii=False).encode())

    async def reference(self, request: Request) -> Reply:
        """`GET /reference`: the same of the bundle's validation photos."""
        self.keys.check(request.headers)
        if self.loaded.reference is None:
            raise _no_reference()
        document = self.loaded.reference.to_dict()
        return Reply(200, json.dumps(document, ensure_ascii=False).encode())

    async def page(self, request: Request) -> Reply:
        """`GET /` and what the page needs."""
        asset = self._pages[request.path]
        headers = [
            (b"etag", asset.etag.encode()),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", PAGE_POLICY.encode()),
        ]
        if request.headers.get(b"if-none-match") == asset.etag.encode():
            return Reply(304, b"", asset.content_type.encode(), headers)
        return Reply(200, asset.body, asset.content_type.encode(), headers)

    async def reload_asked(self, request: Request) -> Reply:
        """`POST /-/reload`: exchanges the bundle, in this worker and then in the others."""
        if not self.settings.reload:
            raise ProblemError(
                404, "Reloading over HTTP is off.", fix="start with --reload, or send SIGHUP"
            )
        self.keys.check(request.headers)
        before = self.loaded.bundle.bundle_id
        error = await self.reload()
        if error is not None:
            raise ProblemError(409, f"The old bundle answers on: {error.message}", fix=error.fix)
        self._tell_others()
        document = {"bundle": self.loaded.bundle.bundle_id, "before": before}
        return Reply(200, json.dumps(document, ensure_ascii=False).encode())

    async def reload(self) -> KennelError | None:
        """Exchanges the bundle between two photos. Where the new one is bad the old one answers on.

        Returns: why it was refused.
        """
        async with self._reloading:
            try:
                loaded = await self.lanes.aside(self._load)
            except KennelError as error:
                self.counts.reload("refused")
                self._log.write("reload refused", error=error.message, fix=error.fix)
                return error
            self.loaded = loaded
            self.counts.exchanged(loaded)
            self.counts.reload("done")
            await self.lanes.aside(give_back_freed_memory)
            self._log.write("reloaded", bundle=self.loaded.bundle.bundle_id)
            return None

    def body(self, request: Request) -> Held:
        """A request's body, within its limits, counted as held while it is used."""
        return Held(request, self.settings, self._holder)

    def refused(self, status: int, detail: str) -> None:
        """Counts and logs what was no request, or none that ended: see `kennel.serve.protocol`."""
        self.counts.request("other", "other", status)
        self._log.write("refused", status=status, detail=detail)

    def let_in(self, request: Request) -> None:
        """Raises:
        ProblemError: 401 or 429.
        """
        key = self.keys.check(request.headers)
        client = request.scope.get("client") or ("",)
        self._rate.check(key or client[0])

    def _done(self, request: Request, status: int) -> None:
        route = request.path if request.path in self._routes else "other"
        if request.path.startswith(PATHS):
            route = next(path for path in PATHS if request.path.startswith(path))
        method = request.scope["method"]
        self.counts.now(queue_photos=self.lanes.waiting, held_bytes=self._holder.held)
        self.counts.request(method, route, status)
        self._log.write(
            "request",
            trace_id=request.trace_id,
            span_id=request.span_id,
            parent_id=request.parent_id or None,
            method=method,
            path=request.path[:200],
            status=status,
            ms=round(1000 * (time.perf_counter() - request.began), 2),
            **request.facts,
        )


def _no_reference() -> ProblemError:
    return ProblemError(
        404, "This bundle has no sketch.json of its validation photos.", fix="export the run again"
    )


def _top(query: bytes) -> int:
    try:
        given = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise ProblemError(400, f"The query cannot be read: {error}.", fix="use ?top=3") from error
    words = given.get("top", ["3"])
    if len(words) != 1 or not words[0].isdecimal() or not 1 <= int(words[0][:9]) < 10**8:
        raise ProblemError(
            400, f"top is {', '.join(words)[:80]!r}, no whole number from 1.", fix="use ?top=3"
        )
    return int(words[0][:9])
