"""Tiles of scores: what is marked, and how far rows that have nothing yet can ask for more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinfolk.similarity.vectors.tiles import LANES, STRETCH, mark_tile, raise_least


def marks_of(score_QB: NDArray[np.float32], least_Q: NDArray[np.float32], least_B: NDArray[np.float32]) -> list[bool]:
    """The marks of a tile, entry by entry."""
    mark_QS = np.empty((len(score_QB), -(-score_QB.shape[1] // STRETCH)), np.uint64)
    mark_tile(score_QB, least_Q, least_B, mark_QS)
    bits = np.unpackbits(mark_QS.view(np.uint8), axis=1, bitorder="little")
    assert not bits[:, score_QB.shape[1] :].any()
    return bits[:, : score_QB.shape[1]].astype(bool).tolist()


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
def test_marks_what_its_row_or_its_column_asks_for(columns: int) -> None:
    random = np.random.default_rng(columns)
    score_QB = random.integers(-3, 4, (5, columns)).astype(np.float32)
    least_Q = np.array([-np.inf, 0.0, 1.0, np.inf, 2.0], np.float32)
    least_B = random.choice([-1.0, 2.0, np.inf], columns).astype(np.float32)
    expected = score_QB > np.minimum(least_Q[:, None], least_B)
    assert marks_of(score_QB, least_Q, least_B) == expected.tolist()


@given(
    st.integers(1, LANES - 1),
    st.integers(0, 5 * LANES),
    st.integers(0, 1 << 20),
    st.sampled_from([1e-45, 1e-3, 1.0, 1e30]),
)
def test_rows_ask_for_more_but_keep_as_many_as_they_want(wanted: int, columns: int, seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    score_QB = (random.integers(-4, 5, (3, columns)) * scale).astype(np.float32)
    score_QB[:, random.random(columns) < 0.2] = -np.inf
    least_Q = np.array([-np.inf, 0.5, -np.inf], np.float32)
    raise_least(score_QB, least_Q, np.empty(LANES, np.float32), wanted)
    assert least_Q[1] == np.float32(0.5)
    for row in (0, 2):
        assert least_Q[row] == -np.inf or (score_QB[row] > least_Q[row]).sum() >= wanted


def test_few_entries_are_left_above_what_rows_ask_for() -> None:
    score_QB = np.random.default_rng(0).standard_normal((100, 1024)).astype(np.float32)
    least_Q = np.full(100, -np.inf, np.float32)
    raise_least(score_QB, least_Q, np.empty(LANES, np.float32), 11)
    left_Q = (score_QB > least_Q[:, None]).sum(axis=1)
    assert left_Q.min() >= 11
    assert left_Q.mean() < 20
