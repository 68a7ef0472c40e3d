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
from kinfolk.jobs.mine_plan import plan_mine
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS, RULE_CHANGES
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


def test_each_run_tells_what_became_of_the_rules(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(association={"min_support": 0.01, "min_confidence": 0.3}, limits={"max_deleted_share": 1})
    first = [(str(basket), item) for basket in range(200) for item in ("a", "b" if basket % 2 else "c")]
    put_events(lake, first)
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert Lake(lake).snapshot(RULE_CHANGES).rows == 0

    # From now on whoever buys a buys b as well, and d comes with c.
    later = [(str(basket), item) for basket in range(200, 300) for item in "ab"]
    put_events(lake, first + later + [(str(basket), "d") for basket in range(0, 20, 2)])
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    rows = Lake(lake).read(RULE_CHANGES).to_pylist()
    told = {(row["antecedent_names"][0], row["consequent_names"][0], len(row["antecedent_names"])): row for row in rows}
    assert told["A", "B", 1]["change"] == "changed"
    assert (told["A", "B", 1]["confidence_before"], told["A", "B", 1]["confidence_after"]) == (0.5, 200 / 300)
    assert told["D", "C", 1]["change"] == "appeared"
    assert ("B", "A", 1) not in told, "always was and is sure"

    put_events(lake, first)
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    vanished = [row for row in Lake(lake).read(RULE_CHANGES).to_pylist() if row["change"] == "vanished"]
    assert ("D",) in {tuple(row["antecedent_names"]) for row in vanished}


def test_the_plan_tells_what_the_job_finds(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [(str(basket), item) for basket in range(4) for item in "abcd"[: basket + 1]])
    settings = make_settings(association={"min_support": 0.25})
    plan = plan_mine(settings)
    assert plan.excess is None
    assert (plan.forecast.baskets, plan.forecast.items, plan.forecast.least) == (4, 4, 1)
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert plan.forecast.itemsets == Lake(lake).snapshot(FREQUENT_ITEMSETS).rows == 15
    assert Lake(lake).snapshot(ASSOCIATION_RULES).rows <= plan.forecast.rules == 4 * 2**3 - 4
    cut = plan_mine(make_settings(association={"min_support": 0.25, "max_itemsets": 5}))
    assert cut.excess is not None
    assert "association.max_itemsets allows no more" in cut.excess
