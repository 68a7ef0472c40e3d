"""Itemsets and rules on arrays, against the oracle and at their edges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association import bitmaps, kernel, pairs, rules
from kinfolk.association.baskets import Baskets, encode_baskets
from kinfolk.association.kernel import count_itemsets, search_itemsets
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, Lattice, link_subsets, mark_sets
from kinfolk.association.measures import measure
from kinfolk.association.oracle import (
    Itemset,
    find_closed,
    find_generators,
    find_improvement,
    find_itemsets,
    find_maximal,
    find_rules,
)
from kinfolk.association.rules import derive_rules, find_best_simpler, pick_values, single_rules
from kinfolk.association.thresholds import least_count
from kinfolk.association.tree import Limits

ITEMS = "abcdehé\"\\'"
UNLIMITED = 10**9


def encode(baskets: list[set[str]], least: int = 1, *, threads: int = 1) -> Baskets:
    lists = pa.table({"items": pa.array([list(basket) for basket in baskets], pa.list_(pa.string()))})
    return encode_baskets(lists, lambda _: least, threads=threads)


def mine(
    baskets: list[set[str]], least: int, *, max_length: int = 64, most: int = UNLIMITED, threads: int = 1
) -> tuple[Baskets, Lattice]:
    encoded = encode(baskets, least, threads=threads)
    return encoded, link_subsets(search_itemsets(encoded, Limits(least, max_length, most), threads=threads))


def sets_of(baskets: Baskets, lattice: Lattice) -> list[Itemset]:
    ids = baskets.item_ids.to_pylist()
    return [
        frozenset(ids[rank] for rank in lattice.item_J[start:stop])
        for start, stop in zip(lattice.start_S, lattice.start_S[1:], strict=False)
    ]


def counted(baskets: Baskets, lattice: Lattice) -> dict[Itemset, int]:
    sets = sets_of(baskets, lattice)
    found = dict(zip(sets, lattice.count_S.tolist(), strict=True))
    assert len(found) == len(sets), "each once"
    return found


@pytest.fixture(params=["roomy", "no room", "many items"])
def _room(request: pytest.FixtureRequest) -> object:
    """Small data has to go through the same seams as large: arrays that grow again and again, pairs in lists."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many items":
            patch.setattr(kernel, "_MOST_TABLED", 0)
        if request.param != "roomy":
            for name in ("_CACHED_WORDS", "_MOST_WORDS"):
                patch.setattr(bitmaps, name, 1)
            for name in ("_FIRST_SETS", "_FIRST_WORDS", "_FIRST_PLACES"):
                patch.setattr(kernel, name, 1)
            for name in ("_FIRST_SETS", "_MOST_COUNTED"):
                patch.setattr(pairs, name, 1)
            patch.setattr(rules, "_RULES_AT_A_TIME", 1)
        yield


SOME_BASKETS = st.lists(st.sets(st.sampled_from(ITEMS)), max_size=24)
"""Up to 24 baskets, crowded enough that large sets are frequent, some of them empty."""


@pytest.mark.usefixtures("_room")
@settings(max_examples=100, deadline=None)
@given(SOME_BASKETS, st.integers(1, 8), st.sampled_from([1, 2, 3, 10]), st.sampled_from([1, 3]))
def test_itemsets_and_their_subsets_equal_the_oracles(
    baskets: list[set[str]], least: int, max_length: int, threads: int
) -> None:
    encoded, lattice = mine(baskets, least, max_length=max_length, threads=threads)
    found = counted(encoded, lattice)
    assert found == find_itemsets(baskets, least, max_length)
    assert encoded.basket_count == len(baskets)
    sets, ids = sets_of(encoded, lattice), encoded.item_ids.to_pylist()
    for number, items in enumerate(sets):
        for j in range(lattice.start_S[number], lattice.start_S[number + 1]):
            subset = lattice.subset_J[j]
            assert (sets[subset] if subset >= 0 else frozenset()) == items - {ids[lattice.item_J[j]]}


@settings(max_examples=100, deadline=None)
@given(SOME_BASKETS, st.integers(1, 5))
def test_closed_and_maximal_sets_and_generators_are_those_of_their_definitions(
    baskets: list[set[str]], least: int
) -> None:
    encoded, lattice = mine(baskets, least)
    marks_S, sets = mark_sets(lattice, encoded.basket_count), sets_of(encoded, lattice)
    expected = find_itemsets(baskets, least, len(ITEMS))
    definitions = {
        CLOSED: find_closed(expected),
        MAXIMAL: find_maximal(expected),
        GENERATOR: find_generators(expected, len(baskets)),
    }
    for mark, wanted in definitions.items():
        assert {items for items, marks in zip(sets, marks_S, strict=True) if marks & mark} == wanted


