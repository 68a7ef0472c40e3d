"""What is done with one tile of scores: entries that matter are marked 64 at a time, then offered or collected.

A tile holds the scores of some query rows against some consecutive base rows. Nearly all of its entries are worth
nothing, so they are looked at twice: `mark_tile` compares them in vector registers and sets a bit for each that counts;
only those are then visited.

Shape suffixes: N rows, Q query rows of a tile, B base rows of a tile, S stretches of 64 columns, L lanes, P pairs
found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from kinfolk.kernels.bits import load_from, trailing_zeros
from kinfolk.kernels.compiling import instruction, kernel
from kinfolk.similarity.vectors.heaps import Heaps, offer

STRETCH = 64
"""Columns whose marks are the bits of one word, the first one lowest."""
LANES = 32
"""Parts that the columns of a tile are dealt to, to tell what the best of them come to."""
_ROUNDING = np.float32(2.0**-22)
_LEAST = np.float32(1e-37)
_SCORES, _WORD = ir.VectorType(ir.FloatType(), STRETCH), ir.IntType(64)


@kernel
def mask_tile(score_QB: NDArray[np.float32], block_Q: NDArray[np.int32], block_B: NDArray[np.int32]) -> None:
    """Make the scores of rows that are not in one block less than any other."""
    for q in range(score_QB.shape[0]):
        block = block_Q[q]
        for b in range(score_QB.shape[1]):
            score_QB[q, b] = score_QB[q, b] if block_B[b] == block else np.float32(-np.inf)


@kernel
def raise_least(
    score_QB: NDArray[np.float32], least_Q: NDArray[np.float32], best_L: NDArray[np.float32], wanted: int
) -> None:
    """Raise what rows ask for that ask for nothing yet, as far as `wanted` entries of the row remain.

    The columns are dealt to lanes. As many lanes as are wanted have an entry of at least the value that so many of
    their best come to, at the least. There have to be more lanes than are wanted.
    """
    columns = score_QB.shape[1] // LANES * LANES
    for q in range(score_QB.shape[0]):
        if least_Q[q] != -np.inf:
            continue
        best_L[:] = np.float32(-np.inf)
        for start in range(0, columns, LANES):
            for lane in range(LANES):
                best_L[lane] = max(best_L[lane], score_QB[q, start + lane])
        # The best of them in falling order, as far as they are wanted.
        for lane in range(1, LANES):
            score = best_L[lane]
            place = min(lane, wanted)
            while place > 0 and best_L[place - 1] < score:
                best_L[place] = best_L[place - 1]
                place -= 1
            if place < wanted:
                best_L[place] = score
        least = best_L[wanted - 1]
        if least > -np.inf:
            least_Q[q] = least - abs(least) * _ROUNDING - _LEAST


@instruction
def _exceeding(_: Any, scores: Any, row: Any, column: Any, least: Any, least_of_columns: Any) -> Any:
    """Which of 64 entries of a row exceed what the row asks for, or what their own column does."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        score_QB, q, b, least, least_B = zip(signature.args, arguments, strict=True)
        entries = load_from(context, builder, score_QB, [q, b], _SCORES)
        of_columns = load_from(context, builder, least_B, [b], _SCORES)
        of_row = builder.insert_element(ir.Constant(_SCORES, ir.Undefined), least[1], ir.Constant(ir.IntType(32), 0))
        first_lane = ir.Constant(ir.VectorType(ir.IntType(32), STRETCH), [0] * STRETCH)
        of_row = builder.shuffle_vector(of_row, of_row, first_lane)
        is_above_row = builder.fcmp_ordered(">", entries, of_row)
        is_above_column = builder.fcmp_ordered(">", entries, of_columns)
        return builder.bitcast(builder.or_(is_above_row, is_above_column), _WORD)

    return types.uint64(scores, row, column, least, least_of_columns), generate


@kernel
def mark_tile(
    score_QB: NDArray[np.float32],
    least_Q: NDArray[np.float32],
    least_B: NDArray[np.float32],
    mark_QS: NDArray[np.uint64],
) -> None:
    """Mark the entries of a tile that exceed what their row or what their column asks for."""
    columns = score_QB.shape[1]
    whole = columns // STRETCH
    for q in range(score_QB.shape[0]):
        least = least_Q[q]
        for s in range(whole):
            mark_QS[q, s] = _exceeding(score_QB, q, s * STRETCH, least, least_B)
        if whole < mark_QS.shape[1]:
            marks = np.uint64(0)
            for b in range(whole * STRETCH, columns):
                exceeds = score_QB[q, b] > min(least, least_B[b])
                marks |= np.uint64(exceeds) << np.uint64(b - whole * STRETCH)
            mark_QS[q, whole] = marks


@kernel
def offer_tile(  # noqa: PLR0913 - a kernel takes arrays one by one
    score_QB: NDArray[np.float32],
    mark_QS: NDArray[np.uint64],
    query_Q: NDArray[np.int64],
    first_base: int,
    heaps: Heaps,
    is_mutual: bool,
    is_self_join: bool,
) -> None:
    """Offer the marked entries to the heaps of their query rows, and if `is_mutual` to those of their base rows.

    `query_Q` are the query rows, `first_base` is the first base row. In a join with itself a row is no neighbour of its
    own.
    """
    floor_N = heaps.floor_N
    for q in range(mark_QS.shape[0]):
        query = query_Q[q]
        for s in range(mark_QS.shape[1]):
            marks = mark_QS[q, s]
            while marks:
                b = s * STRETCH + np.int64(trailing_zeros(marks))
                marks &= marks - np.uint64(1)
                score = score_QB[q, b]
                base = first_base + b
                if is_self_join and query == base:
                    continue
                if score > floor_N[query]:
                    offer(heaps, query, base, score)
                if is_mutual and score > floor_N[base]:
                    offer(heaps, base, query, score)


@kernel
def count_pairs(score_QB: NDArray[np.float32], mark_QS: NDArray[np.uint64], least_Q: NDArray[np.float32]) -> int:
    """How many marked entries exceed what their row asks for."""
    count = 0
    for q in range(mark_QS.shape[0]):
        for s in range(mark_QS.shape[1]):
            marks = mark_QS[q, s]
            while marks:
                count += score_QB[q, s * STRETCH + np.int64(trailing_zeros(marks))] > least_Q[q]
                marks &= marks - np.uint64(1)
    return count


@kernel
def collect_pairs(
    score_QB: NDArray[np.float32],
    mark_QS: NDArray[np.uint64],
    least_Q: NDArray[np.float32],
    query_P: NDArray[np.int32],
    base_P: NDArray[np.int32],
) -> None:
    """Write the places, row and column in the tile, of the entries that `count_pairs` counts."""
    place = 0
    for q in range(mark_QS.shape[0]):
        for s in range(mark_QS.shape[1]):
            marks = mark_QS[q, s]
            while marks:
                b = s * STRETCH + np.int64(trailing_zeros(marks))
                marks &= marks - np.uint64(1)
                if score_QB[q, b] > least_Q[q]:
                    query_P[place], base_P[place] = q, b
                    place += 1
