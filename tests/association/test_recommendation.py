"""Recommendations, against a slow and obvious search, and from frame to frame."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association.mining import mine_baskets
from kinfolk.association.recommendation import group_subjects, recommend_items
from kinfolk.association.scoring import RuleIndex
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings, RecommendationSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ITEMS = "abcdefgh"
Rule = tuple[frozenset[str], frozenset[str], float]
RULES = st.dictionaries(
    st.tuples(
        st.frozensets(st.sampled_from(ITEMS), min_size=1, max_size=3),
        st.frozensets(st.sampled_from(ITEMS), min_size=1, max_size=2),
    ).filter(lambda sides: not sides[0] & sides[1]),
    st.sampled_from([0.3, 0.5, 0.9]),
    max_size=20,
)
SUBJECTS = st.lists(st.lists(st.sampled_from(ITEMS + "xyz"), max_size=8), max_size=6)


def name(items: frozenset[str]) -> str:
    return ",".join(sorted(items))


def table_of(rules: dict[tuple[frozenset[str], frozenset[str]], float]) -> pa.Table:
    sides = [[sorted(side) for side in column] for column in zip(*rules, strict=True)] or [[], []]
    lists = pa.list_(pa.string())
    columns = {
        "antecedent_id": pa.array([name(before) for before, _ in rules], pa.string()),
        "consequent_id": pa.array([name(after) for _, after in rules], pa.string()),
        "antecedent": pa.array(sides[0], lists),
        "consequent": pa.array(sides[1], lists),
        "antecedent_names": pa.array([[item.upper() for item in side] for side in sides[0]], lists),
        "consequent_names": pa.array([[item.upper() for item in side] for side in sides[1]], lists),
        "score": pa.array(list(rules.values()), pa.float64()),
    }
    return pa.table(columns)


def expect(held: set[str], rules: dict[Any, float], most: int) -> list[tuple[str, float, str]]:
    """Every rule in order of its score; each item by the first that leads to it."""
    order = sorted(rules, key=lambda sides: (-rules[sides], name(sides[0]), name(sides[1])))
    found: dict[str, tuple[str, float, str]] = {}
    for before, after in order:
        if before <= held:
            for item in sorted(after - held):
                found.setdefault(item, (item, rules[before, after], name(before)))
    return list(found.values())[:most]


@settings(max_examples=200, deadline=None)
@given(RULES, SUBJECTS, st.integers(1, 4))
def test_recommendations_equal_those_of_an_obvious_search(
    rules: dict[Any, float], subjects: list[list[str]], most: int
) -> None:
    ids, items = [str(number) for number in range(len(subjects))], pa.array(subjects, pa.list_(pa.string()))
    held = pa.table({"subject_id": pa.array(ids, pa.string()), "items": items})
    rows = RuleIndex(table_of(rules)).recommend(held, most).to_pylist()
    for number, subject in enumerate(subjects):
        mine = [row for row in rows if row["subject_id"] == str(number)]
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        told = [(row["item_id"], row["score"], row["antecedent_id"]) for row in mine]
        assert told == expect(set(subject), rules, most)
        assert all(row["item_name"] == row["item_id"].upper() for row in mine)


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    rows = []
    for number in range(60):
        items = ("tea", "milk") if number % 3 else ("tea", "cake")
        rows += [(f"b{number}", f"c{number % 7}" if number % 5 else None, item) for item in items]
    rows += [("b60", "new", "milk"), ("b61", None, "cake")]
    return spark.createDataFrame(rows, "basket_id string, customer_id string, item_id string")


def test_each_basket_is_recommended_what_it_lacks(events: DataFrame) -> None:
    by_basket = RecommendationSettings(subject="basket", items=1, min_lift=0)
    with closing(mine_baskets(events, AssociationSettings(min_confidence=0.3))) as mined:
        with closing(recommend_items(group_subjects(events, by_basket), mined.rules, by_basket)) as found:
            rows = {row["subject_id"]: row for row in found.items.collect()}
        assert rows["b60"]["item_id"] == "tea"
        assert rows["b60"]["score"] == 40 / 41
        assert rows["b60"]["antecedent_names"] == ["milk"]
        assert rows["b0"]["item_id"] == "milk"
        assert rows["b1"]["item_id"] == "cake"
        by_customer = RecommendationSettings(measure="lift")
        with closing(recommend_items(group_subjects(events, by_customer), mined.rules, by_customer)) as found:
            rows = {row["subject_id"]: row for row in found.items.collect()}
        assert set(rows) == {"new"}, "all others have everything"
        with pytest.raises(SettingsError, match=r"recommendation.measure is best; .* added_value, "):
            recommend_items(events, mined.rules, RecommendationSettings(measure="best"))
    with pytest.raises(DataError, match=r"recommendation.subject is customer, which needs customer_id"):
        group_subjects(events.drop("customer_id"), by_customer)


def test_rules_from_categories_serve_who_holds_one_of_their_items(spark: SparkSession) -> None:
    """Without a word of what items are, such rules are left out, and told."""
    lists = pa.list_(pa.string())
    sides = [
        (["category:Dairy"], ["jam"]),
        (["jam"], ["category:Dairy"]),
        (["jam"], ["milk"]),
        (["curd", "category:Tea"], ["pen"]),
    ]
    columns: dict[str, Any] = {
        side: pa.array([both[place] for both in sides], lists)
        for place, side in enumerate(("antecedent", "consequent"))
    }
    for side in ("antecedent", "consequent"):
        columns[f"{side}_names"] = columns[side]
        columns[f"{side}_id"] = pa.array([",".join(items) for items in columns[side].to_pylist()])
    columns |= dict.fromkeys(("basket_count", "antecedent_count", "consequent_count"), pa.array([9, 8, 7, 6]))
    rules = spark.createDataFrame(pa.table(columns | {"baskets": pa.array([10] * 4)}))
    held = {"1": ["curd"], "2": ["milk", "jam"], "3": ["green", "curd"], "4": ["pen"]}
    subjects = spark.createDataFrame(list(held.items()), "subject_id string, items array<string>")
    kinds = [
        ("curd", "Dairy"),
        ("milk", "Dairy"),
        ("green", "Tea > Green"),
        ("green", "Tea > Green"),
        ("green", "Dairy"),
    ]
    categories = spark.createDataFrame([*kinds, ("pen", None)], "item_id string, category string")

    def recommend(categories: DataFrame | None) -> tuple[set[tuple[str, str]], int, int]:
        wanted = RecommendationSettings(min_lift=0)
        with closing(recommend_items(subjects, rules, wanted, categories=categories)) as found:
            return {(row["subject_id"], row["item_id"]) for row in found.items.collect()}, found.rules, found.left_out

    assert recommend(categories) == ({("1", "jam"), ("3", "jam"), ("3", "pen")}, 3, 1)
    assert recommend(None) == (set(), 1, 3)
