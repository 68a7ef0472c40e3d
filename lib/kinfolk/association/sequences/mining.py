"""What customers buy later, on Spark: events go to one Python task, which searches, and leaves the table as a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from kinfolk.association.sequences.histories import COLUMNS
from kinfolk.association.sequences.task import SequenceReport, search_all
from kinfolk.association.windows import select_window
from kinfolk.errors import DataError
from kinfolk.settings import SequenceSettings
from kinfolk.tables.scans import find_scans
from kinfolk.tasks.files import read_file
from kinfolk.tasks.machines import count_cores, open_scratch
from kinfolk.tasks.single import Read, run_single

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_TIMES = ("timestamp", "timestamp_ntz", "date")


@dataclass(frozen=True)
class SequenceResult:
    """Sequences as a frame with the content of their table, and what was counted on the way.

    The frame reads a file that `close` removes.
    """

    sequences: DataFrame
    report: SequenceReport
    close: Callable[[], None]


def mine_sequences(
    events: DataFrame, settings: SequenceSettings, *, until: dt.date | None = None, scratch: str | None = None
) -> SequenceResult:
    """Find every sequence of purchases that is in the histories of enough customers.

    `events` has an item in each row: customer_id, basket_id, item_id, event_time and, if names are known, item_name.
    Rows without a customer, a basket, an item or a time are left out. The rows of a customer with the same basket are
    one element of the history, at the earliest of their times, and so are baskets of a customer at exactly the same
    time. The window of `settings.window_days` ends with the day `until`, UTC. `scratch` is a folder that the driver and
    all executors reach, for results on their way; on one machine a temporary one serves.

    Raises SettingsError for a window without an end; DataError where a column is missing, where no row has both a
    customer and a time, and where there are more sequences than the settings allow.
    """
    rows = _select_rows(events, settings, until)
    spark = events.sparkSession
    threads = settings.threads or count_cores(spark)
    folder, remove = open_scratch(spark, scratch, name="sequence")

    def search(read: Read) -> str:
        return search_all(read, settings, threads=threads, scratch=folder).to_json()

    try:
        report = SequenceReport.from_json(run_single(rows, find_scans(rows), search, threads=threads))
        if not report.customer_count:
            _require_histories(events)
        return SequenceResult(read_file(spark, report.file), report, remove)
    except BaseException:
        remove()
        raise


def _select_rows(events: DataFrame, settings: SequenceSettings, until: dt.date | None) -> DataFrame:
    missing = [name for name in COLUMNS if name not in events.columns]
    if missing:
        raise DataError(
            f"the columns are {', '.join(events.columns)}; sequences need {', '.join(COLUMNS)}, and "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: rename or select"
        )
    kind = dict(events.dtypes)["event_time"]
    if kind not in _TIMES:
        raise DataError(f"event_time is of type {kind}; sequences need one of {', '.join(_TIMES)}: cast it")
    given = select_window(events, settings.window_days, until, section="sequence")
    names = [name for name in ("item_name",) if name in events.columns]
    times = F.col("event_time").cast("timestamp").alias("event_time")
    return given.select("customer_id", "basket_id", F.col("item_id").cast("string").alias("item_id"), *names, times)


def _require_histories(events: DataFrame) -> None:
    """Raise DataError where there are events, none of which tells both who and when."""
    if not events.isEmpty() and events.dropna(subset=["customer_id", "event_time"]).isEmpty():
        raise DataError(
            "no event has both a customer and a time, which sequences need; name the columns of the source under "
            "sources.events (customer, time)"
        )
