"""What brings in the money: against the oracle, at its edges, and from frame to frame."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kinfolk.association.oracle import Itemset
from kinfolk.association.utility import search as utility_search
from kinfolk.association.utility.mining import mine_values
from kinfolk.association.utility.oracle import Line, Value, find_values
from kinfolk.association.utility.task import ValueReport, mine_lines
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import UtilitySettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PRICE = pa.decimal128(18, 4)


def table_of(lines: list[Line], price: pa.DataType = PRICE) -> pa.Table:
    columns = [[line[place] for line in lines] for place in range(4)]
    types = (pa.string(), pa.string(), pa.int32(), price)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=["basket_id", "item_id", "quantity", "price"])


def mine(
    table: pa.Table, wanted: UtilitySettings, folder: Path, *, threads: int = 1
) -> tuple[list[dict[str, Any]], ValueReport]:
    report = mine_lines(lambda: table, wanted, threads=threads, scratch=str(folder))
    return pq.read_table(report.file).to_pylist(), report


def values_of(rows: list[dict[str, Any]]) -> dict[Itemset, tuple[Decimal, int]]:
    found = {frozenset(row["items"]): (row["revenue"], row["basket_count"]) for row in rows}
    assert len(found) == len(rows), "each once"
    return found


def expect(values: dict[Itemset, Value], wanted: UtilitySettings, least: Decimal) -> dict[Itemset, tuple[Decimal, int]]:
    return {
        items: (value.revenue, value.basket_count)
        for items, value in values.items()
        if value.revenue >= least and value.basket_count >= wanted.min_count and len(items) >= wanted.min_length
    }


@pytest.fixture(params=["roomy", "no room"])
def _room(request: pytest.FixtureRequest) -> object:
    """Small data has to go through the same seams as large: arrays that grow again and again."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no room":
            patch.setattr(utility_search, "_FIRST_ROOM", 1)
        yield


PRICES = st.sampled_from([Decimal(text) for text in ("0", "0.0001", "0.01", "0.5", "1", "1.25", "3", "20")])
SOME_LINES = st.lists(
    st.builds(Line, st.sampled_from("123456789"), st.sampled_from("abcdefg"), st.integers(1, 4), PRICES), max_size=50
)
"""Up to nine crowded baskets, in which an item comes more than once, at several prices, and some cost nothing."""


@pytest.mark.usefixtures("_room")
@settings(max_examples=300, deadline=None)
@given(
    SOME_LINES,
    st.sampled_from([0.001, 0.05, 0.1, 0.3, 1.0]),
    st.sampled_from([1, 2, 3, 7]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 3]),
)
def test_sets_and_their_revenue_equal_the_oracles(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[Line],
    share: float,
    max_length: int,
    min_length: int,
    min_count: int,
    threads: int,
) -> None:
    wanted = UtilitySettings(min_revenue_share=share, min_length=min_length, max_length=max_length, min_count=min_count)
    rows, report = mine(table_of(lines), wanted, tmp_path_factory.mktemp("found"), threads=threads)
    values, total = find_values(lines, max_length), sum((line.quantity * line.price for line in lines), Decimal())
    least = max(Decimal(str(share)) * total, Decimal("0.0001"))
    assert values_of(rows) == expect(values, wanted, least)
    baskets = len({line.basket for line in lines})
    assert (report.basket_count, Decimal(report.revenue)) == (baskets, total)
    for row in rows:
        value = values[frozenset(row["items"])]
        assert (row["itemset_id"], row["length"]) == (
            json.dumps(row["items"], separators=(",", ":")),
            len(row["items"]),
        )
        assert row["items"] == sorted(row["items"]) == row["item_names"]
        assert row["support"] == value.basket_count / baskets
        assert row["revenue_share"] == pytest.approx(float(value.revenue / total), rel=1e-12)
        assert row["basket_share"] == pytest.approx(float(value.revenue / value.baskets_revenue), rel=1e-12)
        missed = abs(Fraction(row["revenue_per_basket"]) - Fraction(value.revenue) / value.basket_count)
        assert missed <= Fraction("0.00005"), "rounded"


