"""Groups: items connected by similar pairs or by being copies of each other, with the guard against chaining.

An edge is a pair with its similarity, or a copy with its representative, which are infinitely alike. One task groups
all edges while they are few enough; otherwise rounds over the cluster find what is connected (`stars`), and tasks get
whole components. Either way the same function sees all edges of each group it makes, so the result is the same.

Shape suffixes: E edges, P pairs, N nodes (an item with its copies), I items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.settings import GroupSettings
from kinfolk.similarity.groups.chaining import Limits, split_chains
from kinfolk.similarity.groups.hops import Codes, make_graph
from kinfolk.similarity.groups.identity import follow_groups
from kinfolk.similarity.groups.spanning import find_spanning_forest
from kinfolk.similarity.groups.stars import encode_ends, label_components, spread_components

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EDGES = pa.schema([("left_id", pa.string()), ("right_id", pa.string()), ("similarity", pa.float64())])

# Rows of a result that travel to the JVM at a time.
_BATCH_ROWS = 65_536

_MEMBERS = "item_id string, first_id string, group_size bigint, weakest_link double, diameter int"


@dataclass(frozen=True)
class GroupResult:
    """The groups of a night, and how they came out of those of the night before.

    `groups`: item_id, group_id, group_size (2 or more), weakest_link (null for copies alone), diameter. `events`: the
    columns of group_events but for the run, in memory. `rounds` over the cluster that it took, 0 in one task. The
    groups stay in Spark's storage until `close`.
    """

    groups: DataFrame
    events: pa.Table
    rounds: int
    close: Callable[[], None]


def connect_groups(
    pairs: DataFrame, copies: DataFrame, *, settings: GroupSettings, previous: DataFrame | None = None
) -> GroupResult:
    """Group the items that pairs or copies connect, directly or through others; split groups beyond the limits.

    Takes left_id, right_id and similarity of the pairs, item_id and representative_id of the copies, item_id and
    group_id of the groups as they were, if there were any. Raises DataError where a similarity is missing or not
    finite.
    """
    edges = _select_edges(pairs, copies)
    if _count_pairs(pairs) + copies.count() <= settings.one_task_edges:
        spread, rounds = edges.repartition(1), 0
    else:
        spread, rounds = spread_components(edges, settings.one_task_edges)
    members = spread.mapInArrow(_group_task(settings), _MEMBERS).persist()
    try:
        groups, events = follow_groups(members, previous)
    except BaseException:
        members.unpersist()
        raise

    def close() -> None:
        members.unpersist()

    return GroupResult(groups, events, rounds, close)


def group_edges(edges: pa.Table, settings: GroupSettings) -> pa.Table:
    """The groups that edges form, as rows of item_id, first_id, group_size, weakest_link and diameter, items in order.

    Edges have left_id, right_id and similarity, infinite for copies; all edges of a group have to be there. first_id is
    the first member of the item's group.
    """
    ids, left_E, right_E = encode_ends(edges["left_id"], edges["right_id"])
    similarity_E = edges["similarity"].to_numpy()
    is_copy_E = np.isposinf(similarity_E)
    node_I = label_components(left_E[is_copy_E], right_E[is_copy_E], len(ids))
    nodes = int(node_I.max(initial=-1)) + 1
    left_E, right_E = node_I[left_E], node_I[right_E]
    is_pair_E = left_E != right_E
    left_P, right_P, similarity_P = left_E[is_pair_E], right_E[is_pair_E], similarity_E[is_pair_E]
    link_F = find_spanning_forest(left_P, right_P, similarity_P, nodes)
    parts = split_chains(
        make_graph(left_P, right_P, similarity_P, nodes),
        make_graph(left_P[link_F], right_P[link_F], similarity_P[link_F], nodes),
        np.bincount(node_I),
        Limits(settings.max_hops, settings.max_items),
    )
    return _describe_parts(ids, parts.part_N[node_I], parts.weakest_N, parts.diameter_N)


def _describe_parts(ids: pa.StringArray, part_I: Codes, weakest_N: NDArray[np.float64], diameter_N: Codes) -> pa.Table:
    """One row for each item that is not alone in its part."""
    labels, first_L, label_I, size_L = np.unique(part_I, return_index=True, return_inverse=True, return_counts=True)
    kept_I = np.flatnonzero(size_L[label_I] > 1)
    label_K = label_I[kept_I]
    weakest_K = weakest_N[labels][label_K]
    return pa.table(
        {
            "item_id": ids.take(pa.array(kept_I)),
            "first_id": ids.take(pa.array(first_L[label_K])),
            "group_size": pa.array(size_L[label_K], pa.int64()),
            "weakest_link": pa.array(weakest_K, pa.float64(), mask=np.isposinf(weakest_K)),
            # Copies are as far from others as their representative, and one hop from each other.
            "diameter": pa.array(np.maximum(diameter_N[labels][label_K], 1), pa.int32()),
        }
    )


def _group_task(settings: GroupSettings) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a task does with all edges of some components."""

    def group(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        edges = pa.Table.from_batches([batch.select(_EDGES.names).cast(_EDGES) for batch in batches], _EDGES)
        yield from group_edges(edges, settings).to_batches(max_chunksize=_BATCH_ROWS)

    return group


def _count_pairs(pairs: DataFrame) -> int:
    from pyspark.sql import functions as F

    # Infinities are kept for copies, and NaN has no place in an order.
    is_finite = F.col("similarity").isNotNull() & (F.abs("similarity") < float("inf"))
    row = pairs.agg(F.count("*").alias("pairs"), F.count_if(~is_finite).alias("odd")).collect()[0]
    if row["odd"]:
        raise DataError(
            f"{row['odd']:,} of {row['pairs']:,} pairs have a similarity that is null, infinite or not a number; "
            "groups need finite ones. Leave those pairs out, or see what computed them"
        )
    return int(row["pairs"])


def _select_edges(pairs: DataFrame, copies: DataFrame) -> DataFrame:
    similar = pairs.select("left_id", "right_id", "similarity")
    alike = copies.selectExpr("representative_id", "item_id", "double('Infinity')")
    return similar.union(alike).toDF(*_EDGES.names)
