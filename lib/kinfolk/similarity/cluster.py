"""How a join is laid out on Spark: one task for all of it, or a share of it for each of many.

Up to `similarity.one_task_rows` items, and on one machine any number, one task does it all. Above, the driver prepares
the join, all executors map what it prepared into memory, and tasks share the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from threadpoolctl import threadpool_limits

from kinfolk.settings import JoinSettings
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Recall, draw_rows, measure_recall
from kinfolk.similarity.shipping import receive, ship
from kinfolk.similarity.task import SCHEMAS, Clock, Prepared, Report, join_all, join_share, no_rows, prepare_join

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ONE_TASK_ROWS = 200_000
"""Items above which a cluster is worth its overhead, where the settings do not say."""
TASKS_A_CORE = 4
"""Shares of a join that is spread: several a core, so that none waits long for the last."""

_REPORT_DDL = "report string"
_REPORT = pa.schema([("report", pa.string())])


def run_tasks(rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool) -> list[Report]:
    """Join rows (is_right, item_id, value); what is found lies in files of the folder, which reports name."""
    limit = _one_task_rows(rows.sparkSession, settings)
    # Where any number will do, a Spark job to count them is saved.
    if limit == math.inf or rows.count() <= limit:
        return [_join_in_one_task(rows, settings, folder, is_self_join=is_self_join)]
    return _join_in_tasks(rows, settings, folder, is_self_join=is_self_join)


def read_found(spark: SparkSession, kind: str, reports: list[Report]) -> DataFrame:
    """What tasks have written of one kind."""
    files = [file for report in reports for file in report.files.get(kind, [])]
    return spark.read.schema(from_arrow_schema(SCHEMAS[kind])).parquet(*files)


def is_one_machine(spark: SparkSession) -> bool:
    """Whether all tasks run in one process of this machine."""
    return (spark.sparkContext.master or "").startswith("local")


def _one_task_rows(spark: SparkSession, settings: JoinSettings) -> float:
    if settings.one_task_rows is not None:
        return settings.one_task_rows
    return math.inf if is_one_machine(spark) else ONE_TASK_ROWS


def _count_threads(spark: SparkSession, settings: JoinSettings) -> int:
    """Threads of a task that does it all: where one machine does all the work, its cores have nothing else to do."""
    if settings.threads:
        return settings.threads
    return spark.sparkContext.defaultParallelism if is_one_machine(spark) else _task_cores(spark)


def _task_cores(spark: SparkSession) -> int:
    return int(spark.sparkContext.getConf().get("spark.task.cpus") or 1)


def _join_in_one_task(rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool) -> Report:
    threads = _count_threads(rows.sparkSession, settings)

    def join(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # A product takes one thread; there are as many products at a time as there are threads.
        with threadpool_limits(1):
            yield _send(join_all(batches, settings, is_self_join=is_self_join, threads=threads, scratch=folder))

    reports = _collect_reports(rows.coalesce(1).mapInArrow(join, _REPORT_DDL))
    if reports:
        return reports[0]
    # Spark starts no task where it knows that there are no rows.
    return join_all((), settings, is_self_join=is_self_join, threads=1, scratch=folder)


def _join_in_tasks(rows: DataFrame, settings: JoinSettings, folder: str, *, is_self_join: bool) -> list[Report]:
    """Prepare the join on the driver, and let tasks take shares of it."""
    spark = rows.sparkSession
    shares = TASKS_A_CORE * spark.sparkContext.defaultParallelism
    table = rows.toArrow()
    cores, threads = _count_threads(spark, settings), settings.threads or _task_cores(spark)
    with threadpool_limits(1):
        table = table if table.num_rows else no_rows(settings)
        prepared = prepare_join(table, settings, is_self_join=is_self_join, threads=cores, is_shared=True)
    path = ship(prepared, folder)

    def join(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for share in batch.column(0).to_pylist():
                with threadpool_limits(1):
                    part = (share, shares)
                    yield _send(
                        join_share(receive(path), settings, part, scratch=folder, clock=Clock(), threads=threads)
                    )

    reports = _collect_reports(spark.range(0, shares, 1, shares).mapInArrow(join, _REPORT_DDL))
    if prepared.join.is_exact or sum(report.pairs for report in reports) > settings.max_pairs:
        return reports
    with threadpool_limits(1):
        return [
            replace(reports[0], recall=_measure_files(spark, prepared, reports, settings, threads=cores)),
            *reports[1:],
        ]


def _measure_files(
    spark: SparkSession, prepared: Prepared, reports: list[Report], settings: JoinSettings, *, threads: int
) -> Recall:
    """Measure the recall of what several tasks have written, on rows drawn at random."""
    left_ids, base_ids = prepared.left.items.ids, prepared.base.items.ids
    rows = draw_rows(len(left_ids), settings.probes, seed=settings.seed)
    drawn = left_ids.take(pa.array(rows)).to_pylist()
    found = read_found(spark, "neighbors", reports).where(F.col("item_id").isin(drawn)).toArrow()
    row_P, rank_P = _codes(left_ids, found["item_id"]), found["rank"].to_numpy()
    code_NK = np.full((len(rows), settings.neighbors), -1)
    code_NK[np.searchsorted(rows, row_P), rank_P - 1] = _codes(base_ids, found["neighbor_id"])
    is_asked = F.col("left_id").isin(drawn)
    if prepared.right is None:
        is_asked |= F.col("right_id").isin(drawn)
    found = read_found(spark, "pairs", reports).where(is_asked).toArrow()
    pairs = Pairs(
        _codes(left_ids, found["left_id"]), _codes(base_ids, found["right_id"]), found["similarity"].to_numpy()
    )
    neighbors = Neighbors(rows, code_NK, np.zeros(code_NK.shape))
    is_self_join = prepared.right is None
    return measure_recall(
        prepared.join.probe(rows, threads=threads),
        pairs,
        neighbors,
        is_self_join=is_self_join,
        population=len(left_ids),
    )


def _codes(ids: pa.StringArray, some: pa.ChunkedArray) -> NDArray[np.int64]:
    """The codes of some items."""
    codes: NDArray[np.int64] = pc.index_in(some, ids).to_numpy().astype(np.int64)
    return codes


def _send(report: Report) -> pa.RecordBatch:
    return pa.record_batch([[report.to_json()]], schema=_REPORT)


def _collect_reports(frame: DataFrame) -> list[Report]:
    return [Report.from_json(row["report"]) for row in frame.collect()]
