"""The join over DataFrames: the same answer in one task and in many, as the oracle's."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from kinfolk.errors import DataError
from kinfolk.settings import JoinSettings, TokenSettings
from kinfolk.similarity.cluster import TASKS_A_CORE
from kinfolk.similarity.copies import expand_matched_pairs, expand_matches, expand_neighbors, expand_pairs
from kinfolk.similarity.join import similar_pairs
from kinfolk.similarity.oracle import OracleJoin, cosine, join_by_brute_force
from kinfolk.similarity.task import SideCount

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
        found = OracleJoin(
            pairs={(row.left_id, row.right_id): row.similarity for row in result.pairs.collect()},
            neighbors={
                (row.item_id, row["rank"]): (row.neighbor_id, row.similarity) for row in result.neighbors.collect()
            },
            copies={row.item_id: row.representative_id for row in result.copies.collect()},
            groups={},
        )
        return found, result.audit.tasks


def test_one_task_and_many_find_what_brute_force_finds(spark: SparkSession, vectors: dict[str, list[float]]) -> None:
    expected = join_by_brute_force(vectors, settings=JoinSettings(threshold=0.95, neighbors=4))
    assert expected.copies
    assert expected.pairs
    items = as_frame(spark, vectors).repartition(3)
    for one_task_rows, tasks in ((None, 1), (0, TASKS_A_CORE * 2)):
        join = JoinSettings(threshold=0.95, neighbors=4, block_rows=30, one_task_rows=one_task_rows)
        assert collect(items, join) == (replace(expected, groups={}), tasks)


@pytest.mark.parametrize("one_task_rows", [50_000, 0])
def test_another_table_is_joined_with_its_own_copies_and_rejects(
    spark: SparkSession, vectors: dict[str, list[float]], one_task_rows: int
) -> None:
    left, right = dict(list(vectors.items())[:90]), dict(list(vectors.items())[60:])
    join = JoinSettings(measure="euclidean", threshold=1.0, neighbors=2, one_task_rows=one_task_rows)
    expected = join_by_brute_force(left, right, settings=join)
    frames = as_frame(spark, left | {"none": None}), as_frame(spark, right | {"longer": [1.0] * 6})
    with closing(similar_pairs(*frames, settings=join)) as result:
        found = {(row.left_id, row.right_id): row.similarity for row in result.pairs.collect()}
        neighbors = {(r.item_id, r["rank"]): (r.neighbor_id, r.similarity) for r in result.neighbors.collect()}
        copies = {(row.side, row.item_id) for row in result.copies.collect()}
        rejected = {(row.side, row.item_id, row.reject_reason) for row in result.rejected.collect()}
    assert (found, neighbors) == (expected.pairs, expected.neighbors)
    assert {item for side, item in copies if side == "left"} == set(expected.copies)
    assert {side for side, _ in copies} == {"left", "right"}
    assert rejected == {("left", "none", "missing_vector"), ("right", "longer", "wrong_length")}
    assert result.audit.items == 90 + 140 + 2


@pytest.mark.parametrize("one_task_rows", [50_000, 0])
def test_below_full_recall_the_audit_says_how_much_was_found(spark: SparkSession, one_task_rows: int) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((100, 12))[random.integers(0, 100, 2000)] + random.standard_normal((2000, 12)) * 0.4
    items = {f"{place:04d}": row.tolist() for place, row in enumerate(rows.astype(np.float32))}
    wanted = {"threshold": 0.9, "neighbors": 5, "probes": 500, "one_task_rows": one_task_rows}
    with closing(similar_pairs(as_frame(spark, items), settings=JoinSettings(**wanted))) as exact:
        assert (exact.audit.plan, exact.audit.is_exact) == ("exact", True)
        truth = {(r.item_id, r.neighbor_id) for r in exact.neighbors.collect()}
    approximate = JoinSettings(recall=0.95, plan="cells", **wanted)
    with closing(similar_pairs(as_frame(spark, items), settings=approximate)) as result:
        audit = result.audit
        found = {(r.item_id, r.neighbor_id) for r in result.neighbors.collect()}
    share = len(found & truth) / len(truth)
    assert (audit.plan, audit.recall.probes, audit.tasks > 1) == ("cells", 500, one_task_rows == 0)
    assert 0.93 < share < 1
    assert audit.recall.low - 0.01 < share < audit.recall.high + 0.03


def test_raw_texts_are_joined_as_sets_of_their_words(spark: SparkSession) -> None:
    texts = {"a": "one two three four", "b": "One, two - THREE four!", "c": "two three four five", "d": "", "e": None}
    items = spark.createDataFrame(list(texts.items()), "item_id string, text string")
    join = JoinSettings(measure="jaccard", threshold=0.6, neighbors=1, tokens=TokenSettings(length=1))
    with closing(similar_pairs(items, settings=join)) as result:
        assert [tuple(row) for row in result.pairs.collect()] == [("a", "c", 0.6)]
        assert [(r.item_id, r.representative_id) for r in result.copies.collect()] == [("b", "a")]
        assert {(r.item_id, r.reject_reason) for r in result.rejected.collect()} == {
            ("d", "empty_set"),
            ("e", "missing_value"),
        }


def test_a_frame_without_what_is_compared_is_refused(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", "x")], "item_id string, title string")
    with pytest.raises(DataError, match="columns are item_id, title; a join under jaccard needs item_id and text or"):
        similar_pairs(frame, settings=JoinSettings(measure="jaccard"))


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
        assert result.audit.left.copies
        found = expand_pairs(result.pairs, result.copies).collect()
    assert len(found) == len(expected)
    assert {(row.left_id, row.right_id): row.similarity for row in found} == expected


def test_neighbours_of_representatives_stand_for_those_of_their_copies(spark: SparkSession) -> None:
    vectors = {"a": [0.0], "a2": [0.0], "b": [1.0], "b2": [1.0], "c": [3.0]}
    wanted = JoinSettings(measure="euclidean", threshold=None, neighbors=1)
    with closing(similar_pairs(as_frame(spark, vectors), settings=wanted)) as result:
        found = expand_neighbors(result.neighbors, result.copies, measure="euclidean").collect()
    expected = {("a", 0, "a2", 0.0), ("a2", 0, "a", 0.0), ("b", 0, "b2", 0.0), ("b2", 0, "b", 0.0)}
    expected |= {(item, 1, near, -1.0) for one, other in ("ab", "ba") for item in (one, f"{one}2")
                 for near in (other, f"{other}2")}  # fmt: skip
    expected |= {("c", 1, near, -2.0) for near in ("b", "b2")}
    assert len(found) == len(expected)
    assert {(row.item_id, row["rank"], row.neighbor_id, row.similarity) for row in found} == expected


def test_matches_of_representatives_stand_for_those_of_their_copies(spark: SparkSession) -> None:
    left, right = {"a": [0.0], "a2": [0.0], "z": [9.0]}, {"a": [1.0], "b": [1.0], "c": [4.0]}
    wanted = JoinSettings(measure="euclidean", threshold=2.0, neighbors=1)
    with closing(similar_pairs(as_frame(spark, left), as_frame(spark, right), settings=wanted)) as result:
        pairs = expand_matched_pairs(result.pairs, result.copies).collect()
        matches = expand_matches(result.neighbors.withColumnRenamed("neighbor_id", "match_id"), result.copies)
        near = sorted((row.item_id, row["rank"], row.match_id, row.similarity) for row in matches.collect())
    both = [(item, other, -1.0) for item in ("a", "a2") for other in ("a", "b")]
    assert sorted((row.left_id, row.right_id, row.similarity) for row in pairs) == both
    assert near == [(item, 1, other, similarity) for item, other, similarity in [*both, ("z", "c", -5.0)]]


def test_every_item_is_accounted_for(spark: SparkSession) -> None:
    items = as_frame(spark, {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0], "bad": [0.0, 0.0], "none": None})
    with closing(similar_pairs(items, settings=JoinSettings())) as result:
        audit = result.audit
        assert audit.left == SideCount(items=5, distinct=2, copies=1, rejected=2)
        assert sorted((row.item_id, row.reject_reason) for row in result.rejected.collect()) == [
            ("bad", "zero_vector"),
            ("none", "missing_vector"),
        ]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_join(spark: SparkSession, count: int) -> None:
    items = as_frame(spark, {"only": [1.0, 2.0]}).limit(count)
    for one_task_rows in (50_000, 0):
        assert collect(items, JoinSettings(one_task_rows=one_task_rows))[0] == OracleJoin({}, {}, {}, {})


@pytest.mark.parametrize("one_task_rows", [50_000, 0])
def test_more_pairs_than_the_budget_stop_the_join(spark: SparkSession, one_task_rows: int) -> None:
    rows = np.random.default_rng(0).random((200, 3)) + 1
    items = as_frame(spark, {f"{place:03d}": row.tolist() for place, row in enumerate(rows)})
    join = JoinSettings(threshold=0.5, max_pairs=1000, block_rows=50, one_task_rows=one_task_rows)
    with pytest.raises(DataError, match=r"similarity\.max_pairs allows 1,000.*Raise similarity\.threshold"):
        similar_pairs(items, settings=join)
