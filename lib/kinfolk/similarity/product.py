"""The exact product: blocks of rows against blocks of rows, in float32 to find candidates and float64 to decide.

A float32 product of unit vectors is off by at most about D * 2^-24 whatever the order of its additions (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.1). Candidates are taken with twice that margin, and what is
kept is decided on a cosine computed in float64 from the two vectors alone. So neither the size of the blocks nor the
spread over tasks changes a pair, a rank or a bit of a similarity.

Shape suffixes: N items, D coordinates, R rows of a block, C columns of a tile, K neighbours, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.settings import JoinSettings

# Pairs whose cosine is computed at a time, so that their gathered coordinates stay in the cache.
_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Links:
    """Pairs of codes with their exact cosine; rank 0 marks a similar pair, left < right, others a neighbour."""

    rank_P: NDArray[np.int32]
    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]
    similarity_P: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rank_P)


class Vectors:
    """Vectors to be compared (float32, finite, not zero), their directions, and their squared lengths."""

    def __init__(self, vectors_ND: NDArray[np.float32]) -> None:
        self.vectors_ND = vectors_ND
        self.squares_N = np.empty(len(vectors_ND))
        self.units_ND = np.empty_like(vectors_ND)
        for start in range(0, len(vectors_ND), _PAIRS_AT_A_TIME):
            rows = slice(start, start + _PAIRS_AT_A_TIME)
            exact = vectors_ND[rows].astype(np.float64)
            self.squares_N[rows] = np.square(exact).sum(axis=1)
            self.units_ND[rows] = exact / np.sqrt(self.squares_N[rows])[:, None]

    def __len__(self) -> int:
        return len(self.vectors_ND)

    @property
    def margin(self) -> float:
        """Most by which a float32 product of two directions can miss their cosine, rounding of both included."""
        return float((self.vectors_ND.shape[1] + 4) * 2.0**-23)

    def cosine(self, left_P: NDArray[np.int64], right_P: NDArray[np.int64]) -> NDArray[np.float64]:
        """The cosine of each pair, -1 to 1, in float64; it depends on the two vectors alone."""
        similarity_P = np.empty(len(left_P))
        for start in range(0, len(left_P), _PAIRS_AT_A_TIME):
            part = slice(start, start + _PAIRS_AT_A_TIME)
            left, right = left_P[part], right_P[part]
            products = self.vectors_ND[left].astype(np.float64) * self.vectors_ND[right]
            # Under one root, so that vectors of one direction come out at exactly 1 where their squares are exact.
            similarity_P[part] = products.sum(axis=1) / np.sqrt(self.squares_N[left] * self.squares_N[right])
        return np.clip(similarity_P, -1.0, 1.0)


class Nearest:
    """The best neighbours so far of a block of rows: the most similar first, equal ones by code."""

    def __init__(self, rows: range, count: int) -> None:
        self.rows = rows
        self.similarity_RK = np.full((len(rows), count), -np.inf)
        self.code_RK = np.full((len(rows), count), -1, dtype=np.int64)

    @property
    def count(self) -> int:
        """Neighbours wanted of each row."""
        return self.code_RK.shape[1]

    def bound(self, tile_RC: NDArray[np.float32], margin: float) -> NDArray[np.float64]:
        """A lower bound on the cosine of each row's last neighbour, from what was seen and from this tile."""
        seen_R: NDArray[np.float64] = self.similarity_RK[:, -1]
        if np.isfinite(seen_R).all() or tile_RC.shape[1] <= self.count:
            return seen_R
        last_R = np.partition(tile_RC, -self.count, axis=1)[:, -self.count]
        best_R: NDArray[np.float64] = np.maximum(seen_R, last_R.astype(np.float64) - margin)
        return best_R

    def offer(self, row_P: NDArray[np.int64], code_P: NDArray[np.int64], similarity_P: NDArray[np.float64]) -> None:
        """Let candidates compete for the places of their rows; `row_P` counts from the block's first row."""
        touched = np.unique(row_P)
        rows = np.concatenate([np.repeat(touched, self.count), row_P])
        codes = np.concatenate([self.code_RK[touched].ravel(), code_P])
        similarities = np.concatenate([self.similarity_RK[touched].ravel(), similarity_P])
        order = np.lexsort((codes, -similarities, rows))
        starts = np.searchsorted(rows[order], touched)
        best = order[starts[:, None] + np.arange(self.count)]
        self.code_RK[touched], self.similarity_RK[touched] = codes[best], similarities[best]

    def links(self) -> Links:
        """The neighbours found, ranks from 1."""
        row, place = np.nonzero(self.code_RK >= 0)
        return Links(
            (place + 1).astype(np.int32),
            row + self.rows.start,
            self.code_RK[row, place],
            self.similarity_RK[row, place],
        )


def split_rows(count: int, block_rows: int) -> list[range]:
    """Cut `count` rows into blocks.

    >>> split_rows(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + block_rows, count)) for start in range(0, count, block_rows)]


def join_rows(vectors: Vectors, rows: range, settings: JoinSettings) -> Iterator[Links]:
    """Find the similar pairs whose left item is among `rows`, and the neighbours of each of `rows`.

    Pairs come tile by tile, so that a caller may stop early; the neighbours come last.
    """
    nearest = Nearest(rows, settings.neighbors)
    # The block itself first: items whose ids are close are often alike, which makes the bounds tight early.
    blocks = split_rows(len(vectors), settings.block_rows)
    own = rows.start // settings.block_rows
    others = blocks[:own] if nearest.count else []
    for columns in [*blocks[own:], *others]:
        left_P, right_P = _candidates(vectors, rows, columns, nearest, settings.threshold)
        similarity_P = vectors.cosine(left_P, right_P)
        if nearest.count:
            nearest.offer(left_P - rows.start, right_P, similarity_P)
        is_pair = (similarity_P >= settings.threshold) & (left_P < right_P)
        left_P, right_P, similarity_P = left_P[is_pair], right_P[is_pair], similarity_P[is_pair]
        yield Links(np.zeros(len(left_P), np.int32), left_P, right_P, similarity_P)
    yield nearest.links()


def _candidates(
    vectors: Vectors, rows: range, columns: range, nearest: Nearest, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes of the pairs of one tile that may be similar enough or near enough; an item is never its own candidate."""
    tile_RC = vectors.units_ND[rows.start : rows.stop] @ vectors.units_ND[columns.start : columns.stop].T
    if rows.start == columns.start:
        np.fill_diagonal(tile_RC, -np.inf)
    bound_R = np.full(len(rows), threshold)
    if nearest.count:
        # Above the diagonal a pair is wanted for either reason, below it only as a neighbour.
        last_R = nearest.bound(tile_RC, vectors.margin)
        bound_R = last_R if columns.stop <= rows.start else np.minimum(bound_R, last_R)
    # Rounded down, so that the comparison in float32 lets nothing slip; finite, so that the diagonal never passes.
    least_R = np.nextafter((bound_R - vectors.margin).astype(np.float32), np.float32(-np.inf))
    least_R = np.maximum(least_R, np.finfo(np.float32).min)
    row_P, column_P = np.nonzero(tile_RC >= least_R[:, None])
    return row_P + rows.start, column_P + columns.start
