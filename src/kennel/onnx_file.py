"""What an ONNX file holds, read before anything runs it: refused where it could reach out of
itself, where its weights are no numbers, and where it is not the model that its bundle describes.

Knows the fields of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto as of ONNX 1.23, and
needs neither onnx nor onnxruntime.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kennel.bundle import MODEL_ONNX, Bundle, Tensor
from kennel.errors import BundleError
from kennel.onnx_weights import FLOATS, TENSOR, joined, read_numbers, refuse_no_numbers
from kennel.typed import quoted
from kennel.wire import (
    BYTES,
    FIXED32,
    VARINT,
    MalformedError,
    Reader,
    Schema,
    read_varint,
)

# Fields that hold what has no place in a classifier's file are left out: training graphs (20 of a
# model), segments of a tensor (3). They are refused as not known.
MODEL = Schema(
    "model",
    one={1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES},
    many={8: BYTES, 14: BYTES, 25: BYTES, 26: BYTES},
)
GRAPH = Schema(
    "graph",
    one={2: BYTES, 10: BYTES},
    many={1: BYTES, 5: BYTES, 11: BYTES, 12: BYTES, 13: BYTES, 14: BYTES, 15: BYTES, 16: BYTES},
)
NODE = Schema(
    "node",
    one={3: BYTES, 4: BYTES, 6: BYTES, 7: BYTES, 8: BYTES},
    many={1: BYTES, 2: BYTES, 5: BYTES, 9: BYTES, 10: BYTES},
)
ATTRIBUTE = Schema(
    "attribute",
    one={
        1: BYTES,
        2: FIXED32,
        3: VARINT,
        4: BYTES,
        5: BYTES,
        6: BYTES,
        13: BYTES,
        14: BYTES,
        20: VARINT,
        21: BYTES,
        22: BYTES,
    },
    many={7: FIXED32, 8: VARINT, 9: BYTES, 10: BYTES, 11: BYTES, 15: BYTES, 23: BYTES},
)
ENTRY = Schema("key and value", one={1: BYTES, 2: BYTES})
VALUE = Schema("value", one={1: BYTES, 2: BYTES, 3: BYTES}, many={4: BYTES})
TYPE = Schema("type", one={1: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES, 8: BYTES, 9: BYTES})
TENSOR_TYPE = Schema("tensor type", one={1: VARINT, 2: BYTES})
SHAPE = Schema("shape", many={1: BYTES})
DIMENSION = Schema("dimension", one={1: VARINT, 2: BYTES, 3: BYTES})

FUNCTIONS, SPARSE_INITIALIZERS = 25, 15
FLOAT32 = 1
MOST_DATA_TYPE = 40  # ONNX 1.23 has 26 types; parsers cut what is larger than 32 bits
MOST_DEPTH = 16  # graphs within graphs
MOST_DIMENSIONS = 32
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # the last: what quantisers write
CONTEXT = "EPContext"  # of com.microsoft: names a file, or holds a program for some accelerator
SPARSE = "it has sparse weights, which may unfold to more than any memory"
ORT_FORMAT = b"ORTM"  # at byte 4; onnxruntime reads such bytes as a format of its own


@dataclass(frozen=True)
class Value:
    """An input or output of the graph. `shape` is None where the file does not say it."""

    name: str
    data_type: int
    shape: tuple[str | int, ...] | None


def check_model(content: bytes, bundle: Bundle) -> None:
    """Whether a model may be handed to what runs it.

    Args:
        content: bytes of the bundle's ONNX file, verified.
    Raises:
        BundleError: malformed; with data in another file; with operators from elsewhere; with
            weights that are no finite numbers; with an input or outputs, or a number of labels,
            other than its bundle says.
    """
    try:
        inputs, outputs = _Model(content).read()
        _compare("input", inputs, (bundle.input,))
        _compare("output", outputs, bundle.outputs)
    except MalformedError as error:
        raise BundleError(
            f"{bundle.path / MODEL_ONNX} is refused: {error}.",
            fix="use no model whose maker you do not know; one of your own: kennel export "
            f"runs/{bundle.lineage.run_id}",
        ) from error


def _compare(kind: str, found: Sequence[Value], said: Sequence[Tensor]) -> None:
    names, expected = [value.name for value in found], [tensor.name for tensor in said]
    if names != expected:
        raise MalformedError(
            f"its {kind}s are {quoted(names)}, those of its bundle.json {quoted(expected)}"
        )
    for value, tensor in zip(found, said, strict=True):
        if value.data_type != FLOAT32:
            raise MalformedError(f"its {kind} {quoted(value.name)} is not float32")
        shape = value.shape
        if shape is not None and (
            len(shape) != len(tensor.shape)
            or any(
                isinstance(one, int) and one != other
                for one, other in zip(shape, tensor.shape, strict=True)
            )
        ):
            raise MalformedError(
                f"its {kind} {quoted(value.name)} has the shape {quoted(list(shape))}, "
                f"but bundle.json says {list(tensor.shape)}"
            )


class _Model:
    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._reader = Reader()

    def read(self) -> tuple[list[Value], list[Value]]:
        """Checks all of the file; its inputs (without those that have weights) and outputs."""
        if self._content[4:8] == ORT_FORMAT:
            raise MalformedError("it is in onnxruntime's own format, not ONNX")
        model = self._reader.read(self._content, MODEL)
        if 7 not in model:
            raise MalformedError("it has no graph")
        if FUNCTIONS in model:
            raise MalformedError("it defines operators of its own, which may unfold without end")
        graph = self._reader.read(model[7][0], GRAPH)
        weights = self._graph(graph, depth=1)
        inputs = [self._value(each) for each in graph.get(11, [])]
        outputs = [self._value(each) for each in graph.get(12, [])]
        return [value for value in inputs if value.name not in weights], outputs

    def _graph(self, graph: dict[int, list[Any]], *, depth: int) -> set[str]:
        """Checks a graph; names of its weights."""
        if depth > MOST_DEPTH:
            raise MalformedError(f"it has graphs within graphs, more than {MOST_DEPTH} deep")
        if SPARSE_INITIALIZERS in graph:
            raise MalformedError(SPARSE)
        weights = {self._tensor(each) for each in graph.get(5, [])}
        self._nodes(graph.get(1, []), depth=depth)
        return weights

    def _nodes(self, nodes: list[memoryview], *, depth: int) -> None:
        for each in nodes:
            node = self._reader.read(each, NODE)
            domain, operator = _word(node, 7), _word(node, 4)
            if domain not in DOMAINS:
                raise MalformedError(
                    f"its operator {quoted(operator)} is of {quoted(domain)}; "
                    f"known: {', '.join(map(repr, DOMAINS))}"
                )
            if operator == CONTEXT:
                raise MalformedError(
                    f"its operator {quoted(operator)} holds a program, not a network"
                )
            for attribute in node.get(5, []):
                self._attribute(attribute, depth=depth)

    def _attribute(self, content: memoryview, *, depth: int) -> None:
        attribute = self._reader.read(content, ATTRIBUTE)
        if 22 in attribute or 23 in attribute:
            raise MalformedError(SPARSE)
        for number in (2, 7):  # one float, or several; infinite ones are bounds
            if number in attribute and np.isnan(joined(attribute[number], np.dtype("<f4"))).any():
                raise MalformedError(f"its attribute {quoted(_word(attribute, 1))} is not a number")
        for tensor in (*attribute.get(5, []), *attribute.get(10, [])):
            self._tensor(tensor)
        for graph in (*attribute.get(6, []), *attribute.get(11, [])):
            self._graph(self._reader.read(graph, GRAPH), depth=depth + 1)

    def _tensor(self, content: memoryview) -> str:
        """Checks a tensor; its name."""
        tensor = self._reader.read(content, TENSOR)
        name = _word(tensor, 8)
        if 13 in tensor or tensor.get(14, [0]) != [0]:
            entries = [self._reader.read(each, ENTRY) for each in tensor.get(13, [])]
            places = [_word(each, 2) for each in entries if _word(each, 1) == "location"]
            raise MalformedError(
                f"its tensor {quoted(name)} has its numbers outside of the file"
                + (f", in {quoted(places[0])}" if places else "")
            )
        shape = _shape(tensor.get(1, []), name)
        n = math.prod(shape)
        if n > 8 * len(self._content):  # types of less than a bit a value there are none
            raise MalformedError(
                f"its tensor {quoted(name)} has the shape {shape}, more than the file"
            )
        [data_type] = tensor.get(2, [0])
        if data_type > MOST_DATA_TYPE:
            raise MalformedError(f"its tensor {quoted(name)} is of type {data_type}")
        if data_type in FLOATS:
            numbers = read_numbers(tensor, data_type, name)
            if numbers.size != n * FLOATS[data_type][2]:
                raise MalformedError(
                    f"its tensor {quoted(name)} has {numbers.size} numbers for the shape {shape}"
                )
            refuse_no_numbers(numbers, name, data_type=data_type)
        return name

    def _value(self, content: memoryview) -> Value:
        value = self._reader.read(content, VALUE)
        name = _word(value, 1)
        kind = self._reader.read(value[2][0], TYPE) if 2 in value else {}
        if list(kind) not in ([1], [1, 6], [6, 1]):
            raise MalformedError(f"{quoted(name)} is no tensor")
        tensor = self._reader.read(kind[1][0], TENSOR_TYPE)
        [data_type] = tensor.get(1, [0])
        if 2 not in tensor:
            return Value(name, data_type, None)
        dimensions = [
            self._reader.read(each, DIMENSION)
            for each in self._reader.read(tensor[2][0], SHAPE).get(1, [])
        ]
        if any(1 in each and 2 in each for each in dimensions):
            raise MalformedError(f"{quoted(name)} has a side of two lengths")
        return Value(name, data_type, tuple(d[1][0] if 1 in d else _word(d, 2) for d in dimensions))


def _word(message: dict[int, list[Any]], number: int) -> str:
    """A field of text, "" where it is not there."""
    try:
        return bytes(message[number][0]).decode() if number in message else ""
    except UnicodeDecodeError as error:
        raise MalformedError("a name in it is not UTF-8") from error


def _shape(values: list[int | memoryview], name: str) -> list[int]:
    """Sides of a tensor, from a field that may come packed."""
    shape: list[int] = []
    for value in values:
        packed = memoryview(b"") if isinstance(value, int) else value
        shape += [value] if isinstance(value, int) else []
        at = 0
        while at < len(packed) and len(shape) <= MOST_DIMENSIONS:
            side, at = read_varint(packed, at)
            shape.append(side)
        if len(shape) > MOST_DIMENSIONS:
            raise MalformedError(f"its tensor {quoted(name)} has too many dimensions")
    return shape
