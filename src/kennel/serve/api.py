"""What FastAPI is there for: the OpenAPI document, and the Open Inference Protocol.

The application below is whole: it takes every request of the counter. `/predict` and what else is
asked for often reach the same methods without it, see `kennel.serve.counter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import kennel
from kennel.errors import KennelError
from kennel.serve.documents import PROBLEM, Answer, Live, Ready, Reloaded, Said, problems
from kennel.serve.problems import ProblemError, of
from kennel.serve.v2_routes import add_inference_routes

if TYPE_CHECKING:
    from kennel.serve.counter import Counter


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
    add_inference_routes(api, counter)
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
            **problems(400, 401, 408, 413, 415, 422, 429, 503),
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
        return Said(await counter.predict(request.scope["app_request"]))

    @api.get("/live", summary="Whether this process runs", response_model=Live)
    async def live(request: Request) -> Response:
        return Said(await counter.live(request.scope["app_request"]))

    @api.get(
        "/ready",
        summary="Whether to send photos here",
        response_model=Ready,
        responses=problems(503),
    )
    async def ready(request: Request) -> Response:
        return Said(await counter.ready(request.scope["app_request"]))

    @api.get(
        "/bundle",
        summary="Which model answers, and what it was measured at",
        response_model=dict[str, Any],
    )
    async def bundle(request: Request) -> Response:
        return Said(await counter.bundle(request.scope["app_request"]))

    @api.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **problems(401),
        },
    )
    async def metrics(request: Request) -> Response:
        return Said(await counter.metrics(request.scope["app_request"]))

    @api.get(
        "/sketch",
        summary="How many photos of which kind were seen, for `kennel drift`",
        response_model=dict[str, Any],
        responses=problems(401, 404),
    )
    async def sketch(request: Request) -> Response:
        return Said(await counter.sketch(request.scope["app_request"]))

    @api.get(
        "/reference",
        summary="The same of the bundle's validation photos",
        response_model=dict[str, Any],
        responses=problems(401, 404),
    )
    async def reference(request: Request) -> Response:
        return Said(await counter.reference(request.scope["app_request"]))

    if counter.settings.reload:

        @api.post(
            "/-/reload",
            summary="Exchange the bundle for the one that lies there now",
            response_model=Reloaded,
            responses=problems(401, 409),
        )
        async def reload(request: Request) -> Response:
            return Said(await counter.reload_asked(request.scope["app_request"]))


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
