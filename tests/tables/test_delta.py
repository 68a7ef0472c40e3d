"""Writes are checked before they are committed, and an equal result makes no commit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk.errors import ContractError, LossLimitError
from kinfolk.tables import delta
from kinfolk.tables.catalog import SIMILAR_PAIRS
from kinfolk.tables.contract import Column, Table
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = "left_id string, right_id string, similarity double"
Row = tuple[str, str, float]


def stage(spark: SparkSession, rows: list[Row], folder: Path) -> delta.Staged:
    return delta.stage(spark.createDataFrame(rows, SCHEMA), SIMILAR_PAIRS, str(folder))


def sync(spark: SparkSession, lake: Lake, rows: list[Row], folder: Path, run_id: str) -> bool:
    """Bring the table to `rows`; return whether that took a commit."""
    lake.prepare(SIMILAR_PAIRS)
    staged = stage(spark, rows, folder)
    if delta.is_current(staged, SIMILAR_PAIRS, lake):
        return False
    delta.commit_sync(staged, SIMILAR_PAIRS, lake, delta.Stamp("join", run_id, datetime(2026, 1, 1, tzinfo=UTC)))
    return True


def test_sync_inserts_updates_and_deletes_and_keeps_the_provenance_of_what_stayed(
    spark: SparkSession, lake: str, tmp_path: Path
) -> None:
    store = Lake(lake)
    assert sync(spark, store, [("a", "b", 0.5), ("a", "c", 0.6), ("b", "c", 0.7)], tmp_path / "s1", "first")
    assert sync(spark, store, [("a", "b", 0.5), ("a", "c", 0.9), ("b", "d", 0.8)], tmp_path / "s2", "second")
    rows = store.read(SIMILAR_PAIRS, ["left_id", "right_id", "similarity", "run_id"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [
        ("a", "b", 0.5, "first"),
        ("a", "c", 0.9, "second"),
        ("b", "d", 0.8, "second"),
    ]


def test_an_equal_result_makes_no_commit(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    store = Lake(lake)
    rows = [("a", "b", 0.5), ("a", "c", float("nan"))]
    sync(spark, store, rows, tmp_path / "s1", "first")
    version = store.snapshot(SIMILAR_PAIRS).version
    assert not sync(spark, store, rows[::-1], tmp_path / "s2", "second")
    assert store.snapshot(SIMILAR_PAIRS).version == version


def test_commits_carry_job_and_run(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    store = Lake(lake)
    sync(spark, store, [("a", "b", 0.5)], tmp_path / "s", "first")
    assert store.open(SIMILAR_PAIRS).history(1)[0]["userMetadata"] == '{"job": "join", "run_id": "first"}'


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", "b", 0.5), ("a", "b", 0.6)], r"key \('a', 'b'\) comes 2 times"),
        ([("a", None, 0.5)], "1 rows have no right_id"),
        ([("b", "a", 0.5)], "each_pair_once"),
    ],
)
def test_rows_that_break_the_contract_are_refused_before_a_commit(
    spark: SparkSession, tmp_path: Path, rows: list[Row], words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        stage(spark, rows, tmp_path / "s")


def test_columns_that_differ_from_the_contract_are_all_named(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([("a", 1)], "left_id string, similarity int")
    with pytest.raises(ContractError, match=r"right_id.*missing.*similarity is int"):
        delta.stage(frame, SIMILAR_PAIRS, str(tmp_path / "s"))


def test_the_digest_tells_nulls_apart_and_ignores_order(spark: SparkSession) -> None:
    def of(rows: list[tuple[str | None, str | None]]) -> delta.Digest:
        frame: DataFrame = spark.createDataFrame(rows, "a string, b string")
        return delta.digest(frame, ["a", "b"])

    assert of([("x", None), ("y", "z")]) == of([("y", "z"), ("x", None)])
    assert of([("x", None)]) != of([(None, "x")])
    assert of([("x", "x")]) != of([("x", "x"), ("x", "x")])


def test_a_loss_above_the_limits_names_the_commonest_reasons(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame(
        [("a", "b", 0.5, None), ("a", "c", 0.5, "too_old"), ("a", "d", 0.5, "too_old"), ("a", "e", 0.5, "odd")],
        SCHEMA + ", reject_reason string",
    )
    staged = delta.stage(frame, SIMILAR_PAIRS, str(tmp_path / "s"))
    delta.check_limits(staged, SIMILAR_PAIRS, 0, 0, max_rejected=0.75, max_deleted=0.5)
    with pytest.raises(LossLimitError, match=r"3 of 4 rows.*too_old 2, odd 1"):
        delta.check_limits(staged, SIMILAR_PAIRS, 0, 0, max_rejected=0.7, max_deleted=0.5)
    with pytest.raises(LossLimitError, match="6 of its 10 rows would be deleted"):
        delta.check_limits(staged, SIMILAR_PAIRS, 6, 10, max_rejected=0.75, max_deleted=0.5)


def test_delta_itself_enforces_checks_and_not_null(spark: SparkSession, lake: str) -> None:
    store = Lake(lake)
    store.prepare(SIMILAR_PAIRS)
    for values in ("('b', 'a', 1.0, 'r', now())", "('a', 'b', NULL, 'r', now())"):
        with pytest.raises(Exception, match=r"DELTA_VIOLATE_CONSTRAINT|DELTA_NOT_NULL_CONSTRAINT_VIOLATED"):
            spark.sql(f"INSERT INTO delta.`{store.path('similar_pairs')}` VALUES {values}")


OLD = Table("things", "t", (Column("id", "string", "id"),), key=("id",))


def test_a_contract_grows_by_nullable_columns_and_checks(lake: str) -> None:
    store = Lake(lake)
    store.prepare(OLD)
    grown = Table(
        "things",
        "t",
        (*OLD.columns, Column("size", "int", "size", nullable=True)),
        key=("id",),
        checks={"has_id": "id <> ''"},
    )
    store.prepare(grown)
    opened = store.open(grown)
    assert [f.name for f in opened.schema().fields] == ["id", "size"]
    assert "delta.constraints.has_id" in opened.metadata().configuration


def test_a_contract_that_cannot_grow_is_refused_with_what_to_do(lake: str) -> None:
    store = Lake(lake)
    store.prepare(OLD)
    changed = Table("things", "t", (Column("id", "bigint", "id"), Column("size", "int", "size")), key=("id",))
    with pytest.raises(ContractError, match=r"size.*missing.*id is string.*Move its folder away"):
        store.prepare(changed)
