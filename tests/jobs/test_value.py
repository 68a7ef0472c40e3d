"""The value job over a real lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kinfolk.errors import DataError
from kinfolk.jobs.value import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_EVENTS, VALUABLE_ITEMSETS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TODAY = dt.date(2026, 3, 10)


def put_events(lake: str, rows: list[tuple[str, str, int, str | None]], day: int = 10) -> None:
    stock = Lake(lake)
    stock.prepare(CLEAN_EVENTS)
    when = datetime(2026, 3, day, 12, tzinfo=UTC)
    common = {"source": "s", "file": "f", "event_time": when, "run_id": "r", "updated_at": when}
    full: list[dict[str, Any]] = [
        common
        | {"row": n, "basket_id": basket, "item_id": item, "item_name": item.upper(), "quantity": quantity}
        | {"price": None if price is None else Decimal(price)}
        for n, (basket, item, quantity, price) in enumerate(rows)
    ]
    events = pa.Table.from_pylist(full, schema=CLEAN_EVENTS.arrow_schema())
    write_deltalake(stock.path("clean_events"), events, mode="overwrite")


def test_the_job_writes_what_brings_in_the_money_and_repeats_without_a_commit(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    rows = [("1", "a", 3, "0.10"), ("1", "a", 1, "0.10"), ("1", "b", 1, "5"), ("2", "b", 2, "5"), ("3", "c", 1, None)]
    put_events(lake, rows)
    settings = make_settings(utility={"min_revenue": 5.4})
    notes: list[str] = []
    assert run_job(JOB, settings, run_date=TODAY, spark=spark, note=notes.append).status == "succeeded"
    told = {row["itemset_id"]: row for row in Lake(lake).read(VALUABLE_ITEMSETS).to_pylist()}
    assert set(told) == {'["b"]', '["a","b"]'}
    assert told['["a","b"]']["revenue"] == Decimal("5.4000")
    assert told['["a","b"]']["item_names"] == ["A", "B"]
    assert (told['["b"]']["revenue"], told['["b"]']["basket_count"]) == (Decimal("15.0000"), 2)
    assert told['["b"]']["revenue_per_basket"] == Decimal("7.5000")
    assert any("1 lines without a price left out" in note for note in notes)
    version = Lake(lake).open(VALUABLE_ITEMSETS).version()

    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=9), spark=spark).status == "skipped"
    put_events(lake, rows[::-1])
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert Lake(lake).open(VALUABLE_ITEMSETS).version() == version

    with pytest.raises(DataError, match="more than 1 itemsets"):
        run_job(JOB, make_settings(utility={"max_itemsets": 1}), run_date=TODAY, spark=spark)
    assert Lake(lake).open(VALUABLE_ITEMSETS).version() == version


def test_a_window_makes_the_run_date_matter(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("1", "a", 1, "1"), ("1", "b", 1, "1")], day=5)
    settings = make_settings(utility={"window_days": 6})
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert Lake(lake).snapshot(VALUABLE_ITEMSETS).rows == 3
    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=1), spark=spark).status == "succeeded"
    assert Lake(lake).snapshot(VALUABLE_ITEMSETS).rows == 0


def test_the_job_is_left_out_where_no_source_names_a_price(make_settings: Callable[..., Settings]) -> None:
    source = {"name": "s", "path": "s.csv", "basket": "basket", "item": "item"}
    assert JOB.lacks(make_settings()) == "sources.events"
    assert JOB.lacks(make_settings(sources={"events": [source]})) == "sources.events.price"
    priced = source | {"name": "t", "price": "price"}
    assert JOB.lacks(make_settings(sources={"events": [source, priced]})) is None
