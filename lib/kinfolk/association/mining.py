"""Mining on Spark: baskets go to one Python task, which searches, derives, and leaves the tables as files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from kinfolk.association.baskets import LISTS
from kinfolk.association.changes import Known
from kinfolk.association.evidence import STRATUM
from kinfolk.association.measures import MEASURES
from kinfolk.association.partitions import count_tasks, mine_parts
from kinfolk.association.task import Report, mine_all, mine_changes
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.scans import find_scans, read_frame
from kinfolk.tasks.files import open_folder
from kinfolk.tasks.machines import count_cores, open_scratch
from kinfolk.tasks.reports import run_tasks

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_LINES = ("basket_id", "item_id", "item_name")
_PERIODS = {"year": "yyyy", "quarter": "yyyy'Q'Q", "month": "yyyy-MM", "weekday": "EEEE", "hour": "HH"}
"""Periods of a time, and how they are written."""


@dataclass(frozen=True)
class MiningState:
    """What a run leaves for the next one: known itemsets, as rows of `changes.STATE`, of so many baskets.

    They are all that at least `border` of them hold.
    """

    known: DataFrame
    basket_count: int
    border: int


@dataclass(frozen=True)
class MiningResult:
    """Itemsets and rules as frames with the content of their tables, and what was counted on the way.

    `state` is None unless `settings.margin` asks for one. The frames read files that `close` removes.
    """

    itemsets: DataFrame
    rules: DataFrame
    state: MiningState | None
    report: Report
    close: Callable[[], None]


def mine_baskets(
    baskets: DataFrame,
    settings: AssociationSettings,
    *,
    until: dt.date | None = None,
    scratch: str | None = None,
) -> MiningResult:
    """Find every frequent itemset of the baskets, and the rules that are confident enough.

    `baskets` has either a basket in each row, with its items in an array `items`, or an item in each row: basket_id,
    item_id, item_name if names are known and, where `settings.window_days` is set, event_time. The window ends with the
    day `until`, UTC. An empty array is a basket; an array that is null is none. Rows without a basket or an item are
    left out, in a window also those without a time. `scratch` is a folder that the driver and all executors reach, for
    results on their way; on one machine a temporary one serves.

    Raises SettingsError for a measure that there is not and for a window without an end; DataError where there are more
    itemsets or rules than the settings allow, and where no row of a window has a time.
    """
    _check_measures(settings)
    rows = _select_rows(baskets, settings, until)
    folder, remove = open_scratch(baskets.sparkSession, scratch, name="mine")
    try:
        report = _mine(rows, settings, folder)
        if not report.basket_count and settings.window_days is not None:
            _require_times(baskets)
        return _gather(baskets.sparkSession, report, remove)
    except BaseException:
        remove()
        raise


def update_baskets(
    state: MiningState,
    came: DataFrame,
    went: DataFrame | None,
    settings: AssociationSettings,
    *,
    scratch: str | None = None,
) -> MiningResult | None:
    """What `mine_baskets` finds after some baskets came and others went, without a look at the rest.

    Both are given as it takes them, baskets as a whole: a basket that changed went and came. The settings have to be
    those that left the state. None where all baskets have to be mined again: where a set might be frequent now that was
    not known. It is the driver that counts: what changes in a night is little beside what stands.

    Raises SettingsError where baskets are held out or checked for a confounder, which takes all of them.
    """
    if settings.holdout_share or settings.confounder is not None or settings.top_itemsets or settings.raises_support:
        raise SettingsError(
            "association.holdout_share, confounder, top_itemsets and raises_support need all baskets: mine them all, "
            "or leave these out"
        )
    _check_measures(settings)
    spark = state.known.sparkSession
    threads = settings.threads or count_cores(spark)
    changed = [_select_rows(frame, settings, None) for frame in (came, came.limit(0) if went is None else went)]
    id_type = _arrow_schema(changed[0]).field(0).type.value_type if LISTS in changed[0].columns else pa.string()
    rows = read_frame(state.known, threads=threads)
    known = Known.from_table(rows, basket_count=state.basket_count, border=state.border, id_type=id_type)
    folder, remove = open_scratch(spark, scratch, name="mine")
    try:
        report = mine_changes(
            known,
            lambda: tuple(read_frame(frame, threads=threads) for frame in changed),
            settings,
            threads=threads,
            scratch=folder,
        )
        if report is not None:
            return _gather(spark, report, remove)
    except BaseException:
        remove()
        raise
    remove()
    return None


def _gather(spark: SparkSession, report: Report, remove: Callable[[], None]) -> MiningResult:
    frames = {kind: _read(spark, file) for kind, file in report.files.items()}
    state = MiningState(frames["known"], report.basket_count, report.border) if "known" in frames else None
    return MiningResult(frames["itemsets"], frames["rules"], state, report, remove)


def _check_measures(settings: AssociationSettings) -> None:
    unknown = sorted(set(settings.min_measures) - set(MEASURES))
    if unknown:
        raise SettingsError(
            f"association.min_measures names {', '.join(unknown)}; the measures are {', '.join(sorted(MEASURES))}"
        )


def _select_rows(baskets: DataFrame, settings: AssociationSettings, until: dt.date | None) -> DataFrame:
    if settings.window_days is not None:
        if until is None:
            raise SettingsError("association.window_days needs the day that the window ends with; give a run date")
        end = dt.datetime.combine(until, dt.time.min, dt.UTC) + dt.timedelta(days=1)
        start = end - dt.timedelta(days=settings.window_days)
        baskets = baskets.where((F.col("event_time") >= F.lit(start)) & (F.col("event_time") < F.lit(end)))
    stratum = _stratum(baskets, settings)
    if LISTS in baskets.columns:
        return baskets.select(LISTS, *stratum)
    missing = [name for name in _LINES[:2] if name not in baskets.columns]
    if missing:
        raise DataError(
            f"the columns are {', '.join(baskets.columns)}; mining needs {LISTS}, an array, or basket_id and item_id: "
            "rename or select"
        )
    names = [name for name in _LINES if name in baskets.columns]
    return baskets.dropna(subset=["basket_id", "item_id"]).select(*names, *stratum)


def _stratum(baskets: DataFrame, settings: AssociationSettings) -> list[Column]:
    """The column within whose values rules are checked, if there is to be one."""
    wanted = settings.confounder
    if wanted is None:
        return []
    if wanted in baskets.columns:
        return [F.col(f"`{wanted}`").cast("string").alias(STRATUM)]
    if wanted in _PERIODS and "event_time" in baskets.columns:
        return [F.date_format("event_time", _PERIODS[wanted]).alias(STRATUM)]
    raise DataError(
        f"the columns are {', '.join(baskets.columns)}; association.confounder is {wanted}: name one of them, or, "
        f"where there is an event_time, one of {', '.join(_PERIODS)}"
    )


def _mine(rows: DataFrame, settings: AssociationSettings, folder: str) -> Report:
    spark, scans = rows.sparkSession, find_scans(rows)
    tasks = count_tasks(rows, scans, settings)
    if tasks > 1:
        return mine_parts(rows, settings, tasks=tasks, scratch=folder)
    threads = settings.threads or count_cores(spark)
    empty = _arrow_schema(rows).empty_table()

    def mine(given: list[pa.RecordBatch]) -> Iterable[str]:
        def read() -> pa.Table:
            if scans is not None:
                return scans.read(threads=threads)
            return pa.Table.from_batches(given) if given else empty

        return [mine_all(read, settings, threads=threads, scratch=folder).to_json()]

    # Where the task reads the rows itself, Spark has none for it, and one row starts it.
    reports = run_tasks(rows.coalesce(1) if scans is None else spark.range(1).coalesce(1), mine)
    if reports:
        return Report.from_json(reports[0])
    # Spark starts no task where it knows that there are no rows.
    return mine_all(lambda: empty, settings, threads=1, scratch=folder)


def _arrow_schema(frame: DataFrame) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(frame.schema)


def _read(spark: SparkSession, path: str) -> DataFrame:
    """What was written to a file, whose own schema spares Spark a job to look for it."""
    files, folder = open_folder(path.rpartition("/")[0])
    schema = pq.read_schema(f"{folder}/{path.rpartition('/')[2]}", filesystem=files)
    return spark.read.schema(from_arrow_schema(schema)).parquet(path)


def _require_times(events: DataFrame) -> None:
    if not events.isEmpty() and events.where(F.col("event_time").isNotNull()).isEmpty():
        raise DataError(
            "association.window_days is set, but no event has a time; name the time column of the source under "
            "sources.events, or leave association.window_days out"
        )
