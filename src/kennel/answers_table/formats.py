"""CSV, JSON Lines and Parquet: rows in, one at a time, and never many of them in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from kennel.answers_table.row import Row, readable
from kennel.errors import UsageError, need

ROWS_A_GROUP = 8192  # of Parquet; what is held at a time
# What a spreadsheet takes for a formula, in narrow and wide letters (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Format(NamedTuple):
    """How a table is written.

    Attributes:
        mode: of the file.
        write: the rows into it; `top` labels each have a place.
    """

    mode: Literal["w", "wb"]
    write: Callable[[IO[Any], Iterable[Row], int], None]


def check_format(table: Path) -> None:
    """Whether a table of that name can be written here.

    Raises:
        UsageError: its suffix is no format's.
        MissingExtraError: the library of its format is not installed.
    """
    if table.suffix not in FORMATS:
        raise UsageError(
            f"{table} ends in none of {', '.join(FORMATS)}.",
            fix=f"name the table as its format: {table.with_suffix('.csv').name}",
        )
    if FORMATS[table.suffix].write is write_parquet:
        need("pyarrow.parquet", extra="parquet")


def write_csv(file: IO[str], rows: Iterable[Row], top: int) -> None:
    """UTF-8 with a header, in cells as RFC 4180 quotes them, lines ending in a newline.

    No cell can be taken for a formula: a path that looks like one gets a "./" in front, which names
    the same file, other text an apostrophe.
    """
    more = [f"{name}_{place}" for place in range(2, top + 1) for name in ("label", "probability")]
    file.write(
        ",".join(["path", "label", "probability", "known", *more, "among", "bundle", "error"])
    )
    file.write("\n")
    for row in map(readable, rows):
        best: list[str | float | None] = [each for pair in row.top for each in pair]
        best += [None] * (2 * top - len(best))
        cells = [*best[:2], row.known, *best[2:], _among(row), row.bundle, row.error]
        path = _unlike_formula(row.path, "./")
        file.write(",".join([_quoted(path), *map(_cell, cells)]) + "\n")


def write_jsonl(file: IO[str], rows: Iterable[Row], top: int) -> None:
    """The objects of `kennel predict --json`, one a line."""
    del top
    for row in map(readable, rows):
        file.write(json.dumps(row.document(), ensure_ascii=False) + "\n")


def write_parquet(file: IO[bytes], rows: Iterable[Row], top: int) -> None:
    """Columns as the keys of `kennel predict --json`, compressed with Zstandard."""
    del top
    need("pyarrow.parquet", extra="parquet")
    import pyarrow as pa
    from pyarrow import parquet

    text = pa.string()
    schema = pa.schema(
        [
            pa.field("path", text, nullable=False),
            pa.field("label", text),
            pa.field("probability", pa.float64()),
            pa.field("known", pa.bool_()),
            pa.field("top", pa.list_(pa.struct({"label": text, "probability": pa.float64()}))),
            pa.field("among", pa.list_(text)),
            pa.field("bundle", text),
            pa.field("error", text),
        ]
    )
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(rows):
            documents = [readable(row).document() for row in group]
            writer.write_table(pa.Table.from_pylist(documents, schema))


# By the suffix of the table's name.
FORMATS: dict[str, Format] = {
    ".csv": Format("w", write_csv),
    ".jsonl": Format("w", write_jsonl),
    ".parquet": Format("wb", write_parquet),
}


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    each = iter(rows)
    while group := list(islice(each, ROWS_A_GROUP)):
        yield group


def _among(row: Row) -> str | None:
    return None if row.among is None else json.dumps(row.among, ensure_ascii=False)


def _cell(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(_unlike_formula(value, "'"))
    return "" if value is None else repr(value)


def _unlike_formula(text: str, before: str) -> str:
    return before + text if text.lstrip(" ").startswith(_FORMULA) else text


def _quoted(text: str) -> str:
    # By hand: Python's writer leaves a lone carriage return bare where lines end in a newline.
    if any(mark in text for mark in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text
