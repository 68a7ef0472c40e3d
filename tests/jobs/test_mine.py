"""The mine job over a real lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kinfolk.errors import DataError
from kinfolk.jobs.mine import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TODAY = dt.date(2026, 3, 10)


def put_events(lake: str, rows: list[tuple[str, str]], day: int = 10) -> None:
    stock = Lake(lake)
    stock.prepare(CLEAN_EVENTS)
    when = datetime(2026, 3, day, 12, tzinfo=UTC)
    common = {"source": "s", "file": "f", "quantity": 1, "event_time": when, "run_id": "r", "updated_at": when}
    full = [common | {"row": n, "basket_id": b, "item_id": i, "item_name": i.upper()} for n, (b, i) in enumerate(rows)]
    events = pa.Table.from_pylist(full, schema=CLEAN_EVENTS.arrow_schema())
    write_deltalake(stock.path("clean_events"), events, mode="overwrite")


def versions(lake: str) -> list[int]:
    return [Lake(lake).open(table).version() for table in (FREQUENT_ITEMSETS, ASSOCIATION_RULES)]


def test_mine_writes_itemsets_and_rules_and_repeats_without_a_commit(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b"), ("3", "a")])
    settings = make_settings(association={"min_support": 0.5, "min_confidence": 0.6})
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    itemsets = Lake(lake).read(FREQUENT_ITEMSETS).to_pylist()
    assert {row["itemset_id"]: row["basket_count"] for row in itemsets} == {'["a"]': 3, '["b"]': 2, '["a","b"]': 2}
    rules = {
        (row["antecedent_id"], row["consequent_id"]): row for row in Lake(lake).read(ASSOCIATION_RULES).to_pylist()
    }
    assert set(rules) == {('["a"]', '["b"]'), ('["b"]', '["a"]')}
    assert rules['["b"]', '["a"]']["antecedent_names"] == ["B"]
    stood = versions(lake)

    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=9), spark=spark).status == "skipped"
    put_events(lake, [("3", "a"), ("2", "b"), ("2", "a"), ("1", "b"), ("1", "a")])
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert versions(lake) == stood


def test_a_window_makes_the_run_date_matter(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("1", "a"), ("1", "b")], day=5)
    settings = make_settings(association={"window_days": 6}, limits={"max_deleted_share": 1})
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert Lake(lake).snapshot(FREQUENT_ITEMSETS).rows == 3
    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=1), spark=spark).status == "succeeded"
    assert Lake(lake).snapshot(FREQUENT_ITEMSETS).rows == 0
    assert Lake(lake).snapshot(ASSOCIATION_RULES).rows == 0


def test_too_many_itemsets_leave_the_tables_as_they_were(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("1", "a"), ("1", "b"), ("2", "c")])
    assert run_job(JOB, make_settings(), run_date=TODAY, spark=spark).status == "succeeded"
    stood = versions(lake)
    with pytest.raises(DataError, match="more than 1 itemsets"):
        run_job(JOB, make_settings(association={"max_itemsets": 1}), run_date=TODAY, spark=spark)
    assert versions(lake) == stood
