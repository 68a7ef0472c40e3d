"""A pinned version stays what it was, and tables that would be misread are refused."""

import operator as op
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, WriterProperties, write_deltalake
from feed_tables import feed_epoch, make_loader, make_rows, write_row_groups

from kinfolk.errors import DataError, NotFoundError, SettingsError, UnsupportedTableError
from kinfolk.feed.conditions import Condition
from kinfolk.feed.order import Shard
from kinfolk.feed.row_groups import RowGroupReader
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups


def fed_ids(plan: FeedPlan) -> list[int]:
    return sorted(feed_epoch(make_loader(plan, Shard(0, 1, 8)), 0))


def feed_columns(plan: FeedPlan, columns: list[str]) -> list[dict[str, Any]]:
    """The rows of all row groups with these columns."""
    reader = RowGroupReader(plan)
    return [row for group in range(len(plan.row_groups)) for row in reader.read(group, columns).to_pylist()]


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "a table")


def test_the_pinned_rows_come_whatever_happens_to_the_table_later(table):
    write_deltalake(table, make_rows(range(30)))
    write_deltalake(table, make_rows(range(30, 60)), mode="append")
    pinned = pin_snapshot(table, 1)
    DeltaTable(table).delete("id < 10")
    DeltaTable(table).update({"id": "id + 1000"}, predicate="id < 40")
    DeltaTable(table).optimize.compact()
    write_deltalake(table, make_rows(range(5)), mode="overwrite")
    assert fed_ids(plan_row_groups(pinned)) == list(range(60))
    assert fed_ids(plan_row_groups(pin_snapshot(table, 2))) == list(range(10, 60))
    assert fed_ids(plan_row_groups(pin_snapshot(table, DeltaTable(table).version()))) == list(range(5))


def test_a_plan_survives_its_journey_to_the_ranks(table):
    plan = write_row_groups(table, [3, 4])
    assert FeedPlan.from_json(plan.to_json()) == plan
    assert plan.rows == 7
    assert [group.rows for group in sorted(plan.row_groups, key=lambda group: group.rows)] == [3, 4]


def test_row_groups_and_their_sizes_come_from_the_footers(table):
    write_deltalake(table, make_rows(range(10)), writer_properties=WriterProperties(max_row_group_size=4))
    plan = plan_row_groups(pin_snapshot(table, 0))
    assert [group.rows for group in plan.row_groups] == [4, 4, 2]
    assert plan.columns == ("id", "subject_id", "tokens")
    assert all(size > 0 for group in plan.row_groups for size in group.column_bytes)


@pytest.mark.parametrize("odd", ["plain", "two words", "50% a/b:c=d", "Grüße", "a%20b"])
def test_partitions_are_chosen_by_value_and_come_back_as_a_column(table, odd):
    rows = make_rows(range(20)).append_column("part", pa.array([odd, "other"] * 10))
    write_deltalake(table, rows, partition_by=["part"])
    plan = plan_row_groups(pin_snapshot(table, 0, where=[Condition("part", "=", odd)]))
    assert fed_ids(plan) == list(range(0, 20, 2))
    assert feed_columns(plan, ["part"]) == [{"part": odd}] * 10


def test_files_older_than_a_column_have_nulls_in_it(table):
    write_deltalake(table, make_rows(range(6)).select(["id"]))
    write_deltalake(table, make_rows(range(6, 12)), mode="append", schema_mode="merge")
    plan = plan_row_groups(pin_snapshot(table, 1))
    fed = {row["id"]: row["subject_id"] for row in feed_columns(plan, ["id", "subject_id"])}
    assert fed == {i: None if i < 6 else f"subject {i}" for i in range(12)}
    assert feed_columns(plan, ["subject_id"]).count({"subject_id": None}) == 6


@pytest.mark.parametrize(
    ("operator", "compare"),
    [("=", op.eq), ("!=", op.ne), ("<", op.lt), ("<=", op.le), (">", op.gt), (">=", op.ge)],
)
@pytest.mark.parametrize("value", [-1, 0, 17, 30, 59, 99])
def test_conditions_keep_the_rows_that_they_describe(table, operator, compare, value):
    properties = WriterProperties(max_row_group_size=10)
    for first in (0, 30):
        write_deltalake(table, make_rows(range(first, first + 30)), mode="append", writer_properties=properties)
    kept = [i for i in range(60) if compare(i, value)]
    pinned = pin_snapshot(table, where=[Condition("id", operator, value)])
    if not kept:
        with pytest.raises(DataError, match="no row to feed"):
            plan_row_groups(pinned)
        return
    plan = plan_row_groups(pinned)
    assert FeedPlan.from_json(plan.to_json()) == plan
    assert fed_ids(plan) == kept
    # Statistics alone decide about all row groups but those that the value lies in.
    assert sum(group.is_partial for group in plan.row_groups) <= 1


def test_files_without_any_wanted_row_are_not_opened(table):
    for first in (0, 30):
        write_deltalake(table, make_rows(range(first, first + 30)), mode="append")
    pinned = pin_snapshot(table, where=[Condition("id", ">=", 30), Condition("subject_id", "!=", "subject 31")])
    assert len(pinned.files) == 1
    assert fed_ids(plan_row_groups(pinned)) == [30, *range(32, 60)]


def test_a_condition_on_a_column_that_is_not_there_is_refused(table):
    write_deltalake(table, make_rows(range(3)))
    with pytest.raises(DataError, match="no column part; it has id, subject_id, tokens"):
        pin_snapshot(table, 0, where=[Condition("part", "=", "1")])


