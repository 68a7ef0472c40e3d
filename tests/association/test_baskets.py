"""Baskets as tables bring them, and the arrays that are made of them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association import baskets as module
from kinfolk.association.baskets import Baskets, encode_baskets, order_baskets

SOME_BASKETS = st.lists(st.lists(st.integers(0, 12), max_size=20), max_size=30)


def unfold(encoded: Baskets) -> Counter[frozenset[Any]]:
    """The baskets that were written."""
    ids, baskets = encoded.item_ids.to_pylist(), []
    for start, stop in encoded.spans:
        ends = start + np.flatnonzero(encoded.rank_E[start:stop] < 0)
        for first, end in zip([start, *(ends[:-1] + 1)], ends, strict=False):
            held = encoded.rank_E[first:end].tolist()
            assert 0 < len(held) == len(set(held)), "without repeats"
            baskets.append(frozenset(ids[rank] for rank in held))
    return Counter(baskets)


def check_order(encoded: Baskets, threads: int) -> None:
    """In order the baskets are the same, their ranks ascend, and it is known where each stands."""
    before = unfold(encoded)
    entries = order_baskets(encoded, threads=threads)
    assert unfold(encoded) == before
    for start, stop in encoded.spans:
        ranks = entries.rank_E[start:stop]
        inside = (ranks[:-1] >= 0) & (ranks[1:] >= 0)
        assert np.all(ranks[:-1][inside] < ranks[1:][inside])
    for rank, (first, last) in enumerate(pairwise(entries.first_R.tolist())):
        places = entries.position_E[first:last]
        assert np.all(entries.rank_E[places] == rank)
        assert np.all(places[:-1] < places[1:])
        assert last - first == encoded.count_R[rank]


def check(encoded: Baskets, baskets: list[set[Any]], least: int) -> None:
    counts = Counter(item for basket in baskets for item in basket)
    frequent = {item for item, count in counts.items() if count >= least}
    assert encoded.basket_count == len(baskets)
    assert dict(zip(encoded.item_ids.to_pylist(), encoded.count_R.tolist(), strict=True)) == {
        item: counts[item] for item in frequent
    }
    order = list(zip(encoded.count_R.tolist(), encoded.item_ids.to_pylist(), strict=True))
    assert order == sorted(order), "the rarest first, ties in order of id"
    assert unfold(encoded) == Counter(frozenset(basket & frequent) for basket in baskets if basket & frequent)


@settings(max_examples=100, deadline=None)
@given(SOME_BASKETS, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.sampled_from(["int", "string", "far"]))
def test_lists_of_items_in_any_parts(lists: list[list[int]], least: int, threads: int, parts: int, kind: str) -> None:
    write = {"int": int, "string": lambda item: f"é{item}", "far": lambda item: (item - 6) << 40}[kind]
    types = {"int": pa.int32(), "string": pa.string(), "far": pa.int64()}
    written = [[write(item) for item in basket] for basket in lists]
    cuts = [pa.array(written[start::parts], pa.list_(types[kind])) for start in range(parts)]
    encoded = encode_baskets(pa.table({"items": pa.chunked_array(cuts)}), lambda _: least, threads=threads)
    check(encoded, [set(basket) for basket in written], least)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", 3)
        check_order(encoded, threads)


@settings(max_examples=100, deadline=None)
@given(SOME_BASKETS, st.integers(1, 4), st.integers(1, 3), st.booleans(), st.randoms())
def test_lines_in_any_order(lists: list[list[int]], least: int, threads: int, are_numbers: bool, random: Any) -> None:
    lines = [(number * 3, item) for number, basket in enumerate(lists) for item in basket]
    random.shuffle(lines)
    kind, write = (pa.int64(), int) if are_numbers else (pa.string(), str)
    columns = {
        "basket_id": pa.array([write(basket) for basket, _ in lines], kind),
        "item_id": pa.array([write(item) for _, item in lines], kind),
    }
    encoded = encode_baskets(pa.table(columns), lambda _: least, threads=threads)
    check(encoded, [{write(item) for item in basket} for basket in lists if basket], least)


def test_a_basket_of_ten_thousand_items_and_a_million_distinct_ones() -> None:
    wide = [f"i{n}" for n in range(10_000)]
    many = [[f"j{n}", f"j{n + 1}"] for n in range(0, 1_000_000, 2)]
    table = pa.table({"items": pa.array([wide[::-1] + wide, wide, *many], pa.list_(pa.string()))})
    encoded = encode_baskets(table, lambda _: 2, threads=2)
    assert encoded.basket_count == 500_002
    assert sorted(encoded.item_ids.to_pylist()) == sorted(wide)
    assert unfold(encoded) == Counter({frozenset(wide): 2})
    assert len(encode_baskets(table, lambda _: 1).item_ids) == 1_010_000


def test_nulls_are_no_items_and_no_baskets() -> None:
    lists = pa.array([["a", None, "b"], None, [], [None], ["a", "b"]], pa.list_(pa.string()))
    # A null list may still have items in its buffers.
    hidden = pa.ListArray.from_arrays(pa.array([0, 2, 4]), pa.array(["a", "b", "a", "b"]), mask=pa.array([True, False]))
    encoded = encode_baskets(pa.table({"items": pa.chunked_array([lists, hidden])}), lambda _: 1)
    check(encoded, [{"a", "b"}, set(), set(), {"a", "b"}, {"a", "b"}], 1)
    lines = pa.table({"basket_id": ["1", None, "1", "2"], "item_id": ["a", "c", "b", None]})
    check(encode_baskets(lines, lambda _: 1), [{"a", "b"}, set()], 1)


def test_dictionaries_and_large_lists_are_read() -> None:
    words = pa.array(["b", "a", "b", "a", "b"])
    for values in (words.dictionary_encode(), words.cast(pa.large_string())):
        lists = pa.LargeListArray.from_arrays(pa.array([0, 2, 5], pa.int64()), values)
        encoded = encode_baskets(pa.table({"items": lists}), lambda _: 1)
        check(encoded, [{"a", "b"}, {"a", "b"}], 1)


def test_the_least_count_is_of_all_baskets_and_excluded_items_are_left_out() -> None:
    table = pa.table({"items": [["a", "b", "c"], ["a", "b"], [], ["c"]]})
    encoded = encode_baskets(table, lambda baskets: baskets // 2, excluded=["b", "no such item"])
    check(encoded, [{"a", "c"}, {"a"}, set(), {"c"}], 2)
    numbers = pa.table({"items": [[1, 2, 3], [1, 2], [], [3]]})
    check(encode_baskets(numbers, lambda _: 2, excluded=["2"]), [{1, 3}, {1}, set(), {3}], 2)


def test_an_item_is_called_what_most_lines_call_it() -> None:
    names = {"a": ["new", "old", "old", None, None, None], "b": ["z", "y"], "c": [None]}
    lines = [(str(n), item, name) for item, given in names.items() for n, name in enumerate(given)]
    columns = [pa.array([line[place] for line in lines[::-1]], pa.string()) for place in range(3)]
    encoded = encode_baskets(pa.table(columns, names=["basket_id", "item_id", "item_name"]), lambda _: 1)
    ids, given = encoded.item_ids.to_pylist(), encoded.item_names.to_pylist()
    assert dict(zip(ids, given, strict=True)) == {"a": "old", "b": "y", "c": "c"}


def test_more_entries_than_can_be_numbered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_POSITIONS", 5)
    with pytest.raises(module.DataError, match="6 entries of baskets"):
        encode_baskets(pa.table({"items": [["a", "b"], ["a", "b"]]}), lambda _: 1)
