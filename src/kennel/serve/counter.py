"""The counter itself: an ASGI application in which a photo's way is short.

What is asked for often (`/predict`, `/live`, `/ready`, the page) is answered here. The rest, which
is the OpenAPI document and the Open Inference Protocol, is FastAPI's (`kennel.serve.api`), loaded
when it is first asked for: its import takes longer than everything else together, and the first
photo must not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from kennel.errors import KennelError
from kennel.machine import give_back_freed_memory
from kennel.serve import tally as counting
from kennel.serve.assets import PAGE_POLICY, assets
from kennel.serve.bodies import Holder, photo_in, read_body, take_type
from kennel.serve.clients import Keys, Rate
from kennel.serve.exposition import CONTENT_TYPE, exposition, labelled
from kennel.serve.lanes import GoneError, Lanes
from kennel.serve.loaded import FORMATS, Loaded, public, row
from kennel.serve.logs import Log, trace
from kennel.serve.problems import CONTENT_TYPE as PROBLEM
from kennel.serve.problems import ProblemError, of
from kennel.serve.settings import Settings
from kennel.serve.sniff import quick
from kennel.sketch import Reference, Sketch, scores

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
NOTHING = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
LATER = ("/openapi.json", "/v2")  # FastAPI's
PUBLISH_SECONDS = 0.25
CLIENT_LEFT = 499  # counted, never sent


@dataclass
class Request:
    """What is known of a request, and what its answer's log line will say."""

    scope: Scope
    receive: Receive
    path: str
    headers: dict[bytes, bytes]
    trace_id: str
    parent_id: str
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.perf_counter)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def gone(self) -> Callable[[], bool]:
        extension = self.scope.get("extensions", {}).get("kennel.gone")
        return extension["is"] if extension else lambda: False


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


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
        slots: counting.Slots,
        worker: int = 0,
        tell_others: Callable[[], None] = lambda: None,
    ) -> None:
        self.loaded, self.settings, self.stopping = loaded, settings, False
        self.lanes = Lanes(queue=settings.queue)
        self.keys = Keys(settings.keys)
        self.tally = slots.read(worker)  # of the worker whose place this one takes
        self._load, self._log, self._slots, self._worker = load, log, slots, worker
        self._tell_others = tell_others
        self._rate = Rate(settings.rate, settings.burst)
        self._holder = Holder(settings.held_bytes)
        self._reloading = asyncio.Lock()
        self._since = slots.began
        self._sketch = self._sketch_of(loaded)
        self._dirty = False
        self._api: Callable[..., Awaitable[None]] | None = None
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
            if path.startswith(LATER):
                reply = await self._later(request)
            else:
                reply = await self._reply(request)
        except ProblemError as problem:
            reply = _refusal(problem, trace_id)
        except KennelError as error:
            reply = _refusal(of(error), trace_id)
        except (GoneError, ConnectionError):
            self._done(request, CLIENT_LEFT)
            return
        except Exception:  # a fault of Kennel's own: told in the log, never to the client
            self._log.write("failed", trace_id=trace_id, traceback=traceback.format_exc())
            fault = ProblemError(500, "This server failed.", fix=f"report it with trace {trace_id}")
            reply = _refusal(fault, trace_id)
        reply.headers.append((b"traceresponse", f"00-{trace_id}-{request.span_id}-00".encode()))
        reply.headers.extend(self._cors(request))
        # Counted before it is sent: who asks for /metrics next finds himself there.
        self._done(request, reply.status)
        with suppress(ConnectionError):
            await _send(send, reply)

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
        self._let_in(request)
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
        self.answered(seen.answer.label if seen.answer.known else None, len(photo))
        if seen.figures is not None and loaded is self.loaded and self._sketch is not None:
            self._sketch.add(seen.figures, seen.answer.label)
        for stage, seconds in (*stages.items(), ("total", time.perf_counter() - request.began)):
            counting.observe(self.tally["stages"], stage, seconds)
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
        bundle = self.loaded.bundle
        self.publish()  # else who asks another worker next would see less than was said here
        gauges = {
            "queue_photos": float(self.lanes.waiting),
            "queue_limit": float(self.settings.queue),
            "held_bytes": float(self._holder.held),
            "workers": float(self.settings.workers),
            "start_time_seconds": self._slots.began,
        }
        counted = self.counted()
        if (sketch := self._merged(counted)) is not None:
            gauges["drift_photos"] = float(sketch.n)
            for figure, score in scores(sketch.reference, sketch).items():
                gauges[labelled("drift_psi", figure=figure)] = score
        told = {"bundle_id": bundle.bundle_id, "run_id": bundle.lineage.run_id}
        text = exposition(counted, gauges=gauges, bundle=told)
        return Reply(200, text, content_type=CONTENT_TYPE)

    async def sketch(self, request: Request) -> Reply:
        """`GET /sketch`: how many photos of which kind were seen, for `kennel drift`."""
        self.keys.check(request.headers)
        sketch = self._merged(self.counted())
        if sketch is None:
            raise _no_reference()
        document = {
            "bundle": sketch.reference.bundle,
            "since": datetime.fromtimestamp(self._since, UTC).isoformat(timespec="seconds"),
            "sketch": sketch.to_dict(),
        }
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
                counting.count(self.tally["reloads"], "refused")
                self._changed()
                self._log.write("reload refused", error=error.message, fix=error.fix)
                return error
            if loaded.reference != self.loaded.reference:
                self._since = time.time()
            self.loaded, self._sketch = loaded, self._sketch_of(loaded)
            counting.count(self.tally["reloads"], "done")
            await self.lanes.aside(give_back_freed_memory)
            self._changed()
            self._log.write("reloaded", bundle=self.loaded.bundle.bundle_id)
            return None

    def body(self, request: Request) -> _Held:
        """A request's body, within its limits, counted as held while it is used."""
        return _Held(request, self.settings, self._holder)

    def answered(self, label: str | None, size: int) -> None:
        """Counts an answer; `label` is None where it was: not one I know."""
        if label is None:
            self.tally["unknown"] += 1
        else:
            counting.count(self.tally["answers"], label)
        self.tally["photo_bytes"] += size

    def refused(self, status: int, detail: str) -> None:
        """Counts and logs what was no request, or none that ended: see `kennel.serve.protocol`."""
        counting.count(self.tally["requests"], f"other other {status}")
        self._changed()
        self._log.write("refused", status=status, detail=detail)

    def counted(self) -> dict[str, Any]:
        """What all workers have counted; of the others, as they published it last."""
        total = self.tally
        for worker in range(self._slots.workers):
            if worker != self._worker:
                total = counting.added(total, self._slots.read(worker))
        return total

    def publish(self) -> None:
        """Shows the other workers what this one has counted."""
        if self._dirty:
            self._dirty = False
            self._slots.write(self._worker, self.tally)

    def _sketch_of(self, loaded: Loaded) -> Sketch | None:
        """What goes on being counted in the tally, of one bundle at a time."""
        reference, sketches = loaded.reference, self.tally["sketches"]
        if reference is None:
            sketches.clear()
            return None
        kept = sketches.get(reference.digest, {"counts": {}, "labels": {}})
        sketch = _sketch(reference, kept)
        sketches.clear()
        sketches[reference.digest] = {"counts": sketch.counts, "labels": sketch.labels}
        return sketch

    def _merged(self, counted: dict[str, Any]) -> Sketch | None:
        """The sketch of all workers that answer with this worker's bundle."""
        reference = self.loaded.reference
        return (
            None if reference is None else _sketch(reference, counted["sketches"][reference.digest])
        )

    def _let_in(self, request: Request) -> None:
        key = self.keys.check(request.headers)
        client = request.scope.get("client") or ("",)
        self._rate.check(key or client[0])

    async def _later(self, request: Request) -> Reply:
        """What FastAPI answers, kept until it is whole: its answers are small."""
        method = request.scope["method"]
        if request.path.startswith("/v2/models") and method == "POST":
            self._let_in(request)
        if self._api is None:
            self._api = await self.lanes.aside(self._make_api)
        api = self._api
        started: Message = {}
        parts: list[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                parts.append(message.get("body", b""))

        async with self.body(request) as body:
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

    def _make_api(self) -> Callable[..., Awaitable[None]]:
        from kennel.serve.api import make_api

        return make_api(self)

    def _cors(self, request: Request) -> list[tuple[bytes, bytes]]:
        origin = request.headers.get(b"origin")
        allowed = self.settings.cors
        if not allowed:
            return []
        if "*" not in allowed and (not origin or origin.decode("latin-1") not in allowed):
            return [(b"vary", b"origin")]
        return [
            (b"access-control-allow-origin", b"*" if "*" in allowed else origin or b""),
            (b"access-control-allow-methods", b"GET, POST"),
            (
                b"access-control-allow-headers",
                b"authorization, content-type, traceparent, x-api-key",
            ),
            (b"access-control-expose-headers", b"server-timing, retry-after, traceresponse"),
            (b"vary", b"origin"),
        ]

    def _done(self, request: Request, status: int) -> None:
        route = request.path if request.path in self._routes else "other"
        if request.path.startswith(LATER):
            route = next(path for path in LATER if request.path.startswith(path))
        method = request.scope["method"]
        known = method if method in ("GET", "POST", "HEAD", "OPTIONS") else "other"
        counting.count(self.tally["requests"], f"{known} {route} {status}")
        self._changed()
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

    def _changed(self) -> None:
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self.publish)


