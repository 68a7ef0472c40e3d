"""A night: what changed is compared with the whole, and what stood before is kept where nothing touched it.

As a join of everything would find:

    pairs        stay where both items are settled (`changes`); those of fresh items are found by comparing these with
                 all (the delta rule for joins; Gupta and Mumick, Maintenance of Materialized Views, 1995)
    neighbours   of fresh rows, and of settled ones that lost a neighbour, are found anew; any other row keeps its
                 list, unless a fresh item is as near as the last of it: then both compete for its places

The driver reads and checks all items and sees what changed; tasks compare, exactly, whatever the plan of the first
night was. What is kept stays in Spark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from threadpoolctl import threadpool_limits

from kinfolk.settings import JoinSettings
from kinfolk.similarity.changes import Change, Night, exact_settings, find_change, join_night
from kinfolk.similarity.cluster import (
    count_shares,
    count_threads,
    measure_found,
    one_task_rows,
    read_found,
    read_rows,
    run_shares,
)
from kinfolk.similarity.forecast import Forecast
from kinfolk.similarity.items import plan_items
from kinfolk.similarity.recall import CERTAIN, Recall
from kinfolk.similarity.task import Prepared, Report, Side, prepare_sides
from kinfolk.tables.scans import read_frame
from kinfolk.tasks.files import write_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_CHANGED = 0.25
"""Share of the rows to compare with all others from which on comparing all with all takes no longer."""
MOST_CHANGED_BELOW_FULL_RECALL = 0.02
"""The same where cells or MinHash do that, some twenty times faster than comparing all with all."""


@dataclass(frozen=True)
class JoinState:
    """What a join leaves for the next one, as frames of one join, which stay valid as long as the tables they are of.

    `digests`: side, item_id and digest, a row for each representative. `pairs` and `neighbors` as in JoinResult.
    """

    digests: DataFrame
    pairs: DataFrame
    neighbors: DataFrame


@dataclass(frozen=True)
class NightFound:
    """What a night found: reports of its tasks, all pairs and neighbours, their recall, and how many rows were due."""

    reports: list[Report]
    pairs: DataFrame
    neighbors: DataFrame
    recall: Recall
    due: int


def join_changes(
    rows: DataFrame,
    previous: JoinState,
    settings: JoinSettings,
    folder: str,
    *,
    is_self_join: bool,
    hear: Callable[[Forecast], None],
) -> NightFound | None:
    """Join rows (is_right, item_id, value) by what changed; None where comparing all with all takes no longer.

    `hear` is told what will be done before the work.
    """
    spark = rows.sparkSession
    threads = count_threads(spark, settings)
    table = read_rows(rows, settings, threads=threads)
    with threadpool_limits(1):
        sides = prepare_sides(table, settings, is_self_join=is_self_join, threads=threads)
        night = _plan_night(sides, previous, settings, folder, threads=threads)
    if night is None:
        return None
    hear(night.prepared.join.forecasts[0])
    shares = 1 if table.num_rows <= one_task_rows(spark, settings) else count_shares(spark)
    reports = run_shares(spark, night, join_night, settings, folder, shares=shares)
    pairs = _keep_pairs(night, previous, folder).union(read_found(spark, "pairs", reports))
    neighbors = _merge_neighbors(night, previous, settings, folder, reports)
    recall = CERTAIN
    if settings.recall < 1:
        recall = measure_found(night.prepared, pairs, neighbors, settings, threads=threads)
    return NightFound(reports, pairs, neighbors, recall, int(night.is_due_N.sum()))


def _plan_night(
    sides: tuple[Side, Side | None], previous: JoinState, settings: JoinSettings, folder: str, *, threads: int
) -> Night | None:
    (left, right), digests = sides, read_frame(previous.digests, threads=threads)
    change = find_change(left, _of_side(digests, "left"), settings)
    base_change = change if right is None else find_change(right, _of_side(digests, "right"), settings)
    is_due_N, floor_N = change.is_fresh_N.copy(), np.full(len(left.items), -np.inf)
    if _is_too_much(is_due_N, base_change, settings):
        return None
    if settings.neighbors:
        is_due_N[_find_losers(left, base_change, previous.neighbors, folder)] = True
        if _is_too_much(is_due_N, base_change, settings):
            return None
        last = previous.neighbors.where(F.col("rank") == settings.neighbors).select("item_id", "similarity").toArrow()
        is_here = pc.is_in(last["item_id"], left.items.ids)
        floor_N[_places(left, last)] = last["similarity"].filter(is_here).to_numpy()
    others = right.items if right else None
    join = plan_items(
        left.items, others, exact_settings(settings), threads=threads, is_shared=False, is_forecast_needed=False
    )
    due = int(is_due_N.sum())
    comparisons = float(due * len(base_change.is_fresh_N))
    join.forecasts = [replace(join.forecasts[0], plan=f"{join.plan}, {due:,} items anew", comparisons=comparisons)]
    return Night(Prepared(left, right, join), change, base_change, is_due_N, floor_N)


def _of_side(digests: pa.Table, side: str) -> pa.Table:
    return digests.filter(pc.equal(digests["side"], side))


def _is_too_much(is_due_N: NDArray[np.bool_], base: Change, settings: JoinSettings) -> bool:
    """Whether comparing all with all takes no longer than due rows with all, and the other ones with fresh items."""
    if not len(is_due_N) or not len(base.is_fresh_N):
        return True
    most = MOST_CHANGED if settings.recall == 1 else MOST_CHANGED_BELOW_FULL_RECALL
    return float(is_due_N.mean() + base.is_fresh_N.mean()) > most


def _find_losers(left: Side, base: Change, neighbors: DataFrame, folder: str) -> NDArray[np.int64]:
    """The rows that had a neighbour that is gone."""
    gone = _write_ids(neighbors, base.gone_ids, folder).withColumnRenamed("item_id", "neighbor_id")
    lost = neighbors.join(gone, "neighbor_id", "leftsemi").select("item_id").distinct()
    return _places(left, lost.toArrow())


def _places(side: Side, rows: pa.Table) -> NDArray[np.int64]:
    """The codes of those items that are there."""
    places = pc.index_in(pa.chunked_array(rows["item_id"]), side.items.ids).drop_null()
    codes: NDArray[np.int64] = places.to_numpy().astype(np.int64)
    return codes


_IDS = pa.schema([("item_id", pa.string())])


def _write_ids(near: DataFrame, ids: pa.StringArray, folder: str) -> DataFrame:
    """Ids as a frame, read from a file, so that Spark knows how few they are."""
    path = write_rows(folder, _IDS, [pa.table([ids], schema=_IDS)])
    return near.sparkSession.read.schema(from_arrow_schema(_IDS)).parquet(path)


def _keep_pairs(night: Night, previous: JoinState, folder: str) -> DataFrame:
    """Last night's pairs of settled items."""
    kept = previous.pairs.select("left_id", "right_id", "similarity")
    for column, change in (("left_id", night.left), ("right_id", night.base)):
        gone = _write_ids(kept, change.gone_ids, folder).withColumnRenamed("item_id", column)
        kept = kept.join(gone, column, "leftanti")
    return kept.select("left_id", "right_id", "similarity")


