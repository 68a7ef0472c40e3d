"""Measures of rules, as pure functions of four counts, and thresholds on shares as exact counts.

For a rule A → C over n baskets: n_both baskets hold A and C, n_antecedent hold A, n_consequent hold C. The counts are
integers or arrays of one shape; n_antecedent, n_consequent and n are above 0. The results are double precision.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer] | int
Measure = npt.NDArray[np.float64]


def support(n_both: Counts, n: Counts) -> Measure:
    """n_both / n, 0 to 1: the share of baskets that hold both sides (Agrawal, Imielinski, Swami, SIGMOD 1993, 2).

    >>> float(support(3, 12))
    0.25
    """
    return np.asarray(n_both, dtype=np.float64) / n


def confidence(n_both: Counts, n_antecedent: Counts) -> Measure:
    """n_both / n_antecedent, 0 to 1: the share of A's baskets that hold C (Agrawal, Imielinski, Swami, SIGMOD 1993, 2).

    >>> float(confidence(3, 4))
    0.75
    """
    return np.asarray(n_both, dtype=np.float64) / n_antecedent


def lift(n_both: Counts, n_antecedent: Counts, n_consequent: Counts, n: Counts) -> Measure:
    """n_both n / (n_antecedent n_consequent), 0 up: how much likelier C is with A; 1 for independence.

    Called interest by Brin, Motwani, Ullman, Tsur (SIGMOD 1997, 4).

    >>> float(lift(3, 4, 6, 12))
    1.5
    """
    return np.asarray(n_both, dtype=np.float64) * n / (np.asarray(n_antecedent, dtype=np.float64) * n_consequent)


def leverage(n_both: Counts, n_antecedent: Counts, n_consequent: Counts, n: Counts) -> Measure:
    """n_both / n - (n_antecedent / n)(n_consequent / n), -0.25 to 0.25: support above what independence gives.

    Piatetsky-Shapiro (Knowledge Discovery in Databases, 1991, 13).

    >>> round(float(leverage(3, 4, 6, 12)), 6)
    0.083333
    """
    return support(n_both, n) - support(n_antecedent, n) * support(n_consequent, n)


def conviction(n_both: Counts, n_antecedent: Counts, n_consequent: Counts, n: Counts) -> Measure:
    """(1 - n_consequent / n) / (1 - confidence), 0 up; NaN where the confidence is 1.

    How much more often the rule would fail if its sides were independent (Brin, Motwani, Ullman, Tsur, SIGMOD 1997, 4).

    >>> float(conviction(3, 4, 6, 12)), float(conviction(4, 4, 6, 12))
    (2.0, nan)
    """
    failures = np.asarray(n_antecedent, dtype=np.float64) - n_both
    expected = (n - np.asarray(n_consequent, dtype=np.float64)) * n_antecedent / n
    never = np.full(np.shape(expected), np.nan)
    return np.asarray(np.divide(expected, failures, out=never, where=failures > 0))


def least_count(share: float, total: int) -> int:
    """The least count, 1 or more, that is at least `share` of `total`; `share` means the decimal it is written as.

    >>> least_count(0.01, 300), least_count(0.07, 100), least_count(0.5, 3), least_count(0.1, 0)
    (3, 7, 2, 1)
    """
    return max(1, ceil(Fraction(repr(float(share))) * total))


def least_counts(share: float, totals: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """`least_count` of every total; distinct totals are few, so exact fractions cost nothing."""
    distinct, place = np.unique(totals, return_inverse=True)
    return np.array([least_count(share, int(total)) for total in distinct], dtype=np.int64)[place]
