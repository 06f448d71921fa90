"""Weights of an ONNX tensor as numbers, wherever in the message they stand, and whether they are
numbers at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kennel.typed import quoted
from kennel.wire import (
    BYTES,
    FIXED32,
    FIXED64,
    MOST_VARINT_BYTES,
    VARINT,
    MalformedError,
    Schema,
)

TENSOR = Schema(
    "tensor",
    one={2: VARINT, 8: BYTES, 9: BYTES, 12: BYTES, 14: VARINT},
    many={
        1: VARINT,
        4: FIXED32,
        5: VARINT,
        6: BYTES,
        7: VARINT,
        10: FIXED64,
        11: VARINT,
        13: BYTES,
        16: BYTES,
    },
)

# data_type of a tensor -> numbers of its raw_data, the field for them otherwise, numbers a value
FLOATS: dict[int, tuple[np.dtype[Any], int, int]] = {
    1: (np.dtype("<f4"), 4, 1),
    10: (np.dtype("<f2"), 5, 1),
    11: (np.dtype("<f8"), 10, 1),
    14: (np.dtype("<f4"), 4, 2),  # complex: pairs
    15: (np.dtype("<f8"), 10, 2),
    16: (np.dtype("<u2"), 5, 1),  # bfloat16: NumPy has none
}
BFLOAT16, BFLOAT16_INFINITY = 16, 0x7F80
RAW, INT32 = 9, 5
TYPED_DATA = (4, 5, 6, 7, 10, 11)


def read_numbers(tensor: dict[int, list[Any]], data_type: int, name: str) -> npt.NDArray[Any]:
    """Numbers of a tensor of a floating type: [n], bfloat16 as its bits."""
    dtype, typed, _ = FLOATS[data_type]
    there = [number for number in (RAW, *TYPED_DATA) if number in tensor]
    if not there:
        return np.zeros(0, dtype)
    if there not in ([RAW], [typed]):
        raise MalformedError(f"its tensor {quoted(name)} has numbers of another type, or twice")
    if there == [INT32]:  # half floats, a varint each
        return _varints(tensor[INT32]).astype(np.dtype("<u2")).view(dtype)
    return joined(tensor[there[0]], dtype)


def joined(values: list[memoryview], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Numbers of a field, packed or not: [n]."""
    content = values[0] if len(values) == 1 else b"".join(values)
    if len(content) % dtype.itemsize:
        raise MalformedError("a row of numbers is cut off")
    return np.frombuffer(content, dtype)


def _varints(values: list[int | memoryview]) -> npt.NDArray[np.uint64]:
    """Numbers of a field of varints, packed or not: [n]."""
    parts = [
        np.array([value], np.uint64) if isinstance(value, int) else _unpacked(value)
        for value in values
    ]
    return np.concatenate(parts)


def _unpacked(content: memoryview) -> npt.NDArray[np.uint64]:
    """As `read_varint` one after the other, all at once."""
    octets = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise MalformedError("a number is cut off")
    if len(ends) and lengths.max() > MOST_VARINT_BYTES:
        raise MalformedError("a number has more than 64 bits")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = lengths > place
        octet = octets[starts[longer] + place].astype(np.uint64) & np.uint64(0x7F)
        numbers[longer] |= octet << np.uint64(7 * place)
    return numbers


def refuse_no_numbers(numbers: npt.NDArray[Any], name: str, *, data_type: int) -> None:
    if data_type == BFLOAT16:
        bits = numbers & 0x7FFF
        unknown, finite = bits > BFLOAT16_INFINITY, bits < BFLOAT16_INFINITY
    else:
        finite = np.isfinite(numbers)
        if finite.all():
            return
        unknown = np.isnan(numbers)
    if unknown.any():
        raise MalformedError(f"its tensor {quoted(name)} has weights that are not a number")
    # One alone is how a graph writes a bound, as of a clamp or a mask.
    if not finite.all() and numbers.size > 1:
        raise MalformedError(f"its tensor {quoted(name)} has infinite weights")
