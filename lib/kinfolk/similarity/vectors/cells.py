"""The join by cells: each row is compared with the rows of the cells nearest to it.

The base is cut into cells by k-means. A row is at home in the cell with the nearest center; it probes that cell and the
next nearest ones. One matrix product serves all queries that probe a cell, and in a join with itself every product
serves both sides: a pair is found when either row probes the other's home. So how many cells must be probed for a
recall can be read off from true pairs: a pair needs as many probes as the smaller of the two ranks that its rows give
to each other's home.

Shape suffixes: N items, C cells, E coordinates, D depth (cells ranked of a row), P pairs or probes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.similarity.compiling import compiled
from kinfolk.similarity.effort import WHOLE, Share, split_items, spread
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.vectors.scan import Rows, Scan, Wanted
from kinfolk.similarity.vectors.spaces import Matrix, Space, sort_places

ROWS_A_CENTER = 64
"""Rows that each center is learned from."""
ROUNDS = 2
"""Rounds of k-means; more change the recall by less than another seed does."""
DEEPEST = 256
"""Most cells that a row probes."""
MOST_RANKED = 512
"""Cells among which a row's nearest are looked for, those nearest to its home; at least DEEPEST."""
_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Cells:
    """The cells of a base.

    `center_CE`: centers; `home_N`: the cell of each base row; `order_N`: base rows cell by cell, in order within;
    `start_C`: where each cell begins in that order, and where the last one ends.
    """

    center_CE: Matrix
    home_N: NDArray[np.int32]
    order_N: Rows
    start_C: Rows

    def __len__(self) -> int:
        return len(self.center_CE)

    def rows(self, cell: int) -> range:
        """Places of a cell's rows in `order_N`."""
        return range(int(self.start_C[cell]), int(self.start_C[cell + 1]))


def cell_count(rows: int) -> int:
    """How many cells a base of so many rows is cut into: ranking cells and joining them then cost about the same.

    >>> cell_count(1), cell_count(400_000)
    (1, 1265)
    """
    return max(1, min(rows, round(2 * math.sqrt(rows))))


def count_products(rows: int, queries: int = 0) -> int:
    """Products of a row with a center that it takes to make cells, and to find the homes of other queries."""
    cells = cell_count(rows)
    return cells * (ROUNDS * min(rows, ROWS_A_CENTER * cells) + rows + queries)


def make_cells(base_NE: Matrix, count: int, *, seed: int, threads: int) -> Cells:
    """Cut base rows into cells by k-means on a sample (Lloyd, Least squares quantization in PCM, 1982)."""
    random = np.random.default_rng(seed)
    rows = len(base_NE)
    sample = np.sort(random.choice(rows, min(rows, ROWS_A_CENTER * count), replace=False))
    sample_NE = base_NE[sample]
    center_CE = sample_NE[np.sort(random.choice(len(sample), count, replace=False))].copy()
    for _ in range(ROUNDS):
        home_N = find_homes(sample_NE, center_CE, threads=threads)
        size_C = np.bincount(home_N, minlength=count)
        order = np.argsort(home_N, kind="stable")
        starts = np.concatenate([[0], np.cumsum(size_C)[:-1]])
        is_used = size_C > 0
        sums = np.add.reduceat(sample_NE[order], starts[is_used], axis=0)
        center_CE[is_used] = sums / size_C[is_used, None]
    home_N = find_homes(base_NE, center_CE, threads=threads)
    return Cells(center_CE, home_N, *group_rows(home_N, count))


def find_homes(rows_NE: Matrix, center_CE: Matrix, *, threads: int) -> NDArray[np.int32]:
    """The cell with the nearest center, of each row."""
    home_N = np.empty(len(rows_NE), np.int32)
    center_CX = _with_half_squares(center_CE)

    def place(part: range) -> None:
        home_N[part.start : part.stop] = _nearness(rows_NE[part.start : part.stop], center_CX).argmax(axis=1)

    spread(place, split_items(len(rows_NE), _ROWS_AT_A_TIME), threads)
    return home_N


def _with_half_squares(center_CE: Matrix) -> Matrix:
    """Centers with a further coordinate, minus half their squared length."""
    squares_C = np.square(center_CE, dtype=np.float64).sum(axis=1)
    return np.hstack([center_CE, (squares_C / -2).astype(np.float32)[:, None]])


