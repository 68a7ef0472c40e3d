"""Thresholds on shares of baskets, as exact counts."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt


def least_count(share: float, total: int) -> int:
    """The least count, 1 or more, that is at least `share` of `total`; `share` means the decimal it is written as.

    >>> least_count(0.01, 300), least_count(0.07, 100), least_count(0.5, 3), least_count(0.1, 0)
    (3, 7, 2, 1)
    """
    return max(1, ceil(Fraction(repr(float(share))) * total))


def least_counts(share: float, totals: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """`least_count` of every total; distinct totals are few, so exact fractions cost nothing."""
    exact = Fraction(repr(float(share)))
    least_of = np.zeros(int(totals.max(initial=0)) + 1, np.int64)
    least_of[totals] = 1
    distinct = np.flatnonzero(least_of)
    least_of[distinct] = [max(1, -(-exact.numerator * total // exact.denominator)) for total in distinct.tolist()]
    least: npt.NDArray[np.int64] = least_of[totals]
    return least
