"""How a join is laid out on Spark: one task for all of it, or a share of it for each of many.

Up to `similarity.one_task_rows` items, and on one machine any number, one task does it all. Above, the driver prepares
the join, all executors map what it prepared into memory, and tasks share the work.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from threadpoolctl import threadpool_limits

from kinfolk.settings import JoinSettings
from kinfolk.similarity.effort import WHOLE, Share
from kinfolk.similarity.forecast import Forecast, spread_forecast
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Recall, draw_rows, measure_recall
from kinfolk.similarity.task import SCHEMAS, Prepared, Report, join_all, join_share, no_rows, prepare_join
from kinfolk.tables.scans import find_scans, read_frame
from kinfolk.tasks import notices
from kinfolk.tasks.machines import count_cores, count_task_cores, is_one_machine
from kinfolk.tasks.reports import Clock, run_tasks
from kinfolk.tasks.shipping import receive, ship

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ONE_TASK_ROWS = 200_000
"""Items above which a cluster is worth its overhead, where the settings do not say."""
TASKS_A_CORE = 4
"""Shares of a join that is spread: several a core, so that none waits long for the last."""


def run_join(
    rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool, hear: Callable[[Forecast], None]
) -> list[Report]:
    """Join rows (is_right, item_id, value); what is found lies in files of the folder, which reports name.

    `hear` is given the forecast before the work.
    """
    limit = one_task_rows(rows.sparkSession, settings)
    # Where any number will do, a Spark job to count them is saved.
    if limit == math.inf or rows.count() <= limit:
        return [_join_in_one_task(rows, settings, folder, is_self_join=is_self_join, hear=hear)]
    return _join_in_tasks(rows, settings, folder, is_self_join=is_self_join, hear=hear)


def read_found(spark: SparkSession, kind: str, reports: list[Report]) -> DataFrame:
    """What tasks have written of one kind."""
    files = [file for report in reports for file in report.files.get(kind, [])]
    return spark.read.schema(from_arrow_schema(SCHEMAS[kind])).parquet(*files)


def one_task_rows(spark: SparkSession, settings: JoinSettings) -> float:
    """Most rows that one task joins; infinite where all tasks would run on one machine."""
    if settings.one_task_rows is not None:
        return settings.one_task_rows
    return math.inf if is_one_machine(spark) else ONE_TASK_ROWS


def count_threads(spark: SparkSession, settings: JoinSettings) -> int:
    """Threads of a task that does it all."""
    return settings.threads or count_cores(spark)


def count_shares(spark: SparkSession) -> int:
    """Shares of a join that is spread over the cluster."""
    return TASKS_A_CORE * spark.sparkContext.defaultParallelism


def _join_in_one_task(
    rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool, hear: Callable[[Forecast], None]
) -> Report:
    spark, scans = rows.sparkSession, find_scans(rows)
    threads = count_threads(spark, settings)
    notice = f"{folder}/{uuid.uuid4().hex}.forecast"

    def join(given: list[pa.RecordBatch]) -> Iterable[str]:
        def read() -> pa.Table:
            if scans is not None:
                return scans.read(threads=threads)
            return pa.Table.from_batches(given) if given else no_rows(settings)

        def tell(forecast: Forecast) -> None:
            notices.tell(json.dumps(forecast.to_json()), notice)

        # A product takes one thread; there are as many products at a time as there are threads.
        with threadpool_limits(1):
            report = join_all(read, settings, is_self_join=is_self_join, threads=threads, scratch=folder, tell=tell)
        return [report.to_json()]

    with notices.listening(notice, lambda text: hear(Forecast.from_json(json.loads(text)))):
        # Where the task reads the rows itself, Spark has none for it, and one row starts it.
        reports = _run(rows.coalesce(1) if scans is None else spark.range(1).coalesce(1), join)
    if reports:
        return reports[0]
    # Spark starts no task where it knows that there are no rows.
    nothing = partial(no_rows, settings)
    return join_all(nothing, settings, is_self_join=is_self_join, threads=1, scratch=folder, tell=hear)


def read_rows(rows: DataFrame, settings: JoinSettings, *, threads: int) -> pa.Table:
    """All rows on the driver."""
    table = read_frame(rows, threads=threads)
    return table if table.num_rows else no_rows(settings)


def _join_in_tasks(
    rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool, hear: Callable[[Forecast], None]
) -> list[Report]:
    """Prepare the join on the driver, and let tasks take shares of it."""
    spark = rows.sparkSession
    cores = count_threads(spark, settings)
    table = read_rows(rows, settings, threads=cores)
    with threadpool_limits(1):
        prepared = prepare_join(table, settings, is_self_join=is_self_join, threads=cores, is_shared=True)
    # The driver has measured how fast its own cores are; the executors' have to share the work in the same manner.
    shares, speed = count_shares(spark), spark.sparkContext.defaultParallelism / cores
    threads = settings.threads or count_task_cores(spark)
    prepared.join.forecasts = [
        spread_forecast(forecast, tasks=shares, threads=threads, speed=speed) for forecast in prepared.join.forecasts
    ]
    hear(prepared.join.forecasts[0])
    reports = run_shares(spark, prepared, join_share, settings, folder, shares=shares)
    if prepared.join.is_exact or sum(report.pairs for report in reports) > settings.max_pairs:
        return reports
    pairs, neighbors = (read_found(spark, kind, reports) for kind in ("pairs", "neighbors"))
    recall = measure_found(prepared, pairs, neighbors, settings, threads=cores)
    return [replace(reports[0], recall=recall), *reports[1:]]


class TakeShare(Protocol):
    """What a task does with a share of what was prepared."""

    def __call__(
        self, prepared: Any, settings: JoinSettings, share: Share, /, *, scratch: str, clock: Clock, threads: int
    ) -> Report:
        """Do a share of the work, and write what it finds to the scratch folder."""


def run_shares(
    spark: SparkSession, prepared: Any, take: TakeShare, settings: JoinSettings, folder: str, *, shares: int
) -> list[Report]:
    """Let tasks take shares of what the driver has prepared; a single one has the threads of all."""
    threads = count_threads(spark, settings) if shares == 1 else settings.threads or count_task_cores(spark)
    if shares == 1 and is_one_machine(spark):
        # It is here already: shipping it to a worker beside would take as long as many a share.
        with threadpool_limits(1):
            return [take(prepared, settings, WHOLE, scratch=folder, clock=Clock(), threads=threads)]
    path = ship(prepared, folder)

    def work(given: list[pa.RecordBatch]) -> Iterable[str]:
        for batch in given:
            for share in batch.column(0).to_pylist():
                # A product takes one thread; there are as many products at a time as there are threads.
                with threadpool_limits(1):
                    part = share, shares
                    report = take(receive(path), settings, part, scratch=folder, clock=Clock(), threads=threads)
                    yield report.to_json()

    return _run(spark.range(0, shares, 1, shares), work)


def measure_found(
    prepared: Prepared, pairs: DataFrame, neighbors: DataFrame, settings: JoinSettings, *, threads: int
) -> Recall:
    """Measure the recall of frames of pairs and neighbours, on rows drawn at random."""
    left_ids, base_ids = prepared.left.items.ids, prepared.base.items.ids
    rows = draw_rows(len(left_ids), settings.probes, seed=settings.seed)
    drawn = left_ids.take(pa.array(rows)).to_pylist()
    found = neighbors.where(F.col("item_id").isin(drawn)).toArrow()
    row_P, rank_P = _codes(left_ids, found["item_id"]), found["rank"].to_numpy()
    code_NK = np.full((len(rows), settings.neighbors), -1)
    code_NK[np.searchsorted(rows, row_P), rank_P - 1] = _codes(base_ids, found["neighbor_id"])
    is_self_join = prepared.right is None
    is_asked = F.col("left_id").isin(drawn)
    if is_self_join:
        is_asked |= F.col("right_id").isin(drawn)
    found = pairs.where(is_asked).toArrow()
    some = Pairs(
        _codes(left_ids, found["left_id"]), _codes(base_ids, found["right_id"]), found["similarity"].to_numpy()
    )
    with threadpool_limits(1):
        truth = prepared.join.probe(rows, threads=threads)
    lists = Neighbors(rows, code_NK, np.zeros(code_NK.shape))
    return measure_recall(truth, some, lists, is_self_join=is_self_join, population=len(left_ids))


def _codes(ids: pa.StringArray, some: pa.ChunkedArray) -> NDArray[np.int64]:
    """The codes of some items."""
    codes: NDArray[np.int64] = pc.index_in(some, ids).to_numpy().astype(np.int64)
    return codes


def _run(frame: DataFrame, work: Callable[[list[pa.RecordBatch]], Iterable[str]]) -> list[Report]:
    return [Report.from_json(text) for text in run_tasks(frame, work)]
