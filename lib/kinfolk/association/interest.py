"""Which rules say no more than the same rule of a wider category (Srikant and Agrawal, Mining generalized association
rules, VLDB 1995, section 2.1).

Milk being a quarter of the dairy, a quarter of what is bought with dairy is expected of milk, and as surely.

Shape suffixes: S itemsets, J items of all itemsets, R ranks, Q rules, L items of a set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.lattice import Lattice, find_child
from kinfolk.association.rules import Rules
from kinfolk.association.thresholds import least_counts
from kinfolk.kernels.compiling import Whole, kernel


def find_explained(
    rules: Rules, lattice: Lattice, parent_R: Codes, min_confidence: float, min_interest: float
) -> NDArray[np.bool_]:
    """Which rules are no surprise, given one that has the category right above one of their items in its place.

    That is, neither their support nor their confidence is `min_interest` times what such a rule, which is confident
    enough itself, makes expect. `parent_R` is the rank of the category above each item, -1 for none.
    """
    is_explained_Q = np.zeros(len(rules.both_Q), bool)
    item_L = np.empty(int(lattice.lengths.max(initial=0)), np.int32)
    asked = _Asked(parent_R, least_counts(min_confidence, lattice.count_S), min_interest)
    _explain(rules, lattice, asked, item_L, is_explained_Q)
    return is_explained_Q


class _Asked(NamedTuple):
    """The category above each item, the least count of a rule with each set before the arrow, and the interest."""

    parent_R: Codes
    least_S: Integers
    min_interest: float


@kernel
def _explain(rules: Rules, lattice: Lattice, asked: _Asked, item_L: Codes, is_explained_Q: NDArray[np.bool_]) -> None:
    parent_R, least_S, min_interest = asked
    start_S, item_J, count_S = lattice.start_S, lattice.item_J, lattice.count_S
    for q in range(len(is_explained_Q)):
        both, antecedent = rules.both_Q[q], rules.antecedent_Q[q]
        for j in range(start_S[both], start_S[both + 1]):
            item = item_J[j]
            parent = parent_R[item]
            if parent < 0:
                continue
            wider = _find_wider(lattice, both, item, parent, item_L)
            if wider < 0:
                continue
            before: Whole = np.int64(antecedent)
            if _holds(lattice, antecedent, item):
                before = _find_wider(lattice, antecedent, item, parent, item_L)
            if count_S[wider] < least_S[before]:
                continue
            # Behind the arrow an item is expected as surely as often; there what is sure is frequent as well.
            share = count_S[item] / count_S[parent]
            is_frequent = count_S[both] >= min_interest * share * count_S[wider]
            is_sure = count_S[both] / count_S[antecedent] >= min_interest * count_S[wider] / count_S[before]
            if not (is_frequent or is_sure):
                is_explained_Q[q] = True
                break


@kernel
def _holds(lattice: Lattice, s: Whole, item: Whole) -> bool:
    is_held = False
    for j in range(lattice.start_S[s], lattice.start_S[s + 1]):
        is_held |= lattice.item_J[j] == item
    return is_held


@kernel
def _find_wider(lattice: Lattice, s: Whole, item: Whole, parent: Whole, item_L: Codes) -> Whole:
    """The set with a category in the place of one of its items, -1 where there is none."""
    first, length = lattice.start_S[s], lattice.start_S[s + 1] - lattice.start_S[s]
    at = 0
    for j in range(first, first + length):
        if lattice.item_J[j] != item:
            item_L[at] = lattice.item_J[j]
            at += 1
    # Ranks ascend in a set, and what was put in comes where it belongs.
    while at > 0 and item_L[at - 1] > parent:
        item_L[at] = item_L[at - 1]
        at -= 1
    item_L[at] = parent
    found: Whole = np.int64(item_L[0])
    for place in range(1, length):
        if not lattice.children_S[found]:
            return -1
        found = np.int64(find_child(lattice, found, item_L[place]))
        if lattice.item_S[found] != item_L[place]:
            return -1
    return found
