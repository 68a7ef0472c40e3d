"""Mining on Spark: the same as MLlib, windows, budgets, and planted rules."""

from __future__ import annotations

import datetime as dt
import random
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import functions as F

from kinfolk.association.mining import mine_baskets
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.catalog import ASSOCIATION_RULES, FREQUENT_ITEMSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = "basket_id string, item_id string, item_name string, event_time timestamp"


def noon(day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(2026, 3, day, hour, tzinfo=dt.UTC)


def events_of(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    return spark.createDataFrame([row + (None,) * (4 - len(row)) for row in rows], SCHEMA)


@pytest.fixture(scope="module")
def shopping(spark: SparkSession) -> DataFrame:
    """300 baskets of 12 items, popular ones first, with a planted rule: who buys i9 and i8 buys i7."""
    draw = random.Random(5)
    rows = []
    for basket in range(300):
        items = {f"i{n}" for n in range(7) if draw.random() < 0.6 / (n + 1)} | {f"x{draw.randrange(40)}"}
        if basket % 20 == 0:
            items |= {"i9", "i8", "i7"}
        rows += [(f"b{basket}", item, item.upper()) for item in sorted(items)]
    draw.shuffle(rows)
    return events_of(spark, rows)


def test_itemsets_and_rules_equal_those_of_mllib(shopping: DataFrame) -> None:
    ours = mine_baskets(shopping, AssociationSettings(min_support=0.02, min_confidence=0.3))
    baskets = shopping.groupBy("basket_id").agg(F.collect_set("item_id").alias("items"))
    model = FPGrowth(minSupport=0.02, minConfidence=0.3, numPartitions=2).fit(baskets)

    expected = {tuple(sorted(row["items"])): row["freq"] for row in model.freqItemsets.collect()}
    assert {tuple(row["items"]): row["basket_count"] for row in ours.itemsets.collect()} == expected
    assert (ours.itemset_count, ours.basket_count) == (len(expected), 300)
    assert len(expected) > 60

    theirs = {
        (tuple(sorted(row["antecedent"])), tuple(row["consequent"])): row for row in model.associationRules.collect()
    }
    rules = {(tuple(row["antecedent"]), tuple(row["consequent"])): row for row in ours.rules.collect()}
    assert set(rules) == set(theirs)
    assert len(rules) > 30
    for sides, rule in rules.items():
        for measure in ("confidence", "lift", "support"):
            assert rule[measure] == pytest.approx(theirs[sides][measure], rel=1e-12)


def test_the_planted_rule_is_found_with_its_numbers_and_names(shopping: DataFrame) -> None:
    found = mine_baskets(shopping, AssociationSettings(min_support=0.05, min_confidence=0.9))
    rules = {row["antecedent_id"]: row for row in found.rules.where("consequent_id = '[\"i7\"]'").collect()}
    rule = rules['["i8","i9"]']
    assert (rule["basket_count"], rule["support"], rule["confidence"], rule["lift"]) == (15, 0.05, 1.0, 20.0)
    assert rule["leverage"] == pytest.approx(0.05 - 0.05**2)
    assert rule["conviction"] is None
    assert (rule["antecedent_names"], rule["consequent_names"]) == (["I8", "I9"], ["I7"])


def test_frames_have_the_content_of_their_tables(shopping: DataFrame) -> None:
    found = mine_baskets(shopping, AssociationSettings())
    for frame, table in ((found.itemsets, FREQUENT_ITEMSETS), (found.rules, ASSOCIATION_RULES)):
        types = {column.name: column.type for column in table.columns if column.role == "content"}
        assert dict(frame.dtypes) == types
    assert found.itemsets.where("itemset_id <> to_json(items)").isEmpty()


def test_a_window_ends_with_the_run_date_in_utc(spark: SparkSession) -> None:
    rows = [("last", "a", None, noon(10, 23)), ("first", "a", None, noon(9, 0)), ("before", "a", None, noon(8, 23))]
    rows += [("after", "a", None, noon(11, 0)), ("never", "a", None, None)]
    events = events_of(spark, rows)
    settings = AssociationSettings(window_days=2)
    assert mine_baskets(events, settings, until=dt.date(2026, 3, 10)).basket_count == 2
    assert mine_baskets(events, settings, until=dt.date(2026, 3, 9)).basket_count == 2
    assert mine_baskets(events, AssociationSettings(), until=dt.date(2026, 3, 10)).basket_count == 5


def test_a_window_without_an_end_or_without_times_is_refused(spark: SparkSession) -> None:
    events = events_of(spark, [("1", "a"), ("1", "b")])
    with pytest.raises(SettingsError, match="run date"):
        mine_baskets(events, AssociationSettings(window_days=2))
    with pytest.raises(DataError, match="no event has a time"):
        mine_baskets(events, AssociationSettings(window_days=2), until=dt.date(2026, 3, 10))


def test_too_many_itemsets_stop_with_advice(spark: SparkSession) -> None:
    events = events_of(spark, [(basket, item) for basket in "12" for item in "abcdefgh"])
    assert mine_baskets(events, AssociationSettings(max_itemsets=255)).itemset_count == 255
    with pytest.raises(DataError, match=r"more than 254 itemsets .* 2 baskets; raise association.min_support"):
        mine_baskets(events, AssociationSettings(max_itemsets=254))


def test_no_events_give_no_rows(spark: SparkSession) -> None:
    found = mine_baskets(events_of(spark, []), AssociationSettings())
    assert (found.basket_count, found.itemset_count) == (0, 0)
    assert found.itemsets.isEmpty()
    assert found.rules.isEmpty()


def test_events_without_a_basket_or_an_item_are_no_purchases(spark: SparkSession) -> None:
    rows = [(None, "a"), ("1", None), ("1", "a"), ("2", "a"), ("2", "b")]
    found = mine_baskets(events_of(spark, rows), AssociationSettings(min_support=0.5))
    assert {tuple(row["items"]): row["support"] for row in found.itemsets.collect()} == {
        ("a",): 1.0,
        ("b",): 0.5,
        ("a", "b"): 0.5,
    }


def test_every_subset_is_there_and_at_least_as_frequent(shopping: DataFrame) -> None:
    rows = mine_baskets(shopping, AssociationSettings(min_support=0.02)).itemsets.collect()
    support = {tuple(row["items"]): row["support"] for row in rows}
    for items, share in support.items():
        for subset in combinations(items, len(items) - 1):
            assert not subset or support[subset] >= share