@pytest.mark.usefixtures("_room")
@settings(max_examples=100, deadline=None)
@given(SOME_LINES.filter(bool), st.integers(0, 10**6), st.integers(-1, 1))
def test_a_set_that_brings_in_just_enough_is_found_and_one_with_less_is_not(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Line], which: int, beside: int
) -> None:
    """Thresholds at, just above and just below the revenue of one of the sets."""
    values = find_values(lines, 7)
    revenues = sorted({value.revenue for value in values.values()})
    least = revenues[which % len(revenues)] + beside * Decimal("0.00001")
    if least > 0:
        wanted = UtilitySettings(min_revenue=least, max_length=7)
        rows, _ = mine(table_of(lines), wanted, tmp_path_factory.mktemp("found"))
        assert values_of(rows) == expect(values, wanted, least)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_baskets_equal_the_oracle(tmp_path: Path, threads: int) -> None:
    """More sets than there is room for at first, of baskets that hold thirty items."""
    random = np.random.default_rng(0)
    prices = [Decimal(int(price)) / 100 for price in random.integers(1, 2000, 30)]
    lines = [
        Line(str(basket), f"i{item}", int(random.integers(1, 9)), prices[item])
        for basket in range(300)
        for item in np.flatnonzero(random.random(30) < 0.4)
    ]
    wanted = UtilitySettings(min_revenue=Decimal(800), max_length=3)
    rows, _ = mine(table_of(lines), wanted, tmp_path, threads=threads)
    assert values_of(rows) == expect(find_values(lines, 3), wanted, Decimal(800))
    assert {row["length"] for row in rows} == {1, 2, 3}


def test_an_invoice_of_very_many_items_is_no_search_without_end(tmp_path: Path) -> None:
    """All of it is worth enough, no five of its items are, and there are 83 thousand millions of these."""
    lines = [Line("1", f"i{item}", 1, Decimal(1)) for item in range(400)]
    assert mine(table_of(lines), UtilitySettings(min_revenue=Decimal(6)), tmp_path)[0] == []


LINES = [
    Line("1", "wine", 2, Decimal("9.99")),
    Line("1", "bread", 1, Decimal("0.10")),
    Line("2", "wine", 1, Decimal("9.99")),
    Line("2", "cheese", 3, Decimal("4.50")),
    Line("2", "cheese", 1, Decimal("4.50")),
    Line("3", "bread", 1, Decimal("0.20")),
    Line("3", "post", 1, Decimal(100)),
]


def test_excluded_items_are_no_part_of_the_revenue_though_their_baskets_count(tmp_path: Path) -> None:
    lines = [*LINES, Line("4", "post", 1, Decimal(100))]
    wanted = UtilitySettings(min_revenue=Decimal("0.01"), excluded_items=("post",))
    rows, report = mine(table_of(lines), wanted, tmp_path)
    assert not [row for row in rows if "post" in row["items"]]
    assert (report.revenue, report.basket_count) == ("48.2700", 4)
    bread = next(row for row in rows if row["items"] == ["bread"])
    assert (bread["revenue"], bread["basket_share"]) == (Decimal("0.3000"), pytest.approx(0.3 / 20.28))


def test_incomplete_lines_are_counted_and_wrong_ones_refused(tmp_path: Path) -> None:
    wanted = UtilitySettings(min_revenue=Decimal(1))
    lines: list[Any] = [*LINES, ("5", "wine", 1, None), ("5", None, 1, Decimal(5)), (None, "wine", None, Decimal(5))]
    table = pa.table(
        [pa.array([line[place] for line in lines], kind) for place, kind in enumerate(table_of(LINES).schema.types)],
        names=table_of(LINES).column_names,
    )
    rows, report = mine(table, wanted, tmp_path)
    assert (report.left_out, report.basket_count) == (3, 3)
    assert values_of(rows) == values_of(mine(table_of(LINES), wanted, tmp_path)[0])

    cases: list[tuple[pa.Table, str]] = [
        (table_of([*LINES, Line("4", "wine", -1, Decimal(9))]), "1 of 8 lines have a quantity below 0"),
        (table_of([*LINES, Line("4", "wine", 1, Decimal(-9))]), "1 of 8 lines have a price below 0"),
        (table.set_column(3, "price", pa.nulls(10, PRICE)), "of 10 lines none has all of .* lack the price"),
        (table_of(LINES).set_column(3, "price", pa.array([0.1] * 7)), r"price is of type double; .* cast it"),
        (table_of([Line("1", "a", 10**6, Decimal(10**13))]), "a line is worth more than the 9,223,372,036,854,775,807"),
        (table_of([Line(str(n), "a", 1, Decimal(10**14 - 1)) for n in range(10)]), "all lines together are worth more"),
        (table_of(LINES).set_column(2, "quantity", pa.array([1] * 7).cast(pa.decimal128(38, 17))), "21 digits"),
    ]
    for wrong, message in cases:
        with pytest.raises(DataError, match=message):
            mine(wrong, wanted, tmp_path)


