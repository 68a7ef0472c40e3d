"""Cases of what chance does: rules reported where there are none, and planted ones found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.association.baskets import encode_baskets
from kinfolk.association.forecast import count_least
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import link_subsets, mark_sets
from kinfolk.association.selection import choose_rules
from kinfolk.association.tree import Limits
from kinfolk.settings import AssociationSettings

from ._rules_data import read_lists, t10i4
from .harness import Bench, Case, Goal, Reading

BASKETS = 10_000
DATA_SETS, RATE = 200, 0.05
MOST_FALSE = RATE + 2 * (RATE * (1 - RATE) / DATA_SETS) ** 0.5
"""The rate and two standard errors of its measurement."""
PLANTED, LIFT, JOINT, NOISE_ITEMS, NOISE_SHARE = 20, 2.0, 0.02, 60, 0.05

FALSE_RATE, POWER = "rules.false_discovery_rate", "rules.power"


def false_discoveries(bench: Bench) -> Mapping[str, Reading]:
    """Measure in how many tables any rule is reported, whose items have nothing to do with each other.

    Each item is in as many baskets as in a table of T10I4, drawn anew.
    """
    table = pa.table({"items": read_lists(t10i4(bench, BASKETS))})
    encoded = encode_baskets(table, lambda _: 1)
    settings = AssociationSettings(min_support=0.002, min_confidence=0, max_false_discovery_rate=RATE)
    random = np.random.default_rng(5)
    tables_with_any = 0
    for number in range(1, DATA_SETS + 1):
        columns = [random.choice(BASKETS, count, replace=False) for count in encoded.count_R.tolist()]
        tables_with_any += bool(list(report(lines_of(columns), settings)))
        if number % 50 == 0:
            bench.note(f"{number} of {DATA_SETS} tables, {tables_with_any} with a rule")
    return {FALSE_RATE: Reading(tables_with_any / DATA_SETS, f"{tables_with_any} of {DATA_SETS} tables")}


def power(bench: Bench) -> Mapping[str, Reading]:
    """Measure how many planted rules are reported: twice as many baskets hold both items as chance would give."""
    del bench
    random = np.random.default_rng(6)
    share = (JOINT / LIFT) ** 0.5
    columns = []
    for _ in range(PLANTED):
        baskets = random.permutation(BASKETS)
        both, alone = round(JOINT * BASKETS), round((share - JOINT) * BASKETS)
        columns += [baskets[: both + alone], np.concatenate([baskets[:both], baskets[both + alone :][:alone]])]
    columns += [random.choice(BASKETS, round(NOISE_SHARE * BASKETS), replace=False) for _ in range(NOISE_ITEMS)]
    settings = AssociationSettings(min_support=0.005, min_confidence=0, max_false_discovery_rate=RATE)
    found = set(report(lines_of(columns), settings))
    planted = [(f"{2 * rule}", f"{2 * rule + 1}") for rule in range(PLANTED)]
    return {POWER: Reading(np.mean([sides in found for sides in planted]), f"{len(found)} rules reported in all")}


def lines_of(columns: list[NDArray[np.int64]]) -> pa.Table:
    """Baskets by which of them hold each item, and one basket of nothing for each that holds none."""
    baskets = np.concatenate([*columns, np.arange(BASKETS)])
    items = np.repeat(np.arange(len(columns)), [len(column) for column in columns]).astype(str).tolist()
    return pa.table({"basket_id": baskets, "item_id": pa.array([*items, *[None] * BASKETS], pa.string())})


def report(table: pa.Table, settings: AssociationSettings) -> Iterator[tuple[str, str]]:
    """The rules from one item to another that are reported."""
    least = count_least(settings, BASKETS)
    baskets = encode_baskets(table, lambda _: least)
    limits = Limits(least, settings.max_length, settings.max_itemsets)
    lattice, ids = link_subsets(search_itemsets(baskets, limits)), baskets.item_ids.to_pylist()
    marks_S = mark_sets(lattice, baskets.basket_count)
    for some in choose_rules(lattice, marks_S, baskets, settings):
        for before, after in zip(some.rules.antecedent_Q, some.rules.consequent_Q, strict=True):
            yield (ids[before], ids[after]) if before < len(ids) else ("several", ids[after])


CHANCE = [
    Case(
        (Goal(FALSE_RATE, round(MOST_FALSE, 3), better="lower", unit="share"),),
        "tables of nothing but chance",
        false_discoveries,
        seconds=60,
    ),
    Case((Goal(POWER, 0.9, unit="share"),), "planted rules", power, seconds=5),
]
