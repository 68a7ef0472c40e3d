"""A slow and obvious miner on Python sets, independent of the fast one, which tests compare it with."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

Itemset = frozenset[str]


def find_itemsets(baskets: Collection[set[str]], least: int, max_length: int) -> dict[Itemset, int]:
    """Count every itemset of 1 to `max_length` items that at least `least` (1 or more) baskets hold.

    Level by level, from pairs of sets of the level before (Agrawal, Srikant, VLDB 1994, 2.1); every candidate is
    counted by a look into every basket.
    """
    found: dict[Itemset, int] = {}
    candidates = {frozenset([item]) for basket in baskets for item in basket}
    for length in range(1, max_length + 1):
        counts = {items: sum(items <= basket for basket in baskets) for items in candidates}
        level = {items: count for items, count in counts.items() if count >= least}
        found |= level
        candidates = {left | right for left, right in combinations(level, 2) if len(left | right) == length + 1}
    return found


def find_rules(itemsets: dict[Itemset, int], min_confidence: float) -> dict[tuple[Itemset, str], float]:
    """Confidence of every rule (antecedent, one item) that reaches `min_confidence`."""
    rules = {}
    for items, count in itemsets.items():
        for consequent in items:
            antecedent = items - {consequent}
            if antecedent and count / itemsets[antecedent] >= min_confidence:
                rules[antecedent, consequent] = count / itemsets[antecedent]
    return rules
