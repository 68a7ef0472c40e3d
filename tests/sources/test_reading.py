"""Files as DataFrames in the shape of the raw tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kinfolk.samples.generators import write_planted_lake
from kinfolk.settings import EventSource, IngestSettings, ItemSource
from kinfolk.sources import list_source, plan_files, read_events, read_items
from kinfolk.sources.reading import merge_batches
from kinfolk.tables.catalog import RAW_EVENTS, RAW_ITEMS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SMALL = IngestSettings(batch_rows=3, max_media_bytes=1 << 20)


def by_origin(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], dict[str, Any]]:
    found = {(row["source"], row["file"], row["row"]): row for row in rows}
    assert len(found) == len(rows), "two rows have the same origin"
    return found


def test_three_formats_give_the_same_events(spark: SparkSession, tmp_path: Path) -> None:
    table = [{"b": f"B{n // 3}", "i": f"item {n}", "q": str(n)} for n in range(10)]
    (tmp_path / "a.csv").write_text("b,i,q\n" + "".join("{b},{i},{q}\n".format(**row) for row in table) + "torn\n")
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table) + "torn\n")
    pq.write_table(pa.Table.from_pylist([row | {"q": int(row["q"])} for row in table]), tmp_path / "c.parquet")
    sources = [
        EventSource(name="counted", path=str(tmp_path), basket="b", item="i", quantity="q"),
        EventSource(name="plain", path=str(tmp_path / "*.csv"), basket="b", item="i"),
    ]
    plan = spark.createDataFrame(plan_files([(source, list_source(source)) for source in sources]))
    frame = read_events(plan, sources, SMALL)
    assert frame.rdd.getNumPartitions() == 4, "not a task a file"
    rows = by_origin(frame.toArrow().to_pylist())
    for source, file in (("counted", "a.csv"), ("counted", "b.jsonl"), ("counted", "c.parquet"), ("plain", "a.csv")):
        found = [rows.pop((source, file, n)) for n in range(10)]
        assert [(row["basket_id"], row["item_id"]) for row in found] == [(row["b"], row["i"]) for row in table]
        assert [row["quantity"] for row in found] == [row["q"] if source == "counted" else "1" for row in table]
        assert {row["reject_reason"] for row in found} == {None}
    torn = {origin: row["reject_reason"] for origin, row in rows.items()}
    assert torn == {
        ("counted", "a.csv", 10): "wrong_column_count",
        ("counted", "b.jsonl", 10): "not_json",
        ("plain", "a.csv", 10): "wrong_column_count",
    }
    assert set(frame.columns) == {*RAW_EVENTS.content, "reject_reason", "reject_detail"}


def test_items_come_with_their_pictures(spark: SparkSession, tmp_path: Path) -> None:
    planted = write_planted_lake(tmp_path, seed=0, subjects=12, baskets=100)
    sources = planted.sources.items
    plan = spark.createDataFrame(plan_files([(source, list_source(source)) for source in sources]))
    frame = read_items(plan, sources, SMALL)
    rows = by_origin(frame.toArrow().to_pylist())
    assert sorted(row["item_id"] for row in rows.values() if row["item_id"] not in planted.items.faults) == (
        planted.items.good_ids
    )
    for row in rows.values():
        file = tmp_path / "drawings" / row["image_file"]
        assert row["image"] == (file.read_bytes() if file.exists() else None)
        assert row["image_problem"] == (None if file.exists() else "missing")
    assert {row["subject_id"] for row in rows.values()} == {f"{n:03d}" for n in range(12)}
    assert set(frame.columns) == {*RAW_ITEMS.content, "reject_reason", "reject_detail"}


def test_items_without_a_subject_column_are_their_own_subjects_and_pictures_may_lie_in_the_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = pa.table({"id": ["x", "y", "z"], "picture": [b"\x89PNG", None, b"0" * 2000]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = ItemSource(name="s", path=str(tmp_path / "a.parquet"), id="id", image="picture")
    plan = spark.createDataFrame(plan_files([(source, list_source(source))]))
    rows = read_items(plan, [source], IngestSettings(max_media_bytes=1024)).toArrow().to_pylist()
    found = [(r["item_id"], r["subject_id"], r["image"], r["image_problem"]) for r in rows]
    assert found == [("x", "x", b"\x89PNG", None), ("y", "y", None, None), ("z", "z", None, "too_large")]


def test_small_batches_are_put_together() -> None:
    batches = [pa.record_batch({"a": [n]}) for n in range(7)]
    merged = list(merge_batches(batches, 3))
    assert [batch["a"].to_pylist() for batch in merged] == [[0, 1, 2], [3, 4, 5], [6]]
