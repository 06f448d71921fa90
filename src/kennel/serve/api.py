"""What FastAPI is there for: the OpenAPI document, and the Open Inference Protocol.

The application below is whole: it takes every request of the counter. `/predict` and what else is
asked for often reach the same methods without it, see `kennel.serve.counter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import kennel
from kennel.errors import KennelError
from kennel.serve import v2
from kennel.serve.problems import CONTENT_TYPE, ProblemError, of

if TYPE_CHECKING:
    from kennel.serve.counter import Counter, Reply

PROBLEM = CONTENT_TYPE.decode()

ModelName = Annotated[str, Path(description="of the model", examples=[v2.NAME])]
Version = Annotated[str, Path(description="a bundle_id")]


class Named(BaseModel):
    """A label and its probability, 0 to 1, calibrated."""

    label: str
    probability: float = Field(ge=0, le=1)


class Answer(BaseModel):
    """What the model says of one photo.

    `known` is false where the photo does not look like those of the labels: then `label` is only
    the nearest. `among` names the labels of which one is right as often as the bundle promises.
    """

    label: str
    probability: float = Field(ge=0, le=1)
    known: bool
    top: list[Named]
    bundle: str
    took_ms: float = Field(ge=0)
    among: list[str] | None = None


class ProblemDocument(BaseModel):
    """RFC 9457. `fix` says what to do now."""

    type: str
    title: str
    status: int
    detail: str
    fix: str
    instance: str | None = None
    error: str | None = Field(default=None, description="the detail again, for clients of /v2")


class Live(BaseModel):
    live: bool


class Ready(BaseModel):
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


class ServerMetadata(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Reloaded(BaseModel):
    bundle: str
    before: str


class _Said(Response):
    """A reply of the counter's, as Starlette sends one."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, media_type=reply.content_type.decode())
        self.raw_headers.extend(reply.headers)


def make_api(counter: Counter) -> FastAPI:
    """The application over a counter: it answers with the counter's bundle, whichever that is."""
    labels = counter.loaded.bundle.labels
    api = FastAPI(
        title="Kennel",
        summary="Photos in, calibrated answers out.",
        description="Errors are problem documents (RFC 9457). `not known` is an answer, no error.",
        version=kennel.__version__,
        docs_url=None,  # they fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # it would lead to the host that the client named
        servers=[{"url": counter.settings.root_path or "/"}],
        license_info={"name": "Apache-2.0"},
    )
    _handle_errors(api)
    _counter_routes(api, counter, labels)
    _inference_routes(api, counter)
    if counter.keys:
        _ask_for_keys(api)
    return api


def _counter_routes(api: FastAPI, counter: Counter, labels: tuple[str, ...]) -> None:
    answer = {
        "label": labels[0],
        "probability": 0.962,
        "known": True,
        "top": [
            {"label": labels[0], "probability": 0.962},
            {"label": labels[1], "probability": 0.021},
        ],
        "bundle": counter.loaded.bundle.bundle_id,
        "took_ms": 11.4,
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "string", "format": "binary"}},
    }
    kinds = ("image/jpeg", "image/png", "image/webp", "image/gif")

    @api.post(
        "/predict",
        summary="The answer for one photo",
        response_model=Answer,
        responses={
            200: {
                "content": {"application/json": {"example": answer}},
                "headers": {
                    "Server-Timing": {
                        "description": "queue, decode and model, ms",
                        "schema": {"type": "string"},
                    }
                },
            },
            **_problems(400, 401, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {"schema": form},
                    **dict.fromkeys(kinds, binary),
                },
            }
        },
    )
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, lt=10**8, description="labels to name")] = 3,
    ) -> Response:
        return _Said(await counter.predict(request.scope["app_request"]))

    @api.get("/live", summary="Whether this process runs", response_model=Live)
    async def live(request: Request) -> Response:
        return _Said(await counter.live(request.scope["app_request"]))

    @api.get(
        "/ready",
        summary="Whether to send photos here",
        response_model=Ready,
        responses=_problems(503),
    )
    async def ready(request: Request) -> Response:
        return _Said(await counter.ready(request.scope["app_request"]))

    @api.get(
        "/bundle",
        summary="Which model answers, and what it was measured at",
        response_model=dict[str, Any],
    )
    async def bundle(request: Request) -> Response:
        return _Said(await counter.bundle(request.scope["app_request"]))

    @api.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **_problems(401),
        },
    )
    async def metrics(request: Request) -> Response:
        return _Said(await counter.metrics(request.scope["app_request"]))

    @api.get(
        "/sketch",
        summary="How many photos of which kind were seen, for `kennel drift`",
        response_model=dict[str, Any],
        responses=_problems(401, 404),
    )
    async def sketch(request: Request) -> Response:
        return _Said(await counter.sketch(request.scope["app_request"]))

    @api.get(
        "/reference",
        summary="The same of the bundle's validation photos",
        response_model=dict[str, Any],
        responses=_problems(401, 404),
    )
    async def reference(request: Request) -> Response:
        return _Said(await counter.reference(request.scope["app_request"]))

    if counter.settings.reload:

        @api.post(
            "/-/reload",
            summary="Exchange the bundle for the one that lies there now",
            response_model=Reloaded,
            responses=_problems(401, 409),
        )
        async def reload(request: Request) -> Response:
            return _Said(await counter.reload_asked(request.scope["app_request"]))


