"""Itemsets and sample baskets, as plain Python finds them in the rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from rule_lake import BASKETS, NAMES, WHEN, Row, draw_baskets, list_events, list_itemsets, list_rules, put, put_rules

from kinfolk.errors import NotFoundError
from kinfolk.tables.catalog import CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.lake import Lake
from kinfolk.tables.rule_lookups import (
    LENGTH,
    Basket,
    Bounds,
    ItemsetFilter,
    count_mined,
    match_items,
    read_itemsets,
    read_rule,
    sample_baskets,
)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return put_rules(str(tmp_path_factory.mktemp("lake")))


def order(rows: Iterable[Row], name: str = "basket_count", sign: int = -1) -> list[list[str]]:
    return [row["items"] for row in sorted(rows, key=lambda row: (sign * row[name], row["length"], row["itemset_id"]))]


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        (ItemsetFilter(), lambda r: True),
        (ItemsetFilter([{"b1"}, {"j1"}]), lambda r: {"b1", "j1"} <= {*r["items"]}),
        (ItemsetFilter([{"t'1", "c1"}]), lambda r: {"t'1", "c1"} & {*r["items"]}),
        (ItemsetFilter(bounds=[Bounds("basket_count", 9)]), lambda r: r["basket_count"] >= 9),
        (ItemsetFilter(bounds=[Bounds("support", high=0.2)]), lambda r: r["basket_count"] <= BASKETS // 5),
        (ItemsetFilter(bounds=[Bounds(LENGTH, 2, 3)]), lambda r: r["length"] in (2, 3)),
        (ItemsetFilter(marks=["is_maximal"]), lambda r: r["is_maximal"]),
        (ItemsetFilter(marks=["is_closed", "is_generator"]), lambda r: r["is_closed"] and r["is_generator"]),
        (ItemsetFilter([{"b1"}], [Bounds(LENGTH, 3)], ["is_closed"]), lambda r: (
            "b1" in r["items"] and r["length"] >= 3 and r["is_closed"]
        )),
    ],
    ids=str,
)  # fmt: skip
def test_itemsets_are_those_asked_for_most_frequent_first(
    stocked: Lake, wanted: ItemsetFilter, is_wanted: Callable[[Row], bool]
) -> None:
    expected = [row for row in list_itemsets() if is_wanted(row)]
    assert expected
    found = read_itemsets(stocked, wanted, limit=None).to_pylist()
    assert [row["items"] for row in found] == order(expected)
    by_items = {tuple(row["items"]): row for row in expected}
    assert all({name: by_items[tuple(row["items"])][name] for name in row} == row for row in found)
    assert read_itemsets(stocked, wanted, limit=2).to_pylist() == found[:2]


@pytest.mark.parametrize("name", ["length", "support"])
def test_itemsets_come_in_the_order_asked_for(stocked: Lake, name: str) -> None:
    for is_ascending, sign in ((False, -1), (True, 1)):
        found = read_itemsets(stocked, ItemsetFilter(), sort=name, is_ascending=is_ascending, limit=None)
        assert found["items"].to_pylist() == order(list_itemsets(), name, sign)


def test_one_rule_is_read_whole(stocked: Lake) -> None:
    expected = list_rules()[3]
    found = read_rule(stocked, expected["antecedent_id"], expected["consequent_id"])
    assert {name: found[name] for name in expected} == expected
    assert {found[name] for name in found if name not in expected} == {None}
    with pytest.raises(NotFoundError, match="is gone"):
        read_rule(stocked, '["b1"]', '["nothing"]')


def test_items_are_matched_each_text_for_itself(stocked: Lake) -> None:
    assert match_items(stocked, ["T'1", "tea", "@AT"]) == [
        {"t'1": "Green TEA"},
        {"c1": "Tea cup", "t'1": "Green TEA"},
        {"x4": NAMES["x4"]},
    ]
    assert match_items(stocked, []) == []


def test_what_was_mined_is_counted(stocked: Lake, lake: str) -> None:
    assert count_mined(stocked, FREQUENT_ITEMSETS) == len(list_itemsets())
    with pytest.raises(NotFoundError, match="the mine job writes it"):
        count_mined(Lake(lake), FREQUENT_ITEMSETS)


def pick(is_wanted: Callable[[frozenset[str]], bool]) -> list[str]:
    """Ids of baskets, the newest first, then those without a time."""
    times = {line["basket_id"]: line["event_time"] for line in list_events()}
    wanted = [basket_id for basket_id, items in draw_baskets().items() if is_wanted(items)]
    return sorted(wanted, key=lambda b: (times[b] is None, -(times[b] or WHEN).timestamp(), b))


def ids(baskets: list[Basket]) -> list[str]:
    return [basket.basket_id for basket in baskets]


@pytest.mark.parametrize(("before", "behind"), [({"b1", "b2"}, {"j1"}), ({"t'1"}, {"c1"}), ({"b1"}, {"c1", "j1"})])
def test_samples_are_the_newest_baskets_and_exceptions_lack_the_consequent(
    stocked: Lake, before: set[str], behind: set[str]
) -> None:
    sides = [{item: f"{NAMES[item]}!" for item in side} for side in (before, behind)]
    every = sample_baskets(stocked, sides[0], sides[1], limit=1000)
    assert ids(every.both) == pick(lambda items: before | behind <= items)
    assert ids(every.exceptions) == pick(lambda items: before <= items and not behind <= items)
    assert every.both
    assert every.exceptions
    some = sample_baskets(stocked, sides[0], sides[1], limit=2)
    assert (some.both, some.exceptions) == (every.both[:2], every.exceptions[:2])
    for basket in every.exceptions:
        held = {item.item_id for item in basket.items}
        assert before <= held
        assert behind - held
    lines: dict[str, Any] = {line["basket_id"]: line for line in list_events()}
    for basket in every.both + every.exceptions:
        contents = draw_baskets()[basket.basket_id]
        assert [item.item_id for item in basket.items] == [
            *sorted(contents & (before | behind), key=lambda item: NAMES[item]),
            *sorted(contents - (before | behind), key=lambda item: NAMES[item]),
        ]
        assert all(item.is_in_rule == (item.item_id in before | behind) for item in basket.items)
        # Items of the rule are called what the rule calls them.
        assert all(item.name == NAMES[item.item_id] + "!" * item.is_in_rule for item in basket.items)
        line = lines[basket.basket_id]
        assert (basket.time, basket.customer_id) == (line["event_time"], line["customer_id"])


def test_an_item_without_a_name_is_called_by_its_id(lake: str) -> None:
    stocked = Lake(lake)
    line = {"source": "s", "file": "f", "basket_id": "k", "quantity": 1}
    put(stocked, CLEAN_EVENTS, [line | {"row": row, "item_id": item} for row, item in enumerate("ab'")])
    (basket,) = sample_baskets(stocked, {"a": "A"}, {"b": "B"}).both
    assert [item.name for item in basket.items] == ["A", "B", "'"]
    assert (basket.time, basket.customer_id) == (None, None)


def test_look_ups_load_nothing_heavy(stocked: Lake) -> None:
    code = f"""if True:
        import sys, kinfolk.cli
        from kinfolk.rulebook.search import *
        from kinfolk.tables.rule_lookups import *
        lake = Lake({stocked.root!r})
        search_rules(lake, RuleSearch(("tea",), bounds=(Bounds("improvement", 0),)))
        assert "scipy" not in sys.modules
        search_rules(lake, RuleSearch(measures=("jaccard",)))
        read_itemsets(lake, ItemsetFilter()), sample_baskets(lake, {{"b1": "Bread"}}, {{"j1": "Jam"}})
        print(*sys.modules)"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "deltalake" in loaded
    assert not {"pandas", "torch", "pyspark", "mlflow", "numba"} & set(loaded)