def test_sums_are_exact_up_to_the_last_unit(tmp_path: Path) -> None:
    """The largest total there may be, which no floating-point number is."""
    lines = [Line(str(n), "a", 1, Decimal(10**14 - 1)) for n in range(9)]
    rest = Decimal(2**63 - 1).scaleb(-4) - 9 * Decimal(10**14 - 1)
    lines.append(Line("9", "b", 1, rest))
    rows, report = mine(table_of(lines), UtilitySettings(min_revenue=rest), tmp_path)
    assert {row["itemset_id"]: row["revenue"] for row in rows} == {
        '["a"]': 9 * Decimal(10**14 - 1),
        '["b"]': rest,
    }
    assert report.revenue == "922337203685477.5807"
    assert mine(table_of(lines), UtilitySettings(min_revenue=Decimal(10) ** 20), tmp_path)[0] == []


def test_quantities_by_weight_are_exact_too(tmp_path: Path) -> None:
    table = table_of(LINES).set_column(2, "quantity", pa.array([Decimal("0.125")] * 7, pa.decimal128(9, 3)))
    rows, _ = mine(table, UtilitySettings(min_revenue=Decimal("2.4975")), tmp_path)
    assert values_of(rows)[frozenset({"wine"})] == (Decimal("2.4975000"), 2)
    assert frozenset({"bread"}) not in values_of(rows)


def test_too_many_sets_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    lines = [Line("1", item, 1, Decimal(1)) for item in "abcdefgh"]
    wanted = UtilitySettings(min_revenue=Decimal(1), max_length=8)
    assert len(mine(table_of(lines), wanted.model_copy(update={"max_itemsets": 255}), tmp_path / "enough")[0]) == 255
    for most in (1, 100, 254):
        with pytest.raises(DataError, match=rf"more than {most} itemsets bring in at least 1\.0000 of 8\.0000"):
            mine(table_of(lines), wanted.model_copy(update={"max_itemsets": most}), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    when = [dt.datetime(2026, 3, 1 + int(line.basket), 12, tzinfo=dt.UTC) for line in LINES]
    rows = [(*line, line.item.upper(), time) for line, time in zip(LINES, when, strict=True)]
    columns = "basket_id string, item_id string, quantity int, price decimal(18,4), item_name string"
    return spark.createDataFrame(rows, f"{columns}, event_time timestamp")


def test_frames_are_mined_with_names_and_within_a_window(frame: DataFrame) -> None:
    wanted = UtilitySettings(min_revenue=Decimal(20), window_days=2)
    with closing(mine_values(frame, wanted, until=dt.date(2026, 3, 3))) as found:
        rows = {tuple(row["item_names"]): row for row in found.itemsets.collect()}
    assert {names: row["revenue"] for names, row in rows.items()} == {
        ("WINE",): Decimal("29.97"),
        ("BREAD", "WINE"): Decimal("20.08"),
        ("CHEESE", "WINE"): Decimal("27.99"),
    }
    assert rows["WINE",]["revenue_per_basket"] == Decimal("14.985")
    with pytest.raises(SettingsError, match=r"utility\.window_days needs the day"):
        mine_values(frame, wanted)
    without = frame.withColumn("event_time", F.lit(None).cast("timestamp"))
    with pytest.raises(DataError, match=r"utility\.window_days is set, but no event has a time"):
        mine_values(without, wanted, until=dt.date(2026, 3, 3))
    with pytest.raises(DataError, match=r"told by basket_id, item_id, quantity, price: rename"):
        mine_values(frame.drop("price"), wanted)


def test_no_lines_bring_in_nothing(frame: DataFrame) -> None:
    with closing(mine_values(frame.limit(0), UtilitySettings())) as found:
        assert found.itemsets.count() == 0
        assert (found.report.revenue, found.report.basket_count) == ("0.0000", 0)