def _inference_routes(api: FastAPI, counter: Counter) -> None:
    def check(name: str, version: str | None = None) -> None:
        own = counter.loaded.bundle.bundle_id
        if name != v2.NAME or version not in (None, own):
            asked = name if version is None else f"{name}, version {version}"
            raise ProblemError(
                404, f"There is no model {asked[:200]}.", fix=f"{v2.NAME}, version {own}"
            )

    @api.get("/v2", summary="The server", tags=["v2"], response_model=ServerMetadata)
    async def server() -> Any:
        return ServerMetadata(name="kennel", version=kennel.__version__, extensions=[])

    @api.get("/v2/health/live", tags=["v2"], response_model=Live)
    async def live() -> Any:
        return Live(live=True)

    @api.get("/v2/health/ready", tags=["v2"], response_model=Ready, responses=_problems(503))
    async def ready(request: Request) -> Any:
        return _Said(await counter.ready(request.scope["app_request"]))

    async def described(name: ModelName, version: Version | None = None) -> Any:
        check(name, version)
        return v2.metadata(counter.loaded)

    async def model_ready(name: ModelName, version: Version | None = None) -> Any:
        check(name, version)
        return ModelReady(name=v2.NAME, ready=not counter.stopping)

    async def infer(request: Request, name: ModelName, version: Version | None = None) -> Any:
        check(name, version)
        return await _infer(counter, await request.body(), request.scope["app_request"].gone)

    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": v2.InferRequest.model_json_schema(
                    ref_template="#/components/schemas/{model}"
                )
            }
        },
    }
    definitions = body["content"]["application/json"]["schema"].pop("$defs")  # type: ignore[index]
    for way in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        api.get(
            way,
            summary="What the model takes and gives",
            tags=["v2"],
            response_model=v2.ModelMetadata,
            responses=_problems(404),
        )(described)
        api.get(f"{way}/ready", tags=["v2"], response_model=ModelReady, responses=_problems(404))(
            model_ready
        )
        api.post(
            f"{way}/infer",
            summary="Answers for tensors or photos",
            tags=["v2"],
            response_model=v2.InferResponse,
            responses=_problems(400, 401, 404, 408, 413, 415, 422, 429, 503),
            openapi_extra={"requestBody": body},
        )(infer)
    usual = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            document = usual()
            schemas = document["components"]["schemas"]
            schemas |= definitions
            schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


async def _infer(counter: Counter, body: bytes, gone: Any) -> v2.InferResponse:
    loaded, pixels = counter.loaded, counter.settings.pixels

    def read() -> tuple[v2.InferRequest, bool]:
        request = v2.parse(body)
        return request, v2.is_quick(request)

    # Numbers as text are slow to read; and what they ask for is not known before they are.
    (asked, quick), _ = await counter.lanes.run(read, quick=len(body) < 2**18, gone=gone)
    (response, labels), _ = await counter.lanes.run(
        lambda: v2.infer(loaded, asked, max_pixels=pixels), quick=quick, gone=gone
    )
    for label in labels:
        counter.answered(label, len(body) // len(labels))
    return response


def _handle_errors(api: FastAPI) -> None:
    def said(request: Request, problem: ProblemError) -> Response:
        asked = request.scope["app_request"]
        document = {
            **problem.document(),
            "instance": f"urn:trace:{asked.trace_id}",
            "error": problem.detail,
        }
        return JSONResponse(document, problem.status, media_type=PROBLEM, headers=problem.headers)

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return said(request, error)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, KennelError)
        return said(request, of(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return said(
            request, ProblemError(400, f"{place}: {first['msg']}.", fix="see /openapi.json")
        )

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        detail = f"{request.url.path[:200]}: {error.detail}."
        return said(
            request,
            ProblemError(error.status_code, detail, fix="see /openapi.json", headers=headers),
        )

    api.add_exception_handler(ProblemError, problem)
    api.add_exception_handler(KennelError, refused)
    api.add_exception_handler(RequestValidationError, invalid)
    api.add_exception_handler(HTTPException, http)


def _ask_for_keys(api: FastAPI) -> None:
    usual = api.openapi

    def openapi() -> dict[str, Any]:
        document = usual()
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path in (
                "/predict",
                "/metrics",
                "/sketch",
                "/reference",
                "/-/reload",
            ) or path.endswith("/infer"):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
        return document

    api.openapi = openapi  # type: ignore[method-assign]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    said = {
        400: "the request is not what it should be",
        401: "no key, or a wrong one",
        404: "not here",
        408: "it did not arrive in time",
        409: "the new bundle is bad; the old one answers on",
        413: "too many bytes, pixels or parts; nothing was decoded",
        415: "no type of image",
        422: "it cannot be decoded",
        429: "too often",
        503: "busy, or being stopped; see Retry-After",
    }
    return {
        status: {
            "description": said[status],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in statuses
    }
