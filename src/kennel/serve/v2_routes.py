"""The paths of the Open Inference Protocol, as routes of FastAPI's application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Path, Request

import kennel
from kennel.serve import v2
from kennel.serve.documents import (
    Live,
    ModelReady,
    ProblemDocument,
    Ready,
    Said,
    ServerMetadata,
    problems,
)
from kennel.serve.problems import ProblemError

if TYPE_CHECKING:
    from kennel.serve.counter import Counter

ModelName = Annotated[str, Path(description="of the model", examples=[v2.NAME])]
Version = Annotated[str, Path(description="a bundle_id")]


def add_inference_routes(api: FastAPI, counter: Counter) -> None:
    """Adds `/v2`, and what its requests are made of to the document."""

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

    @api.get("/v2/health/ready", tags=["v2"], response_model=Ready, responses=problems(503))
    async def ready(request: Request) -> Any:
        return Said(await counter.ready(request.scope["app_request"]))

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
            responses=problems(404),
        )(described)
        api.get(f"{way}/ready", tags=["v2"], response_model=ModelReady, responses=problems(404))(
            model_ready
        )
        api.post(
            f"{way}/infer",
            summary="Answers for tensors or photos",
            tags=["v2"],
            response_model=v2.InferResponse,
            responses=problems(400, 401, 404, 408, 413, 415, 422, 429, 503),
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
    began = time.perf_counter()
    (asked, quick), _ = await counter.lanes.run(read, quick=len(body) < 2**18, gone=gone)
    (response, labels), _ = await counter.lanes.run(
        lambda: v2.infer(loaded, asked, max_pixels=pixels), quick=quick, gone=gone
    )
    counter.counts.stages({"infer": time.perf_counter() - began})
    for label in labels:
        counter.counts.answered(label, 0)
    return response
