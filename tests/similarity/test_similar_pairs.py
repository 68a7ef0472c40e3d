"""The join over DataFrames: the same answer in one task and in many, as the oracle's."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.copies import expand_pairs
from kinfolk.similarity.groups import connect_groups
from kinfolk.similarity.join import similar_pairs
from kinfolk.similarity.oracle import OracleJoin, cosine, join_by_brute_force

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def vectors() -> dict[str, list[float]]:
    """200 small whole vectors: many copies, many ties, several groups."""
    rows = np.random.default_rng(3).integers(-1, 2, size=(200, 5)).astype(float)
    rows[:, 0] += 2
    return {f"item{place:03d}": row.tolist() for place, row in enumerate(rows)}


def as_frame(spark: SparkSession, vectors: dict[str, list[float] | None]) -> DataFrame:
    values = pa.array(vectors.values(), pa.list_(pa.float32()))
    return spark.createDataFrame(pa.table({"item_id": pa.array(vectors, pa.string()), "embedding": values}))


def collect(items: DataFrame, join: JoinSettings) -> tuple[OracleJoin, int]:
    """What the join found, in the oracle's shape, and how many tasks it took."""
    with closing(similar_pairs(items, settings=join)) as result:
        groups = connect_groups(result.pairs, result.copies)
        found = OracleJoin(
            pairs={(row.left_id, row.right_id): row.similarity for row in result.pairs.collect()},
            neighbors={
                (row.item_id, row["rank"]): (row.neighbor_id, row.similarity) for row in result.neighbors.collect()
            },
            copies={row.item_id: row.representative_id for row in result.copies.collect()},
            groups={row.item_id: row.group_id for row in groups.collect()},
        )
        return found, result.audit.tasks


def test_one_task_and_many_find_what_brute_force_finds(spark: SparkSession, vectors: dict[str, list[float]]) -> None:
    expected = join_by_brute_force(vectors, settings=JoinSettings(threshold=0.95, neighbors=4))
    assert expected.copies
    assert expected.pairs
    assert len(set(expected.groups.values())) > 1
    items = as_frame(spark, vectors).repartition(3)
    for one_task_rows, tasks in ((50_000, 1), (0, 5)):
        join = JoinSettings(threshold=0.95, neighbors=4, block_rows=30, one_task_rows=one_task_rows)
        assert collect(items, join) == (expected, tasks)


def test_expanded_to_all_copies_the_pairs_are_those_of_all_items(
    spark: SparkSession, vectors: dict[str, list[float]]
) -> None:
    first = dict(list(vectors.items())[:80])
    expected = {
        (left, right): similarity
        for left in first
        for right in first
        if left < right and (similarity := cosine(first[left], first[right])) >= 0.9
    }
    with closing(similar_pairs(as_frame(spark, first), settings=JoinSettings(threshold=0.9))) as result:
        assert result.audit.copies
        found = expand_pairs(result.pairs, result.copies).collect()
    assert len(found) == len(expected)
    assert {(row.left_id, row.right_id): row.similarity for row in found} == expected


def test_every_item_is_accounted_for(spark: SparkSession) -> None:
    items = as_frame(spark, {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0], "bad": [0.0, 0.0], "none": None})
    with closing(similar_pairs(items, settings=JoinSettings())) as result:
        audit = result.audit
        assert (audit.items, audit.distinct, audit.copies, audit.rejected) == (5, 2, 1, 2)
        assert sorted((row.item_id, row.reject_reason) for row in result.rejected.collect()) == [
            ("bad", "zero_vector"),
            ("none", "missing_vector"),
        ]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_join(spark: SparkSession, count: int) -> None:
    items = as_frame(spark, {"only": [1.0, 2.0]}).limit(count)
    assert collect(items, JoinSettings()) == (OracleJoin({}, {}, {}, {}), 1)


@pytest.mark.parametrize("one_task_rows", [50_000, 0])
def test_more_pairs_than_the_budget_stop_the_join(spark: SparkSession, one_task_rows: int) -> None:
    rows = np.random.default_rng(0).random((200, 3)) + 1
    items = as_frame(spark, {f"{place:03d}": row.tolist() for place, row in enumerate(rows)})
    join = JoinSettings(threshold=0.5, max_pairs=1000, block_rows=50, one_task_rows=one_task_rows)
    with pytest.raises(DataError, match=r"similarity\.max_pairs allows 1,000.*Raise similarity\.threshold"):
        similar_pairs(items, settings=join)


def test_the_budget_stops_a_task_long_before_its_last_pair() -> None:
    """A tile of 10 x 10 may go beyond the budget; 200 items have 19,900 pairs."""
    from kinfolk.similarity.join import _join_task
    from kinfolk.similarity.vectors import ItemVectors

    rows = (np.random.default_rng(0).random((200, 3)) + 1).astype(np.float32)
    items = ItemVectors(pa.array([f"{place:03d}" for place in range(200)]), rows)
    join = JoinSettings(threshold=0.5, max_pairs=1, block_rows=10, neighbors=0)
    assert 1 < sum(batch.num_rows for batch in _join_task(items, slice(None), join)) <= 100