def _nearness(row_QE: Matrix, center_CX: Matrix) -> Matrix:
    """x·c - |c|²/2 of rows x and centers c: greatest for the nearest center, as half of |x|² less |x - c|² is.

    What is taken off comes out of the product itself, which saves a pass over its result.
    """
    ones_Q = np.ones((len(row_QE), 1), np.float32)
    near_QC: Matrix = np.hstack([row_QE, ones_Q]) @ center_CX.T
    return near_QC


def rank_cells(
    query_NE: Matrix, home_N: NDArray[np.int32], cells: Cells, depth: int, *, threads: int
) -> NDArray[np.int32]:
    """The `depth` cells nearest to each query, nearest first, but its home always first."""
    depth = min(depth, len(cells))
    ranked_ND = np.empty((len(query_NE), depth), np.int32)
    ranked_ND[:, 0] = home_N
    center_CX = _with_half_squares(cells.center_CE)
    order, start_C = group_rows(home_N, len(cells))

    def rank(cell: int) -> None:
        rows = order[start_C[cell] : start_C[cell + 1]]
        if len(rows):
            # In the order of their nearness to the home, so that the best come early and few others are touched.
            others = np.argsort(-_nearness(cells.center_CE[cell : cell + 1], center_CX)[0])
            others = others[others != cell][:MOST_RANKED]
            ranked_ND[rows, 1:] = _rank_others(query_NE[rows], others, center_CX, depth - 1)

    if depth > 1:
        spread(rank, range(len(cells)), threads)
    return ranked_ND


def _rank_others(query_QE: Matrix, others: Rows, center_CX: Matrix, count: int) -> NDArray[np.int64]:
    """The nearest of some cells to each query, nearest first."""
    column_QD = np.empty((len(query_QE), count), np.int64)
    _best_columns(_nearness(query_QE, center_CX[others]), column_QD)
    return others[column_QD]


@compiled
def _best_columns(value_QB: Matrix, column_QD: Rows) -> None:
    """The columns with the greatest values of each row, greatest first; fast where they come early in the row."""
    columns, count = value_QB.shape[1], column_QD.shape[1]
    best_D = np.empty(count, np.float32)
    for q in range(len(value_QB)):
        # Kept in order: the few that come late move the few that are worse.
        kept = 0
        for b in range(columns):
            value = value_QB[q, b]
            if kept == count and value <= best_D[count - 1]:
                continue
            place = min(kept, count - 1)
            while place > 0 and best_D[place - 1] < value:
                best_D[place], column_QD[q, place] = best_D[place - 1], column_QD[q, place - 1]
                place -= 1
            best_D[place], column_QD[q, place] = value, b
            kept = min(kept + 1, count)


def join_cells(
    space: Space, wanted: Wanted, cells: Cells, ranked_ND: NDArray[np.int32], *, threads: int, share: Share = WHOLE
) -> tuple[Pairs, Neighbors]:
    """Pairs and neighbours, each row compared with the cells that it probes (`ranked_ND`, its home first).

    A share has the queries that are at home in the cells t, t + T, … of the order of their size.
    """
    inside = space.reordered(cells.order_N)
    is_self_join = space.is_self_join
    probe_ND = ranked_ND[cells.order_N] if is_self_join else ranked_ND
    is_owned_C = np.zeros(len(cells), bool)
    is_owned_C[np.argsort(-np.diff(cells.start_C), kind="stable")[share[0] :: share[1]]] = True
    scan = Scan(inside, wanted)
    visits = _Visits(probe_ND, is_owned_C)
    home_N = probe_ND[:, 0]

    def owns(query_P: Rows, base_P: Rows) -> NDArray[np.bool_]:
        if not is_self_join:
            return np.ones(len(query_P), bool)
        # The other row meets the query as well if it probes the query's home; then the one with the lower code counts.
        is_met = (probe_ND[base_P] == home_N[query_P, None]).any(axis=1)
        is_first = cells.order_N[query_P] < cells.order_N[base_P]
        return np.where(is_met, is_first, query_P != base_P)

    def visit_home(cell: int) -> None:
        visit(cell, visits.at_home(cell), is_mutual=False)

    def visit_away(cell: int) -> None:
        visit(cell, visits.from_elsewhere(cell), is_mutual=is_self_join and bool(is_owned_C[cell]))

    def visit(cell: int, queries: Rows, *, is_mutual: bool) -> None:
        base = cells.rows(cell)
        for part in split_items(len(queries), _ROWS_AT_A_TIME):
            for bases in split_items(len(base), _ROWS_AT_A_TIME):
                some = range(base.start + bases.start, base.start + bases.stop)
                scan.take(queries[part.start : part.stop], some, is_mutual=is_mutual, owns=owns)

    # All homes first, so that the floors are high when the far larger rest is looked at; the largest cells first, so
    # that no thread is left alone with one of them at the end.
    by_size = np.argsort(-np.diff(cells.start_C) * visits.counts(), kind="stable").tolist()
    spread(visit_home, by_size, threads)
    spread(visit_away, by_size, threads)
    pairs = scan.pairs()
    if is_self_join:
        pairs = _ordered(cells.order_N[pairs.left_P], cells.order_N[pairs.right_P], pairs.similarity_P)
    else:
        pairs = Pairs(pairs.left_P, cells.order_N[pairs.right_P], pairs.similarity_P)
    if not wanted.neighbors:
        return pairs, Neighbors.none()
    rows = np.flatnonzero(is_owned_C[home_N])
    neighbors, _ = scan.neighbors(rows)
    return pairs, _in_first_order(neighbors, cells.order_N, is_self_join)


