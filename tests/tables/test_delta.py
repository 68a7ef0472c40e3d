"""Writes are checked before they are committed, and an equal result makes no commit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk.errors import ContractError, LossLimitError
from kinfolk.settings import LimitSettings
from kinfolk.tables import delta, small
from kinfolk.tables.catalog import REJECTED_ROWS, SIMILAR_PAIRS
from kinfolk.tables.contract import Column, Table
from kinfolk.tables.lake import Lake
from kinfolk.tables.staging import Staged, Stamp, check_limits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = "left_id string, right_id string, similarity double"
Row = tuple[object, ...]


@pytest.fixture(params=["small", "spark"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small results are committed without Spark, all others by it."""
    if request.param == "spark":
        monkeypatch.setattr(small, "MOST_ROWS", -1)
    return str(request.param)


def stage(spark: SparkSession, lake: Lake, rows: list[Row], folder: Path, schema: str = SCHEMA) -> Staged:
    lake.prepare(SIMILAR_PAIRS)
    return delta.stage(spark.createDataFrame(rows, schema), SIMILAR_PAIRS, lake, str(folder))


def sync(spark: SparkSession, lake: Lake, rows: list[Row], folder: Path, run_id: str) -> bool:
    """Bring the table to `rows`; return whether that took a commit."""
    staged = stage(spark, lake, rows, folder)
    if staged.is_current(lake):
        return False
    staged.commit_sync(lake, Stamp("join", run_id, datetime(2026, 1, 1, tzinfo=UTC)))
    return True


def test_only_what_is_large_takes_spark(spark: SparkSession, lake: str, tmp_path: Path, engine: str) -> None:
    staged = stage(spark, Lake(lake), [("a", "b", 0.5)], tmp_path / "s")
    assert type(staged).__name__ == {"small": "SmallStaged", "spark": "SparkStaged"}[engine]


@pytest.mark.usefixtures("engine")
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


