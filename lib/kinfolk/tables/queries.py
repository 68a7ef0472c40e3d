"""SQL over the lake's tables without a JVM: DataFusion, which comes with deltalake, reads what a query needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder

from kinfolk.errors import SettingsError
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake


def query_rows(lake: Lake, tables: list[Table], query: str) -> list[tuple[Any, ...]]:
    """The rows of an answer. Raises NotFoundError for a table that does not stand, naming what to run."""
    return list(iterate_rows(open_query(lake, tables, query)))


def open_query(lake: Lake, tables: list[Table], query: str) -> pa.RecordBatchReader:
    """Answer a SELECT over the named tables, as a stream. Raises NotFoundError as `query_rows` does."""
    # Names in capitals mean the same as small ones, as in Spark.
    builder = QueryBuilder({"datafusion.sql_parser.enable_ident_normalization": "true"})
    for table in tables:
        builder.register(table.name, lake.open(table))
    return pa.RecordBatchReader.from_stream(builder.execute(query))


def iterate_rows(reader: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    """The rows of a stream, as Python has their values."""
    for batch in reader:
        yield from zip(*map(_to_python, batch.columns), strict=True)


def _to_python(column: pa.Array) -> list[Any]:
    """The values of a column; of times and dates by way of integers, for which pyarrow would load pandas: seconds."""
    start: date
    if pa.types.is_timestamp(column.type):
        start = datetime(1970, 1, 1, tzinfo=UTC if column.type.tz else None)
        unit, column = "microseconds", column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    elif pa.types.is_date32(column.type):
        start, unit, column = date(1970, 1, 1), "days", column.cast(pa.int32())
    else:
        return list(column.to_pylist())
    return [None if value is None else start + timedelta(**{unit: value}) for value in column.to_pylist()]


def quote_text(text: str) -> str:
    """A text as DataFusion takes it.

    >>> quote_text("the item's id")
    "'the item''s id'"
    """
    return "'" + text.replace("'", "''") + "'"


def check_limit(limit: int) -> None:
    """Raise SettingsError for a number of rows that cannot be asked for."""
    if limit < 1:
        raise SettingsError(f"the limit on rows is {limit}; it has to be 1 or more")


def ask_back(suggestions: Sequence[str]) -> str:
    """How an error ends that knows what may have been meant."""
    return f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
