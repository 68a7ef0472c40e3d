"""Categories as items: against brute force over extended baskets, and from frame to frame."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kinfolk.association import kernel, pairs
from kinfolk.association.baskets import LISTS, Baskets
from kinfolk.association.kernel import count_itemsets, search_itemsets
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, link_subsets, mark_sets
from kinfolk.association.mining import mine_baskets, update_baskets
from kinfolk.association.oracle import Itemset, find_closed, find_generators, find_itemsets, find_maximal, find_rules
from kinfolk.association.segments import mine_segments
from kinfolk.association.selection import choose_rules
from kinfolk.association.taxonomy import Taxonomy, encode_extended, extend_table, require_categories
from kinfolk.association.tree import Limits
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from tests.association.test_itemsets import UNLIMITED, counted, sets_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

ITEMS = "abcdef"
WITH_CATEGORIES = AssociationSettings(categories=True)
PATHS = st.lists(st.sampled_from(["U", "V"]), min_size=1, max_size=3).map(" > ".join)
"""Up to three levels, whose names come again at other levels and in other places."""
TAXONOMIES = st.dictionaries(st.sampled_from(ITEMS), PATHS, min_size=1)
SOME_BASKETS = st.lists(st.sets(st.sampled_from(ITEMS)), max_size=20)
Paths = dict[str, str]


def above(path: str) -> set[str]:
    """A path and all above it, as ids of categories."""
    levels = path.split(" > ")
    return {"category:" + " > ".join(levels[:depth]) for depth in range(1, len(levels) + 1)}


def is_allowed(items: Itemset, paths: Paths) -> bool:
    """Whether no item stands beside a category that is above it."""

    def ancestors(item: str) -> set[str]:
        if item.startswith("category:"):
            return above(item.removeprefix("category:")) - {item}
        return above(paths[item]) if item in paths else set()

    return not any(ancestors(item) & items for item in items)


def expect_itemsets(baskets: list[set[str]], paths: Paths, least: int, max_length: int) -> dict[Itemset, int]:
    """Brute force: every set of the extended baskets, without those that hold an item and what is above it."""
    extended = [basket.union(*(above(paths[item]) for item in basket if item in paths)) for basket in baskets]
    return find_itemsets(extended, least, max_length, is_wanted=lambda items: is_allowed(items, paths))


def lists_of(baskets: list[set[str]]) -> pa.Table:
    half = len(baskets) // 2
    kind = pa.list_(pa.string())
    return pa.table(
        {LISTS: pa.chunked_array([pa.array(map(sorted, some), kind) for some in (baskets[:half], baskets[half:])])}
    )


def lines_of(baskets: list[set[str]], paths: Paths) -> pa.Table:
    rows = [(f"b{n}", item, paths.get(item)) for n, basket in enumerate(baskets) for item in sorted(basket)]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [pa.nulls(0, pa.string())] * 3
    return pa.table(columns, names=["basket_id", "item_id", "category"])


def categories_of(paths: Paths) -> pa.Table:
    return pa.table({"item_id": list(paths), "category": list(paths.values())})


def extend_lists(
    baskets: list[set[str]], paths: Paths, least: int, *, threads: int = 1
) -> tuple[Baskets, Taxonomy | None]:
    table, taxonomy = extend_table(lists_of(baskets), categories_of(paths), WITH_CATEGORIES)
    return encode_extended(table, taxonomy, lambda _: least, excluded=(), threads=threads), taxonomy


@pytest.fixture(params=["roomy", "no room", "many items"])
def _room(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pairs in a table, and in lists, with arrays that grow again and again."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "roomy":
            patch.setattr(kernel, "_MOST_TABLED", 0)
        if request.param == "no room":
            for module in (kernel, pairs):
                patch.setattr(module, "_FIRST_SETS", 1)
        yield


@pytest.mark.usefixtures("_room")
@settings(max_examples=40, deadline=None)
@given(SOME_BASKETS, TAXONOMIES, st.integers(1, 5), st.sampled_from([1, 2, 3, 20]), st.sampled_from([1, 2]))
def test_itemsets_of_items_and_categories_equal_brute_force(
    baskets: list[set[str]], paths: Paths, least: int, max_length: int, threads: int
) -> None:
    encoded, _ = extend_lists(baskets, paths, least, threads=threads)
    limits = Limits(least, max_length, UNLIMITED)
    lattice = link_subsets(search_itemsets(encoded, limits, threads=threads))
    expected = expect_itemsets(baskets, paths, least, max_length)
    assert counted(encoded, lattice) == expected
    tally_L = count_itemsets(encoded, limits, threads=threads)
    assert tally_L.tolist() == np.bincount([len(s) for s in expected], minlength=max_length + 1).tolist()
    sets, ids = sets_of(encoded, lattice), encoded.item_ids.to_pylist()
    for number, items in enumerate(sets):
        for j in range(lattice.start_S[number], lattice.start_S[number + 1]):
            subset = lattice.subset_J[j]
            assert (sets[subset] if subset >= 0 else frozenset()) == items - {ids[lattice.item_J[j]]}
    if max_length == 20:
        marks_S = mark_sets(lattice, encoded.basket_count)
        definitions = {
            CLOSED: find_closed(expected),
            MAXIMAL: find_maximal(expected),
            GENERATOR: find_generators(expected, len(baskets)),
        }
        for mark, wanted in definitions.items():
            assert {items for items, marks in zip(sets, marks_S, strict=True) if marks & mark} == wanted


@settings(max_examples=40, deadline=None)
@given(SOME_BASKETS, TAXONOMIES, st.integers(1, 4))
def test_lines_and_lists_are_extended_alike(baskets: list[set[str]], paths: Paths, least: int) -> None:
    baskets = [basket for basket in baskets if basket]
    found = []
    for table, told in ((lists_of(baskets), categories_of(paths)), (lines_of(baskets, paths), None)):
        extended, taxonomy = extend_table(table, told, WITH_CATEGORIES)
        encoded = encode_extended(extended, taxonomy, lambda _: least, excluded=(), threads=1)
        lattice = link_subsets(search_itemsets(encoded, Limits(least, 10, UNLIMITED)))
        found.append((counted(encoded, lattice), dict(zip(*names_of(encoded), strict=True)), encoded.basket_count))
    assert found[0] == found[1]
    expected = {item: item for basket in baskets for item in basket}
    expected |= {category: category.split(" > ")[-1].removeprefix("category:") for category in found[0][1]}
    assert found[0][1].items() <= expected.items()


def names_of(encoded: Baskets) -> tuple[list[str], list[str]]:
    return encoded.item_ids.to_pylist(), encoded.item_names.to_pylist()


def test_classes_too_wide_for_a_table_of_their_pairs_equal_brute_force(tmp_path: Path) -> None:
    """Compiled functions keep the constants that they were compiled with: a process of its own has others."""
    code = """
