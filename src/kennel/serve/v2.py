"""The Open Inference Protocol, version 2: what it asks, as the model's input, and its answer.

N photos, K labels, D features, H x W pixels.

Source: github.com/kserve/open-inference-protocol, REST, inference protocol version 2.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from kennel.infer import temperature
from kennel.metrics import softmax
from kennel.outputs import Outputs
from kennel.serve.loaded import Loaded
from kennel.serve.problems import ProblemError
from kennel.serve.sniff import quick

NAME = "kennel"  # of the model; its version is the bundle's id
MOST_PHOTOS = 64  # of one request
QUICK_PHOTOS = 8  # tensors that are answered in turn; more of them give way to others
# What is read holds Python up, and takes memory, by its values and not by its bytes: ten megabytes
# of [],[],[] a second of a core and a quarter of a gigabyte.
MOST_VALUES = 640_000  # four photos of 224 pixels; photos in base64 are a value each
MOST_BRACKETS = 50_000
# A file of one grey pixel: examples are tried out.
EXAMPLE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mM4AQAAygDJNEIn8wAAAABJRU5ErkJggg=="
)
TENSOR, IMAGE = "input", "image"

Datatype = Literal["FP32", "BYTES", "BOOL"]


class RequestInput(BaseModel):
    """A tensor `input` FP32 [N, 3, H, W], as the model takes it, or photos `image` BYTES [N], files
    in base64.
    """

    name: Literal["input", "image"]
    shape: list[Annotated[int, Strict()]] = Field(min_length=1, max_length=4)
    datatype: Literal["FP32", "BYTES"]
    data: list[Any]
    parameters: dict[str, Any] | None = None


class RequestOutput(BaseModel):
    """An output that is wanted."""

    name: Literal["label", "known", "probabilities", "logits", "features"]
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """One input, and which outputs are wanted; without any: label, known and probabilities."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {"name": "image", "shape": [1], "datatype": "BYTES", "data": [EXAMPLE]}
                    ],
                    "outputs": [{"name": "label"}, {"name": "probabilities"}],
                }
            ]
        }
    )

    id: str | None = Field(default=None, max_length=200)
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] | None = Field(default=None, max_length=20)
    parameters: dict[str, Any] | None = None


