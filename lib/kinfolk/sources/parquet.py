"""Parquet: values become the text that cleaning reads again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.sources.rows import RowBatch, set_aside_undecodable
from kinfolk.sources.streams import MARKING, naming_file


def read_parquet_header(filesystem: fs.FileSystem, path: str) -> tuple[list[str], bool]:
    """Names of the columns, and whether there are rows; no name at all for a file of no bytes."""
    if filesystem.get_file_info(path).size == 0:
        return [], False
    with naming_file(path), pq.ParquetFile(path, filesystem=filesystem) as opened:
        return list(opened.schema_arrow.names), opened.metadata.num_rows > 0


def read_parquet(
    filesystem: fs.FileSystem, path: str, *, columns: Sequence[str], content: Collection[str], batch_rows: int
) -> Iterator[RowBatch]:
    """Yield the wanted columns of a Parquet file as text; those in `content` may hold pictures or sounds as bytes.

    Numbers are written in the shortest form that reads back as the same number, dates as 2026-01-31, times as
    2026-01-31 09:30:00.000000, with a Z at the end where the column has a time zone. Raises DataError for a damaged
    file and for columns that hold lists or structures.
    """
    if filesystem.get_file_info(path).size == 0:
        return
    with naming_file(path), pq.ParquetFile(path, filesystem=filesystem) as opened:
        start = 0
        for batch in opened.iter_batches(batch_size=batch_rows, columns=list(columns)):
            rows = np.arange(start, start + batch.num_rows, dtype=np.int64)
            start += batch.num_rows
            values = {name: _as_text(batch.column(name), f"{name} of {path}", name in content) for name in columns}
            yield set_aside_undecodable(rows, values, [])


def _as_text(values: pa.Array, name: str, may_be_content: bool) -> pa.Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _as_text(values.dictionary_decode(), name, may_be_content)
    if pa.types.is_nested(kind):
        raise DataError(f"column {name} holds {kind}; a column of text, numbers or times is needed")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = pc.cast(values, pa.binary())
        return values if may_be_content else _empty_as_null(_decode(values))
    if pa.types.is_timestamp(kind):
        values = pc.cast(values, pa.timestamp("us", tz="UTC" if kind.tz else None), safe=False)
    return _empty_as_null(pc.cast(values, pa.string()))


def _decode(values: pa.Array) -> pa.Array:
    """Bytes as text; only where Arrow finds some that are no UTF-8, each value is looked at."""
    try:
        return pc.cast(values, pa.string())
    except pa.ArrowInvalid:
        decoded = [None if value is None else value.decode("utf-8", MARKING) for value in values.to_pylist()]
        return pa.array(decoded, pa.string())


def _empty_as_null(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
