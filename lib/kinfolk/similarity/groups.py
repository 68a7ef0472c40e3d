"""Groups: items connected by similar pairs or by being copies of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DDL = "first string, second string"
_SCHEMA = pa.schema([("first", pa.string()), ("second", pa.string())])
_EDGES_AT_A_TIME = 1 << 20


def connect_groups(pairs: DataFrame, copies: DataFrame) -> DataFrame:
    """Group the items that pairs or copies connect, directly or through others.

    Takes left_id and right_id of the pairs, item_id and representative_id of the copies; gives item_id, group_id (the
    first item of the group, by id) and group_size (2 or more). Each task first reduces its own edges to one for each
    item it has seen, so that the driver gets at most as many as tasks times items.
    """
    edges = pairs.select("left_id", "right_id").toDF("first", "second")
    edges = edges.union(copies.select("representative_id", "item_id").toDF("first", "second"))
    reduced = edges.mapInArrow(_reduce_edges, _DDL).toArrow()
    return edges.sparkSession.createDataFrame(group_table(reduced))


def group_table(edges: pa.Table) -> pa.Table:
    """The groups that edges (first, second) form: item_id, group_id, group_size, in the order of the items."""
    ids, group_N = _components(edges)
    group_id_N, sizes = np.unique(group_N, return_counts=True)
    size_N = sizes[np.searchsorted(group_id_N, group_N)]
    return pa.table(
        {"item_id": ids, "group_id": ids.take(pa.array(group_N)), "group_size": pa.array(size_N, pa.int64())}
    )


def _reduce_edges(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Replace the edges of one task by edges from the first item of each connected part to its other items."""
    waiting = [_SCHEMA.empty_table()]
    limit = _EDGES_AT_A_TIME
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]).cast(_SCHEMA))
        if sum(part.num_rows for part in waiting) > limit:
            waiting = [_star_edges(pa.concat_tables(waiting))]
            # Twice what cannot be reduced further, so that the whole work stays proportional to the edges.
            limit = max(_EDGES_AT_A_TIME, 2 * waiting[0].num_rows)
    yield from _star_edges(pa.concat_tables(waiting)).to_batches()


def _star_edges(edges: pa.Table) -> pa.Table:
    ids, group_N = _components(edges)
    others = np.flatnonzero(group_N != np.arange(len(ids)))
    return pa.table({"first": ids.take(pa.array(group_N[others])), "second": ids.take(pa.array(others))})


def _components(edges: pa.Table) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """All items of the edges in order, and for each the position of the first item that it is connected with."""
    ends = pa.chunked_array([*edges["first"].chunks, *edges["second"].chunks], pa.string())
    ids = pc.unique(ends).sort()
    code_P = pc.index_in(ends, ids).to_numpy().astype(np.int64)
    first_E, second_E = np.split(code_P, [edges.num_rows])
    graph = coo_array((np.ones(len(first_E), bool), (first_E, second_E)), shape=(len(ids), len(ids)))
    part_N = connected_components(graph, directed=False)[1] if len(ids) else np.empty(0, np.int64)
    first_of_part = np.unique(part_N, return_index=True)[1].astype(np.int64)
    return ids, first_of_part[part_N]
