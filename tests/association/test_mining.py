"""Mining on Spark: the same as MLlib, lists and lines, windows, budgets, what is wanted, and planted rules."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import functions as F
from scipy.stats import binomtest

from kinfolk.association.mining import MiningResult, mine_baskets, update_baskets
from kinfolk.association.oracle import find_itemsets, find_rules
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.catalog import ASSOCIATION_RULES, FREQUENT_ITEMSETS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

SCHEMA = "basket_id string, item_id string, item_name string, event_time timestamp"
BASKETS = 300


def noon(day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(2026, 3, day, hour, tzinfo=dt.UTC)


def events_of(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    return spark.createDataFrame([row + (None,) * (4 - len(row)) for row in rows], SCHEMA)


@pytest.fixture
def mine() -> Iterator[Callable[..., MiningResult]]:
    with ExitStack() as stack:

        def mine(baskets: DataFrame, *, until: dt.date | None = None, **settings: Any) -> MiningResult:
            found = mine_baskets(baskets, AssociationSettings(**settings), until=until)
            return stack.enter_context(closing(found))

        yield mine


@pytest.fixture(scope="module")
def contents() -> list[set[str]]:
    """300 baskets of 12 items, popular ones first, with a planted rule: who buys i9 and i8 buys i7."""
    draw = random.Random(5)
    baskets = []
    for basket in range(BASKETS):
        items = {f"i{n}" for n in range(7) if draw.random() < 0.6 / (n + 1)} | {f"x{draw.randrange(40)}"}
        baskets.append(items | {"i9", "i8", "i7"} if basket % 20 == 0 else items)
    return baskets


@pytest.fixture(scope="module")
def shopping(spark: SparkSession, contents: list[set[str]]) -> DataFrame:
    rows = [(f"b{number}", item, item.upper()) for number, items in enumerate(contents) for item in sorted(items)]
    random.Random(5).shuffle(rows)
    return events_of(spark, rows)


def counts_of(itemsets: list[Row]) -> dict[frozenset[str], int]:
    found = {frozenset(row["items"]): row["basket_count"] for row in itemsets}
    assert len(found) == len(itemsets)
    return found


def sides_of(rules: list[Row]) -> dict[tuple[frozenset[str], frozenset[str]], Row]:
    found = {(frozenset(row["antecedent"]), frozenset(row["consequent"])): row for row in rules}
    assert len(found) == len(rules)
    return found


def test_itemsets_and_rules_equal_those_of_mllib(shopping: DataFrame, mine: Callable[..., MiningResult]) -> None:
    ours = mine(shopping, min_support=0.02, min_confidence=0.3)
    baskets = shopping.groupBy("basket_id").agg(F.collect_set("item_id").alias("items"))
    model = FPGrowth(minSupport=0.02, minConfidence=0.3, numPartitions=2).fit(baskets)

    expected = {frozenset(row["items"]): row["freq"] for row in model.freqItemsets.collect()}
    itemsets = ours.itemsets.collect()
    assert counts_of(itemsets) == expected
    assert all(row["items"] == sorted(row["items"]) for row in itemsets)
    assert (ours.report.found, ours.report.itemsets, ours.report.basket_count) == (len(expected),) * 2 + (BASKETS,)
    assert len(expected) > 60

    theirs = sides_of(model.associationRules.collect())
    rules = sides_of(ours.rules.collect())
    assert set(rules) == set(theirs)
    assert len(rules) == ours.report.rules > 30
    for sides, rule in rules.items():
        for measure in ("confidence", "lift", "support"):
            assert rule[measure] == pytest.approx(theirs[sides][measure], rel=1e-12)
        both, before, after = (expected[items] for items in (sides[0] | sides[1], *sides))
        counts = rule["basket_count"], rule["antecedent_count"], rule["consequent_count"], rule["baskets"]
        assert counts == (both, before, after, BASKETS)


def test_the_planted_rule_is_found_with_its_numbers_and_names(
    shopping: DataFrame, mine: Callable[..., MiningResult]
) -> None:
    found = mine(shopping, min_support=0.05, min_confidence=0.9)
    rules = {row["antecedent_id"]: row for row in found.rules.where("consequent_id = '[\"i7\"]'").collect()}
    rule = rules['["i8","i9"]']
    assert (rule["basket_count"], rule["support"], rule["confidence"], rule["lift"]) == (15, 0.05, 1.0, 20.0)
    assert rule["leverage"] == pytest.approx(0.05 - 0.05**2)
    assert (rule["conviction"], rule["improvement"]) == (None, 0.0)
    assert rules['["i9"]']["improvement"] == 0.95
    assert (rule["antecedent_names"], rule["consequent_names"]) == (["I8", "I9"], ["I7"])


def test_rules_say_between_what_their_confidence_and_lift_lie(
    shopping: DataFrame, mine: Callable[..., MiningResult]
) -> None:
    rules = mine(shopping, min_support=0.02, min_confidence=0.1).rules.collect()
    assert len(rules) > 100
    for rule in rules:
        trials = binomtest(rule["basket_count"], rule["antecedent_count"])
        expected = trials.proportion_ci(confidence_level=0.95, method="wilson")
        assert (rule["confidence_low"], rule["confidence_high"]) == pytest.approx(expected, abs=1e-12)
        assert 0 < rule["lift_low"] <= rule["lift"] <= rule["lift_high"]
    sure = [{*rule["antecedent"], *rule["consequent"]} for rule in rules if rule["lift_low"] > 2]
    assert {"i7", "i8"} in sure
    assert all(items & {"i7", "i8", "i9"} for items in sure), "what was planted, and nothing else"


def test_frames_have_the_content_of_their_tables(shopping: DataFrame, mine: Callable[..., MiningResult]) -> None:
    found = mine(shopping)
    for frame, table in ((found.itemsets, FREQUENT_ITEMSETS), (found.rules, ASSOCIATION_RULES)):
        types = {column.name: column.type for column in table.columns if column.role == "content"}
        assert dict(frame.dtypes) == types
    assert found.itemsets.where("itemset_id <> to_json(items)").isEmpty()
    assert found.rules.where("antecedent_id <> to_json(antecedent) OR consequent_id <> to_json(consequent)").isEmpty()


@pytest.mark.parametrize("kind", ["string", "bigint"])
@pytest.mark.parametrize("is_scanned", [True, False])
def test_lists_of_texts_or_numbers_give_what_lines_give(
    spark: SparkSession,
    contents: list[set[str]],
    mine: Callable[..., MiningResult],
    tmp_path: Path,
    kind: str,
    is_scanned: bool,
) -> None:
    numbers = {item: number for number, item in enumerate(sorted(set.union(*contents)))}
    write = str if kind == "string" else numbers.__getitem__
    # An item twice, an empty basket, and what is no basket at all.
    rows = [([write(item) for item in [*items, *items][: len(items) + 1]],) for items in contents] + [([],), (None,)]
    lists = spark.createDataFrame(rows, f"items array<{kind}>")
    if is_scanned:
        lists.repartition(3).write.parquet(str(tmp_path / "lists"))
        lists = spark.read.parquet(str(tmp_path / "lists"))
    found = mine(lists, min_count=6, min_confidence=0.4)
    assert found.report.basket_count == BASKETS + 1
    expected = find_itemsets(contents, 6, 10)
    assert counts_of(found.itemsets.collect()) == {
        frozenset(map(write, items)): count for items, count in expected.items()
    }
    assert set(sides_of(found.rules.collect())) == {
        tuple(frozenset(map(write, side)) for side in sides) for sides in find_rules(expected, 0.4)
    }


def test_only_what_is_wanted_is_written(
    shopping: DataFrame, contents: list[set[str]], mine: Callable[..., MiningResult]
) -> None:
    every = find_itemsets(contents, 6, 10)
    rows = mine(shopping, min_count=6).itemsets.collect()
    assert counts_of(rows) == every
    for kind, mark in (("closed", "is_closed"), ("maximal", "is_maximal"), ("generators", "is_generator")):
        found = mine(shopping, min_count=6, itemsets=kind)
        wanted = {frozenset(row["items"]) for row in rows if row[mark]}
        assert set(counts_of(found.itemsets.collect())) == wanted
        assert (found.report.itemsets, found.report.found) == (len(wanted), len(every))
        assert 0 < len(wanted) < len(every)
    found = mine(shopping, min_count=6, min_length=2, max_length=3, required_items=("i7", "i9"))
    wanted = {items: count for items, count in every.items() if len(items) <= 3 and {"i7", "i9"} <= items}
    assert counts_of(found.itemsets.collect()) == wanted
    found = mine(shopping, min_count=6, excluded_items=("i0", "i1"))
    assert counts_of(found.itemsets.collect()) == find_itemsets([basket - {"i0", "i1"} for basket in contents], 6, 10)


def test_rules_to_several_items_and_only_those_that_are_telling(
    shopping: DataFrame, contents: list[set[str]], mine: Callable[..., MiningResult]
) -> None:
    expected = find_rules(find_itemsets(contents, 6, 10), 0.3, 3)
    rules = sides_of(mine(shopping, min_count=6, min_confidence=0.3, max_consequent=3).rules.collect())
    assert set(rules) == set(expected)
    assert max(len(after) for _, after in rules) == 3
    telling = mine(shopping, min_count=6, min_confidence=0.3, max_consequent=3, min_measures={"lift": 2, "cosine": 0.3})
    assert set(sides_of(telling.rules.collect())) == {
        sides
        for sides, rule in rules.items()
        if rule["lift"] >= 2
        and rule["basket_count"] >= 0.3 * (rule["antecedent_count"] * rule["consequent_count"]) ** 0.5
    }
    better = mine(shopping, min_count=6, min_confidence=0.3, min_improvement=0.05).rules.collect()
    assert set(sides_of(better)) == {
        sides for sides, rule in rules.items() if len(sides[1]) == 1 and rule["improvement"] >= 0.05
    }
    assert 0 < len(better) < len(rules)
    with pytest.raises(SettingsError, match=r"names lft; the measures are added_value, .*lift"):
        mine(shopping, min_measures={"lft": 2})


def test_the_support_is_raised_to_what_is_wanted(
    shopping: DataFrame, contents: list[set[str]], mine: Callable[..., MiningResult]
) -> None:
    every = find_itemsets(contents, 6, 10)
    counts = sorted((count for items, count in every.items() if len(items) >= 2), reverse=True)
    found = mine(shopping, min_count=6, min_length=2, top_itemsets=10)
    assert sorted(counts_of(found.itemsets.collect()).values(), reverse=True) == [c for c in counts if c >= counts[9]]
    assert found.report.least == counts[9]
    assert mine(shopping, min_count=6, top_itemsets=10**6).report.found == len(every)

    raised = mine(shopping, min_count=6, max_itemsets=50, raises_support=True).report
    fits = [least for least in range(6, 301) if sum(count >= least for count in every.values()) <= 50]
    assert (raised.least, raised.found) == (fits[0], sum(count >= fits[0] for count in every.values()))
    assert mine(shopping, min_count=6, raises_support=True).report.found == len(every)


def test_rules_that_chance_explains_are_left_out(shopping: DataFrame, mine: Callable[..., MiningResult]) -> None:
    every = sides_of(mine(shopping, min_count=6, min_confidence=0.1).rules.collect())
    sure = sides_of(mine(shopping, min_count=6, min_confidence=0.1, max_false_discovery_rate=0.05).rules.collect())
    assert (frozenset({"i9"}), frozenset({"i8"})) in sure
    assert (frozenset({"i1"}), frozenset({"i0"})) in set(every) - set(sure)
    assert all(rule["p_value"] <= rule["false_discovery_rate"] <= 0.05 for rule in sure.values())
    assert all(rule["p_value"] is None for rule in every.values())


def test_held_out_baskets_and_confounders_are_asked(spark: SparkSession, mine: Callable[..., MiningResult]) -> None:
    rows = [(f"{n}", item, None, noon(1 + n % 2)) for n in range(2000) for item in ("tea", "cake")[: 2 - (n % 3 == 0)]]
    found = mine(events_of(spark, rows), holdout_share=0.25, confounder="weekday")
    rule = sides_of(found.rules.collect())[frozenset({"tea"}), frozenset({"cake"})]
    assert found.report.basket_count == pytest.approx(1500, abs=60)
    assert rule["holdout_confidence"] == pytest.approx(2 / 3, abs=0.08)
    assert rule["reversed_in"] == []
    with pytest.raises(DataError, match=r"association.confounder is shop: .* one of year, quarter"):
        mine(events_of(spark, rows), confounder="shop")


def test_nights_give_what_mining_everything_gives(
    spark: SparkSession, contents: list[set[str]], mine: Callable[..., MiningResult]
) -> None:
    def frame(baskets: list[set[str]]) -> DataFrame:
        return spark.createDataFrame([(sorted(basket),) for basket in baskets], "items array<string>")

    def rows(found: MiningResult) -> list[set[tuple]]:
        return [{tuple(map(str, row)) for row in table.collect()} for table in (found.itemsets, found.rules)]

    settings = {"min_support": 0.1, "min_confidence": 0.3, "margin": 0.5}
    known = mine(frame(contents), **settings)
    assert known.state is not None
    came, went = [{"i0", "i1", "x1"}, {"i9", "i8"}, set()] * 3, contents[:10]
    night = update_baskets(known.state, frame(came), frame(went), AssociationSettings(**settings))
    assert night is not None
    with closing(night):
        whole = mine(frame(contents[10:] + came), **settings)
        assert rows(night) == rows(whole)
        assert night.report.basket_count == len(contents) - 10 + len(came)
        assert night.state is not None
        back = update_baskets(night.state, frame(went), frame(came), AssociationSettings(**settings))
    assert back is not None
    with closing(back):
        assert rows(back) == rows(known)
        assert back.state is not None
        strange = frame([{"new", "newer"}] * 40)
        assert update_baskets(back.state, strange, None, AssociationSettings(**settings)) is None
    with pytest.raises(SettingsError, match="need all baskets"):
        update_baskets(known.state, frame(came), None, AssociationSettings(holdout_share=0.1))


def test_a_window_ends_with_the_run_date_in_utc(spark: SparkSession, mine: Callable[..., MiningResult]) -> None:
    rows = [("last", "a", None, noon(10, 23)), ("first", "a", None, noon(9, 0)), ("before", "a", None, noon(8, 23))]
    rows += [("after", "a", None, noon(11, 0)), ("never", "a", None, None)]
    events = events_of(spark, rows)
    assert mine(events, window_days=2, until=dt.date(2026, 3, 10)).report.basket_count == 2
    assert mine(events, window_days=2, until=dt.date(2026, 3, 9)).report.basket_count == 2
    assert mine(events, until=dt.date(2026, 3, 10)).report.basket_count == 5


def test_what_cannot_be_mined_is_refused(spark: SparkSession, mine: Callable[..., MiningResult]) -> None:
    events = events_of(spark, [("1", "a"), ("1", "b")])
    with pytest.raises(SettingsError, match="run date"):
        mine(events, window_days=2)
    with pytest.raises(DataError, match="no event has a time"):
        mine(events, window_days=2, until=dt.date(2026, 3, 10))
    with pytest.raises(DataError, match="the columns are item_id; mining needs items"):
        mine(events.select("item_id"))


def test_too_many_itemsets_or_rules_stop_with_advice(spark: SparkSession, mine: Callable[..., MiningResult]) -> None:
    events = events_of(spark, [(basket, item) for basket in "12" for item in "abcdefgh"])
    assert mine(events, max_itemsets=255).report.itemsets == 255
    with pytest.raises(DataError, match=r"more than 254 itemsets .* 2 of 2 baskets; raise association.min_support"):
        mine(events, max_itemsets=254, min_support=1)
    rules = 8 * (2**7 - 1)
    assert mine(events, max_rules=rules).report.rules == rules
    with pytest.raises(DataError, match=r"more than 1,015 rules .* at least 0.5; raise association.min_confidence"):
        mine(events, max_rules=rules - 1)


def test_no_events_give_no_rows(spark: SparkSession, mine: Callable[..., MiningResult]) -> None:
    found = mine(events_of(spark, []))
    assert (found.report.basket_count, found.report.found) == (0, 0)
    assert found.itemsets.isEmpty()
    assert found.rules.isEmpty()


def test_events_without_a_basket_or_an_item_are_no_purchases(
    spark: SparkSession, mine: Callable[..., MiningResult]
) -> None:
    rows = [(None, "a"), ("1", None), ("1", "a"), ("2", "a"), ("2", "b")]
    found = mine(events_of(spark, rows), min_support=0.5)
    assert {tuple(row["items"]): row["support"] for row in found.itemsets.collect()} == {
        ("a",): 1.0,
        ("b",): 0.5,
        ("a", "b"): 0.5,
    }


def test_every_subset_is_there_and_at_least_as_frequent(shopping: DataFrame, mine: Callable[..., MiningResult]) -> None:
    rows = mine(shopping, min_support=0.02).itemsets.collect()
    support = {tuple(row["items"]): row["support"] for row in rows}
    for items, share in support.items():
        for subset in combinations(items, len(items) - 1):
            assert not subset or support[subset] >= share