import random
from kinfolk.association import kernel
kernel._MOST_PAIRED = 2
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import link_subsets
from kinfolk.association.tree import Limits
from tests.association.test_itemsets import UNLIMITED, counted
from tests.association.test_taxonomy import expect_itemsets, extend_lists
draw = random.Random(3)
paths = {item: f"{draw.choice('UV')} > {draw.choice('UV')}" for item in "abcdef"}
baskets = [{item for item in "abcdefgh" if draw.random() < 0.6} for _ in range(60)]
encoded, _ = extend_lists(baskets, paths, 9)
lattice = link_subsets(search_itemsets(encoded, Limits(9, 20, UNLIMITED)))
expected = expect_itemsets(baskets, paths, 9, 20)
assert max(map(len, expected)) > 3
assert counted(encoded, lattice) == expected
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_barred_does_not_count_against_the_budget(threads: int) -> None:
    """Pairs of an item and a category above it are frequent, and no itemsets; what has no category is found as well."""
    paths = {f"i{n}": f"A > B > C{n}" for n in range(12)}
    baskets = [{item} for item in paths] * 2 + [set("xyz")] * 30
    encoded, _ = extend_lists(baskets, paths, 2)
    expected = expect_itemsets(baskets, paths, 2, 10)
    assert len(expected) == 12 + 2 + 12 + 7
    for most in (len(expected), 200):
        tree = search_itemsets(encoded, Limits(2, 10, most), threads=threads)
        assert counted(encoded, link_subsets(tree)) == expected
    assert len(search_itemsets(encoded, Limits(2, 10, 32), threads=threads).item_S) > 32


