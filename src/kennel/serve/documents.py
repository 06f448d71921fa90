"""The parts of the OpenAPI document: what is answered, as pydantic says it."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from kennel.serve.messages import Reply
from kennel.serve.problems import CONTENT_TYPE

PROBLEM = CONTENT_TYPE.decode()


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


class Said(Response):
    """A reply of the counter's, as Starlette sends one."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, media_type=reply.content_type.decode())
        self.raw_headers.extend(reply.headers)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a path, each a problem document."""
    said = {
        400: "the request is not what it should be",
        401: "no key, or a wrong one",
        404: "not here",
        408: "it did not arrive in time",
        409: "the new bundle is bad; the old one answers on",
        413: "too many bytes or pixels; nothing was decoded",
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
