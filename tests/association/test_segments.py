"""Segments mined apart: of each exactly what mining its baskets alone finds, whoever shares the work."""

from __future__ import annotations

import datetime as dt
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from kinfolk.association.mining import mine_baskets
from kinfolk.association.segments import mine_segments
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.catalog import SEGMENT_ITEMSETS, SEGMENT_RULES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LINES = "basket_id string, item_id string, item_name string, country string, event_time timestamp"
WANTED = {
    "min_support": 0.04,
    "min_confidence": 0.3,
    "segment_by": "country",
    "min_segment_baskets": 50,
    "min_segment_count": 1,
}
SHARES = {"France": 0.5, "Norway": 0.2, None: 0.2, "Malta": 0.1}


@pytest.fixture(scope="module")
def lines(spark: SparkSession) -> DataFrame:
    """Baskets of countries with different tastes, of few from Malta, of some from nobody knows where."""
    draw, rows = random.Random(3), []
    for basket in range(400):
        country = draw.choices(list(SHARES), list(SHARES.values()))[0]
        likes = {"France": 0.6, "Norway": 0.3}.get(country, 0.45)
        items = [f"i{n}" for n in range(9) if draw.random() < likes / (1 + n % 3)] or ["i0"]
        time = dt.datetime(2026, 3 + basket % 2, 1 + basket % 28, 12, tzinfo=dt.UTC)
        rows += [(f"b{basket}", item, item.upper(), country, time) for item in items]
    draw.shuffle(rows)
    return spark.createDataFrame(rows, LINES)


def content(frame: DataFrame) -> list[str]:
    return sorted(map(repr, frame.collect()))


@pytest.mark.parametrize("settings", [{}, {"tasks": 3}, {"holdout_share": 0.3}], ids=["one", "three", "holdout"])
def test_each_segment_is_mined_as_if_there_were_no_other(lines: DataFrame, settings: dict[str, Any]) -> None:
    wanted = AssociationSettings(**WANTED, **settings)
    with closing(mine_segments(lines, wanted)) as found:
        mined = [one for one in found.segments if one.is_mined]
        assert [one.segment for one in mined] == ["France", "Norway"]
        left_out = [(one.segment, one.itemsets, one.rules) for one in found.segments if not one.is_mined]
        assert left_out == [("Malta", 0, 0)]
        assert {row["segment"] for row in found.rules.select("segment").collect()} == {"France", "Norway"}
        for one in mined:
            of_it = lines.where(F.col("country") == one.segment)
            with closing(mine_baskets(of_it, wanted.model_copy(update={"tasks": 1}))) as alone:
                for frame, expected in ((found.itemsets, alone.itemsets), (found.rules, alone.rules)):
                    its = frame.where(F.col("segment") == one.segment).drop("segment")
                    assert content(its) == content(expected)
                assert (one.itemsets, one.rules) == (alone.report.itemsets, alone.report.rules)
                assert one.rules > 0


def test_a_segment_can_be_a_month_or_of_lists(lines: DataFrame) -> None:
    months = AssociationSettings(**WANTED | {"segment_by": "month"})
    with closing(mine_segments(lines, months)) as found:
        assert [(one.segment, one.basket_count) for one in found.segments] == [("2026-03", 200), ("2026-04", 200)]
    lists = lines.groupBy("basket_id", "country").agg(F.collect_list("item_id").alias("items"))
    wanted = AssociationSettings(**WANTED)
    unnamed = lines.drop("item_name")
    with closing(mine_segments(lists, wanted)) as of_lists, closing(mine_segments(unnamed, wanted)) as of_lines:
        assert of_lists.segments == of_lines.segments
        assert content(of_lists.itemsets) == content(of_lines.itemsets)


def test_what_a_few_baskets_of_a_small_segment_hold_is_not_frequent(lines: DataFrame) -> None:
    with closing(mine_segments(lines, AssociationSettings(**WANTED | {"min_segment_count": 12}))) as found:
        baskets = {one.segment: one.basket_count for one in found.segments if one.is_mined}
        least = {row["segment"]: row["least"] for row in found.itemsets.groupBy("segment").agg(
            F.min("basket_count").alias("least")
        ).collect()}  # fmt: skip
    assert 0.04 * baskets["Norway"] < 12 <= least["Norway"]
    assert 0.04 * baskets["France"] <= least["France"] < 0.08 * baskets["France"]


def test_the_frames_are_what_the_tables_hold(lines: DataFrame) -> None:
    with closing(mine_segments(lines, AssociationSettings(**WANTED))) as found:
        assert found.itemsets.columns == SEGMENT_ITEMSETS.content
        assert found.rules.columns == SEGMENT_RULES.content


def test_no_segment_is_large_enough(lines: DataFrame) -> None:
    with closing(mine_segments(lines, AssociationSettings(**WANTED | {"min_segment_baskets": 1000}))) as found:
        assert found.itemsets.count() == found.rules.count() == 0
        assert [one.segment for one in found.segments] == ["France", "Malta", "Norway"]
        assert not any(one.is_mined or one.itemsets or one.rules for one in found.segments)


def test_a_budget_names_the_segment(lines: DataFrame) -> None:
    with pytest.raises(DataError, match=r"segment France: more than 5 itemsets"):
        mine_segments(lines, AssociationSettings(**WANTED, max_itemsets=5))


def test_a_column_that_is_not_there_and_none_at_all(lines: DataFrame) -> None:
    with pytest.raises(DataError, match=r"association\.segment_by is store: name one of them"):
        mine_segments(lines, AssociationSettings(**WANTED | {"segment_by": "store"}))
    with pytest.raises(SettingsError, match=r"association\.segment_by names no column"):
        mine_segments(lines, AssociationSettings())
