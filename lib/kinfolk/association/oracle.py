"""A slow and obvious miner on Python sets, independent of the fast one, which tests compare it with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import combinations

Itemset = frozenset[str]


def find_itemsets(
    baskets: Collection[set[str]], least: int, max_length: int, *, is_wanted: Callable[[Itemset], bool] = lambda _: True
) -> dict[Itemset, int]:
    """Count every itemset of 1 to `max_length` items that at least `least` (1 or more) baskets hold.

    All subsets of a set that is wanted have to be wanted, too. Level by level, from pairs of sets of the level before
    (Agrawal, Srikant, VLDB 1994, 2.1); every candidate is counted by a look into every basket.
    """
    found: dict[Itemset, int] = {}
    candidates = {frozenset([item]) for basket in baskets for item in basket}
    for length in range(1, max_length + 1):
        counts = {items: sum(items <= basket for basket in baskets) for items in candidates if is_wanted(items)}
        level = {items: count for items, count in counts.items() if count >= least}
        found |= level
        candidates = {left | right for left, right in combinations(level, 2) if len(left | right) == length + 1}
    return found


def find_closed(itemsets: dict[Itemset, int]) -> set[Itemset]:
    """The sets than which no larger one among them has the same count."""
    return {items for items, count in itemsets.items() if not any(_grows(items, count, itemsets))}


def _grows(items: Itemset, count: int, itemsets: dict[Itemset, int]) -> Iterator[bool]:
    return (items < other and count == its for other, its in itemsets.items())


def find_maximal(itemsets: dict[Itemset, int]) -> set[Itemset]:
    """The sets than which no larger one is among them."""
    return {items for items in itemsets if not any(items < other for other in itemsets)}


def find_generators(itemsets: dict[Itemset, int], basket_count: int) -> set[Itemset]:
    """The sets than which no smaller one, the empty one included, has the same count."""
    every = {frozenset[str](): basket_count} | itemsets
    return {items for items, count in itemsets.items() if not any(o < items and c == count for o, c in every.items())}


def find_rules(
    itemsets: dict[Itemset, int], min_confidence: float, max_consequent: int = 1
) -> dict[tuple[Itemset, Itemset], float]:
    """Confidence of every rule (antecedent, consequent) that reaches `min_confidence`."""
    rules = {}
    for items, count in itemsets.items():
        for length in range(1, max_consequent + 1):
            for chosen in combinations(items, length):
                antecedent = items - set(chosen)
                if antecedent and count / itemsets[antecedent] >= min_confidence:
                    rules[antecedent, frozenset(chosen)] = count / itemsets[antecedent]
    return rules


def find_improvement(rule: tuple[Itemset, Itemset], itemsets: dict[Itemset, int], basket_count: int) -> float:
    """The confidence of a rule less the highest of the rules with a proper subset of its antecedent, or none."""
    antecedent, consequent = rule

    def confidence(before: Itemset) -> float:
        return itemsets[before | consequent] / (itemsets[before] if before else basket_count)

    smaller = (frozenset(some) for length in range(len(antecedent)) for some in combinations(antecedent, length))
    return confidence(antecedent) - max(map(confidence, smaller))
