"""Protobuf's wire format, read strictly: the fields of one message, or where it is broken.

Parsers forgive: they merge what stands twice, skip what they do not know, and cut numbers to size.
What is read here reads the same for every parser, so that none can see something else in a file
than what was checked. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
MOST_VARINT_BYTES = 10
MOST_FIELDS = 200_000  # of a file; a network of a thousand nodes has some twenty thousand


class MalformedError(ValueError):
    """The bytes are no message of that kind."""


@dataclass(frozen=True)
class Schema:
    """What may stand in a message: number of a field -> its wire type.

    Attributes:
        name: of the message, for what is said of it.
        one: fields that stand once at most.
        many: fields that may repeat; numbers among them may also come packed.
    """

    name: str
    one: Mapping[int, int] = field(default_factory=dict)
    many: Mapping[int, int] = field(default_factory=dict)


@dataclass
class Reader:
    """Reads messages of one file, and no more fields than it may have."""

    left: int = MOST_FIELDS

    def read(self, message: memoryview, schema: Schema) -> dict[int, list[Any]]:
        """Values of a message's fields by number, in their order.

        A varint is an int >= 0; all else is a memoryview of its bytes, a packed field too.

        Raises:
            MalformedError: cut off, a field that is unknown, of another wire type or there twice,
                or more fields than a file may have.
        """
        found: dict[int, list[Any]] = {}
        at, end = 0, len(message)
        while at < end:
            self.left -= 1
            if self.left < 0:
                raise MalformedError(f"it has more than {MOST_FIELDS} fields")
            tag, at = read_varint(message, at)
            number, wire = tag >> 3, tag & 7
            once = number in schema.one
            expected = schema.one.get(number) if once else schema.many.get(number)
            if expected is None:
                raise MalformedError(f"a {schema.name} has a field {number} that is not known")
            if wire != expected and (once or wire != BYTES):
                raise MalformedError(f"field {number} of a {schema.name} is of wire type {wire}")
            if once and number in found:
                raise MalformedError(f"field {number} of a {schema.name} stands twice")
            value: int | memoryview
            if wire == VARINT:
                value, at = read_varint(message, at)
            else:
                length = WIDTHS.get(wire)
                if length is None:
                    length, at = read_varint(message, at)
                value, at = message[at : at + length], at + length
            if at > end:
                raise MalformedError(f"field {number} of a {schema.name} is cut off")
            found.setdefault(number, []).append(value)
        return found


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, 0 <= number < 2**64, and where it ends."""
    value = 0
    for shift in range(0, 7 * MOST_VARINT_BYTES, 7):
        if at >= len(message):
            raise MalformedError("a number is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise MalformedError("a number has more than 64 bits")