@pytest.mark.usefixtures("engine")
def test_an_equal_result_makes_no_commit(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    store = Lake(lake)
    rows = [("a", "b", 0.5), ("a", "c", float("nan"))]
    sync(spark, store, rows, tmp_path / "s1", "first")
    version = store.snapshot(SIMILAR_PAIRS).version
    assert not sync(spark, store, rows[::-1], tmp_path / "s2", "second")
    assert store.snapshot(SIMILAR_PAIRS).version == version
    assert sync(spark, store, [("a", "b", 0.5), ("a", "d", float("nan"))], tmp_path / "s3", "third")
    assert sync(spark, store, [], tmp_path / "s4", "fourth")
    assert not sync(spark, store, [], tmp_path / "s5", "fifth")


@pytest.mark.usefixtures("engine")
def test_a_slice_is_replaced_and_the_rest_stays(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    store, stamp = Lake(lake), Stamp("join", "first", datetime(2026, 1, 1, tzinfo=UTC))
    sync(spark, store, [("a", "b", 0.5), ("a", "c", 0.6), ("b", "c", 0.7)], tmp_path / "s1", "first")
    staged = stage(spark, store, [("a", "c", 0.6), ("a", "d", 0.9)], tmp_path / "s2")
    assert not staged.is_current(store, {"left_id": "a"})
    staged.commit_replace(store, stamp, {"left_id": "a"})
    assert staged.is_current(store, {"left_id": "a"})
    assert not staged.is_current(store, {"left_id": "b"})
    assert staged.count_deleted(store) == 1
    rows = store.read(SIMILAR_PAIRS, ["left_id", "right_id"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [("a", "c"), ("a", "d"), ("b", "c")]


@pytest.mark.usefixtures("engine")
def test_rejected_rows_say_where_they_come_from_and_why(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    rows = [("a", "b", 0.5, None, None, "1", 2), ("a", "c", 0.5, "odd", "é" * 300, 'ä"', 7)]
    schema = SCHEMA + ", reject_reason string, reject_detail string, file string, row bigint"
    store = Lake(lake)
    store.prepare(REJECTED_ROWS)
    staged = stage(spark, store, rows, tmp_path / "s", schema)
    rejected = staged.stage_rejected(("file", "row"), "clean", store, str(tmp_path / "r"))
    rejected.commit_sync(store, Stamp("clean", "first", datetime(2026, 1, 1, tzinfo=UTC)))
    (row,) = store.read(REJECTED_ROWS, REJECTED_ROWS.content).to_pylist()
    assert row == {
        "job": "clean",
        "target_table": "similar_pairs",
        "row_key": '{"file":"ä\\"","row":7}',
        "reason": "odd",
        "detail": "é" * 200,
    }


@pytest.mark.usefixtures("engine")
def test_times_before_and_after_what_nanoseconds_hold_stay_what_they_are(
    spark: SparkSession, lake: str, tmp_path: Path
) -> None:
    table = Table("moments", "m", (Column("id", "int", "id"), Column("time", "timestamp", "when")), key=("id",))
    times = [datetime(1, 1, 2, 3, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
             datetime(9999, 12, 30, tzinfo=UTC)]  # fmt: skip
    store = Lake(lake)
    store.prepare(table)
    frame = spark.createDataFrame(list(enumerate(times)), "id int, time timestamp")
    staged = delta.stage(frame, table, store, str(tmp_path / "s"))
    staged.commit_sync(store, Stamp("x", "first", datetime(2026, 1, 1, tzinfo=UTC)))
    assert staged.is_current(store)
    assert [row["time"] for row in store.read(table).sort_by("id").to_pylist()] == times


@pytest.mark.usefixtures("engine")
def test_commits_carry_job_and_run(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    store = Lake(lake)
    sync(spark, store, [("a", "b", 0.5)], tmp_path / "s", "first")
    assert store.open(SIMILAR_PAIRS).history(1)[0]["userMetadata"] == '{"job": "join", "run_id": "first"}'


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", "b", 0.5), ("a", "b", 0.6)], r"key \('a', 'b'\) comes 2 times"),
        ([("a", None, 0.5)], "1 rows have no right_id"),
        ([("b", "a", 0.5)], "each_pair_once"),
    ],
)
def test_rows_that_break_the_contract_are_refused_before_a_commit(
    spark: SparkSession, lake: str, tmp_path: Path, rows: list[Row], words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        stage(spark, Lake(lake), rows, tmp_path / "s")


def test_columns_that_differ_from_the_contract_are_all_named(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    frame = spark.createDataFrame([("a", 1)], "left_id string, similarity int")
    with pytest.raises(ContractError, match=r"right_id.*missing.*similarity is int"):
        delta.stage(frame, SIMILAR_PAIRS, Lake(lake), str(tmp_path / "s"))


def test_the_digest_tells_nulls_apart_and_ignores_order(spark: SparkSession) -> None:
    def of(rows: list[tuple[str | None, str | None]]) -> delta.Digest:
        frame: DataFrame = spark.createDataFrame(rows, "a string, b string")
        return delta.digest(frame, ["a", "b"])

    assert of([("x", None), ("y", "z")]) == of([("y", "z"), ("x", None)])
    assert of([("x", None)]) != of([(None, "x")])
    assert of([("x", "x")]) != of([("x", "x"), ("x", "x")])


@pytest.mark.usefixtures("engine")
def test_a_loss_above_the_limits_names_the_commonest_reasons(spark: SparkSession, lake: str, tmp_path: Path) -> None:
    rows = [("a", "b", 0.5, None), ("a", "c", 0.5, "too_old"), ("a", "d", 0.5, "too_old"), ("a", "e", 0.5, "odd")]
    staged = stage(spark, Lake(lake), rows, tmp_path / "s", SCHEMA + ", reject_reason string")
    allowed = LimitSettings(max_rejected_share=0.75, max_deleted_share=0.5)
    check_limits(staged, SIMILAR_PAIRS, allowed, deleted=0, standing=0)
    check_limits(staged, SIMILAR_PAIRS, LimitSettings(max_rejected_share=0.7), rows_seen=5, deleted=0, standing=0)
    with pytest.raises(LossLimitError, match=r"3 of 4 rows.*too_old 2, odd 1"):
        check_limits(staged, SIMILAR_PAIRS, LimitSettings(max_rejected_share=0.7), deleted=0, standing=0)
    with pytest.raises(LossLimitError, match="6 of its 10 rows would be deleted"):
        check_limits(staged, SIMILAR_PAIRS, allowed, deleted=6, standing=10)


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
