from __future__ import annotations

from fractions import Fraction
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.association import measures


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(n_both, n_antecedent, n_consequent, n) that some baskets can have."""
    both, only_left, only_right, neither = (draw(st.integers(0, 10**9)) for _ in range(4))
    left, right = both + only_left + 1, both + only_right + 1
    return both, left, right, left + right - both + neither


@given(counts())
def test_measures_follow_their_formulas(case: tuple[int, int, int, int]) -> None:
    both, left, right, n = case
    confidence = Fraction(both, left)
    assert float(measures.support(both, n)) == pytest.approx(both / n)
    assert float(measures.confidence(both, left)) == pytest.approx(float(confidence))
    assert float(measures.lift(both, left, right, n)) == pytest.approx(float(confidence / Fraction(right, n)))
    leverage = Fraction(both, n) - Fraction(left, n) * Fraction(right, n)
    assert float(measures.leverage(both, left, right, n)) == pytest.approx(float(leverage), abs=1e-12)
    conviction = (1 - Fraction(right, n)) / (1 - confidence)
    assert float(measures.conviction(both, left, right, n)) == pytest.approx(float(conviction))


def test_conviction_of_a_certain_rule_is_unknown_also_where_everybody_buys_the_consequent() -> None:
    both, left, right = np.array([4, 4, 9, 3]), np.array([4, 4, 9, 4]), np.array([4, 10, 10, 10])
    found = measures.conviction(both, left, right, 10)
    assert [isnan(value) for value in found] == [True, True, True, False]
    assert found[3] == 0


@given(st.integers(1, 10_000), st.integers(0, 10**6))
def test_a_share_written_in_four_decimals_is_taken_exactly(ten_thousandths: int, total: int) -> None:
    least = measures.least_count(ten_thousandths / 10_000, total)
    assert least >= 1
    assert least * 10_000 >= ten_thousandths * total
    assert least == 1 or (least - 1) * 10_000 < ten_thousandths * total


@pytest.mark.parametrize(("share", "total", "least"), [(0.01, 300, 3), (0.07, 100, 7), (0.29, 100, 29), (1e-05, 3, 1)])
def test_shares_that_floats_would_round_up(share: float, total: int, least: int) -> None:
    assert measures.least_count(share, total) == least
    assert measures.least_counts(share, np.array([total, total, 1])).tolist() == [least, least, 1]
