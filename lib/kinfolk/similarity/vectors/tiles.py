"""What is done with one tile of scores: entries that matter are flagged 64 at a time, then offered or collected.

A tile holds the scores of some query rows against some consecutive base rows. Nearly all of its entries are worth
nothing, so they are looked at twice: `flag_tile` compares them in vector registers and marks stretches of 64 columns in
which any entry counts; only those are then visited one by one. Both in one loop would keep the compiler from
vectorizing the comparison.

Shape suffixes: N rows, Q query rows of a tile, B base rows of a tile, S stretches of 64 columns, P pairs found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinfolk.similarity.compiling import kernel
from kinfolk.similarity.vectors.heaps import Heaps, offer

STRETCH = 64
"""Columns that are flagged together."""


@kernel
def mask_tile(score_QB: NDArray[np.float32], block_Q: NDArray[np.int32], block_B: NDArray[np.int32]) -> None:
    """Make the scores of rows that are not in one block less than any other."""
    for q in range(score_QB.shape[0]):
        block = block_Q[q]
        for b in range(score_QB.shape[1]):
            score_QB[q, b] = score_QB[q, b] if block_B[b] == block else np.float32(-np.inf)


@kernel
def flag_tile(
    score_QB: NDArray[np.float32],
    least_Q: NDArray[np.float32],
    least_B: NDArray[np.float32],
    flag_QS: NDArray[np.uint8],
) -> None:
    """Flag the stretches of a tile in which an entry exceeds what its row or what its column asks for."""
    columns = score_QB.shape[1]
    whole = columns // STRETCH
    for q in range(score_QB.shape[0]):
        least = least_Q[q]
        for s in range(whole):
            found = np.int32(0)
            # A count of turns that is known and a number of 32 bits: the loop becomes a few vector comparisons.
            for b in range(STRETCH):
                found |= np.int32(score_QB[q, s * STRETCH + b] > min(least, least_B[s * STRETCH + b]))
            flag_QS[q, s] = found != 0
        if whole < flag_QS.shape[1]:
            found = np.int32(0)
            for b in range(whole * STRETCH, columns):
                found |= np.int32(score_QB[q, b] > min(least, least_B[b]))
            flag_QS[q, whole] = found != 0


@kernel
def offer_tile(  # noqa: PLR0913 - a kernel takes arrays one by one
    score_QB: NDArray[np.float32],
    flag_QS: NDArray[np.uint8],
    query_Q: NDArray[np.int64],
    first_base: int,
    heaps: Heaps,
    is_mutual: bool,
    is_self_join: bool,
) -> None:
    """Offer the flagged entries to the heaps of their query rows, and if `is_mutual` to those of their base rows.

    `query_Q` are the query rows, `first_base` is the first base row. In a join with itself a row is no neighbour of its
    own.
    """
    floor_N = heaps.floor_N
    columns = score_QB.shape[1]
    for q in range(score_QB.shape[0]):
        query = query_Q[q]
        for s in range((columns + STRETCH - 1) // STRETCH):
            if not flag_QS[q, s]:
                continue
            for b in range(s * STRETCH, min((s + 1) * STRETCH, columns)):
                score = score_QB[q, b]
                base = first_base + b
                if is_self_join and query == base:
                    continue
                if score > floor_N[query]:
                    offer(heaps, query, base, score)
                if is_mutual and score > floor_N[base]:
                    offer(heaps, base, query, score)


@kernel
def count_pairs(score_QB: NDArray[np.float32], flag_QS: NDArray[np.uint8], least_Q: NDArray[np.float32]) -> int:
    """How many flagged entries exceed what their row asks for."""
    count = 0
    columns = score_QB.shape[1]
    for q in range(score_QB.shape[0]):
        for s in range((columns + STRETCH - 1) // STRETCH):
            if flag_QS[q, s]:
                for b in range(s * STRETCH, min((s + 1) * STRETCH, columns)):
                    count += score_QB[q, b] > least_Q[q]
    return count


@kernel
def collect_pairs(
    score_QB: NDArray[np.float32],
    flag_QS: NDArray[np.uint8],
    least_Q: NDArray[np.float32],
    query_P: NDArray[np.int32],
    base_P: NDArray[np.int32],
) -> None:
    """Write the places, row and column in the tile, of the entries that `count_pairs` counts."""
    place = 0
    columns = score_QB.shape[1]
    for q in range(score_QB.shape[0]):
        for s in range((columns + STRETCH - 1) // STRETCH):
            if flag_QS[q, s]:
                for b in range(s * STRETCH, min((s + 1) * STRETCH, columns)):
                    if score_QB[q, b] > least_Q[q]:
                        query_P[place], base_P[place] = q, b
                        place += 1
