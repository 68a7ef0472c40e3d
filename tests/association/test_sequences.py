"""Sequences on Spark: planted ones with their numbers, columns, times, windows, budgets, and what is refused."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from kinfolk.association.sequences.mining import SequenceResult, mine_sequences
from kinfolk.association.sequences.oracle import Bounds, History, find_sequences
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import SequenceSettings
from kinfolk.tables.catalog import FREQUENT_SEQUENCES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

SCHEMA = "customer_id string, basket_id string, item_id string, item_name string, event_time timestamp"
DAY_ONE = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
HOURS_A_DAY = 24


def bought(customer: str | None, hour: int, items: str, basket: str | None = None) -> list[tuple]:
    """Items, a letter each, that a customer bought so many hours after the first day began."""
    time = DAY_ONE + dt.timedelta(hours=hour)
    return [(customer, basket or f"{customer} {hour}", item, f"item {item}", time) for item in items]


def events_of(spark: SparkSession, *purchases: list[tuple]) -> DataFrame:
    rows = [row for purchase in purchases for row in purchase]
    random.Random(3).shuffle(rows)
    return spark.createDataFrame(rows, SCHEMA)


@pytest.fixture
def mine() -> Iterator[Callable[..., SequenceResult]]:
    with ExitStack() as stack:

        def mine(events: DataFrame, *, until: dt.date | None = None, **settings: Any) -> SequenceResult:
            found = mine_sequences(events, SequenceSettings(**settings), until=until)
            return stack.enter_context(closing(found))

        yield mine


def by_id(found: SequenceResult) -> dict[str, Row]:
    rows = {row["sequence_id"]: row for row in found.sequences.collect()}
    assert len(rows) == found.report.sequences
    return rows


@pytest.fixture(scope="module")
def printers(spark: SparkSession) -> DataFrame:
    """Ten customers. Eight buy a printer (p) with a cable (c), six of them ink (i) and paper (a) later, two before."""
    purchases = []
    for number in range(6):
        purchases += [bought(f"c{number}", 0, "pc"), bought(f"c{number}", (number + 1) * HOURS_A_DAY, "ia")]
    for number in (6, 7):
        purchases += [bought(f"c{number}", 0, "ia"), bought(f"c{number}", HOURS_A_DAY, "cp")]
    return events_of(spark, *purchases, bought("c8", 0, "i"), bought("c9", 0, "x"))


def test_a_planted_sequence_is_found_with_its_numbers(printers: DataFrame, mine: Callable[..., SequenceResult]) -> None:
    found = mine(printers, min_support=0.5, max_length=4)
    rows = by_id(found)
    row = rows['[["c","p"],["a","i"]]']
    assert (row["length"], row["elements"], row["customer_count"], row["support"]) == (4, 2, 6, 0.6)
    assert (row["antecedent_count"], row["confidence"]) == (8, 0.75)
    assert row["lift"] == pytest.approx(0.75 / 0.8), "eight of ten customers hold both at any time"
    assert row["median_days"] == 3.5, "after 1, 2, … 6 days"
    assert row["items"] == [["c", "p"], ["a", "i"]]
    assert row["item_names"] == [["item c", "item p"], ["item a", "item i"]]
    single = rows['[["i"]]']
    assert (single["customer_count"], single["elements"]) == (9, 1)
    assert [single[name] for name in ("antecedent_count", "confidence", "lift", "median_days")] == [None] * 4
    assert rows['[["p"],["i"]]']["lift"] == pytest.approx(0.75 / 0.9)
    assert '[["a","i"],["c","p"]]' not in rows, "only two did so"
    assert (found.report.customer_count, found.report.items, found.report.least) == (10, 4, 5)


def test_frames_have_the_content_of_their_table(printers: DataFrame, mine: Callable[..., SequenceResult]) -> None:
    found = mine(printers)
    types = {column.name: column.type for column in FREQUENT_SEQUENCES.columns if column.role == "content"}
    assert dict(found.sequences.dtypes) == types
    assert found.sequences.where("sequence_id <> to_json(items)").isEmpty()


def test_random_histories_equal_the_oracle_with_gaps_and_spans(
    spark: SparkSession, mine: Callable[..., SequenceResult], tmp_path: Path
) -> None:
    draw, purchases, histories = random.Random(8), [], []
    for customer in range(120):
        hours = sorted(draw.sample(range(200), draw.randrange(1, 7)))
        history: History = [(hour, frozenset(draw.sample("abcdef", draw.randrange(1, 4)))) for hour in hours]
        histories.append(history)
        purchases += [bought(f"c{customer}", hour, "".join(items)) for hour, items in history]
    wanted = {"min_gap_days": 0.25, "max_gap_days": 2, "max_span_days": 3.5, "max_length": 4, "max_elements": 3}
    expected = find_sequences(histories, 6, Bounds(4, 3, 6, 48, 84))
    events_of(spark, *purchases).write.parquet(str(tmp_path / "events"))
    for events in (events_of(spark, *purchases), spark.read.parquet(str(tmp_path / "events"))):
        found = {}
        for row in mine(events, min_support=0.05, **wanted).sequences.collect():
            hours = None if row["median_days"] is None else round(row["median_days"] * HOURS_A_DAY, 6)
            found[tuple(map(frozenset, row["items"]))] = (row["customer_count"], hours)
            assert row["items"] == [sorted(element) for element in row["items"]]
            if row["elements"] > 1:
                before = expected[tuple(map(frozenset, row["items"][:-1]))].customers
                last = expected[(frozenset(row["items"][-1]),)].customers
                assert row["antecedent_count"] == before
                assert row["confidence"] == row["customer_count"] / before
                assert row["lift"] == pytest.approx(row["customer_count"] / before / (last / 120))
        assert found == {sequence: tuple(counted) for sequence, counted in expected.items()}
    assert max(len(sequence) for sequence in found) == 3, "or the data is too thin for the bounds to matter"


def test_one_basket_is_one_element_and_so_is_one_moment(
    spark: SparkSession, mine: Callable[..., SequenceResult]
) -> None:
    events = events_of(
        spark,
        # A basket that takes two hours, another at its first moment, and one of the same name of another customer.
        [*bought("c", 0, "a", "b1"), *bought("c", 2, "bb", "b1"), *bought("c", 0, "d", "b2")],
        bought("d", 0, "e", "b1"),
        bought("d", 0, "e", "b3"),
        # These lack a customer, a basket, an item or a time.
        bought(None, 5, "a"),
        [(*row[:1], None, *row[2:]) for row in bought("c", 5, "a")],
        [(*row[:2], None, *row[3:]) for row in bought("c", 5, "a")],
        [(*row[:4], None) for row in bought("c", 5, "a")],
    )
    found = mine(events, min_count=1, max_length=9)
    assert max(row["elements"] for row in found.sequences.collect()) == 1
    rows = by_id(found)
    assert rows['[["a","b","d"]]']["customer_count"] == 1
    assert set("".join(key.strip('[]"') for key in rows if len(key) == 7)) == set("abde")
    assert (found.report.customer_count, found.report.elements) == (2, 2)


def test_gaps_are_exact_to_the_microsecond(spark: SparkSession, mine: Callable[..., SequenceResult]) -> None:
    day = dt.timedelta(days=0.3)
    rows = []
    for number, more in enumerate((-1, 0, 1)):
        first, later = bought(f"c{number}", 0, "ab")
        rows += [first, (*later[:1], "later", *later[2:4], DAY_ONE + day + dt.timedelta(microseconds=more))]
    events = spark.createDataFrame(rows, SCHEMA)
    step = '[["a"],["b"]]'
    assert by_id(mine(events, min_count=1, max_gap_days=0.3))[step]["customer_count"] == 2
    assert by_id(mine(events, min_count=1, min_gap_days=0.3))[step]["customer_count"] == 2
    assert by_id(mine(events, min_count=1, max_span_days=0.3))[step]["customer_count"] == 2
    assert by_id(mine(events, min_count=1, min_gap_days=0.3, max_gap_days=0.3))[step]["customer_count"] == 1


def test_a_window_ends_with_a_day_and_excluded_items_are_left_out(
    printers: DataFrame, mine: Callable[..., SequenceResult]
) -> None:
    recent = mine(printers, min_count=1, window_days=2, until=dt.date(2026, 3, 3))
    assert by_id(recent)['[["p"]]']["customer_count"] == 2, "those who bought it on the second day"
    assert recent.report.customer_count == 4
    assert set(by_id(mine(printers, min_count=8, excluded_items=["p", "c"]))) == {'[["a"]]', '[["i"]]', '[["a","i"]]'}
    with pytest.raises(SettingsError, match=r"sequence.window_days needs the day .* give a run date"):
        mine(printers, window_days=2)
    assert by_id(mine(printers, window_days=2, until=dt.date(2020, 1, 1))) == {}


def test_more_sequences_than_the_budget_are_refused(
    printers: DataFrame, mine: Callable[..., SequenceResult], tmp_path: Path
) -> None:
    count = mine(printers, min_count=1).report.sequences
    assert mine(printers, min_count=1, max_sequences=count).report.sequences == count
    for most in (1, 4, count - 1):
        too_many = SequenceSettings(min_count=1, max_sequences=most)
        with pytest.raises(DataError, match=rf"more than {most} sequences are in .* at least 1 of 10 customers; raise"):
            mine_sequences(printers, too_many, scratch=str(tmp_path / "scratch"))
    assert not list(tmp_path.rglob("*.parquet"))


def test_events_that_do_not_tell_who_and_when_are_refused(
    spark: SparkSession, mine: Callable[..., SequenceResult], printers: DataFrame
) -> None:
    with pytest.raises(DataError, match=r"sequences need .* and customer_id, event_time are missing: rename or select"):
        mine(printers.drop("customer_id", "event_time"))
    with pytest.raises(DataError, match=r"event_time is of type string; sequences need one of timestamp"):
        mine(printers.withColumn("event_time", printers["event_time"].cast("string")))
    with pytest.raises(DataError, match=r"no event has both a customer and a time.*sources.events"):
        mine(spark.createDataFrame(bought(None, 1, "a"), SCHEMA))
    assert by_id(mine(spark.createDataFrame([], SCHEMA))) == {}
    with pytest.raises(ValidationError, match=r"max_gap_days \(1\) is less than min_gap_days \(2\)"):
        SequenceSettings(min_gap_days=2, max_gap_days=1)
