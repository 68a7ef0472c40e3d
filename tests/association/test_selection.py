"""Which rules are left: by their items, by a measure, and beside others that say the same, against definitions."""

from __future__ import annotations

from itertools import combinations
from math import exp, log, sqrt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association.baskets import encode_baskets
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import link_subsets, mark_sets
from kinfolk.association.oracle import Itemset, find_itemsets, find_rules
from kinfolk.association.selection import choose_rules
from kinfolk.association.tree import Limits
from kinfolk.settings import AssociationSettings

Rule = tuple[Itemset, Itemset]
BASKETS = st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=25)
LEAST, LENGTH = 2, 5


def choose(baskets: list[set[str]], **wanted: Any) -> set[Rule]:
    table = pa.table({"items": pa.array([sorted(basket) for basket in baskets], pa.list_(pa.string()))})
    encoded = encode_baskets(table, lambda _: LEAST)
    lattice = link_subsets(search_itemsets(encoded, Limits(LEAST, LENGTH, 1 << 30)))
    ids, sets = encoded.item_ids.to_pylist(), []
    for start, stop in zip(lattice.start_S, lattice.start_S[1:], strict=False):
        sets.append(frozenset(ids[rank] for rank in lattice.item_J[start:stop]))
    chosen = choose_rules(
        lattice, mark_sets(lattice, encoded.basket_count), encoded, AssociationSettings(max_length=LENGTH, **wanted)
    )
    found = [(sets[a], sets[c]) for some in chosen for a, c in zip(*some.rules[1:], strict=True)]
    assert len(set(found)) == len(found), "each once"
    return set(found)


def every(baskets: list[set[str]], confidence: float, consequent: int) -> dict[Rule, tuple[int, int]]:
    """All rules, with the baskets of both sides and of the antecedent."""
    sets = find_itemsets(baskets, LEAST, LENGTH)
    return {(a, c): (sets[a | c], sets[a]) for a, c in find_rules(sets, confidence, consequent)}


@settings(max_examples=80, deadline=None)
@given(BASKETS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1, 2, 4]))
def test_no_rule_is_left_that_another_one_of_the_same_baskets_makes_needless(
    baskets: list[set[str]], confidence: float, consequent: int
) -> None:
    rules = every(baskets, confidence, consequent)

    def is_needless(rule: Rule) -> bool:
        return any(
            other != rule and other[0] <= rule[0] and other[1] >= rule[1] and counts == rules[rule]
            for other, counts in rules.items()
        )

    wanted = {"min_confidence": confidence, "max_consequent": consequent}
    found = choose(baskets, **wanted, drops_redundant="same_baskets")
    # An antecedent that all baskets hold is no generator: the rule from nothing, which is not listed, says the same.
    of_all = {rule for rule in rules if rules[rule][1] == len(baskets)}
    assert found == {rule for rule in rules if not is_needless(rule)} - of_all
    assert choose(baskets, **wanted) == set(rules)


@settings(max_examples=80, deadline=None)
@given(BASKETS)
def test_a_rule_stays_where_its_odds_are_certainly_better_than_those_of_simpler_ones(baskets: list[set[str]]) -> None:
    rules = every(baskets, 0.0, 1)

    def interval(before: Itemset, after: Itemset) -> tuple[float, float]:
        cells = [0.5] * 4
        for basket in baskets:
            cells[2 * (not before <= basket) + (not after <= basket)] += 1
        spread = exp(1.959963984540054 * sqrt(sum(1 / cell for cell in cells)))
        odds = exp(log(cells[0]) + log(cells[3]) - log(cells[1]) - log(cells[2]))
        return odds / spread, odds * spread

    def is_better(rule: Rule) -> bool:
        before, after = rule
        simpler = (frozenset(some) for size in range(1, len(before)) for some in combinations(before, size))
        return all(interval(before, after)[0] > interval(other, after)[1] * (1 + 1e-12) for other in simpler)

    found = choose(baskets, min_confidence=0.0, drops_redundant="odds_ratio")
    assert found == {rule for rule in rules if is_better(rule)}
    assert {rule for rule in rules if len(rule[0]) == 1} <= found


def test_a_third_item_that_doubles_the_odds_stays_and_one_that_does_nothing_goes() -> None:
    baskets = [{"tea", "milk", "scone"}] * 90 + [{"tea", "milk"}] * 10
    baskets += [{"tea", "scone"}] * 20 + [{"tea"}] * 180 + [{"milk", "scone"}] * 20 + [{"milk"}] * 180 + [set()] * 500
    found = choose(baskets, min_confidence=0.0, drops_redundant="odds_ratio")
    assert (frozenset({"tea", "milk"}), frozenset({"scone"})) in found
    noise = [basket | {"paper"} if n % 2 else basket for n, basket in enumerate(baskets)]
    found = choose(noise, min_confidence=0.0, drops_redundant="odds_ratio")
    assert (frozenset({"tea", "milk"}), frozenset({"scone"})) in found
    assert (frozenset({"tea", "milk", "paper"}), frozenset({"scone"})) not in found


@settings(max_examples=60, deadline=None)
@given(BASKETS, st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")), st.sampled_from([1, 2, 9]))
def test_rules_are_chosen_by_the_items_of_either_side(
    baskets: list[set[str]], before: set[str], after: set[str], longest: int
) -> None:
    found = choose(
        baskets,
        min_confidence=0.0,
        max_consequent=2,
        antecedent_items=sorted(before),
        consequent_items=sorted(after),
        max_antecedent=longest,
    )
    assert found == {
        (a, c)
        for a, c in every(baskets, 0.0, 2)
        if (not before or a & before) and (not after or c & after) and len(a) <= longest
    }


@settings(max_examples=60, deadline=None)
@given(BASKETS, st.integers(1, 8), st.sampled_from(["confidence", "support"]))
def test_the_best_rules_are_kept_with_those_that_are_as_good_as_the_last(
    baskets: list[set[str]], wanted: int, name: str
) -> None:
    rules = every(baskets, 0.0, 1)
    value = {rule: both / before if name == "confidence" else both for rule, (both, before) in rules.items()}
    best = sorted(value.values(), reverse=True)[:wanted]
    found = choose(baskets, min_confidence=0.0, top_rules=wanted, top_measure=name)
    assert found == {rule for rule in rules if value[rule] >= best[-1]}


def test_the_best_rules_are_of_those_that_are_tested() -> None:
    baskets = [{"a", "b"}] * 60 + [{"a", "c"}] * 20 + [{"d"}] * 120
    wanted = {"min_confidence": 0.0, "max_false_discovery_rate": 0.05}
    assert choose(baskets, **wanted, top_rules=1, top_measure="confidence") == {(frozenset("b"), frozenset("a"))} | {
        (frozenset("c"), frozenset("a"))
    }
    assert (frozenset("b"), frozenset("a")) in choose(baskets, **wanted)


@pytest.mark.parametrize("name", ["top_rules", "max_antecedent"])
def test_none_at_all_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        AssociationSettings(**{name: 0})