class TensorMetadata(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives; -1 is any number of photos."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ResponseOutput(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any]


class InferResponse(BaseModel):
    """The outputs, flattened row by row."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


def metadata(loaded: Loaded) -> ModelMetadata:
    """What `GET /v2/models/kennel` says."""
    bundle = loaded.bundle
    size, k = bundle.preprocess.size, len(bundle.labels)
    outputs = [
        TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
        TensorMetadata(name="known", datatype="BOOL", shape=[-1]),
        TensorMetadata(name="probabilities", datatype="FP32", shape=[-1, k]),
        TensorMetadata(name="logits", datatype="FP32", shape=[-1, k]),
    ]
    for output in bundle.outputs[1:]:
        if output.name == "features":
            d = output.shape[-1]
            features = [-1, d if isinstance(d, int) else -1]
            outputs.append(TensorMetadata(name="features", datatype="FP32", shape=features))
    return ModelMetadata(
        name=NAME,
        versions=[bundle.bundle_id],
        platform="onnxruntime_onnx",
        inputs=[
            TensorMetadata(name=TENSOR, datatype="FP32", shape=[-1, 3, size, size]),
            TensorMetadata(name=IMAGE, datatype="BYTES", shape=[-1]),
        ],
        outputs=outputs,
    )


def parse(body: bytes) -> InferRequest:
    """The request in a body.

    Raises:
        ProblemError: 400, with the place of the first thing that is wrong; 413, too many values.
    """
    if body.count(b",") > MOST_VALUES or body.count(b"[") + body.count(b"{") > MOST_BRACKETS:
        raise ProblemError(
            413,
            f"The request has more than {MOST_VALUES} values, or {MOST_BRACKETS} lists.",
            fix="send fewer photos at once, or files in base64",
        )
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ProblemError(400, f"{place}: {first['msg']}.", fix="see /openapi.json") from error


def is_quick(request: InferRequest) -> bool:
    """Whether the photos of a request are answered in some 100 ms.

    Raises:
        ProblemError: 400, no base64.
    """
    given = request.inputs[0]
    if given.name == TENSOR:
        return len(given.data) <= QUICK_PHOTOS or given.shape[0] <= QUICK_PHOTOS
    return len(given.data) <= 1 and all(map(quick, _files(given)))


def infer(
    loaded: Loaded, request: InferRequest, *, max_pixels: int
) -> tuple[InferResponse, list[str | None]]:
    """The answer to a request, and the label of each photo; None where it is not known.

    Raises:
        ProblemError: 400, not the shape that the model takes; 422, it gives no finite numbers.
        PhotoError: as by `open_photo`.
    """
    given = request.inputs[0]
    batch = _tensor(given, loaded) if given.name == TENSOR else _photos(given, loaded, max_pixels)
    outputs = loaded.classifier.outputs(batch)
    if not np.isfinite(outputs.logits).all():
        raise ProblemError(
            422, "The model gives no finite numbers for this input.", fix="see /bundle, preprocess"
        )
    features = outputs.features
    answers = [
        loaded.classifier.answer(Outputs(logits, None if features is None else features[i]), top=1)
        for i, logits in enumerate(outputs.logits)
    ]
    found: dict[str, tuple[Datatype, np.ndarray]] = {
        "label": ("BYTES", np.array([answer.label for answer in answers], object)),
        "known": ("BOOL", np.array([answer.known for answer in answers])),
        "probabilities": (
            "FP32",
            softmax(outputs.logits / temperature(loaded.bundle)).astype(np.float32),
        ),
        "logits": ("FP32", outputs.logits),
    }
    if features is not None:
        found["features"] = ("FP32", features)
    wanted = [o.name for o in request.outputs or ()] or ["label", "known", "probabilities"]
    absent = [name for name in wanted if name not in found]
    if absent:
        raise ProblemError(400, f"This model gives no {absent[0]}.", fix=f"GET /v2/models/{NAME}")
    response = InferResponse(
        model_name=NAME,
        model_version=loaded.bundle.bundle_id,
        id=request.id,
        outputs=[
            ResponseOutput(
                name=name,
                datatype=found[name][0],
                shape=list(found[name][1].shape),
                data=found[name][1].ravel().tolist(),
            )
            for name in dict.fromkeys(wanted)
        ],
    )
    return response, [answer.label if answer.known else None for answer in answers]


def _tensor(given: RequestInput, loaded: Loaded) -> np.ndarray:
    """Float32[N, 3, H, W]."""
    size = loaded.bundle.preprocess.size
    shape = given.shape
    if given.datatype != "FP32" or shape[1:] != [3, size, size] or not 1 <= shape[0] <= MOST_PHOTOS:
        raise ProblemError(
            400,
            f"{TENSOR} is {given.datatype} {shape}; FP32 [N, 3, {size}, {size}] is taken, N from 1 "
            f"to {MOST_PHOTOS}.",
            fix=f"GET /v2/models/{NAME}",
        )
    try:
        numbers = np.array(given.data)
    except (ValueError, OverflowError):
        numbers = np.array("rows of different lengths")
    if numbers.dtype.kind not in "iuf":
        raise ProblemError(
            400,
            f"{TENSOR}.data holds what is no number, or rows of different lengths.",
            fix="send numbers, flat or nested like the shape",
        )
    with np.errstate(over="ignore"):  # found below
        values = numbers.astype(np.float32)
    if values.size != int(np.prod(shape)) or values.shape not in (tuple(shape), (values.size,)):
        raise ProblemError(
            400,
            f"{TENSOR}.data holds numbers of shape {list(values.shape)}, not {shape}.",
            fix="send numbers, flat or nested like the shape",
        )
    if not np.isfinite(values).all():
        raise ProblemError(
            400, f"{TENSOR}.data holds numbers that are not finite.", fix="send finite numbers"
        )
    return np.ascontiguousarray(values.reshape(shape))


def _photos(given: RequestInput, loaded: Loaded, max_pixels: int) -> np.ndarray:
    """Float32[N, 3, H, W]."""
    n = len(given.data)
    if given.datatype != "BYTES" or given.shape != [n] or not 1 <= n <= MOST_PHOTOS:
        raise ProblemError(
            400,
            f"{IMAGE} is {given.datatype} {given.shape} with {n} values; BYTES [N] is taken, N "
            f"from 1 to {MOST_PHOTOS}.",
            fix=f"GET /v2/models/{NAME}",
        )
    return np.stack([loaded.read(photo, max_pixels=max_pixels) for photo in _files(given)])


def _files(given: RequestInput) -> list[bytes]:
    """
    Raises:
        ProblemError: 400, no base64.
    """
    try:
        return [
            b64decode(text if isinstance(text, str) else b"!", validate=True) for text in given.data
        ]
    except (ValueError, binascii.Error) as error:
        raise ProblemError(
            400, f"{IMAGE}.data holds what is no base64.", fix="encode the bytes of each file"
        ) from error
