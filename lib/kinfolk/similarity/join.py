"""The similarity join over DataFrames: pairs above a threshold, nearest neighbours, and identical items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from threadpoolctl import threadpool_limits

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.product import Links, Vectors, join_rows, split_rows
from kinfolk.similarity.vectors import ItemVectors, collapse_copies, read_vectors

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame, SparkSession

_LINKS = pa.schema(
    [("rank", pa.int32()), ("left_id", pa.string()), ("right_id", pa.string()), ("similarity", pa.float64())]
)
_LINKS_DDL = "rank int, left_id string, right_id string, similarity double"

# Rows of a result that travel to the JVM at a time.
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class JoinAudit:
    """How many items came, and what became of them: items = distinct + copies + rejected."""

    items: int
    distinct: int
    copies: int
    rejected: int
    pairs: int
    tasks: int


@dataclass(frozen=True)
class JoinResult:
    """What a join found.

    `pairs`: left_id < right_id, similarity (exact cosine). `neighbors`: item_id, rank (from 1), neighbor_id,
    similarity. `copies`: item_id, representative_id; copies take no part in pairs and neighbours, their representative
    does. `rejected`: item_id, reject_reason, reject_detail. The frames stay in Spark's storage until `close`.
    """

    pairs: DataFrame
    neighbors: DataFrame
    copies: DataFrame
    rejected: DataFrame
    audit: JoinAudit
    close: Callable[[], None]


def similar_pairs(items: DataFrame, *, settings: JoinSettings) -> JoinResult:
    """Join items (item_id, embedding) with each other, exactly.

    The rows are collected once, checked, freed of copies and broadcast; tasks then multiply blocks of rows. Up to
    `settings.one_task_rows` items one task does it all. Raises DataError where an id comes twice, or where more pairs
    reach the threshold than `settings.max_pairs`; nothing has been written then.
    """
    spark = items.sparkSession
    table = items.select("item_id", "embedding").toArrow()
    found, rejected = read_vectors(table)
    distinct, copies = collapse_copies(found)
    tasks = _count_tasks(len(distinct.ids), spark, settings)
    shipped = spark.sparkContext.broadcast(distinct)
    links = _spread(spark, tasks, shipped, settings).persist()

    def close() -> None:
        links.unpersist()
        shipped.destroy()

    pairs = links.where("rank = 0").select("left_id", "right_id", "similarity")
    try:
        pair_count = pairs.count()
        _check_budget(pair_count, settings)
    except BaseException:
        close()
        raise
    return JoinResult(
        pairs=pairs,
        neighbors=links.where("rank > 0").selectExpr(
            "left_id AS item_id", "rank", "right_id AS neighbor_id", "similarity"
        ),
        copies=spark.createDataFrame(copies),
        rejected=spark.createDataFrame(rejected),
        audit=JoinAudit(table.num_rows, len(distinct.ids), copies.num_rows, rejected.num_rows, pair_count, tasks),
        close=close,
    )


def _count_tasks(rows: int, spark: SparkSession, settings: JoinSettings) -> int:
    """One task for what one worker does in seconds, otherwise several a core, so that none waits long for the last."""
    if rows <= settings.one_task_rows:
        return 1
    return max(1, min(len(split_rows(rows, settings.block_rows)), 4 * spark.sparkContext.defaultParallelism))


def _spread(spark: SparkSession, tasks: int, shipped: Broadcast[ItemVectors], settings: JoinSettings) -> DataFrame:
    """Give task t the blocks t, t + tasks, t + 2 * tasks, …: early blocks meet more others than late ones."""

    def join_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.column(0).to_pylist():
                yield from _join_task(shipped.value, slice(task, None, tasks), settings)

    return spark.range(0, tasks, 1, tasks).mapInArrow(join_blocks, _LINKS_DDL)


def _join_task(items: ItemVectors, share: slice, settings: JoinSettings) -> Iterator[pa.RecordBatch]:
    """Join one task's share of the blocks; stops early once its pairs alone exceed the budget."""
    pairs = 0
    vectors = Vectors(items.vectors_ND)
    # Every task has a core to itself; more threads would take those of its neighbours.
    with threadpool_limits(settings.threads):
        for rows in split_rows(len(vectors), settings.block_rows)[share]:
            for links in join_rows(vectors, rows, settings):
                yield from _to_batches(items.ids, links)
                pairs += int((links.rank_P == 0).sum())
                if pairs > settings.max_pairs:
                    return


def _to_batches(ids: pa.StringArray, links: Links) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(links), _BATCH_ROWS):
        part = slice(start, start + _BATCH_ROWS)
        left, right = ids.take(pa.array(links.left_P[part])), ids.take(pa.array(links.right_P[part]))
        # By position: Spark matches the columns of a batch with the schema in this order, not by name.
        yield pa.record_batch(
            [pa.array(links.rank_P[part]), left, right, pa.array(links.similarity_P[part])], schema=_LINKS
        )


def _check_budget(pairs: int, settings: JoinSettings) -> None:
    if pairs > settings.max_pairs:
        raise DataError(
            f"at least {pairs:,} pairs have a cosine of {settings.threshold} or more; similarity.max_pairs allows "
            f"{settings.max_pairs:,}. Nothing was written. Raise similarity.threshold, or similarity.max_pairs where "
            "disk and time allow for it (a pair takes about 100 bytes while it is being sorted)"
        )
