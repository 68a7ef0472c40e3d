"""Parquet: values become the text that cleaning reads again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.sources.rows import RowBatch, decode_columns
from kinfolk.sources.streams import naming_file


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
            texts = {name: _as_text(batch.column(name), name, path) for name in columns}
            yield decode_columns(rows, texts, faults=[], content=content)


def _as_text(values: pa.Array, name: str, path: str) -> pa.Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _as_text(values.dictionary_decode(), name, path)
    if pa.types.is_nested(kind):
        raise DataError(f"column {name} of {path} holds {kind}; a column of text, numbers or times is needed")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.cast(values, pa.binary())
    if pa.types.is_timestamp(kind):
        zone = "UTC" if kind.tz else None
        values = pc.cast(values, pa.timestamp("us", tz=zone), safe=False)
    text = pc.cast(values, pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
