"""Connected components over a cluster: what is too much for one task is made into stars, round by round.

Alternating large-star and small-star (Kiveris et al., Connected components in MapReduce and beyond, SoCC 2014). Both
keep connected what is connected, and hang items on smaller ones: a large-star hangs every item's larger neighbours on
the smallest item around, a small-star its smaller ones. When neither changes anything, each component is a star around
its first item. Before the rounds each task reduces its own edges to stars, so that there are at most as many links as
tasks times items.

Shape suffixes: E edges, N items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kinfolk.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_ROUNDS = 50
"""Rounds before the search is given up. It takes about as many as the logarithm of the largest component."""

_LINKS = pa.schema([("item_id", pa.string()), ("first_id", pa.string())])
_LINKS_DDL = "item_id string, first_id string"
_EDGES_AT_A_TIME = 1 << 20

_LARGE_STAR = """
WITH sides AS (
  SELECT stack(2, item_id, first_id, first_id, item_id) AS (item_id, neighbor_id) FROM {links}
), nearest AS (
  SELECT *, least(item_id, min(neighbor_id) OVER (PARTITION BY item_id)) AS first_id FROM sides
)
SELECT neighbor_id AS item_id, first_id FROM nearest WHERE neighbor_id > item_id
"""

_SMALL_STAR = """
WITH nearest AS (SELECT *, min(first_id) OVER (PARTITION BY item_id) AS least_id FROM {links})
SELECT DISTINCT if(first_id > least_id, first_id, item_id) AS item_id, least_id AS first_id FROM nearest
"""


def spread_components(edges: DataFrame, one_task_links: int) -> tuple[DataFrame, int]:
    """Bring all edges of a component into one task, and tell the rounds that it took; edges have left_id and right_id.

    Once no more than `one_task_links` are left to look at, one task finishes. Raises DataError where `MOST_ROUNDS` do
    not do.
    """
    stars, rounds = find_stars(edges.select("left_id", "right_id"), one_task_links)
    labels = stars.selectExpr("item_id AS left_id", "first_id AS component_id")
    labelled = edges.join(labels, "left_id", "left").selectExpr(
        "coalesce(component_id, left_id) AS component_id", *edges.columns
    )
    return labelled.repartition("component_id"), rounds


def find_stars(edges: DataFrame, one_task_links: int) -> tuple[DataFrame, int]:
    """For each item that is not the first of its component, that first (item_id, first_id); and the rounds it took."""
    spark = edges.sparkSession
    links = edges.mapInArrow(_reduce_edges, _LINKS_DDL).localCheckpoint()
    digest, before = _digest(links), None
    for rounds in range(MOST_ROUNDS):
        if digest[0] <= one_task_links:
            return links.repartition(1).mapInArrow(_reduce_edges, _LINKS_DDL), rounds
        if digest == before:
            return links, rounds
        large = spark.sql(_LARGE_STAR, links=links)
        # Without checkpoints every round would plan, and after a loss repeat, all rounds before it.
        links = spark.sql(_SMALL_STAR, links=large).localCheckpoint()
        digest, before = _digest(links), digest
    raise DataError(
        f"the components of {digest[0]:,} links were not found in {MOST_ROUNDS} rounds; see whether pairs or copies "
        "change while they are read, or let one task take more with similarity.groups.one_task_edges"
    )


def _digest(links: DataFrame) -> tuple[int, int]:
    row = links.selectExpr(
        "count(*)", "coalesce(sum(cast(xxhash64(item_id, first_id) AS decimal(20, 0))), 0)"
    ).collect()
    return int(row[0][0]), int(row[0][1])


def _reduce_edges(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Replace the edges of one task by links of all items of each connected part to its first."""
    waiting = [_LINKS.empty_table()]
    limit = _EDGES_AT_A_TIME
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]).rename_columns(_LINKS.names).cast(_LINKS))
        if sum(part.num_rows for part in waiting) > limit:
            waiting = [_make_stars(pa.concat_tables(waiting))]
            # Twice what cannot be reduced further, so that the whole work stays proportional to the edges.
            limit = max(_EDGES_AT_A_TIME, 2 * waiting[0].num_rows)
    yield from _make_stars(pa.concat_tables(waiting)).to_batches()


def _make_stars(links: pa.Table) -> pa.Table:
    ids, end_E, other_E = encode_ends(links["item_id"], links["first_id"])
    part_N = label_components(end_E, other_E, len(ids))
    first_N = np.unique(part_N, return_index=True)[1][part_N]
    others = np.flatnonzero(first_N != np.arange(len(ids)))
    return pa.table([ids.take(pa.array(others)), ids.take(pa.array(first_N[others]))], schema=_LINKS)


def encode_ends(
    left: pa.ChunkedArray, right: pa.ChunkedArray
) -> tuple[pa.StringArray, NDArray[np.int64], NDArray[np.int64]]:
    """All items that edges connect, in order, and of each edge the places of its two ends among them."""
    ends = pa.chunked_array([*left.chunks, *right.chunks], pa.string())
    if not len(ends):
        return pa.array([], pa.string()), np.empty(0, np.int64), np.empty(0, np.int64)
    parts = ends.dictionary_encode().unify_dictionaries().chunks
    order_N = pc.sort_indices(parts[0].dictionary)
    place_N = np.empty(len(order_N), np.int64)
    place_N[order_N.to_numpy()] = np.arange(len(order_N))
    end_E = np.concatenate([place_N[part.indices.to_numpy()] for part in parts])
    left_E, right_E = np.split(end_E, [len(left)])
    return parts[0].dictionary.take(order_N), left_E, right_E


def label_components(left_E: NDArray[np.int64], right_E: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """The connected component of each item, as numbers from 0; edges join codes below `items`."""
    if not items:
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(left_E), np.bool_), (left_E, right_E)), shape=(items, items))
    label_N: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return label_N.astype(np.int64)
