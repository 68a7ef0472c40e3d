"""From representatives to all items: what copies stand for in pairs and neighbours.

Of a join with itself `copies` is item_copies, of two sides it is matched_copies, or what the joins themselves give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinfolk.settings import Measure

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OF_IDENTICAL = {"cosine": "1D", "jaccard": "1D", "containment": "1D", "euclidean": "0D"}
"""How alike identical items are; under other measures that depends on the item, and is left open (null)."""

_PAIRS = """
SELECT least(l.item_id, r.item_id) AS left_id, greatest(l.item_id, r.item_id) AS right_id, similarity
FROM {pairs} AS p
JOIN {members} AS l ON l.representative_id = p.left_id
JOIN {members} AS r ON r.representative_id = p.right_id
UNION ALL
SELECT l.item_id, r.item_id, CAST({identical} AS DOUBLE)
FROM {members} AS l JOIN {members} AS r ON l.representative_id = r.representative_id AND l.item_id < r.item_id
"""

_MATCHED_PAIRS = """
SELECT l.item_id AS left_id, r.item_id AS right_id, similarity
FROM {pairs} AS p
JOIN {left} AS l ON l.representative_id = p.left_id
JOIN {right} AS r ON r.representative_id = p.right_id
"""

_NEIGHBORS = """
SELECT l.item_id, rank, r.item_id AS neighbor_id, similarity
FROM {neighbors} AS n
JOIN {left} AS l ON l.representative_id = n.item_id
JOIN {right} AS r ON r.representative_id = n.neighbor_id
"""

_IDENTICAL_NEIGHBORS = """
SELECT l.item_id, 0 AS rank, r.item_id AS neighbor_id, CAST({identical} AS DOUBLE) AS similarity
FROM {members} AS l JOIN {members} AS r ON l.representative_id = r.representative_id AND l.item_id <> r.item_id
"""


def expand_pairs(pairs: DataFrame, copies: DataFrame, *, measure: Measure = "cosine") -> DataFrame:
    """All pairs of items, each once: what holds of representatives holds of their copies, and copies are all alike.

    Takes similar_pairs and item_copies; gives left_id < right_id and similarity. A hundred thousand copies of one item
    are five billion pairs: filter by item where that can be.
    """
    members = _members(copies, pairs.select("left_id").union(pairs.select("right_id")))
    identical = _OF_IDENTICAL.get(measure, "NULL")
    return pairs.sparkSession.sql(_PAIRS.replace("{identical}", identical), pairs=pairs, members=members)


def expand_neighbors(neighbors: DataFrame, copies: DataFrame, *, measure: Measure = "cosine") -> DataFrame:
    """The nearest neighbours of all items: copies have those of their representative, and are neighbours where it is.

    Takes item_neighbors and item_copies; gives item_id, rank, neighbor_id and similarity. A rank is that of the
    neighbour's representative, so that copies share one, and an item's own copies come first, at rank 0.
    """
    members = _members(copies, neighbors.select("item_id").union(neighbors.select("neighbor_id")))
    identical = _IDENTICAL_NEIGHBORS.replace("{identical}", _OF_IDENTICAL.get(measure, "NULL"))
    spark = neighbors.sparkSession
    others = spark.sql(_NEIGHBORS, neighbors=neighbors, left=members, right=members)
    return spark.sql(identical, members=members).union(others)


def expand_matched_pairs(pairs: DataFrame, copies: DataFrame) -> DataFrame:
    """All pairs of a left and a right item.

    Takes matched_pairs and matched_copies; gives left_id, right_id and similarity.
    """
    left = _members(copies.where("side = 'left'"), pairs.select("left_id"))
    right = _members(copies.where("side = 'right'"), pairs.select("right_id"))
    return pairs.sparkSession.sql(_MATCHED_PAIRS, pairs=pairs, left=left, right=right)


def expand_matches(matches: DataFrame, copies: DataFrame) -> DataFrame:
    """The nearest right items of all left ones. Takes item_matches and matched_copies; gives columns as the former.

    A rank is that of the match's representative, so that copies share one.
    """
    left = _members(copies.where("side = 'left'"), matches.select("item_id"))
    right = _members(copies.where("side = 'right'"), matches.select("match_id"))
    neighbors = matches.withColumnRenamed("match_id", "neighbor_id")
    found = matches.sparkSession.sql(_NEIGHBORS, neighbors=neighbors, left=left, right=right)
    return found.withColumnRenamed("neighbor_id", "match_id")


def _members(copies: DataFrame, representatives: DataFrame) -> DataFrame:
    """Every item and the one that represents it, which may be itself."""
    itself = copies.select("representative_id").union(representatives).toDF("item_id").distinct()
    return copies.select("item_id", "representative_id").union(itself.selectExpr("item_id", "item_id"))
