"""Tables by name in Spark SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kinfolk.errors import SettingsError
from kinfolk.tables.catalog import ITEM_COPIES, ITEM_GROUPS
from kinfolk.tables.lake import Lake
from kinfolk.tables.register import register_tables, tables_sql

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def put_copy(root: str, item_id: str) -> None:
    row = {"item_id": item_id, "representative_id": "a", "run_id": "r", "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    write_deltalake(
        Lake(root).path("item_copies"), pa.Table.from_pylist([row], schema=ITEM_COPIES.arrow_schema()), mode="append"
    )


@pytest.fixture
def awkward(tmp_path: Path) -> str:
    """A lake whose path has a blank, a quote and a letter beyond ASCII, with two tables."""
    root = str(tmp_path / "the lake's ü")
    put_copy(root, "b")
    Lake(root).prepare(ITEM_GROUPS)
    return root


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    """A database of its own, gone after the test."""
    spark.sql("CREATE DATABASE by_name")
    spark.sql("USE by_name")
    yield "by_name"
    spark.sql("USE default")
    spark.sql("DROP DATABASE by_name CASCADE")


def test_one_call_makes_the_tables_known_and_they_follow_the_lake(spark: SparkSession, awkward: str) -> None:
    assert register_tables(spark, awkward) == ["item_copies", "item_groups"]
    query = "SELECT c.item_id FROM item_copies c LEFT ANTI JOIN item_groups g ON c.item_id = g.item_id ORDER BY 1"
    assert [row[0] for row in spark.sql(query).collect()] == ["b"]
    put_copy(awkward, "c")
    assert [row[0] for row in spark.sql(query).collect()] == ["b", "c"]
    for name in ("item_copies", "item_groups"):
        spark.catalog.dropTempView(name)


def test_the_sql_file_does_the_same_without_views(spark: SparkSession, awkward: str, database: str) -> None:
    statements = [statement for statement in tables_sql(awkward).split(";\n") if statement.strip()]
    assert len(statements) == 2
    for statement in statements:
        spark.sql(statement)
    assert spark.sql(f"SELECT item_id FROM {database}.item_copies").collect()[0][0] == "b"
    spark.sql("DROP TABLE item_copies")
    assert Lake(awkward).snapshot(ITEM_COPIES).rows == 1


def test_a_path_that_sql_cannot_carry_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="plain path"):
        register_tables(spark, str(tmp_path / "a\nb"))
