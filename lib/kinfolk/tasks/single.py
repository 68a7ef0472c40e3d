"""One task that takes all rows of a frame, and reads them itself where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from kinfolk.tables.scans import Scans
from kinfolk.tasks.reports import run_tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Read = Callable[[], pa.Table]
"""Reads all rows."""


def run_single(rows: DataFrame, scans: Scans | None, work: Callable[[Read], str], *, threads: int) -> str:
    """What one task reports of all rows: `scans` are what they are read by, None where Spark has to read them.

    Raises the error of a task that refused to work.
    """
    empty = to_arrow_schema(rows.schema, timezone="UTC").empty_table()

    def answer(given: list[pa.RecordBatch]) -> list[str]:
        def read() -> pa.Table:
            if scans is not None:
                return scans.read(threads=threads)
            return pa.Table.from_batches(given) if given else empty

        return [work(read)]

    # Where the task reads the rows itself, Spark has none for it, and one row starts it.
    start = rows if scans is None else rows.sparkSession.range(1)
    reports = run_tasks(start.coalesce(1), answer)
    # Spark starts no task where it knows that there are no rows.
    return reports[0] if reports else work(lambda: empty)
