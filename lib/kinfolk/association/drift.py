"""What became of rules since they were mined before: which appeared, which vanished, and which really changed.

A rule really changed if its confidence among the baskets that came since differs from that before by more than chance
explains. Where baskets went as well, so that those that came cannot be told, all baskets of both times are compared as
if they were different ones.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Integers
from kinfolk.association.measures import Values, count
from kinfolk.association.significance import false_discovery_rates, fisher_p_values

_KEY = ("antecedent_id", "consequent_id")
_NAMES = ("antecedent_names", "consequent_names")
_COUNTS = ("basket_count", "antecedent_count", "baskets")
RULE_COLUMNS = (*_KEY, *_COUNTS, *_NAMES)
"""What is needed of rules."""
CHANGES = pa.schema(
    [
        ("antecedent_id", pa.string()),
        ("consequent_id", pa.string()),
        ("change", pa.string()),
        *((f"{name}_{when}", pa.int64()) for name in _COUNTS for when in ("before", "after")),
        *((f"confidence_{when}", pa.float64()) for when in ("before", "after")),
        ("p_value", pa.float64()),
        ("false_discovery_rate", pa.float64()),
        *((name, pa.list_(pa.string())) for name in _NAMES),
    ]
)


class Mined(NamedTuple):
    """The rules and itemsets of one time: `RULE_COLUMNS`; itemset_id and basket_count; and the number of baskets."""

    rules: pa.Table
    itemsets: pa.Table
    baskets: int


def compare_rules(before: Mined, after: Mined, *, max_rate: float) -> pa.Table:
    """The rules that appeared, vanished or really changed, as rows of `CHANGES`.

    Of those that appeared and vanished the counts of the other time are told where both sides were frequent then. Of
    all rules said to have changed, a share of at most `max_rate` is expected to have changed by chance.
    """
    return pa.concat_tables(
        [
            _tell_other("appeared", after, before),
            _tell_other("vanished", before, after),
            _tell_changed(before.rules, after.rules, max_rate),
        ]
    )


def _tell_other(change: str, here: Mined, there: Mined) -> pa.Table:
    """Rules of one time that are not rules of the other."""
    only = here.rules.filter(pc.is_null(pc.index_in(_keys(here.rules), _keys(there.rules))))
    both = pa.array([_unite(*ids) for ids in zip(*(only[name].to_pylist() for name in _KEY), strict=True)], pa.string())
    known = {name: only[name] for name in _COUNTS}
    other = {
        "basket_count": _look_up(both, there.itemsets),
        "antecedent_count": _look_up(only["antecedent_id"], there.itemsets),
        "baskets": pa.repeat(pa.scalar(there.baskets, pa.int64()), only.num_rows),
    }
    sides = (other, known) if change == "appeared" else (known, other)
    nothing = pa.nulls(only.num_rows, pa.float64())
    return _lay_out(change, only, sides, (nothing, nothing))


def _tell_changed(before: pa.Table, after: pa.Table, max_rate: float) -> pa.Table:
    """Rules of both times whose confidence changed by more than chance explains."""
    place = pc.index_in(_keys(after), _keys(before))
    is_common = pc.is_valid(place)
    after, before = after.filter(is_common), before.take(place.filter(is_common))
    old, new = (tuple(table[name].to_numpy() for name in _COUNTS) for table in (before, after))
    p_values = tell_change(old, new)
    rates = false_discovery_rates(p_values)
    is_changed = rates <= max_rate
    mask = pa.array(is_changed)
    sides = [{name: table[name].filter(mask) for name in _COUNTS} for table in (before, after)]
    return _lay_out("changed", after.filter(mask), (sides[0], sides[1]), (p_values[is_changed], rates[is_changed]))


def tell_change(before: tuple[Integers, Integers, Integers], after: tuple[Integers, Integers, Integers]) -> Values:
    """The chance that the confidence of each rule differs so much, if it is the same: Fisher's exact test, two-sided.

    Of both times the baskets with both sides and with the antecedent are given, and all.
    """
    (both, antecedent, baskets), (both_now, antecedent_now, baskets_now) = before, after
    came_both, came_antecedent = both_now - both, antecedent_now - antecedent
    only_grew = (baskets_now >= baskets) & (came_both >= 0) & (came_both <= came_antecedent)
    new_both = np.where(only_grew, came_both, both_now)
    new_antecedent = np.where(only_grew, came_antecedent, antecedent_now)
    rows, trials = both + new_both, antecedent + new_antecedent
    more = fisher_p_values(count(both, antecedent, rows, trials))
    fewer = fisher_p_values(count(antecedent - both, antecedent, trials - rows, trials))
    return np.asarray(np.minimum(1.0, 2 * np.minimum(more, fewer)))


def _lay_out(
    change: str,
    rules: pa.Table,
    sides: tuple[dict[str, pa.ChunkedArray], dict[str, pa.ChunkedArray]],
    test: tuple[pa.Array | NDArray[np.float64], pa.Array | NDArray[np.float64]],
) -> pa.Table:
    counts = {
        f"{name}_{when}": side[name] for when, side in zip(("before", "after"), sides, strict=True) for name in side
    }
    shares = {
        f"confidence_{when}": pc.divide(
            side["basket_count"].cast(pa.float64()), side["antecedent_count"].cast(pa.float64())
        )
        for when, side in zip(("before", "after"), sides, strict=True)
    }
    columns = {name: rules[name] for name in (*_KEY, *_NAMES)} | counts | shares
    columns |= {"change": pa.repeat(change, rules.num_rows), "p_value": test[0], "false_discovery_rate": test[1]}
    return pa.table([columns[name] for name in CHANGES.names], schema=CHANGES)


def _keys(rules: pa.Table) -> pa.Array:
    """One text for each rule; ids are JSON lists, in which no line ends."""
    return pc.binary_join_element_wise(*(rules[name] for name in _KEY), "\n").combine_chunks()


def _unite(*ids: str) -> str:
    """The id of an itemset that has the items of several."""
    items = sorted({item for one in ids for item in json.loads(one)})
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))


def _look_up(ids: pa.Array, itemsets: pa.Table) -> pa.Array:
    """How many baskets hold each set; null where it is not frequent."""
    return itemsets["basket_count"].take(pc.index_in(ids, itemsets["itemset_id"]))
