"""Baskets as the IBM Quest generator makes them: parts of patterns of items that belong together.

Agrawal and Srikant, Fast algorithms for mining association rules, VLDB 1994, section 4.1. T10I4D100K, on which miners
are compared, is 100,000 of them in the default shape. Every million baskets have a seed of their own, so that a
smaller table is the beginning of a larger one and any number can be made.

Shape suffixes: P patterns, J items of all patterns, I items, E entries of baskets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, inlined, kernel

BASKETS_AT_A_TIME = 1_000_000

Integers = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class QuestShape:
    """Mean items of a basket and of a pattern, how many items and patterns there are, and how much patterns share.

    `correlation` is the mean share of a pattern's items that the pattern before it has too.
    """

    basket_items: float = 10.0
    pattern_items: float = 4.0
    items: int = 1_000
    patterns: int = 2_000
    correlation: float = 0.25


T10I4 = QuestShape()
"""The shape of the baskets that are called T10I4."""


class _Patterns(NamedTuple):
    """Patterns: their items, the chance of the ones up to each to be drawn, and how much of each is kept."""

    start_P: Integers
    item_J: NDArray[np.int32]
    chance_P: Values
    keep_P: Values


def draw_baskets(baskets: int, *, shape: QuestShape = T10I4, seed: int = 0) -> Iterator[pa.ListArray]:
    """Yield so many baskets, each a list of distinct items from 0 up, a million at a time."""
    patterns = _draw_patterns(shape, np.random.default_rng(seed))
    for first in range(0, baskets, BASKETS_AT_A_TIME):
        count = min(BASKETS_AT_A_TIME, baskets - first)
        start = np.random.SeedSequence([seed, first]).generate_state(1, np.uint64)[0]
        yield _draw_part(patterns, count, shape, start)


def _draw_patterns(shape: QuestShape, random: np.random.Generator) -> _Patterns:
    chance_I = random.exponential(size=shape.items)
    chance_I /= chance_I.sum()
    sizes = np.minimum(1 + random.poisson(shape.pattern_items - 1, shape.patterns), shape.items)
    patterns: list[NDArray[np.int32]] = []
    for size in sizes:
        before = patterns[-1] if patterns else np.empty(0, np.int32)
        shared = min(int(size * shape.correlation * random.exponential() + 0.5), len(before), size)
        kept = random.choice(before, shared, replace=False) if shared else before[:0]
        chances = chance_I.copy()
        chances[kept] = 0
        fresh = random.choice(shape.items, size - shared, replace=False, p=chances / chances.sum())
        patterns.append(np.concatenate([kept, fresh]).astype(np.int32))
    weight_P = random.exponential(size=shape.patterns)
    keep_P = random.normal(0.75, 0.1, shape.patterns)
    start_P = np.concatenate([[0], np.cumsum(sizes)])
    return _Patterns(start_P, np.concatenate(patterns), np.cumsum(weight_P / weight_P.sum()), keep_P)


def _draw_part(patterns: _Patterns, baskets: int, shape: QuestShape, seed: np.uint64) -> pa.ListArray:
    room = int(2 * shape.basket_items * baskets) + shape.items
    while True:
        start_B, item_E = np.zeros(baskets + 1, np.int32), np.empty(room, np.int32)
        in_basket_I = np.full(shape.items, -1)
        state = np.array([seed], np.uint64)
        if _draw(patterns, shape.basket_items, state, in_basket_I, start_B, item_E):
            return pa.ListArray.from_arrays(pa.array(start_B), pa.array(item_E[: start_B[-1]]))
        room *= 2


@kernel
def _draw(
    patterns: _Patterns,
    mean: float,
    state: NDArray[np.uint64],
    in_basket_I: Integers,
    start_B: NDArray[np.int32],
    item_E: NDArray[np.int32],
) -> Whole:
    """Fill all baskets; returns whether there was room. `in_basket_I` is the last basket that an item was put into."""
    start_P, item_J, chance_P, keep_P = patterns
    most = 0
    for pattern in range(len(keep_P)):
        most = max(most, start_P[pattern + 1] - start_P[pattern])
    end, carried = 0, -1
    for basket in range(len(start_B) - 1):
        wanted = 1 + _poisson(state, mean - 1)
        while end - start_B[basket] < wanted:
            if end + most > len(item_E):
                return 0
            drawn = carried if carried >= 0 else int(np.searchsorted(chance_P, _uniform(state)))
            pattern, carried = min(drawn, len(keep_P) - 1), -1
            start, size = start_P[pattern], start_P[pattern + 1] - start_P[pattern]
            kept = size
            while kept > 0 and _uniform(state) > keep_P[pattern]:
                kept -= 1
            if end - start_B[basket] + kept > wanted and end > start_B[basket] and _uniform(state) < 0.5:
                carried = pattern
                break
            # Which items are dropped is up to chance: the kept ones begin anywhere in the pattern.
            first = np.int64(_uniform(state) * size)
            for place in range(kept):
                item = item_J[start + (first + place) % size]
                if in_basket_I[item] != basket:
                    in_basket_I[item] = basket
                    item_E[end] = item
                    end += 1
        start_B[basket + 1] = end
    return 1


@inlined
def _poisson(state: NDArray[np.uint64], mean: float) -> Whole:
    """A draw by multiplying uniform ones (Knuth, The Art of Computer Programming 2, section 3.4.1)."""
    limit, product, count = np.exp(-mean), _uniform(state), 0
    while product > limit:
        product *= _uniform(state)
        count += 1
    return count


@inlined
def _uniform(state: NDArray[np.uint64]) -> float:
    """The next number of SplitMix64, from 0 to 1 (Steele, Lea and Flood, OOPSLA 2014, section 4)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = state[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.float64(mixed >> np.uint64(11)) * 2.0**-53
