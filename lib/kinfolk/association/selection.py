"""Which itemsets and rules are wanted, of all that were found.

Shape suffixes: S itemsets, J items of all itemsets, R ranks, Q rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Integers
from kinfolk.association.interest import find_explained
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, Lattice
from kinfolk.association.measures import Counts, Values, measure
from kinfolk.association.rules import (
    Rules,
    count_rules,
    derive_rules,
    find_best_simpler,
    pick_values,
    select_rules,
    single_rules,
)
from kinfolk.association.significance import (
    count_possible_rules,
    false_discovery_rates,
    fisher_p_values,
    odds_ratio_interval,
    weigh_p_values,
)
from kinfolk.settings import AssociationSettings

_MARKS = {"closed": CLOSED, "maximal": MAXIMAL, "generators": GENERATOR}


def choose_sets(
    lattice: Lattice, marks_S: NDArray[np.uint8], baskets: Baskets, settings: AssociationSettings
) -> Integers:
    """The itemsets that are wanted, of all frequent ones."""
    is_wanted = lattice.lengths >= settings.min_length
    if settings.itemsets != "all":
        is_wanted &= (marks_S & _MARKS[settings.itemsets]) != 0
    if settings.required_items:
        required = settings.required_items
        is_wanted &= count_held(lattice, baskets, required) == len(set(required))
    return np.flatnonzero(is_wanted)


def count_held(lattice: Lattice, baskets: Baskets, items: tuple[str, ...]) -> Integers:
    """How many of some items each set holds."""
    named = pa.array(sorted(set(items)), pa.string())
    is_named_R = pc.is_in(baskets.item_ids.cast(pa.string()), named).to_numpy(zero_copy_only=False)
    held_J = np.concatenate([[0], np.cumsum(is_named_R[lattice.item_J])])
    return np.asarray(held_J[lattice.start_S[1:]] - held_J[lattice.start_S[:-1]])


@dataclass(frozen=True)
class ChosenRules:
    """Some rules, with their counts and by how much they improve on simpler ones.

    `p_Q` are the p-values of Fisher's test and `rate_Q` the rates of false discoveries at which each rule would still
    be reported; both are NaN where nobody asked for them.
    """

    rules: Rules
    counts: Counts
    improvement_Q: Values
    p_Q: Values
    rate_Q: Values

    def where(self, is_wanted_Q: NDArray[np.bool_]) -> ChosenRules:
        """Some of them, in the same order."""
        rest = (values[is_wanted_Q] for values in (self.improvement_Q, self.p_Q, self.rate_Q))
        return ChosenRules(
            select_rules(self.rules, is_wanted_Q), Counts(*(values[is_wanted_Q] for values in self.counts)), *rest
        )


def choose_rules(
    lattice: Lattice, marks_S: NDArray[np.uint8], baskets: Baskets, settings: AssociationSettings
) -> Iterator[ChosenRules]:
    """The rules that are wanted, some at a time.

    Where a rule is wanted or not depending on all others, they are derived twice rather than kept.
    """
    choose: Choose = partial(_choose_each, _Sides(lattice, marks_S, baskets, settings), settings)
    if settings.max_false_discovery_rate is not None:
        choose = partial(_choose_tested, choose, lattice, baskets, settings)
    if settings.top_rules is not None:
        choose = partial(_choose_best, choose, settings.top_rules, settings.top_measure)
    return choose()


Choose = Callable[[], Iterator[ChosenRules]]
"""Derives rules, from the first one on."""


class _Sides:
    """Which rules are wanted for the sets that they are made of, and how they compare with simpler ones."""

    def __init__(
        self, lattice: Lattice, marks_S: NDArray[np.uint8], baskets: Baskets, settings: AssociationSettings
    ) -> None:
        self.lattice, self.basket_count, self.parent_R = lattice, baskets.basket_count, baskets.parent_R
        self._is_before_S = lattice.lengths <= settings.max_antecedent
        self._is_behind_S = np.ones(len(marks_S), bool)
        for is_wanted_S, items in (
            (self._is_before_S, settings.antecedent_items),
            (self._is_behind_S, settings.consequent_items),
        ):
            if items:
                is_wanted_S &= count_held(lattice, baskets, items) > 0
        self._is_closed_S = None
        if settings.drops_redundant == "same_baskets":
            self._is_before_S &= (marks_S & GENERATOR) != 0
            self._is_closed_S = (marks_S & CLOSED) != 0
            self._is_longest_S = lattice.lengths == settings.max_consequent
        singles = single_rules(lattice, baskets.basket_count)
        self.best_confidence_J = find_best_simpler(lattice, measure("confidence", singles))
        self.best_odds_J = None
        if settings.drops_redundant == "odds_ratio":
            _, odds_J = odds_ratio_interval(singles)
            # A rule from nothing has no odds.
            odds_J[lattice.subset_J < 0] = np.nan
            self.best_odds_J = find_best_simpler(lattice, odds_J)

    def fit(self, rules: Rules) -> NDArray[np.bool_]:
        """Whether both sides of rules are wanted."""
        is_wanted_Q = self._is_before_S[rules.antecedent_Q] & self._is_behind_S[rules.consequent_Q]
        if self._is_closed_S is not None:
            # A set that is not closed leaves room for an item more behind the rule, if so many are allowed.
            is_wanted_Q &= self._is_closed_S[rules.both_Q] | self._is_longest_S[rules.consequent_Q]
        return np.asarray(is_wanted_Q)


def _choose_each(sides: _Sides, settings: AssociationSettings) -> Iterator[ChosenRules]:
    """The rules that are wanted for what they are themselves, and beside simpler ones."""
    lattice = sides.lattice
    for rules in derive_rules(lattice, settings.min_confidence, max_consequent=settings.max_consequent):
        counts = count_rules(rules, lattice, sides.basket_count)
        improvement_Q = measure("confidence", counts) - pick_values(rules, lattice, sides.best_confidence_J)
        is_wanted_Q = sides.fit(rules)
        for name, least in settings.min_measures.items():
            # A measure without a value reaches no threshold.
            is_wanted_Q &= measure(name, counts) >= least
        if settings.min_improvement is not None:
            is_wanted_Q &= ~(improvement_Q < settings.min_improvement)
        if sides.best_odds_J is not None:
            low_Q, _ = odds_ratio_interval(counts)
            is_wanted_Q &= ~(low_Q <= pick_values(rules, lattice, sides.best_odds_J))
        if settings.min_interest is not None and sides.parent_R is not None:
            is_wanted_Q &= ~find_explained(
                rules, lattice, sides.parent_R, settings.min_confidence, settings.min_interest
            )
        nothing = np.full(len(is_wanted_Q), np.nan)
        found = ChosenRules(rules, counts, improvement_Q, nothing, nothing)
        yield found if is_wanted_Q.all() else found.where(is_wanted_Q)


def _choose_tested(
    choose: Choose, lattice: Lattice, baskets: Baskets, settings: AssociationSettings
) -> Iterator[ChosenRules]:
    """The rules that are not there by chance, as Fisher's test tells."""
    assert settings.max_false_discovery_rate is not None
    tested = [_weigh(some, lattice, baskets, settings) for some in choose()]
    rates = false_discovery_rates(np.concatenate([np.empty(0), *(weighed_Q for _, weighed_Q in tested)]), tests=1)
    first = 0
    for some, (p_Q, _) in zip(choose(), tested, strict=True):
        rate_Q = rates[first : first + len(p_Q)]
        first += len(p_Q)
        yield replace(some, p_Q=p_Q, rate_Q=rate_Q).where(rate_Q <= settings.max_false_discovery_rate)


def _choose_best(choose: Choose, wanted: int, name: str) -> Iterator[ChosenRules]:
    """So many rules by a measure, and those that are as good as the last of them; none without a value."""
    values = np.concatenate([np.empty(0), *(measure(name, some.counts) for some in choose())])
    values = np.sort(values[~np.isnan(values)])
    least = values[-wanted] if len(values) > wanted else -np.inf
    for some in choose():
        yield some.where(measure(name, some.counts) >= least)


def _weigh(
    some: ChosenRules, lattice: Lattice, baskets: Baskets, settings: AssociationSettings
) -> tuple[Values, Values]:
    """The p-values of rules, and the same weighed by how many rules there might have been."""
    p_Q = fisher_p_values(some.counts)
    possible_L = count_possible_rules(len(baskets.count_R), settings.max_length, settings.max_consequent)
    return p_Q, weigh_p_values(p_Q, lattice.lengths[some.rules.both_Q], possible_L)
