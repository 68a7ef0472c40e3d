"""JSON lines: one object a line; numbers keep the digits they are written with."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from kinfolk.settings import FileSource
from kinfolk.sources.rows import Fault, IngestReason, RowBatch
from kinfolk.sources.streams import UNDECODABLE, Utf8Stream, naming_file, open_stream

HEADER_LINES = 10_000
"""Lines looked at to learn which fields there are."""
_READ_BYTES = 1 << 20


def read_json_header(filesystem: fs.FileSystem, path: str, source: FileSource) -> tuple[list[str], bool]:
    """Names of the fields of the first lines, and whether there is a line at all."""
    fields: dict[str, None] = {}
    has_rows = False
    with naming_file(path):
        for line in islice(_lines(filesystem, path, source.encoding), HEADER_LINES):
            has_rows = True
            try:
                fields |= dict.fromkeys(_parse(line))
            except ValueError:
                continue
    return list(fields), has_rows


def read_json(
    filesystem: fs.FileSystem, path: str, source: FileSource, *, columns: Sequence[str], batch_rows: int
) -> Iterator[RowBatch]:
    """Yield the wanted fields of a file of JSON lines; a missing field or an empty string is null.

    Nested values are handed on as JSON. Blank lines do not count as rows. Raises DataError when the file is damaged.
    """
    with naming_file(path):
        numbered = enumerate(_lines(filesystem, path, source.encoding))
        while lines := list(islice(numbered, batch_rows)):
            yield _read_lines(lines, columns)


def _read_lines(lines: list[tuple[int, bytes]], columns: Sequence[str]) -> RowBatch:
    rows: list[int] = []
    values: list[list[str | None]] = [[] for _ in columns]
    faults: list[Fault] = []
    for row, line in lines:
        try:
            found = _parse(line)
        except ValueError:
            faults.append(_fault(row, line.decode()))
        else:
            rows.append(row)
            for column, place in zip(columns, values, strict=True):
                place.append(_as_text(found.get(column)))
    arrays = {name: pa.array(place, pa.string()) for name, place in zip(columns, values, strict=True)}
    return RowBatch(np.array(rows, np.int64), arrays, faults)


def _fault(row: int, text: str) -> Fault:
    reason = IngestReason.UNDECODABLE_TEXT if UNDECODABLE in text else IngestReason.NOT_JSON
    return Fault(row, reason, text.replace(UNDECODABLE, "\ufffd"))


def _parse(line: bytes) -> dict[str, Any]:
    """The object on a line; raises ValueError where there is none."""
    text = line.decode()
    if UNDECODABLE in text:
        raise ValueError("not text")
    found = json.loads(text, parse_float=str, parse_int=str)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    # Half of a surrogate pair can be written in JSON, but it is no text that anything later could store.
    json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def _as_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(filesystem: fs.FileSystem, path: str, encoding: str) -> Iterator[bytes]:
    """Lines that are not blank, as UTF-8 without their ends."""
    with open_stream(filesystem, path) as opened:
        stream = Utf8Stream(opened, encoding)
        rest = stream.read(_READ_BYTES).removeprefix(codecs.BOM_UTF8)
        while content := stream.read(_READ_BYTES):
            *whole, rest = (rest + content).split(b"\n")
            yield from (line for line in whole if line.strip())
        yield from (line for line in rest.split(b"\n") if line.strip())