class _Visits:
    """Which queries visit which cell; only those at home in a cell that is owned."""

    def __init__(self, probe_ND: NDArray[np.int32], is_owned_C: NDArray[np.bool_]) -> None:
        cells, depth = len(is_owned_C), probe_ND.shape[1]
        rows = np.flatnonzero(is_owned_C[probe_ND[:, 0]])
        self._rows, self._depth = rows, depth - 1
        self._home = group_rows(probe_ND[rows, 0].copy(), cells)
        self._away = group_rows(probe_ND[rows, 1:].ravel(), cells)

    def at_home(self, cell: int) -> Rows:
        place_P, start_C = self._home
        return self._rows[place_P[start_C[cell] : start_C[cell + 1]]]

    def from_elsewhere(self, cell: int) -> Rows:
        place_P, start_C = self._away
        visits = place_P[start_C[cell] : start_C[cell + 1]]
        rows: Rows = self._rows[visits // self._depth]
        return rows

    def counts(self) -> Rows:
        """Visits of each cell."""
        return np.diff(self._home[1]) + np.diff(self._away[1])


@compiled
def _count_and_place(cell_P: NDArray[np.int32], start_C: Rows, place_P: Rows) -> None:
    """A counting sort: where each cell begins, and the places of its entries, in their order."""
    for cell in cell_P:
        start_C[cell + 1] += 1
    for c in range(1, len(start_C)):
        start_C[c] += start_C[c - 1]
    next_C = start_C.copy()
    for p in range(len(cell_P)):
        place_P[next_C[cell_P[p]]] = p
        next_C[cell_P[p]] += 1


def group_rows(cell_P: NDArray[np.int32], cells: int) -> tuple[Rows, Rows]:
    """Positions grouped by cell, in order within, and where each cell begins and the last one ends."""
    start_C, place_P = np.zeros(cells + 1, np.int64), np.empty(len(cell_P), np.int64)
    _count_and_place(cell_P, start_C, place_P)
    return place_P, start_C


def _ordered(one_P: Rows, other_P: Rows, similarity_P: NDArray[np.float64]) -> Pairs:
    return Pairs(np.minimum(one_P, other_P), np.maximum(one_P, other_P), similarity_P)


def _in_first_order(neighbors: Neighbors, order_N: Rows, is_self_join: bool) -> Neighbors:
    """Neighbours as codes, in the order of their rows; places are sorted again, since ties go by code."""
    code_NK = np.where(neighbors.code_NK >= 0, order_N[neighbors.code_NK], -1)
    rows = order_N[neighbors.row_N] if is_self_join else neighbors.row_N
    similarity_NK = neighbors.similarity_NK
    sort_places(similarity_NK, code_NK)
    order = np.argsort(rows, kind="stable")
    return Neighbors(rows[order], code_NK[order], similarity_NK[order])
