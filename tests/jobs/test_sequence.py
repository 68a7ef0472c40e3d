"""The sequence job over a real lake."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from kinfolk.errors import DataError
from kinfolk.jobs.sequence import JOB
from kinfolk.run import run_job
from kinfolk.settings import Settings
from kinfolk.tables.catalog import CLEAN_EVENTS, FREQUENT_SEQUENCES
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TODAY = dt.date(2026, 3, 10)


def put_events(lake: str, purchases: list[tuple[str | None, int, str]]) -> None:
    """Items, a letter each, that a customer bought on a day of March."""
    stock = Lake(lake)
    stock.prepare(CLEAN_EVENTS)
    lines = [
        (who, dt.datetime(2026, 3, day, 12, tzinfo=dt.UTC), item) for who, day, items in purchases for item in items
    ]
    common = {"source": "s", "file": "f", "quantity": 1, "run_id": "r", "updated_at": dt.datetime.now(dt.UTC)}
    rows: list[dict[str, Any]] = [
        common | {"row": n, "basket_id": f"{who} {when}", "customer_id": who, "event_time": when, "item_id": item}
        for n, (who, when, item) in enumerate(lines)
    ]
    events = pa.Table.from_pylist(rows, schema=CLEAN_EVENTS.arrow_schema())
    write_deltalake(stock.path("clean_events"), events, mode="overwrite")


def found(lake: str) -> dict[str, int]:
    rows = Lake(lake).read(FREQUENT_SEQUENCES).to_pylist()
    return {row["sequence_id"]: row["customer_count"] for row in rows}


def test_the_job_writes_sequences_and_repeats_without_a_commit(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("x", 1, "ab"), ("x", 4, "c"), ("y", 2, "a"), ("y", 3, "c"), (None, 3, "z")])
    settings = make_settings(sequence={"min_support": 1})
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert found(lake) == {'[["a"]]': 2, '[["c"]]': 2, '[["a"],["c"]]': 2}
    (step,) = [row for row in Lake(lake).read(FREQUENT_SEQUENCES).to_pylist() if row["elements"] == 2]
    assert (step["items"], step["item_names"]) == ([["a"], ["c"]], [["a"], ["c"]])
    assert (step["confidence"], step["median_days"]) == (1.0, 2.0)
    stood = Lake(lake).open(FREQUENT_SEQUENCES).version()

    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=9), spark=spark).status == "skipped"
    put_events(lake, [("y", 3, "c"), ("y", 2, "a"), ("x", 4, "c"), ("x", 1, "ba"), (None, 3, "z")])
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert Lake(lake).open(FREQUENT_SEQUENCES).version() == stood


def test_a_window_makes_the_run_date_matter(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("x", 5, "a"), ("x", 6, "c")])
    settings = make_settings(sequence={"window_days": 6})
    assert run_job(JOB, settings, run_date=TODAY, spark=spark).status == "succeeded"
    assert '[["a"],["c"]]' in found(lake)
    assert run_job(JOB, settings, run_date=TODAY + dt.timedelta(days=1), spark=spark).status == "succeeded"
    assert found(lake) == {'[["c"]]': 1}


def test_too_many_sequences_leave_the_table_as_it_was(
    spark: SparkSession, lake: str, make_settings: Callable[..., Settings]
) -> None:
    put_events(lake, [("x", 1, "a"), ("x", 2, "b")])
    assert run_job(JOB, make_settings(), run_date=TODAY, spark=spark).status == "succeeded"
    stood = found(lake)
    assert len(stood) == 3
    with pytest.raises(DataError, match="more than 2 sequences"):
        run_job(JOB, make_settings(sequence={"max_sequences": 2}), run_date=TODAY, spark=spark)
    assert found(lake) == stood


@pytest.mark.parametrize(
    ("columns", "lacking"),
    [
        ([], "sources.events"),
        ([{"time": "at"}], "sources.events.customer"),
        ([{"customer": "who"}], "sources.events.time"),
        ([{}, {"customer": "who", "time": "at"}], None),
    ],
)
def test_the_job_is_left_out_where_no_source_tells_who_and_when(
    make_settings: Callable[..., Settings], columns: list[dict[str, str]], lacking: str | None
) -> None:
    common = {"path": "events.csv", "basket": "b", "item": "i"}
    sources = [common | {"name": f"s{number}"} | more for number, more in enumerate(columns)]
    assert JOB.lacks(make_settings(sources={"events": sources})) == lacking
