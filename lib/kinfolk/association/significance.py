"""How sure a rule is: intervals, Fisher's exact test, and the rate of false discoveries among many rules."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.measures import Counts, Values, by_chance, measure

LEVEL = 0.95
"""How often an interval covers the true value."""


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


def _quantile(level: float) -> float:
    """The quantile of the standard normal distribution for a two-sided interval."""
    return NormalDist().inv_cdf((1 + level) / 2)


def fisher_p_values(counts: Counts) -> Values:
    """The chance of n(AC) or more baskets with both sides, given how many hold each, if these are independent.

    Fisher's exact test, one-sided (Statistical Methods for Research Workers, 1934, section 21.02).
    """
    p_values: Values = by_chance(counts).sf(counts.both - 1)
    return p_values


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
