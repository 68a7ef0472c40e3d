"""Measures of vectors as products: what is multiplied in float32 to find candidates, and computed in float64 to decide.

Every measure is turned into a score that one matrix product gives, query row times base row, and that rises with the
similarity:

    cosine         x/|x| · y/|y|
    inner_product  x · y
    euclidean      (x, -|x|²/2r, r) · (y, r, -|y|²/2r) = -|x - y|²/2, of vectors from which the mean has been taken;
                   r is the greatest of their lengths, so that no term is much larger than the others

A float32 product of D terms is off by at most about D * 2^-24 of the lengths multiplied, whatever the order of its
additions (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Candidates are taken with twice that
margin, and what is kept is decided on the similarity computed in float64 from the two vectors alone. So neither the
size of tiles nor the spread over threads and tasks changes a pair, a rank or a bit of a similarity.

Shape suffixes: N items, D coordinates, E coordinates of the product, P pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import compiled
from kinfolk.settings import VectorMeasure
from kinfolk.similarity.vectors.items import scale_to_one

Matrix = NDArray[np.float32]

_ROWS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Blocks:
    """The block of each row of either side, rising: only rows of one block are compared."""

    query_N: NDArray[np.int32]
    base_N: NDArray[np.int32]

    def reach(self, query_Q: NDArray[np.int64]) -> range:
        """From the first to the last base row that is in a block of these query rows or between two of them."""
        first, last = self.query_N[query_Q[0]], self.query_N[query_Q[-1]]
        return range(int(np.searchsorted(self.base_N, first)), int(np.searchsorted(self.base_N, last, side="right")))


@dataclass(frozen=True)
class Space:
    """Two sides of a join under one measure; in a self-join they are the same items.

    `query_NE` and `base_NE` are what is multiplied; `margin` is the most by which a score can be off. Where there are
    `blocks`, rows of different ones are not compared.
    """

    measure: VectorMeasure
    left_ND: Matrix
    right_ND: Matrix
    query_NE: Matrix
    base_NE: Matrix
    margin: float
    blocks: Blocks | None = None

    @property
    def is_self_join(self) -> bool:
        """Whether both sides are the same items."""
        return self.left_ND is self.right_ND

    def reach(self, query_Q: NDArray[np.int64]) -> range:
        """The base rows among which are all those that some query rows, rising, are compared with."""
        return range(len(self.base_NE)) if self.blocks is None or not len(query_Q) else self.blocks.reach(query_Q)

    def anchors(self) -> tuple[Matrix, Matrix]:
        """Both sides in a geometry in which the nearest points have the highest scores. Not for inner_product."""
        return (
            (self.query_NE[:, :-2], self.base_NE[:, :-2])
            if self.measure == "euclidean"
            else (self.query_NE, self.base_NE)
        )

    def scores_of(self, similarity_P: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of items of these similarities."""
        return -np.square(similarity_P) / 2 if self.measure == "euclidean" else similarity_P

    def candidate_scores(self, similarity_P: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores that every pair of at least these similarities exceeds, the errors of the product included."""
        least_P = (self.scores_of(similarity_P) - self.margin).astype(np.float32)
        # The next float32 below, finite: what is at least the value exceeds it.
        return np.maximum(np.nextafter(least_P, np.float32(-np.inf)), np.finfo(np.float32).min)

    def similarity(self, left_P: NDArray[np.int64], right_P: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of each pair in float64; it depends on the two vectors alone."""
        return _measure_pairs(self.left_ND, self.right_ND, left_P, right_P, _MEASURES.index(self.measure))

    def similarity_of_places(self, row_N: NDArray[np.int64], code_NK: NDArray[np.int64]) -> NDArray[np.float64]:
        """The similarity of each row to the base rows in its places, in float64; -inf where there is none (-1)."""
        return _measure_places(self.left_ND, self.right_ND, row_N, code_NK, _MEASURES.index(self.measure))

    def reordered(self, order_N: NDArray[np.int64]) -> Space:
        """The same with the rows of the base in another order; in a self-join those of both sides."""
        right_ND, base_NE = self.right_ND[order_N], self.base_NE[order_N]
        if not self.is_self_join:
            return Space(self.measure, self.left_ND, right_ND, self.query_NE, base_NE, self.margin)
        query_NE = base_NE if self.query_NE is self.base_NE else self.query_NE[order_N]
        return Space(self.measure, right_ND, right_ND, query_NE, base_NE, self.margin)

    def narrowed(self, left_N: NDArray[np.int64], right_N: NDArray[np.int64]) -> Space:
        """The same with some rows of either side only; in a self-join they are those of the right."""
        if self.is_self_join:
            return self.reordered(right_N)
        return Space(
            self.measure,
            self.left_ND[left_N],
            self.right_ND[right_N],
            self.query_NE[left_N],
            self.base_NE[right_N],
            self.margin,
        )


_MEASURES: tuple[VectorMeasure, ...] = ("cosine", "euclidean", "inner_product")
_COSINE, _EUCLIDEAN = 0, 1


def make_space(measure: VectorMeasure, left_ND: Matrix, right_ND: Matrix | None = None) -> Space:
    """Prepare two sides (float32, finite, for cosine not zero), or one for a join with itself."""
    is_self_join = right_ND is None
    base_ND = left_ND if right_ND is None else right_ND
    if measure == "cosine":
        left_NE = scale_to_one(left_ND)
        right_NE = left_NE if is_self_join else scale_to_one(base_ND)
    elif measure == "inner_product":
        left_NE, right_NE = left_ND, base_ND
    else:
        left_NE, right_NE = _lifted(left_ND, base_ND)
    lengths = _greatest_length(left_NE) * _greatest_length(right_NE)
    # Twice the bound on the sum, and a little more for the rounding of both factors.
    margin = (left_NE.shape[1] + 4) * 2.0**-23 * lengths
    return Space(measure, left_ND, base_ND, left_NE, right_NE, margin)


def _lifted(left_ND: Matrix, right_ND: Matrix) -> tuple[Matrix, Matrix]:
    """Vectors with two more coordinates, whose product is minus half the squared distance."""
    # Far from the origin the three terms would cancel and take the digits with them.
    center_D = right_ND.mean(axis=0, dtype=np.float64) if len(right_ND) else np.zeros(right_ND.shape[1])
    radius = max(_greatest_length(left_ND, center_D), _greatest_length(right_ND, center_D)) or 1.0
    return _lift(left_ND, center_D, radius, (-2, -1)), _lift(right_ND, center_D, radius, (-1, -2))


def _lift(vectors_ND: Matrix, center_D: NDArray[np.float64], radius: float, places: tuple[int, int]) -> Matrix:
    lifted_NE = np.empty((len(vectors_ND), vectors_ND.shape[1] + 2), np.float32)
    for start in range(0, len(vectors_ND), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        centered = vectors_ND[rows] - center_D
        lifted_NE[rows, :-2] = centered
        lifted_NE[rows, places[0]] = np.square(centered).sum(axis=1) / (-2 * radius)
        lifted_NE[rows, places[1]] = radius
    return lifted_NE


def _greatest_length(vectors_ND: Matrix, center_D: NDArray[np.float64] | float = 0.0) -> float:
    """The length of the longest row, measured from a center."""
    starts = range(0, len(vectors_ND), _ROWS_AT_A_TIME)
    parts = (np.square(vectors_ND[start : start + _ROWS_AT_A_TIME] - center_D, dtype=np.float64) for start in starts)
    return math.sqrt(max((float(part.sum(axis=1).max()) for part in parts), default=0.0))


@compiled
def _similarity(left_D: NDArray[np.float32], right_D: NDArray[np.float32], measure: int) -> float:
    product = left_square = right_square = 0.0
    for d in range(len(left_D)):
        x, y = np.float64(left_D[d]), np.float64(right_D[d])
        product += (x - y) * (x - y) if measure == _EUCLIDEAN else x * y
        left_square += x * x
        right_square += y * y
    if measure == _EUCLIDEAN:
        return -math.sqrt(product)
    if measure == _COSINE:
        # Under one root, so that vectors of one direction come out at exactly 1 where their squares are exact.
        return min(1.0, max(-1.0, product / math.sqrt(left_square * right_square)))
    return product


@compiled
def _measure_pairs(
    left_ND: Matrix, right_ND: Matrix, left_P: NDArray[np.int64], right_P: NDArray[np.int64], measure: int
) -> NDArray[np.float64]:
    similarity_P = np.empty(len(left_P))
    for p in range(len(left_P)):
        similarity_P[p] = _similarity(left_ND[left_P[p]], right_ND[right_P[p]], measure)
    return similarity_P


@compiled
def _measure_places(
    left_ND: Matrix, right_ND: Matrix, row_N: NDArray[np.int64], code_NK: NDArray[np.int64], measure: int
) -> NDArray[np.float64]:
    similarity_NK = np.full(code_NK.shape, -np.inf)
    for n in range(len(row_N)):
        for k in range(code_NK.shape[1]):
            code = code_NK[n, k]
            if code >= 0:
                similarity_NK[n, k] = _similarity(left_ND[row_N[n]], right_ND[code], measure)
    return similarity_NK


@compiled
def sort_places(similarity_NK: NDArray[np.float64], code_NK: NDArray[np.int64]) -> None:
    """Sort the places of each row, nearly sorted ones fast: the most similar first, equal ones by code."""
    for row in range(len(code_NK)):
        for k in range(1, code_NK.shape[1]):
            similarity, code = similarity_NK[row, k], code_NK[row, k]
            place = k
            while place > 0 and (
                similarity_NK[row, place - 1] < similarity
                or (similarity_NK[row, place - 1] == similarity and code_NK[row, place - 1] > code)
            ):
                similarity_NK[row, place], code_NK[row, place] = similarity_NK[row, place - 1], code_NK[row, place - 1]
                place -= 1
            similarity_NK[row, place], code_NK[row, place] = similarity, code