class _Held:
    """`async with`: a body whose bytes count as held while it is used."""

    def __init__(self, request: Request, settings: Settings, holder: Holder) -> None:
        self._request, self._settings, self._holder = request, settings, holder
        self._size = 0

    async def __aenter__(self) -> bytes:
        body = await read_body(
            self._request.receive,
            self._request.headers,
            most=self._settings.bytes,
            seconds=self._settings.body_seconds,
            holder=self._holder,
        )
        self._size = len(body)
        return body

    async def __aexit__(self, *_: object) -> None:
        self._holder.held -= self._size


async def _send(send: Send, reply: Reply) -> None:
    headers = [*SAFE, *reply.headers]
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode()))
        headers.append((b"content-type", reply.content_type))
    if not any(name == b"content-security-policy" for name, _ in reply.headers):
        headers += NOTHING
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _refusal(problem: ProblemError, trace_id: str) -> Reply:
    document = {**problem.document(), "instance": f"urn:trace:{trace_id}"}
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers.append((b"cache-control", b"no-store"))
    body = json.dumps(document, ensure_ascii=False).encode()
    return Reply(problem.status, body, PROBLEM, headers)


def _sketch(reference: Reference, kept: dict[str, Any]) -> Sketch:
    return Sketch(reference, sum(kept["labels"].values()), kept["counts"], kept["labels"])


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