def test_an_item_is_what_most_of_its_lines_say_and_excluded_ones_bring_no_category() -> None:
    rows = [
        *[("1", "milk", "Food > Dairy")] * 2, ("2", "milk", " Food >  Dairy "), *[("3", "milk", "Drinks")] * 2,
        *[("1", "tea", "Drinks > Hot")] * 3, ("2", "tea", "Drinks > Cold"), ("3", "tea", "Drinks >  > Cold"),
        ("1", "cup", "Desk"), ("2", "cup", "Craft"), ("1", "cup", None),
        ("1", "bag", "Misc"), ("2", "pen", " "), ("2", "pen", None),
    ]  # fmt: skip
    lines = pa.table([list(column) for column in zip(*rows, strict=True)], names=["basket_id", "item_id", "category"])
    wanted = AssociationSettings(categories=True, excluded_items=("bag", "category:Food"))
    extended, taxonomy = extend_table(lines, None, wanted)
    assert taxonomy is not None
    assert taxonomy.disputed == 3, "milk, tea and the cup; no category is none"
    encoded = encode_extended(extended, taxonomy, lambda _: 1, excluded=wanted.excluded_items, threads=1)
    counts = dict(zip(encoded.item_ids.to_pylist(), encoded.count_R.tolist(), strict=True))
    assert counts == {
        "milk": 3, "tea": 3, "pen": 1, "cup": 2, "category:Craft": 2,
        "category:Food > Dairy": 3, "category:Drinks": 3, "category:Drinks > Hot": 3,
    }  # fmt: skip


def test_an_item_with_the_id_of_a_category_and_categories_that_nobody_names_are_refused() -> None:
    lists = lists_of([{"a", "category:U"}, {"a"}])
    with pytest.raises(DataError, match="the item category:U has the id of a category"):
        extend_table(lists, categories_of({"a": "U"}), WITH_CATEGORIES)
    _, taxonomy = extend_table(lists, categories_of({"a": " "}), WITH_CATEGORIES)
    with pytest.raises(DataError, match="no item has a category; name the column"):
        require_categories(taxonomy, 2)
    require_categories(taxonomy, 0)
    with pytest.raises(DataError, match="the columns are items; it needs category"):
        extend_table(lists, None, WITH_CATEGORIES)


def test_baskets_that_are_null_and_items_that_are_null_stay_what_they_are() -> None:
    lists = pa.array([["a", None, "b"], None, [], ["a"]], pa.list_(pa.string()))
    table = pa.table({LISTS: pa.chunked_array([lists.slice(1), lists.slice(0, 1)]), "stratum": ["n", "e", "a", "ab"]})
    extended, _ = extend_table(table, categories_of({"a": "U > V"}), WITH_CATEGORIES)
    assert extended.to_pylist() == [
        {LISTS: None, "stratum": "n"},
        {LISTS: [], "stratum": "e"},
        {LISTS: ["a", "category:U", "category:U > V"], "stratum": "a"},
        {LISTS: ["a", "category:U", "category:U > V", None, "b"], "stratum": "ab"},
    ]


