"""The segment job over a real lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import write_deltalake

from kinfolk.association.segments import SegmentReport
from kinfolk.jobs.segment import JOB, describe
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_EVENTS, SEGMENT_ITEMSETS, SEGMENT_RULES
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TODAY = dt.date(2026, 3, 10)
EVENTS = {"name": "s", "path": "events.csv", "basket": "b", "item": "i"}


def put_events(lake: str, rows: list[tuple[str, str, str | None]]) -> None:
    stock = Lake(lake)
    stock.prepare(CLEAN_EVENTS)
    when = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
    common = {"source": "s", "file": "f", "quantity": 1, "event_time": when, "run_id": "r", "updated_at": when}
    full = [
        common | {"row": n, "segment": segment, "basket_id": basket, "item_id": item}
        for n, (segment, basket, item) in enumerate(rows)
    ]
    events = pa.Table.from_pylist(full, schema=CLEAN_EVENTS.arrow_schema())
    write_deltalake(stock.path("clean_events"), events, mode="overwrite")


def test_segment_writes_what_holds_in_each_and_repeats_without_a_commit(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    rows = [("north", f"n{basket}", item) for basket in range(3) for item in "ab"]
    rows += [("south", f"s{basket}", item) for basket in range(4) for item in "ac"]
    put_events(lake, [*rows, ("east", "e0", "a"), (None, "x0", "z")])
    settings = make_settings(
        association={
            "min_support": 0.9,
            "min_confidence": 0.9,
            "segment_by": "segment",
            "min_segment_baskets": 3,
            "min_segment_count": 1,
        }
    )
    notes: list[str] = []
    assert run_job(JOB, settings, run_date=TODAY, spark=spark, note=notes.append).status == "succeeded"
    told = "\n".join(notes)
    assert "south: 4 baskets, 3 itemsets and 2 rules" in told
    assert "1 with too few baskets (association.min_segment_baskets) left out" in told
    itemsets = {(row["segment"], row["itemset_id"]) for row in Lake(lake).read(SEGMENT_ITEMSETS).to_pylist()}
    assert itemsets == {
        *(("north", items) for items in ('["a"]', '["b"]', '["a","b"]')),
        *(("south", items) for items in ('["a"]', '["c"]', '["a","c"]')),
    }
    rules = Lake(lake).read(SEGMENT_RULES).to_pylist()
    assert {(row["segment"], row["consequent_id"], row["baskets"]) for row in rules} == {
        *(("north", item, 3) for item in ('["a"]', '["b"]')),
        *(("south", item, 4) for item in ('["a"]', '["c"]')),
    }
    stood = [Lake(lake).open(table).version() for table in (SEGMENT_ITEMSETS, SEGMENT_RULES)]
    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=1), spark=spark).status == "skipped"
    assert run_job(JOB, settings, run_date=TODAY, spark=spark, is_forced=True).status == "succeeded"
    assert [Lake(lake).open(table).version() for table in (SEGMENT_ITEMSETS, SEGMENT_RULES)] == stood


def test_the_job_is_left_out_where_no_segment_is_named(make_settings: Callable[..., Settings]) -> None:
    assert JOB.lacks(make_settings(sources={"events": [EVENTS]})) == "association.segment_by"


def test_many_segments_are_told_in_few_lines() -> None:
    many = [SegmentReport(f"s{n}", 100 + n, is_mined=True, itemsets=1, rules=0) for n in range(9)]
    assert len(describe(many).splitlines()) == 6
    assert "s8: 108 baskets" in describe(many).splitlines()[0]
    assert "4 other segments" in describe(many)