def test_a_condition_on_a_column_younger_than_a_file_keeps_nothing_of_it(table):
    write_deltalake(table, make_rows(range(6)).select(["id"]))
    write_deltalake(table, make_rows(range(6, 12)), mode="append", schema_mode="merge")
    plan = plan_row_groups(pin_snapshot(table, where=[Condition("subject_id", ">", "")]))
    assert fed_ids(plan) == list(range(6, 12))


def test_a_time_pins_the_version_that_stood_then(table):
    write_deltalake(table, make_rows(range(3)))
    between = datetime.now(UTC)
    time.sleep(0.01)
    write_deltalake(table, make_rows(range(9)), mode="overwrite")
    assert pin_snapshot(table, between).version == 0
    assert pin_snapshot(table, datetime.now(UTC)).version == pin_snapshot(table).version == 1


def test_a_version_or_table_that_is_not_there_is_named(table):
    with pytest.raises(NotFoundError, match="no Delta table"):
        pin_snapshot(table, 0)
    write_deltalake(table, make_rows(range(3)))
    with pytest.raises(NotFoundError, match="no version 7"):
        pin_snapshot(table, 7)


def test_nothing_to_feed_is_an_error(table):
    rows = make_rows(range(4)).append_column("part", pa.array(["x"] * 4))
    write_deltalake(table, rows, partition_by=["part"])
    with pytest.raises(DataError, match="no row to feed"):
        plan_row_groups(pin_snapshot(table, 0, where=[Condition("part", "=", "y")]))


def test_a_vacuumed_version_is_refused_with_what_to_do(table):
    write_deltalake(table, make_rows(range(3)))
    pinned = pin_snapshot(table, 0)
    write_deltalake(table, make_rows(range(3)), mode="overwrite")
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(NotFoundError, match=r"VACUUM.*delta\.deletedFileRetentionDuration"):
        plan_row_groups(pinned)


def test_of_many_small_files_each_is_taken_whole(table):
    rows = make_rows(range(300)).append_column("part", pa.array([i // 3 for i in range(300)]))
    write_deltalake(table, rows, partition_by=["part"])
    plan = plan_row_groups(pin_snapshot(table))
    assert [group.ordinal for group in plan.row_groups] == [None] * 100
    assert FeedPlan.from_json(plan.to_json()) == plan
    assert plan.sizes(["id"]).tolist() == [24] * 100
    assert fed_ids(plan) == list(range(300))
    assert fed_ids(plan_row_groups(pin_snapshot(table, where=[Condition("part", ">=", 50)]))) == list(range(150, 300))
    (Path(table) / plan.files[77].path).unlink()
    with pytest.raises(NotFoundError, match=plan.files[77].path):
        plan_row_groups(pin_snapshot(table))


def test_a_small_file_with_other_rows_than_the_log_says_is_refused_when_it_is_read(table):
    rows = make_rows(range(300)).append_column("part", pa.array([i // 3 for i in range(300)]))
    write_deltalake(table, rows, partition_by=["part"])
    plan = plan_row_groups(pin_snapshot(table))
    write_deltalake(table + " other", make_rows(range(4)))
    [other] = Path(table + " other").glob("*.parquet")
    other.replace(Path(table) / plan.files[1].path)
    with pytest.raises(DataError, match=f"{plan.files[1].path}.* 4 rows were read, 3 are planned"):
        fed_ids(plan)


def test_a_file_with_other_rows_than_the_log_says_is_refused(table):
    write_deltalake(table, make_rows(range(3)))
    write_deltalake(table + " other", make_rows(range(4)))
    [file], [other] = Path(table).glob("*.parquet"), Path(table + " other").glob("*.parquet")
    other.replace(file)
    with pytest.raises(DataError, match="holds 4 rows, the table's log says 3"):
        plan_row_groups(pin_snapshot(table, 0))


def test_a_table_with_deletion_vectors_is_refused_with_what_to_run(spark, table):
    rows = spark.range(20).coalesce(1)
    rows.write.format("delta").option("delta.enableDeletionVectors", "true").save(table)
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 3")
    with pytest.raises(UnsupportedTableError, match="DROP FEATURE deletionVectors"):
        pin_snapshot(table, 1)


def test_a_table_with_mapped_columns_is_refused_with_what_to_run(spark, table):
    spark.range(3).coalesce(1).write.format("delta").option("delta.columnMapping.mode", "name").save(table)
    with pytest.raises(UnsupportedTableError, match="DROP FEATURE columnMapping"):
        pin_snapshot(table, 0)


def test_file_systems_that_arrow_does_not_know_are_read_through_fsspec(table):
    memory = fsspec.filesystem("memory")
    plan = write_row_groups(table, [30, 12])
    memory.put(table, "/kinfolk feed", recursive=True)
    pinned = replace(pin_snapshot(table), root="memory://kinfolk feed")
    assert fed_ids(plan_row_groups(pinned)) == fed_ids(plan)


def test_a_file_system_that_nobody_knows_is_named(table):
    plan = write_row_groups(table, [3])
    with pytest.raises(SettingsError, match="gopher://lake"):
        plan_row_groups(replace(pin_snapshot(table), root="gopher://lake"))
    assert plan.rows == 3


def test_a_shallow_clone_is_refused(spark, table):
    write_deltalake(table, make_rows(range(3)))
    spark.sql(f"CREATE TABLE delta.`{table} clone` SHALLOW CLONE delta.`{table}`")
    with pytest.raises(UnsupportedTableError, match="files of another table"):
        pin_snapshot(table + " clone", 0)
