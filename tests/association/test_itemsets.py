"""Itemsets and rules on arrays, against the oracle and at their edges."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association import kernel
from kinfolk.association.baskets import encode_baskets
from kinfolk.association.itemsets import ITEMSET_SCHEMA, mine_itemsets
from kinfolk.association.oracle import find_itemsets, find_rules
from kinfolk.association.rules import RULE_SCHEMA, derive_rules
from kinfolk.association.thresholds import least_count
from kinfolk.settings import AssociationSettings

Line = tuple[str, str, str | None]

ITEMS = "abcdehé\"\\'"


@st.composite
def lines_of_baskets(draw: st.DrawFn) -> list[Line]:
    """Lines of up to 24 baskets in any order, crowded enough that large sets are frequent, some lines twice."""
    count = draw(st.integers(0, 24))
    baskets = draw(st.lists(st.sets(st.sampled_from(ITEMS), min_size=1), min_size=count, max_size=count))
    lines = [(str(number), item, None) for number, basket in enumerate(baskets) for item in sorted(basket)]
    twice = draw(st.lists(st.sampled_from(lines), max_size=5)) if lines else []
    return draw(st.permutations(lines + twice))


def table_of(lines: list[Line]) -> pa.Table:
    columns = [pa.array([line[place] for line in lines], pa.string()) for place in range(3)]
    return pa.table(columns, names=["basket_id", "item_id", "item_name"])


def mine(lines: list[Line], **options: float) -> pa.Table:
    return pa.Table.from_batches(mine_itemsets(table_of(lines), AssociationSettings(**options)), schema=ITEMSET_SCHEMA)


def derive(itemsets: pa.Table, min_confidence: float) -> list[dict]:
    return pa.Table.from_batches(derive_rules(itemsets, min_confidence), schema=RULE_SCHEMA).to_pylist()


def group(lines: list[Line]) -> list[set[str]]:
    baskets: dict[str, set[str]] = {}
    for basket, item, _ in lines:
        baskets.setdefault(basket, set()).add(item)
    return list(baskets.values())


@pytest.fixture(params=[False, True], ids=["roomy", "no room"])
def _room(request: pytest.FixtureRequest) -> object:
    """Small data has to go through the same seams as large: arrays that have to grow again and again."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FIRST_SETS", "_FIRST_WORDS", "_FIRST_PLACES") if request.param else ():
            patch.setattr(kernel, name, 1)
        yield


@pytest.mark.usefixtures("_room")
@settings(max_examples=100, deadline=None)
@given(
    lines_of_baskets(),
    st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]),
    st.sampled_from([1, 2, 3, 10]),
    st.sampled_from([0, 0.5, 1]),
)
def test_itemsets_and_rules_equal_the_oracles(
    lines: list[Line], min_support: float, max_length: int, min_confidence: float
) -> None:
    baskets = group(lines)
    mined = mine(lines, min_support=min_support, max_length=max_length)
    expected = find_itemsets(baskets, least_count(min_support, len(baskets)), max_length)
    rows = mined.to_pylist()
    assert rows[0]["items"] == []
    assert rows[0]["basket_count"] == len(baskets)
    assert {frozenset(row["items"]): row["basket_count"] for row in rows[1:]} == expected
    assert len(rows) == len(expected) + 1
    assert all(row["items"] == sorted(row["items"]) == json.loads(row["itemset_id"]) for row in rows)
    assert all(row["length"] == len(row["items"]) == len(row["item_names"]) for row in rows)

    rules = derive(mined, min_confidence)
    found = {(frozenset(rule["antecedent"]), rule["consequent"][0]): rule["confidence"] for rule in rules}
    assert found == find_rules(expected, min_confidence)
    assert len(found) == len(rules)
    for rule in rules:
        assert json.loads(rule["antecedent_id"]) == rule["antecedent"]
        assert json.loads(rule["consequent_id"]) == rule["consequent"]
        assert rule["basket_count"] == expected[frozenset(rule["antecedent"] + rule["consequent"])]
        assert (rule["conviction"] is None) == (rule["confidence"] == 1)


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize("share", [0.15, 0.5])
def test_many_baskets_and_members_equal_the_oracle(share: float) -> None:
    """Sets of baskets that take several words, and more members than the stack has places for at first."""
    random = np.random.default_rng(0)
    baskets = random.random((500, 14)) < share
    lines: list[Line] = [(str(basket), f"i{item}", None) for basket, item in np.argwhere(baskets)]
    mined = mine(lines, min_support=0.02, max_length=20, max_itemsets=10**6).to_pylist()
    expected = find_itemsets(group(lines), least_count(0.02, len(group(lines))), 20)
    assert {frozenset(row["items"]): row["basket_count"] for row in mined[1:]} == expected
    assert len(mined) == len(expected) + 1