@pytest.mark.usefixtures("_room")
@settings(max_examples=40, deadline=None)
@given(SOME_BASKETS, st.integers(2, 4), st.sampled_from([0, 0.5, 0.7, 1]), st.sampled_from([1, 2, 9]))
def test_rules_and_their_improvement_equal_the_oracles(
    baskets: list[set[str]], least: int, min_confidence: float, max_consequent: int
) -> None:
    encoded, lattice = mine(baskets, least)
    sets, itemsets = sets_of(encoded, lattice), find_itemsets(baskets, least, len(ITEMS))
    best_J = find_best_simpler(lattice, measure("confidence", single_rules(lattice, encoded.basket_count)))
    found = {}
    for some in derive_rules(lattice, min_confidence, max_consequent=max_consequent):
        gain_Q = lattice.count_S[some.both_Q] / lattice.count_S[some.antecedent_Q] - pick_values(some, lattice, best_J)
        for both, before, after, gain in zip(*some, gain_Q, strict=True):
            assert sets[both] == sets[before] | sets[after]
            assert (sets[before], sets[after]) not in found, "each once"
            found[sets[before], sets[after]] = lattice.count_S[both] / lattice.count_S[before]
            if len(sets[after]) > 1:
                assert np.isnan(gain)
            else:
                expected = find_improvement((sets[before], sets[after]), itemsets, len(baskets))
                assert gain == pytest.approx(expected, abs=1e-12)
    assert found == find_rules(itemsets, min_confidence, max_consequent)


@pytest.mark.usefixtures("_room")
@pytest.mark.parametrize(("share", "threads"), [(0.15, 1), (0.5, 1), (0.5, 3)])
def test_many_baskets_and_members_equal_the_oracle(share: float, threads: int) -> None:
    """Baskets of several stretches, and more members than the stack has places for at first."""
    random = np.random.default_rng(0)
    baskets = [{f"i{item}" for item in np.flatnonzero(row)} for row in random.random((1300, 14)) < share]
    least = least_count(0.02, len(baskets))
    assert counted(*mine(baskets, least, threads=threads)) == find_itemsets(baskets, least, 20)


def test_classes_too_wide_for_a_table_of_their_pairs_equal_the_oracle(tmp_path: Path) -> None:
    """Compiled functions keep the constants that they were compiled with: a process of its own has others."""
    code = """
import numpy as np
from kinfolk.association import kernel
kernel._MOST_PAIRED = 3
from kinfolk.association.oracle import find_itemsets
from tests.association.test_itemsets import counted, mine
random = np.random.default_rng(1)
baskets = [{f"i{item}" for item in np.flatnonzero(row)} for row in random.random((300, 12)) < 0.4]
assert counted(*mine(baskets, 12)) == find_itemsets(baskets, 12, 12)
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("items", [32_767, 32_768])
def test_ranks_that_just_fit_into_16_bits_and_those_that_do_not_give_the_same_sets(items: int) -> None:
    """Each item is in baskets with the two that come next, and with one that is not frequent."""
    firsts = [*range(items - 2)] * 2
    baskets = [{f"i{n}", f"i{n + 1}", f"i{n + 2}", f"rare{row}"} for row, n in enumerate(firsts)]
    sets = counted(*mine(baskets, 2))
    runs = [{frozenset(f"i{n + k}" for k in steps) for n in range(items - steps[-1])} for steps in [(0, 1, 2), (0, 2)]]
    assert {found for found in sets if len(found) == 3} == runs[0]
    assert {found for found in sets if len(found) == 1} == {frozenset({f"i{n}"}) for n in range(items)}
    pairs_of_neighbours = {frozenset({f"i{n}", f"i{n + 1}"}) for n in range(items - 1)}
    assert {found for found in sets if len(found) == 2} == pairs_of_neighbours | runs[1]
    assert sum(sets.values()) == 2 * 7 * (items - 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_search_ends_soon_after_there_are_too_many(threads: int) -> None:
    baskets = [set("abcdefgh")] * 2
    assert len(mine(baskets, 1, most=255, threads=threads)[1].count_S) == 255
    for most in (1, 8, 20, 254):
        assert most < len(mine(baskets, 1, most=most, threads=threads)[1].count_S) <= 255
    wide = [{f"i{n}" for n in range(40)}] * 2
    assert len(mine(wide, 1, most=10_000, threads=threads)[1].count_S) < threads * 10_000 + 40


def test_nothing_is_found_in_no_baskets() -> None:
    encoded, lattice = mine([], 1)
    assert (encoded.basket_count, len(lattice.count_S)) == (0, 0)
    assert list(derive_rules(lattice, 0)) == []


def test_rules_to_all_but_one_item_of_a_large_set() -> None:
    """As many rules as a set of twelve items has ways to be cut in two."""
    _, lattice = mine([set("abcdefghijkl")] * 3, 1)
    found = sum(len(some.both_Q) for some in derive_rules(lattice, 1.0, max_consequent=11))
    assert found == 3**12 - 2 * 2**12 + 1


@settings(max_examples=50, deadline=None)
@given(SOME_BASKETS, st.integers(1, 5), st.sampled_from([1, 2, 3, 10]), st.sampled_from([1, 2]))
def test_sets_are_counted_without_being_kept(
    baskets: list[set[str]], least: int, max_length: int, threads: int
) -> None:
    tally_L = count_itemsets(encode(baskets, least), Limits(least, max_length, UNLIMITED), threads=threads)
    lengths = [len(items) for items in find_itemsets(baskets, least, max_length)]
    assert tally_L.tolist() == np.bincount(np.array(lengths, int), minlength=max_length + 1).tolist()


def test_pairs_in_more_baskets_than_a_short_count_holds() -> None:
    """70,000 baskets with both items, of 70,001, and some with a third that is in few."""
    baskets = pa.array([["a", "b"]] * 70_000 + [["a", "c"]], pa.list_(pa.string()))
    encoded = encode_baskets(pa.table({"items": baskets}), lambda _: 1)
    lattice = link_subsets(search_itemsets(encoded, Limits(1, 10, UNLIMITED)))
    assert counted(encoded, lattice)[frozenset("ab")] == 70_000
