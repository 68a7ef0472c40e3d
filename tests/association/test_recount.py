"""Known sets counted in other baskets, and what those say of rules."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfolk.association.baskets import Baskets, encode_baskets, encode_known
from kinfolk.association.evidence import COLUMNS, choose_strata, gather_evidence, hold_out, tally_strata
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import Lattice, link_subsets
from kinfolk.association.recount import count_sets
from kinfolk.association.rules import Rules, derive_rules
from kinfolk.association.tree import Limits

BASKETS = st.lists(st.sets(st.sampled_from("abcdefgh")), max_size=40)


def table_of(baskets: list[set[str]], strata: list[str | None] | None = None) -> pa.Table:
    table = pa.table({"items": pa.array([sorted(basket) for basket in baskets], pa.list_(pa.string()))})
    return table if strata is None else table.append_column("stratum", pa.array(strata, pa.string()))


def mine(baskets: list[set[str]], least: int) -> tuple[Baskets, Lattice]:
    encoded = encode_baskets(table_of(baskets), lambda _: least)
    return encoded, link_subsets(search_itemsets(encoded, Limits(least, 10, 10**6)))


def sets_of(encoded: Baskets, lattice: Lattice) -> list[set[str]]:
    ids = encoded.item_ids.to_pylist()
    return [{ids[rank] for rank in lattice.item_J[a:b]} for a, b in pairwise(lattice.start_S.tolist())]


@settings(max_examples=200, deadline=None)
@given(BASKETS, BASKETS, st.integers(1, 4), st.integers(1, 2))
def test_known_sets_are_counted_in_other_baskets(
    baskets: list[set[str]], others: list[set[str]], least: int, threads: int
) -> None:
    known, lattice = mine(baskets, least)
    encoded = encode_known(table_of(others), known, threads=threads)
    assert encoded.basket_count == len(others)
    expected = [sum(items <= other for other in others) for items in sets_of(known, lattice)]
    assert count_sets(lattice, encoded).tolist() == expected


def test_sets_are_counted_in_more_baskets_than_a_word_has_bits() -> None:
    random = np.random.default_rng(2)
    draw = [{f"i{item}" for item in np.flatnonzero(row)} for row in random.random((700, 9)) < 0.5]
    known, lattice = mine(draw, 20)
    expected = [sum(items <= other for other in draw[:333]) for items in sets_of(known, lattice)]
    assert count_sets(lattice, encode_known(table_of(draw[:333]), known)).tolist() == expected


def test_about_the_share_of_the_baskets_is_held_out_and_always_the_same_ones() -> None:
    ids = [f"basket {number}" for number in range(20_000)]
    lines = pa.table({"basket_id": np.repeat(ids, 2), "item_id": pa.array(["a", "b"] * len(ids))})
    kept, held = hold_out(lines, 0.3)
    assert kept.num_rows + held.num_rows == lines.num_rows
    chosen = set(held["basket_id"].to_pylist())
    assert not chosen & set(kept["basket_id"].to_pylist()), "baskets stay whole"
    assert len(chosen) / len(ids) == pytest.approx(0.3, abs=0.015)
    shuffled = lines.take(pa.array(np.random.default_rng(0).permutation(lines.num_rows)))
    assert set(hold_out(shuffled, 0.3)[1]["basket_id"].to_pylist()) == chosen
    lists = table_of([{"a"}] * 20_000)
    assert hold_out(lists, 0.3)[1].num_rows / 20_000 == pytest.approx(0.3, abs=0.015)
    assert hold_out(lists.slice(0, 1), 0.0)[1].num_rows == 0


def describe(
    baskets: list[set[str]], strata: list[str | None] | None, held_out: list[set[str]] | None
) -> dict[tuple[str, str], dict]:
    known, lattice = mine(baskets, 1)
    held = None if held_out is None else table_of(held_out)
    rows = table_of(baskets, strata)
    evidence = gather_evidence(rows, held, choose_strata(tally_strata(rows)), known, lattice, threads=1)
    rules = Rules(*(np.concatenate(parts) for parts in zip(*derive_rules(lattice, 0), strict=True)))
    told = pa.table(evidence.describe(rules, lattice), schema=pa.schema(COLUMNS)).to_pylist()
    ids = known.item_ids.to_pylist()
    return {
        (ids[before], ids[after]): row
        for before, after, row in zip(rules.antecedent_Q, rules.consequent_Q, told, strict=True)
        if before < len(ids)
    }


def test_held_out_baskets_tell_how_rules_do_there() -> None:
    told = describe([{"a", "b"}, {"a", "c"}], None, [{"a", "b"}, {"a"}, {"b"}, {"b"}, set()])
    assert told["a", "b"] == {
        "holdout_baskets": 1,
        "holdout_confidence": 0.5,
        "holdout_lift": pytest.approx(0.5 / 0.6),
        "adjusted_odds_ratio": None,
        "reversed_in": None,
    }
    assert told["a", "c"]["holdout_confidence"] == 0
    assert told["a", "c"]["holdout_lift"] is None
    assert told["c", "a"]["holdout_confidence"] is None
    assert describe([{"a", "b"}], None, None)["a", "b"]["holdout_baskets"] is None


def test_a_rule_that_holds_only_because_of_a_confounder_is_told() -> None:
    """Tea and cake: in each country who buys one buys the other more rarely, but one country buys much of both."""

    def country(both: int, tea: int, cake: int, neither: int) -> list[set[str]]:
        return [{"tea", "cake"}] * both + [{"tea"}] * tea + [{"cake"}] * cake + [set()] * neither

    britain, france = country(60, 20, 20, 1), country(1, 25, 25, 60)
    baskets, strata = britain + france, ["GB"] * len(britain) + ["FR"] * len(france)
    told = describe(baskets, strata, None)["tea", "cake"]
    # Over all, 61 of 106 baskets with tea have cake, and 45 of 106 without.
    assert told["reversed_in"] == ["FR", "GB"]
    odds = (60 * 1 / 101 + 1 * 60 / 111) / (20 * 20 / 101 + 25 * 25 / 111)
    assert told["adjusted_odds_ratio"] == pytest.approx(odds)
    assert odds < 1
    # A stratum with hardly any of either has no say, and rows without one are in none.
    few = describe([*baskets, {"tea"}, {"cake"}, {"tea", "cake"}], [*strata, "IT", "IT", None], None)["tea", "cake"]
    assert few["reversed_in"] == ["FR", "GB"]
    same = describe(baskets, ["all"] * len(baskets), None)["tea", "cake"]
    assert same["reversed_in"] == []
    assert same["adjusted_odds_ratio"] > 1
