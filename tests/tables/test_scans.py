"""What a frame reads, read without Spark: the same rows as Spark's, or left to Spark."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kinfolk.errors import DataError
from kinfolk.tables.scans import find_scans, read_frame

ITEMS = pa.table(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "source": ["shop", "shop", "web", None, "mail"],
        "text": ["one", None, "three", "four", ""],
        "vector": pa.array([[1.0], [2.0, 3.0], None, [], [5.0]], pa.list_(pa.float32())),
        "count": [1, 2, 3, None, 5],
        "price": pa.array([Decimal("0.0001"), Decimal("-2.5"), None, Decimal(0), 10**14 - 1], pa.decimal128(18, 4)),
        "day": pa.array([1, 2, 3, 4, 5], pa.date32()),
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Parquet files of the items, three rows and two, in a folder whose name has to be escaped."""
    folder = tmp_path / "items of 100% 'ä'"
    folder.mkdir()
    pq.write_table(ITEMS[:3], folder / "one.parquet", row_group_size=2)
    pq.write_table(ITEMS[3:], folder / "two.parquet")
    return folder


@pytest.fixture(params=["parquet", "delta"])
def items(request: pytest.FixtureRequest, spark: SparkSession, folder: Path) -> DataFrame:
    """The items as Spark reads them."""
    files = spark.read.parquet(str(folder))
    if request.param == "parquet":
        return files
    table = str(folder.parent / "table")
    files.write.format("delta").save(table)
    return spark.read.format("delta").load(table)


SELECTIONS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "all that is plain": lambda items: items.drop("day"),
    "columns under other names": lambda items: items.select(F.col("text").alias("value"), "item_id"),
    "a constant": lambda items: items.selectExpr("false AS is_right", "item_id", "vector AS value"),
    "a constant text": lambda items: items.selectExpr("'left' AS side", "item_id"),
    "not null": lambda items: items.where(F.col("text").isNotNull()).select("item_id", "text"),
    "of one": lambda items: items.where(F.col("source") == "shop").select("item_id", "source"),
    "of some, and not null": lambda items: items.drop("day").where(
        F.col("text").isNotNull() & F.col("source").isin("shop", "web")
    ),
    "of none": lambda items: items.where(F.col("source") == "nowhere").select("item_id"),
    "both sides": lambda items: items.selectExpr("false AS is_right", "text AS value").union(
        items.where("source = 'shop'").selectExpr("true AS is_right", "item_id AS value")
    ),
}


@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS.keys())
def test_reads_the_rows_that_spark_reads(items: DataFrame, select: Callable[[DataFrame], DataFrame]) -> None:
    frame = select(items)
    assert find_scans(frame) is not None
    assert tell(read_frame(frame, threads=2)) == tell(frame.toArrow())


OTHERS: dict[str, Callable[[DataFrame], DataFrame]] = {
    "computed": lambda items: items.select(F.upper("text")),
    "a date": lambda items: items.select("day"),
    "a range": lambda items: items.select("count").where(F.col("count") > 2),
    "a number": lambda items: items.select("count").where(F.col("count") == 2),
    "one or the other": lambda items: items.select("item_id").where(
        (F.col("source") == "shop") | F.col("text").isNull()
    ),
    "the first": lambda items: items.select("item_id").limit(2),
    "distinct": lambda items: items.select("source").distinct(),
    "joined": lambda items: items.select("text", "item_id").join(items.select("item_id"), "item_id"),
    "kept": lambda items: items.select("item_id").cache(),
    "a constant number": lambda items: items.selectExpr("1 AS side", "item_id"),
}


@pytest.mark.parametrize("select", OTHERS.values(), ids=OTHERS.keys())
def test_leaves_other_frames_to_spark(items: DataFrame, select: Callable[[DataFrame], DataFrame]) -> None:
    frame = select(items)
    try:
        assert find_scans(frame) is None
        assert tell(read_frame(frame, threads=2)) == tell(frame.toArrow())
    finally:
        frame.unpersist()


def test_leaves_partitions_and_deleted_rows_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    ids = spark.range(10).selectExpr("CAST(id AS STRING) AS item_id", "CAST(id % 2 AS STRING) AS part")
    ids.write.partitionBy("part").parquet(f"{tmp_path}/parts")
    ids.coalesce(1).write.format("delta").option("delta.enableDeletionVectors", "true").save(f"{tmp_path}/deleted")
    spark.sql(f"DELETE FROM delta.`{tmp_path}/deleted` WHERE item_id = '7'")
    assert find_scans(spark.read.parquet(f"{tmp_path}/parts")) is None
    assert find_scans(spark.read.format("delta").load(f"{tmp_path}/deleted")) is None


def test_reads_the_version_that_the_frame_is_of(spark: SparkSession, tmp_path: Path) -> None:
    table = f"{tmp_path}/table"
    for start in (0, 5):
        rows = spark.range(start, start + 5).selectExpr("CAST(id AS STRING) AS item_id")
        rows.write.format("delta").mode("overwrite").save(table)
    scans = find_scans(spark.read.format("delta").option("versionAsOf", 0).load(table))
    assert scans is not None
    assert sorted(scans.read(threads=1)["item_id"].to_pylist()) == ["0", "1", "2", "3", "4"]


def test_a_column_that_a_file_lacks_is_null_and_another_spelling_is_refused(spark: SparkSession, folder: Path) -> None:
    frame = spark.read.schema("item_id string, text string, extra string").parquet(str(folder))
    scans = find_scans(frame.selectExpr("item_id", "extra"))
    assert scans is not None
    assert scans.read(threads=1)["extra"].null_count == 5
    scans = find_scans(frame.where("extra IS NOT NULL"))
    assert scans is not None
    assert scans.read(threads=1).num_rows == 0
    scans = find_scans(spark.read.schema("ITEM_ID string").parquet(str(folder)))
    assert scans is not None
    with pytest.raises(DataError, match=r"one\.parquet has a column item_id, the table ITEM_ID"):
        scans.read(threads=1)


def tell(rows: pa.Table) -> tuple[pa.Schema, list[str]]:
    """Rows as texts, in order."""
    return rows.schema.remove_metadata(), sorted(map(str, rows.to_pylist()))


def test_reads_with_all_its_threads_where_arrow_was_given_one(spark: SparkSession, folder: Path) -> None:
    """As Spark gives its workers: with a single thread for all decoding, more readers were no faster."""
    scans, before = find_scans(spark.read.parquet(str(folder)).drop("day")), pa.cpu_count()
    assert scans is not None
    try:
        for given, threads, used in [(1, 3, 3), (3, 1, 3)]:
            pa.set_cpu_count(given)
            assert scans.read(threads=threads).num_rows == ITEMS.num_rows
            assert pa.cpu_count() == used
    finally:
        pa.set_cpu_count(before)
