from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.association.thresholds import least_count, least_counts


@given(st.integers(1, 10_000), st.integers(0, 10**6))
def test_a_share_written_in_four_decimals_is_taken_exactly(ten_thousandths: int, total: int) -> None:
    least = least_count(ten_thousandths / 10_000, total)
    assert least >= 1
    assert least * 10_000 >= ten_thousandths * total
    assert least == 1 or (least - 1) * 10_000 < ten_thousandths * total


@pytest.mark.parametrize(("share", "total", "least"), [(0.01, 300, 3), (0.07, 100, 7), (0.29, 100, 29), (1e-05, 3, 1)])
def test_shares_that_floats_would_round_up(share: float, total: int, least: int) -> None:
    assert least_count(share, total) == least
    assert least_counts(share, np.array([total, total, 1])).tolist() == [least, least, 1]
