"""How sure a rule is: intervals, Fisher's exact test, and the rate of false discoveries among many rules."""

from __future__ import annotations

from math import comb, lgamma
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.measures import Counts, Values, measure
from kinfolk.kernels.compiling import kernel

LEVEL = 0.95
"""How often an interval covers the true value."""

_MOST_RULES = 10**300
_NEGLIGIBLE = 1e-17
"""Share of a sum below which its next terms, ever smaller, change nothing."""


def confidence_interval(counts: Counts, *, level: float = LEVEL) -> tuple[Values, Values]:
    """The interval of the confidence, 0 to 1: Wilson's (Probable Inference, JASA 22, 1927), n(A) trials.

    >>> low, high = confidence_interval(Counts(*map(np.array, (8.0, 10.0, 20.0, 100.0))))
    >>> round(float(low), 4), round(float(high), 4)
    (0.4902, 0.9433)
    """
    z, trials, share = _quantile(level), counts.antecedent, measure("confidence", counts)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def lift_interval(counts: Counts, *, level: float = LEVEL) -> tuple[Values, Values]:
    """The interval of the lift, 0 up, of rules that some basket follows.

    The logarithm of the lift is about normal, with the variance that the delta method gives for the four cells of a
    multinomial draw of baskets (Agresti, Categorical Data Analysis, 2002, section 14.1).
    """
    both, before, after = (measure(name, counts) for name in ("support", "coverage", "prevalence"))
    # Derivatives of log P(AC) - log P(A) - log P(C) by the shares of the cells; their mean is -1.
    together, alone, other = 1 / both - 1 / before - 1 / after, -1 / before, -1 / after
    mean_square = both * together**2 + (before - both) * alone**2 + (after - both) * other**2
    spread = np.sqrt(np.maximum(mean_square - 1, 0.0) / counts.baskets)
    lift, factor = measure("lift", counts), np.exp(_quantile(level) * spread)
    return lift / factor, lift * factor


def odds_ratio_interval(counts: Counts, *, level: float = LEVEL) -> tuple[Values, Values]:
    """The interval of the odds ratio, 0 up, of any rule.

    Woolf's (On estimating the relation between blood group and disease, Annals of Human Genetics 19, 1955), with a half
    added to each cell (Haldane, The estimation and significance of the logarithm of a ratio of frequencies, 20, 1956).

    >>> low, high = odds_ratio_interval(Counts(*map(np.array, (8.0, 10.0, 20.0, 100.0))))
    >>> round(float(low), 2), round(float(high), 2)
    (4.62, 98.73)
    """
    cells = counts.both, counts.antecedent_only, counts.consequent_only, counts.neither
    both, before, after, neither = (np.maximum(cell, 0) + 0.5 for cell in cells)
    spread = np.sqrt(1 / both + 1 / before + 1 / after + 1 / neither)
    odds, factor = both * neither / (before * after), np.exp(_quantile(level) * spread)
    return odds / factor, odds * factor


def _quantile(level: float) -> float:
    """The quantile of the standard normal distribution for a two-sided interval."""
    return NormalDist().inv_cdf((1 + level) / 2)


def fisher_p_values(counts: Counts) -> Values:
    """The chance of n(AC) or more baskets with both sides, given how many hold each, if these are independent.

    Fisher's exact test, one-sided (Statistical Methods for Research Workers, 1934, section 21.02).
    """
    flat = Counts(*(np.ascontiguousarray(np.ravel(values)) for values in counts))
    p_values = np.empty(flat.both.size)
    _sum_tails(flat, p_values)
    return p_values.reshape(np.shape(counts.both))


def false_discovery_rates(p_values: Values, *, tests: int | None = None) -> NDArray[np.float64]:
    """The least rate of false discoveries at which each of many rules would be reported, 0 to 1.

    `tests` is how many rules were looked at, where only the most telling ones are given: a rule counts among all of
    them, not only among those that are left (Benjamini and Hochberg, Controlling the false discovery rate, J. Royal
    Statistical Society B 57, 1995).

    >>> false_discovery_rates(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * (tests or count) / np.arange(1, count + 1)
    rates = np.empty(count)
    # A rule is reported wherever one with a higher p-value is.
    rates[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return rates


def count_possible_rules(items: int, max_length: int, max_consequent: int) -> Values:
    """How many rules there are of each number of items on both sides together, 0 to `max_length`.

    >>> count_possible_rules(4, 3, 1).tolist()
    [0.0, 0.0, 12.0, 12.0]
    """

    def count(length: int) -> float:
        sides = sum(comb(length, behind) for behind in range(1, min(max_consequent, length - 1) + 1))
        return float(min(comb(items, length) * sides, _MOST_RULES))

    return np.array([count(length) for length in range(max_length + 1)])


def weigh_p_values(p_values: Values, length_Q: NDArray[np.int64], possible_L: Values) -> Values:
    """P-values, each times the number of rules that could have been found in its place.

    A rule was looked for among all of its length that the items could make: their counts are given, and which of the
    rules are frequent is up to chance. Half of all false discoveries are allowed to rules of two items, a quarter to
    those of three, and so on, so that the many long rules do not drown the short ones (Webb, Layered critical values,
    Machine Learning 71, 2008). With `tests=1` `false_discovery_rates` takes the result.
    """
    return np.asarray(p_values * possible_L[length_Q] * 2.0 ** (length_Q - 1))


@kernel
def _sum_tails(counts: Counts, p_Q: Values) -> None:
    """Sum the hypergeometric distribution from n(AC) up, or where that is the larger part, from below."""
    both_Q, antecedent_Q, consequent_Q, baskets_Q = counts
    for q in range(len(both_Q)):
        both, one, other, baskets = both_Q[q], antecedent_Q[q], consequent_Q[q], baskets_Q[q]
        neither = baskets - one - other
        if both <= max(0.0, -neither):
            p_Q[q] = 1.0
            continue
        ways = _log_ways(one, both) + _log_ways(baskets - one, other - both) - _log_ways(baskets, other)
        term, total = 1.0, 1.0
        if both > one * other / baskets:
            while both < min(one, other) and term > _NEGLIGIBLE * total:
                term *= (one - both) * (other - both) / ((both + 1) * (neither + both + 1))
                total += term
                both += 1
            p_Q[q] = min(1.0, np.exp(ways) * total)
        else:
            # The first term is that of n(AC) itself, which is not among those below.
            total = 0.0
            while both > max(0.0, -neither) and (term > _NEGLIGIBLE * total):
                term *= both * (neither + both) / ((one - both + 1) * (other - both + 1))
                total += term
                both -= 1
            p_Q[q] = max(0.0, 1.0 - np.exp(ways) * total)


@kernel
def _log_ways(things: float, chosen: float) -> float:
    """The logarithm of the number of ways to choose some of so many things."""
    return lgamma(things + 1) - lgamma(chosen + 1) - lgamma(things - chosen + 1)
