"""A slow and obvious search for the itemsets that bring in the most, which tests compare the fast one with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from kinfolk.association.oracle import Itemset


class Line(NamedTuple):
    """So many of an item, in a basket, at a price each."""

    basket: str
    item: str
    quantity: int
    price: Decimal


class Value(NamedTuple):
    """What a set brings in, what all items of its baskets do, and how many these are."""

    revenue: Decimal
    baskets_revenue: Decimal
    basket_count: int


def find_values(lines: Collection[Line], max_length: int) -> dict[Itemset, Value]:
    """The value of every set of 1 to `max_length` items that some basket holds."""
    baskets: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in lines:
        baskets[line.basket][line.item] += line.quantity * line.price
    found: dict[Itemset, Value] = {}
    for basket in baskets.values():
        for length in range(1, max_length + 1):
            for items in combinations(basket, length):
                revenue, baskets_revenue, basket_count = found.get(frozenset(items), Value(Decimal(), Decimal(), 0))
                found[frozenset(items)] = Value(
                    revenue + sum(basket[item] for item in items),
                    baskets_revenue + sum(basket.values()),
                    basket_count + 1,
                )
    return found
