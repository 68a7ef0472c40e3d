"""Which itemsets and rules are wanted, of all that were found.

Shape suffixes: S itemsets, J items of all itemsets, R ranks, Q rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Integers
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, Lattice
from kinfolk.association.measures import Counts, Values, measure
from kinfolk.association.rules import (
    Rules,
    best_confidences,
    count_rules,
    derive_rules,
    select_rules,
    tell_improvements,
)
from kinfolk.association.significance import (
    count_possible_rules,
    false_discovery_rates,
    fisher_p_values,
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
        is_wanted &= holds_all(lattice, baskets, settings.required_items)
    return np.flatnonzero(is_wanted)


def holds_all(lattice: Lattice, baskets: Baskets, items: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which itemsets hold all of some items."""
    named = pa.array(sorted(set(items)), pa.string())
    is_named_R = pc.is_in(baskets.item_ids.cast(pa.string()), named).to_numpy(zero_copy_only=False)
    held_J = np.concatenate([[0], np.cumsum(is_named_R[lattice.item_J])])
    held_S = held_J[lattice.start_S[1:]] - held_J[lattice.start_S[:-1]]
    return np.asarray(held_S == len(named))


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


def choose_rules(lattice: Lattice, baskets: Baskets, settings: AssociationSettings) -> Iterator[ChosenRules]:
    """The rules that are wanted, some at a time.

    Where false discoveries are held down, rules are derived twice: a rule is reported or not depending on all others.
    """
    if settings.max_false_discovery_rate is None:
        yield from _choose_by_measures(lattice, baskets, settings)
        return
    tested = [_weigh(some, lattice, baskets, settings) for some in _choose_by_measures(lattice, baskets, settings)]
    rates = false_discovery_rates(np.concatenate([np.empty(0), *(weighed_Q for _, weighed_Q in tested)]), tests=1)
    first = 0
    for some, (p_Q, _) in zip(_choose_by_measures(lattice, baskets, settings), tested, strict=True):
        rate_Q = rates[first : first + len(p_Q)]
        first += len(p_Q)
        yield replace(some, p_Q=p_Q, rate_Q=rate_Q).where(rate_Q <= settings.max_false_discovery_rate)


def _choose_by_measures(lattice: Lattice, baskets: Baskets, settings: AssociationSettings) -> Iterator[ChosenRules]:
    best_J = best_confidences(lattice, baskets.basket_count)
    for rules in derive_rules(lattice, settings.min_confidence, max_consequent=settings.max_consequent):
        counts = count_rules(rules, lattice, baskets.basket_count)
        improvement_Q = tell_improvements(rules, lattice, best_J)
        is_wanted_Q = np.ones(len(rules.both_Q), bool)
        for name, least in settings.min_measures.items():
            # A measure without a value reaches no threshold.
            is_wanted_Q &= measure(name, counts) >= least
        if settings.min_improvement is not None:
            is_wanted_Q &= ~(improvement_Q < settings.min_improvement)
        nothing = np.full(len(is_wanted_Q), np.nan)
        found = ChosenRules(rules, counts, improvement_Q, nothing, nothing)
        yield found if is_wanted_Q.all() else found.where(is_wanted_Q)


def _weigh(
    some: ChosenRules, lattice: Lattice, baskets: Baskets, settings: AssociationSettings
) -> tuple[Values, Values]:
    """The p-values of rules, and the same weighed by how many rules there might have been."""
    p_Q = fisher_p_values(some.counts)
    possible_L = count_possible_rules(len(baskets.count_R), settings.max_length, settings.max_consequent)
    return p_Q, weigh_p_values(p_Q, lattice.lengths[some.rules.both_Q], possible_L)
