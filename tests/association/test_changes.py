"""Baskets that come and go: what is known is always what mining all of them would find."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association.baskets import encode_baskets
from kinfolk.association.changes import STATE, Known, update
from kinfolk.association.lattice import link_subsets
from kinfolk.association.oracle import find_itemsets
from kinfolk.association.task import find_known
from kinfolk.association.thresholds import least_count
from kinfolk.settings import AssociationSettings

ITEMS = "abcdefg"
BASKETS = st.lists(st.sets(st.sampled_from(ITEMS)), max_size=30)


def table_of(baskets: list[set[str]]) -> pa.Table:
    return pa.table({"items": pa.array([sorted(basket) for basket in baskets], pa.list_(pa.string()))})


def learn_all(baskets: list[set[str]], border: int) -> Known:
    encoded = encode_baskets(table_of(baskets), lambda _: border)
    return find_known(encoded, border, AssociationSettings(), threads=1)


def counts_of(known: Known, least: int) -> dict[frozenset[Any], int]:
    frequent = known.at_least(least)
    header, lattice = frequent.header(), link_subsets(frequent.tree)
    ids = header.item_ids.to_pylist()
    sets = [frozenset(ids[rank] for rank in lattice.item_J[a:b]) for a, b in pairwise(lattice.start_S.tolist())]
    assert header.count_R.tolist() == lattice.count_S[: len(ids)].tolist()
    return dict(zip(sets, lattice.count_S.tolist(), strict=True))


def change(known: Known, came: list[set[str]], went: list[set[str]], support: float) -> Known | None:
    return update(
        known,
        table_of(came),
        table_of(went),
        least=lambda baskets: least_count(support, baskets),
        max_length=10,
        threads=1,
    )


@settings(max_examples=200, deadline=None)
@given(BASKETS, st.lists(st.tuples(BASKETS, st.integers(0, 10)), max_size=4), st.sampled_from([0.2, 0.4]), st.data())
def test_nights_find_what_mining_everything_finds(
    baskets: list[set[str]], nights: list[tuple[list[set[str]], int]], support: float, data: st.DataObject
) -> None:
    known = learn_all(baskets, max(1, least_count(support, len(baskets)) - 2))
    for came, leaving in nights:
        went = data.draw(st.permutations(baskets))[:leaving]
        for basket in went:
            baskets.remove(basket)
        baskets = baskets + came
        least = least_count(support, len(baskets))
        changed = change(known, came, went, support)
        known = changed or learn_all(baskets, max(1, least - 2))
        assert known.basket_count == len(baskets)
        assert counts_of(known, least) == find_itemsets(baskets, least, 10)


def test_most_nights_need_no_look_at_what_stood_before() -> None:
    random = np.random.default_rng(0)
    shares = np.linspace(0.05, 0.6, 20)

    def draw(count: int) -> list[set[str]]:
        return [{f"i{item}" for item in np.flatnonzero(row)} for row in random.random((count, 20)) < shares]

    baskets = draw(4000)
    known = learn_all(baskets, int(0.9 * least_count(0.1, 4000)))
    for _ in range(5):
        came = draw(40)
        changed = change(known, came, [], 0.1)
        assert changed is not None
        known, baskets = changed, baskets + came
    least = least_count(0.1, len(baskets))
    assert counts_of(known, least) == find_itemsets(baskets, least, 10)


def test_what_comes_and_goes_again_leaves_all_as_it_was() -> None:
    baskets = [set("abc"), set("ab"), set("bc"), set("abd")] * 50
    known = learn_all(baskets, 40)
    came = [set("ab"), set("cd")] * 2
    there = change(known, came, [], 0.25)
    assert there is not None
    back = change(there, [], came, 0.25)
    assert back is not None
    assert counts_of(back, 50) == counts_of(known, 50)


def test_a_set_that_only_new_baskets_hold_is_not_missed() -> None:
    known = learn_all([set("ab")] * 100, 9)
    assert change(known, [set("xy")] * 30, [], 0.1) is None
    few = change(known, [set("xy")] * 2, [], 0.1)
    assert few is not None
    assert few.border == 11


def test_what_is_known_is_kept_as_rows() -> None:
    known = learn_all([set("abc"), set("ab"), set("bd")], 1)
    rows = known.to_table()
    assert rows.schema == STATE
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(rows.num_rows)))
    again = Known.from_table(shuffled, basket_count=3, border=1, id_type=pa.string())
    assert counts_of(again, 1) == counts_of(known, 1)
    assert (again.basket_count, again.border) == (3, 1)


def test_numbers_come_and_go_as_well() -> None:
    def numbers(baskets: list[list[int]]) -> pa.Table:
        return pa.table({"items": pa.array(baskets, pa.list_(pa.int32()))})

    known = find_known(encode_baskets(numbers([[1, 2], [1]] * 9), lambda _: 3), 3, AssociationSettings(), threads=1)
    night = {"least": lambda baskets: least_count(0.2, baskets), "max_length": 10, "threads": 1}
    changed = update(known, numbers([[1, 2]]), numbers([]), **night)
    assert changed is not None
    assert counts_of(changed, 4) == {frozenset({1}): 19, frozenset({2}): 10, frozenset({1, 2}): 10}
    back = update(changed, numbers([]), numbers([[1, 2]]), **night)
    assert back is not None
    assert counts_of(back, 4) == counts_of(known, 4)