def test_a_wide_basket_among_many_narrow_ones() -> None:
    lines: list[Line] = [("wide", f"i{n}", None) for n in range(2000)]
    lines += [(f"b{n}", f"i{n % 4}", None) for n in range(200)]
    mined = mine(lines, min_support=0.2).to_pylist()
    assert {tuple(row["items"]): row["basket_count"] for row in mined[1:]} == {(f"i{n}",): 51 for n in range(4)}


def test_a_set_in_exactly_the_least_share_of_the_baskets_is_frequent() -> None:
    lines: list[Line] = [(str(n), "always", None) for n in range(300)]
    lines += [("1", "pair", None), ("2", "pair", None), ("3", "pair", None), ("4", "rare", None), ("5", "rare", None)]
    ids = mine(lines, min_support=0.01)["itemset_id"].to_pylist()
    assert ids == ["[]", '["pair"]', '["always"]', '["always","pair"]']


def test_an_item_is_called_what_most_lines_call_it() -> None:
    names = {"a": ["new", "old", "old", None, None, None], "b": ["z", "y"], "c": [None]}
    lines: list[Line] = [(str(n), item, name) for item, given in names.items() for n, name in enumerate(given)]
    encoded = encode_baskets(table_of(lines[::-1]), 0.01)
    assert dict(zip(encoded.item_ids, encoded.item_names, strict=True)) == {"a": "old", "b": "y", "c": "c"}


def test_repeats_in_a_basket_count_once_but_for_names() -> None:
    lines: list[Line] = [("1", "a", "x"), ("1", "a", "x"), ("2", "a", "w"), ("1", "b", None), ("2", "b", None)]
    mined = mine(lines, min_support=0.5).to_pylist()
    assert {row["itemset_id"]: row["basket_count"] for row in mined} == {
        "[]": 2,
        '["a"]': 2,
        '["b"]': 2,
        '["a","b"]': 2,
    }
    assert mined[-1]["item_names"] == ["x", "b"]


def test_the_search_stops_one_above_the_budget() -> None:
    lines: list[Line] = [(str(basket), item, None) for basket in range(2) for item in "abcdefgh"]
    assert len(mine(lines, max_itemsets=255)) == 1 + 255
    assert len(mine(lines, max_itemsets=254)) == 1 + 255
    assert len(mine(lines, max_itemsets=20)) == 1 + 21


def test_no_lines_leave_the_empty_set_of_no_baskets_and_no_rules() -> None:
    mined = mine([])
    assert mined.to_pylist() == [
        {"itemset_id": "[]", "length": 0, "basket_count": 0, "items": [], "item_names": []},
    ]
    assert derive(mined, 0) == []


def test_rows_do_not_depend_on_the_order_of_the_lines() -> None:
    lines: list[Line] = [(str(n % 17), str(n * n % 13), f"name {n % 3}") for n in range(200)]
    forward, backward = (mine(order, min_support=0.1).to_pylist() for order in (lines, lines[::-1]))
    assert forward == backward
    assert len(forward) > 30
