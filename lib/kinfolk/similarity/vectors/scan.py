"""A scan: tiles of a product are multiplied by several threads, and what the join asks for is kept.

Neighbours are kept with a few places to spare. What was left out has a score of at most the heap's floor; where the
last wanted neighbour, measured exactly, is above the floor by more than a score can be off, nothing left out is as
near. The few rows where this does not hold, because of ties mostly, are looked at once more.

Shape suffixes: N items, E coordinates of the product, Q query rows of a tile, B base rows of a tile, K neighbours, P
pairs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.similarity.effort import Budget, split_items, spread
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.vectors.heaps import decode_codes, make_heaps
from kinfolk.similarity.vectors.spaces import Space, sort_places
from kinfolk.similarity.vectors.tiles import (
    LANES,
    STRETCH,
    collect_pairs,
    count_pairs,
    mark_tile,
    mask_tile,
    offer_tile,
    raise_least,
)

SPARE_PLACES = 6
"""Neighbours kept beyond those wanted; rows with more ties than these have to be looked at twice."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """What a join asks for: pairs of at least a similarity (None: no pairs), and so many neighbours (0: none)."""

    least: float | None
    neighbors: int
    max_pairs: int


class Scan:
    """What was found so far; threads add to it tile by tile.

    Rows are those of the space that is scanned. Pairs stop being taken once there are more than `wanted.max_pairs`.
    """

    def __init__(self, space: Space, wanted: Wanted, *, spare_places: int = 0) -> None:
        self.space, self.wanted = space, wanted
        places = wanted.neighbors + spare_places if wanted.neighbors else 0
        self.heaps = make_heaps(len(space.query_NE), places)
        self._least = np.float32(np.inf)
        if wanted.least is not None:
            self._least = space.candidate_scores(np.array([wanted.least]))[0]
        self._found: list[Pairs] = []
        self._budget = Budget(wanted.max_pairs)
        self._own = threading.local()

    @property
    def is_over_budget(self) -> bool:
        """Whether there are more pairs than allowed."""
        return self._budget.is_spent

    def pairs(self) -> Pairs:
        """The pairs found so far."""
        return Pairs.joined(self._found)

    def take(
        self, query_Q: Rows, base: range, *, is_mutual: bool, owns: Callable[[Rows, Rows], NDArray[np.bool_]] | None
    ) -> None:
        """Multiply some query rows with a range of base rows, and keep what is wanted of the products.

        `is_mutual` offers the queries to the base rows as well, in a join with itself. Of the pairs those are kept for
        which `owns` (query rows, base rows) is true; None keeps no pairs.
        """
        is_pair_wanted = owns is not None and self._least < np.inf and not self.is_over_budget
        if not is_pair_wanted and not self.wanted.neighbors:
            return
        score_QB, mark_QS = self._multiply(query_Q, base)
        least_Q, least_B = self.heaps.floor_N[query_Q], np.full(len(base), np.inf, np.float32)
        if is_mutual:
            least_B = self.heaps.floor_N[base.start : base.stop]
        # The row itself may be among the best of its own tile.
        places = self.heaps.key_NK.shape[1] + self.space.is_self_join
        if self.wanted.neighbors and places < LANES:
            raise_least(score_QB, least_Q, np.empty(LANES, np.float32), places)
        if is_pair_wanted:
            least_Q = np.minimum(least_Q, self._least)
        mark_tile(score_QB, least_Q, least_B, mark_QS)
        if self.wanted.neighbors:
            offer_tile(score_QB, mark_QS, query_Q, base.start, self.heaps, is_mutual, self.space.is_self_join)
        if owns is not None and is_pair_wanted:
            place_P, right_P = _collect(score_QB, mark_QS, base, np.full(len(query_Q), self._least))
            left_P = query_Q[place_P]
            is_own = owns(left_P, right_P)
            self._keep(left_P[is_own], right_P[is_own])

    def candidates(self, query_Q: Rows, base: range, least_Q: NDArray[np.float32]) -> tuple[Rows, Rows]:
        """The entries of a tile above what their row asks for, as places among the query rows and base rows."""
        score_QB, mark_QS = self._multiply(query_Q, base)
        mark_tile(score_QB, least_Q, np.full(len(base), np.inf, np.float32), mark_QS)
        place_P, base_P = _collect(score_QB, mark_QS, base, least_Q)
        if not self.space.is_self_join:
            return place_P, base_P
        is_other = query_Q[place_P] != base_P
        return place_P[is_other], base_P[is_other]

    def _multiply(self, query_Q: Rows, base: range) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        """The scores of a tile and room for its marks, in memory that the thread uses again."""
        count, width = len(query_Q), len(base)
        scores = getattr(self._own, "scores", None)
        if scores is None or len(scores) < count * width:
            scores = self._own.scores = np.empty(count * width, np.float32)
        score_QB = scores[: count * width].reshape(count, width)
        space = self.space
        is_run = count and query_Q[-1] - query_Q[0] + 1 == count
        query_QE = space.query_NE[query_Q[0] : query_Q[-1] + 1] if is_run else space.query_NE[query_Q]
        np.matmul(query_QE, space.base_NE[base.start : base.stop].T, out=score_QB)
        if space.blocks is not None:
            mask_tile(score_QB, space.blocks.query_N[query_Q], space.blocks.base_N[base.start : base.stop])
        return score_QB, np.empty((count, -(-width // STRETCH)), np.uint64)

    def _keep(self, left_P: Rows, right_P: Rows) -> None:
        assert self.wanted.least is not None
        similarity_P = self.space.similarity(left_P, right_P)
        is_similar = similarity_P >= self.wanted.least
        if is_similar.any():
            self._found.append(Pairs(left_P[is_similar], right_P[is_similar], similarity_P[is_similar]))
            self._budget.spend(int(is_similar.sum()))

    def neighbors(self, rows: Rows, *, threads: int) -> tuple[Neighbors, NDArray[np.bool_]]:
        """The neighbours of these rows with exact similarities, and which rows certainly have no nearer ones.

        Neighbours of rows that come from heaps with room left are certain: everything offered is in them.
        """
        shape = len(rows), self.wanted.neighbors
        found, is_certain_N = Neighbors(rows, np.empty(shape, np.int64), np.empty(shape)), np.empty(len(rows), bool)

        def decide(part: range) -> None:
            some, to = rows[part.start : part.stop], slice(part.start, part.stop)
            code_NK = decode_codes(-np.sort(-self.heaps.key_NK[some], axis=1))
            similarity_NK = self.space.similarity_of_places(some, code_NK)
            sort_places(similarity_NK, code_NK)
            found.code_NK[to], found.similarity_NK[to] = code_NK[:, : shape[1]], similarity_NK[:, : shape[1]]
            score_N = self.space.scores_of(similarity_NK[:, shape[1] - 1])
            floor_N = self.heaps.floor_N[some]
            is_certain_N[to] = (floor_N == -np.inf) | (score_N > floor_N + self.space.margin)

        spread(decide, split_items(len(rows)), threads)
        return found, is_certain_N


def _collect(
    score_QB: NDArray[np.float32], mark_QS: NDArray[np.uint64], base: range, least_Q: NDArray[np.float32]
) -> tuple[Rows, Rows]:
    """Places of the query rows, and the base rows, of the marked entries that exceed what their row asks for."""
    count = count_pairs(score_QB, mark_QS, least_Q)
    place_P, base_P = np.empty(count, np.int32), np.empty(count, np.int32)
    collect_pairs(score_QB, mark_QS, least_Q, place_P, base_P)
    return place_P.astype(np.int64), base_P.astype(np.int64) + base.start


def all_of(query_P: Rows, _: Rows) -> NDArray[np.bool_]:
    """Each pair is kept."""
    return np.ones(len(query_P), bool)
