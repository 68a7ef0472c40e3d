"""Rules by their items and their measures, in the order of any measure."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.rulebook.numbers import COUNTS, STORED, check_names, compute_numbers
from kinfolk.tables.lake import Lake
from kinfolk.tables.queries import check_limit
from kinfolk.tables.rule_lookups import Bounds, RuleFilter, match_items, read_rules

KEY = ("antecedent_id", "consequent_id")
SIDES = ("antecedent", "antecedent_names", "consequent", "consequent_names")
SHOWN = ("support", "confidence", "lift")
"""The measures that are told of every rule."""

_MOST_WAITING = 1 << 16
"""Rows that are gathered before the best of them are told."""


@dataclass(frozen=True)
class RuleSearch:
    """Which rules are wanted, in what order, and what is told of them.

    Items are given by id or by a part of their name: `items` that a rule holds on either side, and those that it holds
    before and behind the arrow. `bounds` and `sort` name a measure or another number of rules, and so do `measures`,
    which are told besides `SHOWN`, `sort` and what has bounds. Rules without a value of `sort` come last. `limit` None
    is for all.
    """

    items: tuple[str, ...] = ()
    antecedent: tuple[str, ...] = ()
    consequent: tuple[str, ...] = ()
    bounds: tuple[Bounds, ...] = ()
    sort: str = "lift"
    is_ascending: bool = False
    measures: tuple[str, ...] = ()
    limit: int | None = 10

    @property
    def numbers(self) -> tuple[str, ...]:
        """What is told of every rule, once each: `SHOWN`, and all that the search names."""
        return tuple(dict.fromkeys((*SHOWN, self.sort, *(bounds.name for bounds in self.bounds), *self.measures)))


@dataclass(frozen=True)
class FoundRules:
    """The items that were meant (id → name), and the rules in order: `KEY`, `SIDES`, `COUNTS` and the numbers."""

    items: dict[str, str]
    rules: pa.Table


def search_rules(lake: Lake, search: RuleSearch) -> FoundRules:
    """Find rules; ties by confidence, then baskets with both sides, then ids.

    Raises SettingsError for an unknown measure, and NotFoundError where no frequent item fits or nothing was mined.
    """
    if search.limit is not None:
        check_limit(search.limit)
    check_names(search.numbers)
    anywhere, before, behind = (
        match_items(lake, side) for side in (search.items, search.antecedent, search.consequent)
    )
    stored = tuple(bounds for bounds in search.bounds if bounds.name in STORED)
    computed = tuple(bounds for bounds in search.bounds if bounds.name not in STORED)
    told = dict.fromkeys((*KEY, *SIDES, *COUNTS, *search.numbers))
    columns = [name for name in told if name in STORED or name in (*KEY, *SIDES)]
    found: list[pa.Table] = []
    waiting = 0
    for rows in read_rules(lake, RuleFilter(anywhere, before, behind, stored), columns):
        found.append(_keep(compute_numbers(rows, search.numbers), computed))
        waiting += found[-1].num_rows
        if search.limit is not None and waiting > search.limit + _MOST_WAITING:
            found, waiting = [_order(pa.concat_tables(found), search)], search.limit
    items = {item_id: name for matched in (*anywhere, *before, *behind) for item_id, name in matched.items()}
    return FoundRules(items, _order(pa.concat_tables(found), search).select(list(told)))


def _keep(rules: pa.Table, bounds: tuple[Bounds, ...]) -> pa.Table:
    for name, low, high in bounds:
        # A measure that has no value is within no bounds.
        is_within = pc.and_(pc.greater_equal(rules[name], low), pc.less_equal(rules[name], high))
        rules = rules.filter(is_within, null_selection_behavior="drop")
    return rules


def _order(rules: pa.Table, search: RuleSearch) -> pa.Table:
    """The first rules in order."""
    ties = {"confidence": "descending", "basket_count": "descending"} | dict.fromkeys(KEY, "ascending")
    keys = {search.sort: "ascending" if search.is_ascending else "descending"}
    keys |= {name: direction for name, direction in ties.items() if name not in keys}
    # Arrow puts what has no value at the end, in either direction.
    places = pc.sort_indices(rules, sort_keys=list(keys.items()))
    return rules.take(places[: search.limit])
