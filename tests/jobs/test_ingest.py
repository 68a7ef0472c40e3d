"""The job ingest: raw tables mirror the files, and say what could not be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kinfolk.errors import DataError, LossLimitError
from kinfolk.jobs.ingest import JOB
from kinfolk.run import Outcome, run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import RAW_EVENTS, RAW_ITEMS, REJECTED_ROWS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MakeSettings = Callable[..., Settings]
HEADER = "basket,item\n"


class Shop:
    """A folder of purchases, and the job that ingests it."""

    def __init__(self, folder: Path, make_settings: MakeSettings, spark: SparkSession) -> None:
        self.folder = folder
        folder.mkdir()
        self._make_settings = make_settings
        self._spark = spark
        self.lake = Lake(make_settings().lake.root)

    def write(self, name: str, *items: str) -> None:
        (self.folder / name).write_text(HEADER + "".join(f"B,{item}\n" for item in items))

    def ingest(self, **sections: Any) -> Outcome:
        source = {"name": "shop", "path": str(self.folder), "basket": "basket", "item": "item"}
        settings = self._make_settings(**({"sources": {"events": [source]}} | sections))
        return run_job(JOB, settings, run_date=date(2026, 1, 1), spark=self._spark, note=lambda message: None)

    def rows(self) -> dict[str, list[str]]:
        """Items of raw_events by file, in the order of their rows, which are checked to count from 0."""
        found: dict[str, list[str]] = {}
        table = self.lake.read(RAW_EVENTS, columns=["file", "row", "item_id"])
        for row in table.sort_by([("file", "ascending"), ("row", "ascending")]).to_pylist():
            assert row["row"] == len(found.setdefault(row["file"], []))
            found[row["file"]].append(row["item_id"])
        return found

    def version(self) -> int:
        return self.lake.snapshot(RAW_EVENTS).version


@pytest.fixture
def shop(tmp_path: Path, make_settings: MakeSettings, spark: SparkSession) -> Shop:
    return Shop(tmp_path / "shop", make_settings, spark)


def test_the_table_mirrors_the_files(shop: Shop) -> None:
    shop.write("a.csv", "pen", "cup")
    shop.write("b.csv", "jam")
    assert shop.ingest().status == "succeeded"
    assert shop.rows() == {"a.csv": ["pen", "cup"], "b.csv": ["jam"]}
    assert shop.lake.snapshot(RAW_ITEMS).rows == 0

    version = shop.version()
    assert shop.ingest().status == "skipped"
    assert shop.version() == version

    shop.write("a.csv", "pen", "tea", "hat")
    shop.write("c.csv", "egg")
    (shop.folder / "b.csv").unlink()
    assert shop.ingest().status == "succeeded"
    assert shop.rows() == {"a.csv": ["pen", "tea", "hat"], "c.csv": ["egg"]}


def test_a_lake_from_before_there_were_categories_and_segments_takes_them(shop: Shop) -> None:
    older = tuple(column for column in RAW_EVENTS.columns if column.name not in {"category", "segment"})
    shop.lake.prepare(replace(RAW_EVENTS, columns=older))
    shop.write("a.csv", "pen", "cup")
    shop.ingest()
    (shop.folder / "a.csv").write_text("basket,item,group,shop\nB,pen,Desk > Pens,north\nB,cup,,\n")
    named = {"name": "shop", "path": str(shop.folder), "basket": "basket", "item": "item"}
    shop.ingest(sources={"events": [named | {"category": "group", "segment": "shop"}]})
    rows = shop.lake.read(RAW_EVENTS, columns=["item_id", "category", "segment"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [("cup", None, None), ("pen", "Desk > Pens", "north")]


def test_rows_of_vanished_files_stay_where_the_settings_say_so(shop: Shop) -> None:
    shop.write("a.csv", "pen", "cup")
    shop.write("b.csv", "jam", "tea")
    shop.ingest()
    (shop.folder / "b.csv").unlink()
    shop.write("a.csv", "pen")
    kept = {"ingest": {"keep_vanished": True}}
    assert shop.ingest(**kept).status == "succeeded"
    assert shop.rows() == {"a.csv": ["pen"], "b.csv": ["jam", "tea"]}
    assert shop.ingest(**kept).status == "skipped"


def test_a_touched_file_with_the_same_rows_makes_no_new_version(shop: Shop) -> None:
    shop.write("a.csv", "pen")
    shop.ingest()
    version = shop.version()
    (shop.folder / "a.csv").write_text(HEADER + "\nB,pen\n")
    assert shop.ingest().status == "succeeded"
    assert shop.version() == version


def test_corrupt_lines_are_rejected_and_named(shop: Shop) -> None:
    shop.write("a.csv", *(f"item {n}" for n in range(20)), "one,too many")
    shop.ingest()
    assert len(shop.rows()["a.csv"]) == 20
    (rejected,) = shop.lake.read(REJECTED_ROWS).to_pylist()
    assert rejected["reason"] == "wrong_column_count"
    assert rejected["row_key"] == '{"source":"shop","file":"a.csv","row":20}'
    assert rejected["detail"] == "3 values instead of 2: B,one,too many"


def test_too_many_corrupt_lines_stop_the_job_before_it_commits(shop: Shop) -> None:
    shop.write("a.csv", "pen", "cup", "tea", "hat")
    shop.ingest()
    version = shop.version()
    shop.write("a.csv", "pen", "cup", "tea", "one,too many")
    with pytest.raises(LossLimitError, match=r"1 of 4 rows would be rejected .* wrong_column_count 1"):
        shop.ingest()
    assert shop.version() == version


def test_files_that_cannot_be_what_was_meant_stop_the_job(shop: Shop) -> None:
    with pytest.raises(DataError, match="no file matches"):
        shop.ingest()
    shop.write("a.csv")
    with pytest.raises(DataError, match="the input is empty") as caught:
        shop.ingest()
    assert caught.value.exit_code == 3
    (shop.folder / "a.csv").write_text("basket,product\nB,pen\n")
    with pytest.raises(DataError, match="no column 'item'"):
        shop.ingest()


def test_a_changed_picture_is_a_changed_input(tmp_path: Path, make_settings: MakeSettings, spark: SparkSession) -> None:
    (tmp_path / "a.csv").write_text("id,picture\nx,1.png\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/1.png").write_bytes(b"old")
    source = {
        "name": "s",
        "path": str(tmp_path / "a.csv"),
        "id": "id",
        "image": "picture",
        "media_root": str(tmp_path / "pictures"),
    }
    settings = make_settings(sources={"items": [source]})
    lake = Lake(settings.lake.root)
    for content in (b"old", b"new one"):
        (tmp_path / "pictures/1.png").write_bytes(content)
        assert run_job(JOB, settings, spark=spark, note=lambda message: None).status == "succeeded"
        assert lake.read(RAW_ITEMS)["image"].to_pylist() == [content]
