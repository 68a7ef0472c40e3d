"""Rules from itemsets: every way to take some items out of a set whose other items make them likely enough.

The antecedent of a rule has one item or more. When an item moves from it to the consequent, the antecedent is in at
least as many baskets and the rule at most as confident: where a rule is not confident enough, none with a larger
consequent of the same set is (Agrawal and Srikant, Fast algorithms for mining association rules, VLDB 1994, section 3).

Shape suffixes: S itemsets, J items of all itemsets, Q rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.lattice import Lattice, find_child
from kinfolk.association.measures import Counts, Values, count
from kinfolk.association.thresholds import least_counts
from kinfolk.kernels.compiling import Whole, kernel

_RULES_AT_A_TIME = 1 << 18
_NEXT, _DEPTH = 0, 1
"""Places of what the search for rules knows of itself: the set that comes next, and how many items were taken out of
it, -1 before the first."""


class Rules(NamedTuple):
    """Rules as itemsets: both sides together, the antecedent, the consequent."""

    both_Q: Codes
    antecedent_Q: Codes
    consequent_Q: Codes


def derive_rules(lattice: Lattice, min_confidence: float, *, max_consequent: int = 1) -> Iterator[Rules]:
    """Yield the rules of at least `min_confidence` with at most so many items in the consequent, some at a time.

    Rules of one set follow one another, the sets in their order.
    """
    least_S = least_counts(min_confidence, lattice.count_S)
    state = np.array([0, -1])
    taken = np.zeros((3, max_consequent + 1), np.int64)
    while state[_NEXT] < len(lattice.count_S):
        rules = Rules(*np.empty((3, _RULES_AT_A_TIME), np.int32))
        found = int(_write_rules(lattice, least_S, max_consequent, taken, state, rules))
        if found:
            yield Rules(*(sets[:found] for sets in rules))


def select_rules(rules: Rules, is_wanted_Q: NDArray[np.bool_]) -> Rules:
    """Some of the rules, in the same order."""
    return Rules(*(sets[is_wanted_Q] for sets in rules))


def count_rules(rules: Rules, lattice: Lattice, basket_count: int) -> Counts:
    """The counts that measures of rules are functions of."""
    both, antecedent, consequent = (lattice.count_S[sets] for sets in rules)
    return count(both, antecedent, consequent, basket_count)


def single_rules(lattice: Lattice, basket_count: int) -> Counts:
    """The counts of the rules to single items: for the j-th item of a set, of the rule from its others to this one.

    That of a set of one item comes from nothing, which all baskets hold.
    """
    antecedent_J = np.where(lattice.subset_J >= 0, lattice.count_S[lattice.subset_J], basket_count)
    both_J = np.repeat(lattice.count_S, lattice.lengths)
    return count(both_J, antecedent_J, lattice.count_S[lattice.item_J], basket_count)


def find_best_simpler(lattice: Lattice, value_J: Values) -> Values:
    """The highest value of the simpler rules with the same consequent, for each of the `single_rules`.

    A simpler rule has fewer items in its antecedent, which are among those of the other one, or none (Bayardo, Agrawal
    and Gunopulos, Constraint-based rule mining in large, dense databases, ICDE 1999, section 2.3). -inf where there is
    none with a value.
    """
    best_J = np.empty(len(lattice.item_J))
    # Smaller sets first: those of a class stand before those of the next one, whatever their lengths.
    order_S = np.argsort(lattice.lengths.astype(np.int16), kind="stable")
    _find_best(lattice, value_J, order_S, best_J)
    return best_J


def pick_values(rules: Rules, lattice: Lattice, value_J: Values) -> Values:
    """The values of rules, of those of the `single_rules`; NaN for a consequent of several items."""
    value_Q = np.empty(len(rules.both_Q))
    _pick(lattice, rules.both_Q, rules.consequent_Q, value_J, value_Q)
    return value_Q


@kernel
def _write_rules(
    lattice: Lattice, least_S: Integers, max_consequent: Whole, taken: Integers, state: Integers, rules: Rules
) -> Whole:
    """Write rules until there is no room or no set left; returns how many.

    Items are taken out of a set from the last to the first. `taken` says for each depth which set was left, which of
    its items comes next, and, behind the first depth, which item was taken out to come there.
    """
    start_S, item_J, subset_J, count_S = lattice.start_S, lattice.item_J, lattice.subset_J, lattice.count_S
    left, place, item = taken[0], taken[1], taken[2]
    both_Q, antecedent_Q, consequent_Q = rules
    found, s, depth = 0, state[_NEXT], state[_DEPTH]
    while s < len(count_S):
        if depth < 0:
            depth, left[0], place[0] = 0, s, start_S[s + 1] - start_S[s] - 1
        while depth >= 0:
            at = place[depth]
            if at < 0 or depth == max_consequent:
                depth -= 1
                continue
            j = start_S[left[depth]] + at
            antecedent = subset_J[j]
            if antecedent >= 0 and count_S[s] >= least_S[antecedent]:
                if found == len(both_Q):
                    state[_NEXT], state[_DEPTH] = s, depth
                    return found
                consequent: Whole = np.int64(item_J[j])
                for before in range(depth, 0, -1):
                    consequent = find_child(lattice, consequent, item[before])
                both_Q[found], antecedent_Q[found], consequent_Q[found] = s, antecedent, consequent
                found += 1
                left[depth + 1], place[depth + 1], item[depth + 1] = antecedent, at - 1, item_J[j]
                place[depth] = at - 1
                depth += 1
            else:
                place[depth] = at - 1
        s += 1
    state[_NEXT], state[_DEPTH] = s, -1
    return found


@kernel
def _find_best(lattice: Lattice, value_J: Values, order_S: Integers, best_J: Values) -> None:
    start_S, subset_J = lattice.start_S, lattice.subset_J
    for s in order_S:
        start, stop = start_S[s], start_S[s + 1]
        for j in range(start, stop):
            best = -np.inf
            if stop - start > 1:
                for out in range(start, stop):
                    if out == j:
                        continue
                    # The set without the item `out`, in which the j-th is one place further ahead if `out` was.
                    within = start_S[subset_J[out]] + (j - start) - (1 if out < j else 0)
                    best = max(best, best_J[within])
                    if value_J[within] > best:
                        best = value_J[within]
            best_J[j] = best


@kernel
def _pick(lattice: Lattice, both_Q: Codes, consequent_Q: Codes, value_J: Values, value_Q: Values) -> None:
    for q in range(len(both_Q)):
        both, consequent = both_Q[q], consequent_Q[q]
        value_Q[q] = np.nan
        for j in range(lattice.start_S[both], lattice.start_S[both + 1]):
            # Single items are the first sets, in the order of their ranks.
            if lattice.item_J[j] == consequent:
                value_Q[q] = value_J[j]