SHOP_PATHS = {
    "milk": "Food > Dairy", "curd": "Food > Dairy", "bread": "Food > Bakery", "tea": "Drinks", "pen": "Desk > Pens",
    "ink": "Desk > Pens",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> list[set[str]]:
    draw = np.random.default_rng(7)
    items = [*SHOP_PATHS, "card", "bag"]
    return [{item for item in items if draw.random() < 0.3} | {items[n % 7]} for n in range(400)]


def events_of(spark: SparkSession, baskets: list[set[str]], *, extend: bool = False) -> DataFrame:
    rows = []
    for number, basket in enumerate(baskets):
        categories = set().union(*(above(SHOP_PATHS[item]) for item in basket if item in SHOP_PATHS)) if extend else ()
        for item in sorted(basket.union(categories)):
            rows.append((f"b{number}", item, SHOP_PATHS.get(item), "NSE"[number % 3]))
    return spark.createDataFrame(rows, "basket_id string, item_id string, category string, segment string")


def sides_of(rules: list[Row]) -> dict[tuple[Itemset, Itemset], Row]:
    found = {(frozenset(row["antecedent"]), frozenset(row["consequent"])): row for row in rules}
    assert len(found) == len(rules)
    return found


def test_rules_with_categories_are_those_of_extended_baskets_but_for_trivial_ones(
    spark: SparkSession, shop: list[set[str]]
) -> None:
    """Also what held-out baskets and those of each segment say of them."""
    wanted: dict[str, Any] = {"min_count": 20, "min_confidence": 0.3, "holdout_share": 0.2, "confounder": "segment"}
    plain = AssociationSettings(**wanted)
    with closing(mine_baskets(events_of(spark, shop, extend=True), plain)) as found:
        every = sides_of(found.rules.drop("antecedent_names", "consequent_names").collect())
    expected = {sides: row for sides, row in every.items() if is_allowed(sides[0] | sides[1], SHOP_PATHS)}
    with closing(mine_baskets(events_of(spark, shop), AssociationSettings(categories=True, **wanted))) as found:
        rows = found.rules.collect()
        rules = sides_of(found.rules.drop("antecedent_names", "consequent_names").collect())
    assert rules == expected
    assert (frozenset({"milk"}), frozenset({"category:Food > Dairy"})) in set(every) - set(rules)
    assert (frozenset({"category:Food > Dairy"}), frozenset({"bread"})) in rules
    assert any(row["reversed_in"] for row in rows)
    assert all(row["holdout_confidence"] is not None for row in rows)
    names = {tuple(row["antecedent"]): row["antecedent_names"] for row in rows}
    assert names[("category:Food > Dairy", "pen")] == ["Dairy", "pen"]


def test_lists_of_numbers_and_settings_that_depend_on_all_sets(spark: SparkSession, shop: list[set[str]]) -> None:
    """The support is raised by what may be found: no set that holds an item and its category."""
    numbers = {item: number for number, item in enumerate(sorted(set().union(*shop)))}
    paths = {str(numbers[item]): path for item, path in SHOP_PATHS.items()}
    baskets = [{str(numbers[item]) for item in basket} for basket in shop]
    lists = spark.createDataFrame([([numbers[item] for item in basket],) for basket in shop], "items array<bigint>")
    categories = spark.createDataFrame(
        [(int(item), path) for item, path in paths.items()], "item_id int, category string"
    )

    def mine(**wanted: Any) -> tuple[dict[Itemset, int], int, set[tuple[Itemset, Itemset]]]:
        asked = AssociationSettings(categories=True, **wanted)
        with closing(mine_baskets(lists, asked, categories=categories)) as found:
            rows = found.itemsets.collect()
            sides = set(sides_of(found.rules.collect()))
            return {frozenset(row["items"]): row["basket_count"] for row in rows}, found.report.least, sides

    every = expect_itemsets(baskets, paths, 12, 10)
    found, _, rules = mine(min_count=12, min_confidence=0.6)
    assert (found, rules) == (every, set(find_rules(every, 0.6)))
    counts = sorted((count for items, count in every.items() if len(items) >= 2), reverse=True)
    assert mine(min_count=12, min_length=2, top_itemsets=40)[1] == counts[39]
    fits = [least for least in range(12, 401) if sum(count >= least for count in every.values()) <= 100]
    assert mine(min_count=12, raises_support=True, max_itemsets=100)[1] == fits[0]


def test_segments_have_categories_as_all_baskets_have(spark: SparkSession, shop: list[set[str]]) -> None:
    wanted: dict[str, Any] = {"categories": True, "min_count": 10, "min_confidence": 0.4}
    by: dict[str, Any] = {"segment_by": "segment", "min_segment_baskets": 1, "min_segment_count": 1}
    events = events_of(spark, shop)
    with closing(mine_segments(events, AssociationSettings(**by, **wanted))) as found:
        apart = sides_of(found.rules.where("segment = 'N'").drop("segment").collect())
    with closing(mine_baskets(events.where("segment = 'N'"), AssociationSettings(**wanted))) as one:
        assert apart == sides_of(one.rules.collect())
    assert any("category:Food > Dairy" in before for before, _ in apart)
    lists = spark.createDataFrame([(["a"], "N")], "items array<string>, segment string")
    with pytest.raises(SettingsError, match="lists of items do not say what these are"):
        mine_segments(lists, AssociationSettings(**by, **wanted))


@pytest.mark.parametrize(
    "wanted",
    [{"holdout_share": 0.2, "confounder": "segment"}, {"min_interest": 1.1}, {"excluded_items": ("milk",)}],
    ids=" ".join,
)
def test_several_tasks_find_what_one_finds_of_categories(
    spark: SparkSession, shop: list[set[str]], wanted: dict[str, Any]
) -> None:
    """An item is what most lines of all parts say, whatever those of one part say."""
    events = events_of(spark, shop).withColumn("item_name", F.upper("item_id"))
    other = F.when((F.col("item_id") == "tea") & (F.rand(3) < 0.45), "Desk").otherwise(F.col("category"))
    events = events.withColumn("category", other).localCheckpoint()

    def mine(tasks: int) -> tuple[list[str], list[str], int]:
        settings = AssociationSettings(categories=True, min_count=20, min_confidence=0.3, tasks=tasks, **wanted)
        with closing(mine_baskets(events, settings)) as found:
            rows, rules = (sorted(map(repr, frame.collect())) for frame in (found.itemsets, found.rules))
            return rows, rules, found.report.disputed

    assert mine(3) == mine(1)
    assert mine(3)[2] == 1
    lists = spark.createDataFrame([(sorted(basket),) for basket in shop], "items array<string>")
    categories = spark.createDataFrame(list(SHOP_PATHS.items()), "item_id string, category string")
    found = []
    for tasks in (1, 3):
        settings = AssociationSettings(categories=True, min_count=20, min_confidence=0.3, tasks=tasks)
        with closing(mine_baskets(lists, settings, categories=categories)) as some:
            found.append(sorted(map(repr, some.rules.collect())))
    assert found[0] == found[1]


def test_categories_have_to_be_set_and_given(spark: SparkSession, shop: list[set[str]]) -> None:
    lists, events = spark.createDataFrame([(["a"],)], "items array<string>"), events_of(spark, shop[:3])
    categories = events.select("item_id", "category")
    with pytest.raises(SettingsError, match="lists of items do not say what these are: give categories"):
        mine_baskets(lists, WITH_CATEGORIES)
    with pytest.raises(SettingsError, match=r"categories are given, and association.categories is not set"):
        mine_baskets(lists, AssociationSettings(), categories=categories)
    with pytest.raises(DataError, match="the columns of categories are item_id; item_id and category are needed"):
        mine_baskets(lists, WITH_CATEGORIES, categories=categories.select("item_id"))
    with pytest.raises(DataError, match=r"the columns are basket_id, item_id; it needs category"):
        mine_baskets(events.drop("category"), WITH_CATEGORIES)
    with closing(mine_baskets(events, AssociationSettings(categories=True, margin=0.1))) as found:
        assert found.state is not None
        with pytest.raises(SettingsError, match=r"association.categories needs all baskets"):
            update_baskets(found.state, events, None, WITH_CATEGORIES)


def is_explained(
    sides: tuple[Itemset, Itemset], itemsets: dict[Itemset, int], paths: Paths, asked: tuple[float, float]
) -> bool:
    """Whether a rule with the category right above one item makes expect at least as much, `asked[1]` times."""
    (before, after), (min_confidence, min_interest) = sides, asked
    count, confidence = itemsets[before | after], itemsets[before | after] / itemsets[before]
    for item in before | after:
        path = item.removeprefix("category:").rpartition(" > ")[0] if item.startswith("category:") else paths.get(item)
        if not path:
            continue
        parent = f"category:{path}"
        wide = [(side - {item}) | {parent} if item in side else side for side in (before, after)]
        if wide[0] | wide[1] not in itemsets or len(wide[0] | wide[1]) < len(before | after):
            continue
        its_count, its_confidence = itemsets[wide[0] | wide[1]], itemsets[wide[0] | wide[1]] / itemsets[wide[0]]
        share = itemsets[frozenset({item})] / itemsets[frozenset({parent})]
        expected = its_confidence * share if item in after else its_confidence
        if its_confidence >= min_confidence and (
            count < min_interest * share * its_count and confidence < min_interest * expected
        ):
            return True
    return False


@settings(max_examples=40, deadline=None)
@given(SOME_BASKETS, TAXONOMIES, st.sampled_from([0.25, 0.5]), st.sampled_from([1, 1.5, 2]), st.sampled_from([1, 2]))
def test_rules_that_a_wider_one_explains_are_those_of_the_definition(
    baskets: list[set[str]], paths: Paths, min_confidence: float, min_interest: float, max_consequent: int
) -> None:
    encoded, _ = extend_lists(baskets, paths, 2)
    lattice = link_subsets(search_itemsets(encoded, Limits(2, 4, UNLIMITED)))
    asked = AssociationSettings(
        categories=True, min_confidence=min_confidence, max_consequent=max_consequent, min_interest=min_interest
    )
    sets, found = sets_of(encoded, lattice), set()
    marks_S = mark_sets(lattice, encoded.basket_count)
    for some in choose_rules(lattice, marks_S, encoded, asked):
        found |= {(sets[before], sets[after]) for _, before, after in zip(*some.rules, strict=True)}
    itemsets = expect_itemsets(baskets, paths, 2, 4)
    rules = find_rules(itemsets, min_confidence, max_consequent)
    assert found == {
        sides for sides in rules if not is_explained(sides, itemsets, paths, (min_confidence, min_interest))
    }


def test_only_the_surprising_rules_of_a_category_are_left(spark: SparkSession) -> None:
    """Each cheese goes with bread as the dairy does, and brie with wine, as hardly any of the others does."""
    paths = {"brie": "Dairy", "curd": "Dairy", "milk": "Dairy"}
    rows = [
        (f"b{n}", item, paths.get(item))
        for n in range(90)
        for item in (list(paths)[n % 3], *(["bread"] if n % 2 else []), *(["wine"] if n % 6 == 0 or n == 1 else []))
    ]
    lines = spark.createDataFrame(rows, "basket_id string, item_id string, category string")
    wanted: dict[str, Any] = {"categories": True, "min_count": 5, "min_confidence": 0.1}

    def rules(**more: Any) -> set[tuple[str, str]]:
        with closing(mine_baskets(lines, AssociationSettings(**wanted, **more))) as found:
            return {(row["antecedent_id"], row["consequent_id"]) for row in found.rules.collect()}

    every, left = rules(), rules(min_interest=1.3)
    assert ('["brie"]', '["bread"]') in every - left
    assert {('["category:Dairy"]', '["bread"]'), ('["brie"]', '["wine"]')} <= left
    with pytest.raises(ValueError, match="min_interest compares rules with those of wider categories"):
        AssociationSettings(min_interest=1.1)
