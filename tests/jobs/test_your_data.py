"""The example of docs/your-data.md does what the page says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kinfolk.jobs import clean, ingest
from kinfolk.run import run_job
from kinfolk.settings import load_settings
from kinfolk.tables.catalog import CLEAN_EVENTS, CLEAN_ITEMS, REJECTED_ROWS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs/your-data.md"


def write_files(folder: Path) -> None:
    """Write each block of the page that follows a line with nothing but a file's name."""
    found = re.findall(
        r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in found] == ["shop/articles.csv", "shop/receipts.jsonl", "shop.yaml"]
    for name, content in found:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_the_example_gives_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = load_settings("shop.yaml")
    for job in (ingest.JOB, clean.JOB):
        run_job(job, settings, spark=spark, note=lambda message: None)
    lake = Lake(settings.lake.root)
    items = {row["item_id"]: (row["text"], row["label"]) for row in lake.read(CLEAN_ITEMS).to_pylist()}
    assert items == {
        "A1": ("Mug, white, 300 ml", "kitchen"),
        "A2": ("Saucer for the white mug", "kitchen"),
        "A3": ("Candle holder", "living"),
    }
    events = sorted(
        (row["basket_id"], row["item_id"], row["quantity"], row["price"], row["event_time"])
        for row in lake.read(CLEAN_EVENTS).to_pylist()
    )
    half_past_nine = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
    assert events == [
        ("R1", "A1", 2, Decimal("4.95"), half_past_nine),
        ("R1", "A2", 2, Decimal("2.50"), half_past_nine),
        ("R2", "A3", 1, Decimal("12.00"), half_past_nine.replace(hour=10, minute=5)),
    ]
    assert lake.read(REJECTED_ROWS).num_rows == 0
