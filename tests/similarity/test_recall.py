"""The measured recall: what counts as found, and an interval that covers the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.recall import Truth, draw_rows, estimate_recall, measure_recall


@pytest.mark.parametrize("recall", [0.8, 0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("kind", ["partners are missed one by one", "rows are missed whole"])
def test_the_interval_covers_the_true_recall(recall: float, kind: str) -> None:
    random = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(300):
        chance_N = np.full(2000, recall) if kind.startswith("partners") else (random.random(2000) < recall) * 1.0
        found = estimate_recall(random.binomial(10, chance_N), np.full(2000, 10))
        covered += found.low <= recall <= found.high
        widths.append(found.high - found.low)
    assert covered >= 0.92 * 300
    assert np.mean(widths) <= 0.04


def test_where_all_or_nothing_was_found_the_interval_ends_there() -> None:
    everything, nothing = (estimate_recall(hits * np.ones(50, int), np.ones(50, int)) for hits in (1, 0))
    assert (everything.value, everything.high, everything.low > 0.9) == (1.0, 1.0, True)
    assert (nothing.value, nothing.low, nothing.high < 0.1) == (0.0, 0.0, True)


def test_rows_without_partners_say_nothing_and_all_rows_leave_no_doubt() -> None:
    hits_N, truths_N = np.array([1, 0, 0]), np.array([2, 0, 0])
    some = estimate_recall(hits_N, truths_N)
    assert (some.value, some.probes, some.rows) == (0.5, 3, 1)
    assert some.low < 0.5 < some.high
    whole = estimate_recall(hits_N, truths_N, population=3)
    assert (whole.low, whole.high) == (0.5, 0.5)
    assert estimate_recall(np.zeros(3, int), np.zeros(3, int)).value == 1.0


def test_a_pair_is_found_from_either_side_and_the_worse_of_both_answers_counts() -> None:
    rows = np.array([1, 4])
    true_pairs = Pairs(np.array([1, 4, 4]), np.array([4, 1, 2]), np.ones(3))
    true_neighbors = Neighbors(rows, np.array([[4, 2], [1, -1]]), np.zeros((2, 2)))
    found_neighbors = Neighbors(np.arange(5), np.array([[1, 2], [2, 4], [0, 1], [0, 1], [2, 1]]), np.zeros((5, 2)))
    found_pairs = Pairs(np.array([1]), np.array([4]), np.ones(1))
    truth = Truth(rows, true_pairs, true_neighbors)
    # Row 1 has its one pair, row 4 one of two; both rows have all their neighbours.
    both = measure_recall(truth, found_pairs, found_neighbors, is_self_join=True, population=5)
    assert both.value == 0.75
    crossed = measure_recall(truth, found_pairs, found_neighbors, is_self_join=False, population=5)
    assert crossed.value == 0.5


def test_rows_are_drawn_once_each_and_the_same_for_a_seed() -> None:
    drawn = draw_rows(1000, 100, seed=3)
    assert len(np.unique(drawn)) == 100
    assert (np.diff(drawn) > 0).all()
    assert (drawn == draw_rows(1000, 100, seed=3)).all()
    assert draw_rows(10, 100, seed=3).tolist() == list(range(10))