_COMPETE = """
SELECT item_id, CAST(place AS INT) AS rank, neighbor_id, similarity FROM (
  SELECT item_id, neighbor_id, similarity,
         row_number() OVER (PARTITION BY item_id ORDER BY similarity DESC, neighbor_id) AS place
  FROM {rivals}
) WHERE place <= {wanted}
"""


def _merge_neighbors(
    night: Night, previous: JoinState, settings: JoinSettings, folder: str, reports: list[Report]
) -> DataFrame:
    """All neighbours of tonight: lists that stay, those in which fresh items compete, and those found anew."""
    before = previous.neighbors.select("item_id", "rank", "neighbor_id", "similarity")
    spark = before.sparkSession
    found, offers = (read_found(spark, kind, reports) for kind in ("neighbors", "offers"))
    ids = night.prepared.left.items.ids
    replaced = pa.concat_arrays([night.left.gone_ids, ids.filter(pa.array(night.is_due_N))])
    standing = before.join(_write_ids(before, replaced, folder), "item_id", "leftanti")
    offered = offers.select("item_id").distinct()
    rivals = standing.join(offered, "item_id", "leftsemi").union(offers)
    contested = spark.sql(_COMPETE, rivals=rivals, wanted=settings.neighbors)
    return standing.join(offered, "item_id", "leftanti").union(contested).union(found)
