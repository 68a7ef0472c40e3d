"""A small lake of baskets with the itemsets and rules that follow, found by looking into every basket."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from kinfolk.association.oracle import find_closed, find_generators, find_itemsets, find_maximal, find_rules
from kinfolk.tables.catalog import ASSOCIATION_RULES, CLEAN_EVENTS, FREQUENT_ITEMSETS
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake

Row = dict[str, Any]

NAMES = {
    "b1": "Bread", "b2": "Butter", "j1": "Jam", "t'1": "Green TEA", "c1": "Tea cup",
    "x1": "=HYPERLINK(\"evil\")", "x2": "+plus", "x3": "-minus, with comma", "x4": "@at \"quoted\"", "x5": "\ttab",
}  # fmt: skip
BASKETS = 60
LEAST = 4
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


@cache
def draw_baskets() -> dict[str, frozenset[str]]:
    """Baskets by id: bread and butter bring jam, tea brings cups, the rest is chance; the last holds nothing common."""
    rng = random.Random(7)
    baskets = {}
    for number in range(BASKETS - 1):
        items = {item for item in NAMES if rng.random() < 0.25}
        if {"b1", "b2"} & items and rng.random() < 0.7:
            items |= {"b1", "b2", "j1"}
        if "t'1" in items and rng.random() < 0.6:
            items.add("c1")
        baskets[f"k{number:02d}"] = frozenset(items or {"b1"})
    return baskets | {"k99": frozenset({"rare"})}


def list_events() -> list[Row]:
    """A line for each item of each basket, every third item twice; every fifth basket has no time, none a customer in
    the first ten."""
    lines = []
    for number, (basket_id, items) in enumerate(draw_baskets().items()):
        for place, item in enumerate(sorted(items)):
            line = {
                "basket_id": basket_id,
                "item_id": item,
                "item_name": NAMES.get(item),
                "event_time": None if number % 5 == 0 else WHEN + timedelta(hours=number // 2),
                "customer_id": None if number < 10 else f"u{number % 7}",
                "quantity": 1,
            }
            lines += [line] * (2 if place % 3 == 0 else 1)
    return [{"source": "s", "file": "f", "row": row} | line for row, line in enumerate(lines)]


def list_itemsets() -> list[Row]:
    """The rows of frequent_itemsets."""
    found = find_itemsets([set(items) for items in draw_baskets().values()], LEAST, 4)
    marks = {"closed": find_closed(found), "maximal": find_maximal(found), "generator": find_generators(found, BASKETS)}
    return [
        {
            "itemset_id": write_id(items),
            "length": len(items),
            "basket_count": count,
            "support": count / BASKETS,
            "items": sorted(items),
            "item_names": [NAMES[item] for item in sorted(items)],
        }
        | {f"is_{mark}": items in sets for mark, sets in marks.items()}
        for items, count in found.items()
    ]


def list_rules() -> list[Row]:
    """The rows of association_rules, to one item or two."""
    found = find_itemsets([set(items) for items in draw_baskets().values()], LEAST, 4)
    return [
        _describe(before, behind, found[before | behind], found[before], found[behind])
        for before, behind in find_rules(found, 0.3, 2)
    ]


def _describe(before: frozenset[str], behind: frozenset[str], both: int, one: int, other: int) -> Row:
    confidence, share = both / one, other / BASKETS
    return {
        "antecedent_id": write_id(before),
        "consequent_id": write_id(behind),
        "basket_count": both,
        "antecedent_count": one,
        "consequent_count": other,
        "baskets": BASKETS,
        "support": both / BASKETS,
        "confidence": confidence,
        "lift": both * BASKETS / (one * other),
        "leverage": both / BASKETS - one / BASKETS * share,
        "conviction": None if both == one else (1 - share) / (1 - confidence),
        "improvement": None if len(behind) > 1 else confidence - share,
        "antecedent": sorted(before),
        "consequent": sorted(behind),
        "antecedent_names": [NAMES[item] for item in sorted(before)],
        "consequent_names": [NAMES[item] for item in sorted(behind)],
    }


def write_id(items: Iterable[str]) -> str:
    """Items as itemset_id has them."""
    return json.dumps(sorted(items), separators=(",", ":"))


def put(lake: Lake, table: Table, rows: Iterable[Row]) -> None:
    """Write rows that name only the columns that matter; the others are null, provenance is made up."""
    full = [{"run_id": "r", "updated_at": WHEN} | row for row in rows]
    schema = pa.schema([field.with_nullable(nullable=True) for field in table.arrow_schema()])
    write_deltalake(lake.path(table.name), pa.Table.from_pylist(full, schema=schema), mode="overwrite")


def put_rules(root: str) -> Lake:
    """A lake of events, itemsets and rules."""
    lake = Lake(root)
    put(lake, CLEAN_EVENTS, list_events())
    put(lake, FREQUENT_ITEMSETS, list_itemsets())
    put(lake, ASSOCIATION_RULES, list_rules())
    return lake
