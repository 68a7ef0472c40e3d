"""Work on all rows of a frame that one Spark task does, and leaves in a file that a frame reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from kinfolk.errors import DataError, SettingsError
from kinfolk.tables.scans import find_scans
from kinfolk.tasks.files import open_folder
from kinfolk.tasks.reports import run_tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def cut_window(events: DataFrame, days: int | None, until: dt.date | None, *, section: str) -> DataFrame:
    """The events of so many days, UTC, the last of which is `until`; all where the days are None.

    Raises SettingsError, which names the section of the settings, where the window has no end.
    """
    if days is None:
        return events
    if until is None:
        raise SettingsError(f"{section}.window_days needs the day that the window ends with; give a run date")
    end = dt.datetime.combine(until, dt.time.min, dt.UTC) + dt.timedelta(days=1)
    start = end - dt.timedelta(days=days)
    return events.where((F.col("event_time") >= F.lit(start)) & (F.col("event_time") < F.lit(end)))


def require_times(events: DataFrame, *, section: str) -> None:
    """Raise DataError where there are events, and none has a time."""
    if not events.isEmpty() and events.where(F.col("event_time").isNotNull()).isEmpty():
        raise DataError(
            f"{section}.window_days is set, but no event has a time; name the time column of the source under "
            f"sources.events, or leave {section}.window_days out"
        )


def run_alone(rows: DataFrame, work: Callable[[Callable[[], pa.Table]], str], *, threads: int) -> str:
    """Let one task work, which is given what reads all rows, by so many threads; returns its report.

    Raises the error of a task that refused to work.
    """
    spark, scans = rows.sparkSession, find_scans(rows)
    empty = to_arrow_schema(rows.schema).empty_table()

    def answer(given: list[pa.RecordBatch]) -> Iterable[str]:
        def read() -> pa.Table:
            if scans is not None:
                return scans.read(threads=threads)
            return pa.Table.from_batches(given) if given else empty

        return [work(read)]

    # Where the task reads the rows itself, Spark has none for it, and one row starts it.
    reports = run_tasks(rows.coalesce(1) if scans is None else spark.range(1).coalesce(1), answer)
    # Spark starts no task where it knows that there are no rows.
    return reports[0] if reports else work(lambda: empty)


def read_rows(spark: SparkSession, path: str) -> DataFrame:
    """What a task wrote to a file, whose own schema spares Spark a job to look for it."""
    parent, _, name = path.rpartition("/")
    files, folder = open_folder(parent)
    schema = pq.read_schema(f"{folder}/{name}", filesystem=files)
    return spark.read.schema(from_arrow_schema(schema)).parquet(path)
