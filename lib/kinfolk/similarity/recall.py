"""How much of the truth was found: measured on rows drawn at random, with an interval.

Shape suffixes: N rows that were drawn, K neighbours, P pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.similarity.found import Neighbors, Pairs

Z_95 = 1.959964
"""Standard normal quantile of a 95% interval."""


@dataclass(frozen=True)
class Recall:
    """Share of the true partners that were found, averaged over rows that have any, and its 95% interval.

    `probes` rows were measured, those without any true partner included; `rows` of them had one.
    """

    value: float
    low: float
    high: float
    probes: int
    rows: int


CERTAIN = Recall(1.0, 1.0, 1.0, 0, 0)
"""The recall of a method that finds all."""


def estimate_recall(hits_N: NDArray[np.int64], truths_N: NDArray[np.int64], *, population: int | None = None) -> Recall:
    """Estimate the recall averaged over rows from the hits among the true partners of rows drawn at random.

    `population` is how many rows they were drawn from, without repetition: the more of them were measured, the narrower
    the interval; None for very many. The interval is Wilson's (Probable Inference, the Law of Succession, and
    Statistical Inference, 1927) for as many independent trials as would scatter like the rows do, since partners of one
    row are found or missed together (Korn and Graubard, Confidence Intervals for Proportions with Small Expected Number
    of Positive Counts Estimated from Survey Data, 1998). Where no row has a true partner nothing can be missed: 1.

    >>> estimate_recall(np.array([10] * 99 + [0]), np.array([10] * 100))
    Recall(value=0.99, low=0.9455..., high=0.9982..., probes=100, rows=100)
    """
    has_truth_N = truths_N > 0
    share_N = hits_N[has_truth_N] / truths_N[has_truth_N]
    rows = len(share_N)
    if rows == 0:
        return Recall(1.0, 1.0, 1.0, len(truths_N), 0)
    value = float(share_N.mean())
    left = 1.0 if population is None else max(0.0, (population - len(truths_N)) / max(1, population - 1))
    if left == 0.0:
        return Recall(value, value, value, len(truths_N), rows)
    # Rows found or missed whole scatter most: a row is at least one trial.
    spread = float(share_N.var(ddof=1)) if rows > 1 else 0.0
    trials = rows if spread == 0.0 else max(float(rows), value * (1 - value) * rows / spread)
    low, high = _wilson(value, trials / left)
    return Recall(value, low, high, len(truths_N), rows)


@dataclass(frozen=True)
class Truth:
    """What some rows are similar to: all their pairs, these rows on the left, and their neighbours."""

    row_N: NDArray[np.int64]
    pairs: Pairs
    neighbors: Neighbors


def draw_rows(population: int, rows: int, *, seed: int) -> NDArray[np.int64]:
    """Some of the rows, each at most once, in order; all of them where they are fewer."""
    drawn = np.random.default_rng(seed).choice(population, min(rows, population), replace=False)
    return np.sort(drawn)


def measure_recall(truth: Truth, pairs: Pairs, neighbors: Neighbors, *, is_self_join: bool, population: int) -> Recall:
    """How much of the truth about some rows was found; the worse of pairs and neighbours where both were asked for."""
    rows = len(truth.row_N)
    measured = []
    if len(truth.neighbors.row_N):
        found_NK = neighbors.code_NK[np.searchsorted(neighbors.row_N, truth.neighbors.row_N)]
        true_NK = truth.neighbors.code_NK
        is_found_NK = (true_NK[:, :, None] == found_NK[:, None, :]).any(axis=2) & (true_NK >= 0)
        measured.append((is_found_NK.sum(axis=1), (true_NK >= 0).sum(axis=1)))
    if len(truth.pairs) or not measured:
        place_P = np.searchsorted(truth.row_N, truth.pairs.left_P)
        is_found_P = _are_among(truth.pairs, pairs, is_self_join=is_self_join)
        measured.append((np.bincount(place_P[is_found_P], minlength=rows), np.bincount(place_P, minlength=rows)))
    recalls = [estimate_recall(hits_N, truths_N, population=population) for hits_N, truths_N in measured]
    return min(recalls, key=lambda recall: recall.value)


def _are_among(some: Pairs, pairs: Pairs, *, is_self_join: bool) -> NDArray[np.bool_]:
    """Which of some pairs, either way round in a join with itself, are among the pairs found."""
    left_P, right_P = some.left_P, some.right_P
    if is_self_join:
        left_P, right_P = np.minimum(left_P, right_P), np.maximum(left_P, right_P)
    # Codes are below 2^31, so that a pair fits into 64 bits.
    return np.isin(left_P << 32 | right_P, pairs.left_P << 32 | pairs.right_P)


def _wilson(share: float, trials: float) -> tuple[float, float]:
    square = Z_95 * Z_95 / trials
    center = (share + square / 2) / (1 + square)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    # Where nothing or all was found, rounding must not leave that end out.
    low, high = (center - half if share > 0 else 0.0), (center + half if share < 1 else 1.0)
    return max(0.0, low), min(1.0, high)
