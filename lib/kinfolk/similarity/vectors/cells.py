"""The join by cells: each row is compared with the rows of the cells around it.

The base is cut into cells by k-means. A row is at home in the cell with the nearest center, and it probes the cells
whose border with its home is near. One matrix product serves all queries that probe a cell, and in a join with itself
every product serves both sides: a pair is found when either row probes the other's home. So how near is near enough
for a recall can be read off from true pairs: a pair is found once cells overlap by the smaller of the two distances
that its rows have from the border with each other's home. Cells that overlap are those of spill trees (Liu, Moore, Gray
and Yang, An Investigation of Practical Approximate Nearest Neighbor Algorithms, 2004, section 3), here all at once in
the place of two halves after two halves.

Shape suffixes: N items, C cells, E coordinates, X coordinates and one more, Q queries, V visits, P pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import compiled
from kinfolk.similarity.effort import WHOLE, Share, split_items, spread
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.vectors.scan import Rows, Scan, Wanted, all_of
from kinfolk.similarity.vectors.spaces import Matrix, Space, sort_places

ROWS_A_CENTER = 64
"""Rows that each center is learned from."""
ROUNDS = 2
"""Rounds of k-means; more change the recall by less than another seed does."""
_ROWS_AT_A_TIME = 1024
_PAIRS_AT_A_TIME = 8192
_FLAGGED = 16
"""Columns that are compared at once, to see whether any of them counts."""


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


@dataclass(frozen=True)
class Probes:
    """Which queries are compared with which cell.

    `order_N`: queries by their homes, in order within; `home_N`: the home of each, in that order, and `home_start_C`
    where those of each cell begin. `visitor_V`: cell by cell the places, rising, in that order, of queries that probe
    it from elsewhere, and `start_C` where those of each cell begin.
    """

    order_N: Rows
    home_N: NDArray[np.int32]
    home_start_C: Rows
    visitor_V: NDArray[np.int32]
    start_C: Rows

    def at_home(self, cell: int) -> Rows:
        """Places of the queries that are at home in a cell."""
        return np.arange(self.home_start_C[cell], self.home_start_C[cell + 1])

    def visitors(self, cell: int) -> Rows:
        """Places of the queries that probe a cell from elsewhere."""
        return self.visitor_V[self.start_C[cell] : self.start_C[cell + 1]].astype(np.int64)

    def counts(self) -> Rows:
        """Queries that each cell is compared with."""
        return np.diff(self.home_start_C) + np.diff(self.start_C)

    def do_visit(self, query_P: Rows, cell_P: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether queries, by their places, are compared with cells."""
        do_visit_P: NDArray[np.bool_] = self.home_N[query_P] == cell_P
        return do_visit_P | _are_among(self.visitor_V, self.start_C, query_P, cell_P)


def cell_count(rows: int) -> int:
    """How many cells a base of so many rows is cut into: finding near cells and joining them then cost about the same.

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


def measure_borders(
    row_NE: Matrix, home_N: NDArray[np.int32], center_CE: Matrix, row_P: Rows, cell_P: NDArray[np.int32]
) -> NDArray[np.float64]:
    """How far rows are from the border between their home and another cell; 0 in their own home.

    The points of the border are as far from one center as from the other, and it stands at right angles to the line
    between them, so that the distance is the difference in nearness over their distance.
    """
    distance_P = np.zeros(len(row_P))
    for start in range(0, len(row_P), _PAIRS_AT_A_TIME):
        part = slice(start, start + _PAIRS_AT_A_TIME)
        home_PE = center_CE[home_N[row_P[part]]].astype(np.float64)
        there_PE = center_CE[cell_P[part]].astype(np.float64)
        between_PE = home_PE - there_PE
        length_P = np.sqrt(np.square(between_PE).sum(axis=1))
        ahead_P = ((row_NE[row_P[part]] - (home_PE + there_PE) / 2) * between_PE).sum(axis=1)
        np.divide(ahead_P, length_P, out=distance_P[part], where=length_P > 0)
    return distance_P


def count_visited(row_NE: Matrix, home_N: NDArray[np.int32], cells: Cells, overlap: float, *, threads: int) -> float:
    """Base rows that a row is compared with on average, its home's among them, where cells overlap by a distance."""
    probes = find_probes(row_NE, home_N, cells, overlap, threads=threads)
    return float((probes.counts() * np.diff(cells.start_C)).sum() / max(1, len(row_NE)))


def find_probes(query_NE: Matrix, home_N: NDArray[np.int32], cells: Cells, overlap: float, *, threads: int) -> Probes:
    """Which queries probe which cell: those at a distance of at most `overlap` from the border with their home."""
    center_CX = _with_half_squares(cells.center_CE)
    order_N, home_start_C = group_rows(home_N, len(cells))
    count_N = np.zeros(len(query_NE), np.int64)
    probed: list[NDArray[np.int32]] = [np.empty(0, np.int32)] * len(cells)

    def probe(cell: int) -> None:
        places = slice(home_start_C[cell], home_start_C[cell + 1])
        rows = order_N[places]
        if not len(rows):
            return
        # A cell counts if the row is as near to it as to its home, less the overlap times the distance of the centers.
        apart_CE = cells.center_CE - cells.center_CE[cell]
        grown_CX = center_CX.copy()
        grown_CX[:, -1] += np.float32(overlap) * np.sqrt(np.square(apart_CE).sum(axis=1))
        near_QC = _nearness(query_NE[rows], grown_CX)
        least_Q = near_QC[:, cell].copy()
        near_QC[:, cell] = -np.inf
        probed[cell] = _find_at_least(near_QC, least_Q, count_N[places])

    spread(probe, range(len(cells)), threads)
    visitor_V, start_C = _turn_around(count_N, np.concatenate(probed), len(cells))
    return Probes(order_N, home_N[order_N], home_start_C, visitor_V, start_C)


@compiled
def _find_at_least(value_QC: Matrix, least_Q: NDArray[np.float32], count_Q: Rows) -> NDArray[np.int32]:
    """The columns of each row, one row after the other, with values of at least the row's; counts how many each has."""
    column_V = np.empty(value_QC.size + 1, np.int32)
    place, columns = 0, value_QC.shape[1]
    for q in range(len(value_QC)):
        first, least = place, least_Q[q]
        for start in range(0, columns, _FLAGGED):
            stop = min(start + _FLAGGED, columns)
            if stop - start == _FLAGGED:
                found = np.int32(0)
                # A count of turns that is known and a number of 32 bits: the loop becomes vector comparisons.
                for c in range(_FLAGGED):
                    found |= np.int32(value_QC[q, start + c] >= least)
                if found == 0:
                    continue
            for c in range(start, stop):
                # Written in any case and kept if it counts: a branch that is rarely taken costs more.
                column_V[place] = c
                place += value_QC[q, c] >= least
        count_Q[q] = place - first
    return column_V[:place].copy()


@compiled
def _turn_around(count_N: Rows, cell_V: NDArray[np.int32], cells: int) -> tuple[NDArray[np.int32], Rows]:
    """From the cells of each row, one row after the other, to the rows, rising, of each cell, and where these begin.

    A counting sort. The last entry of `start_C` is where the last cell ends.
    """
    start_C, row_V = np.zeros(cells + 1, np.int64), np.empty(len(cell_V), np.int32)
    for cell in cell_V:
        start_C[cell + 1] += 1
    for c in range(1, len(start_C)):
        start_C[c] += start_C[c - 1]
    next_C = start_C.copy()
    v = 0
    for n in range(len(count_N)):
        for _ in range(count_N[n]):
            cell = cell_V[v]
            row_V[next_C[cell]] = n
            next_C[cell] += 1
            v += 1
    return row_V, start_C


@compiled
def _are_among(row_V: NDArray[np.int32], start_C: Rows, row_P: Rows, cell_P: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether rows are among the rows, rising, of cells."""
    is_among_P = np.zeros(len(row_P), np.bool_)
    for p in range(len(row_P)):
        row, low, high = row_P[p], start_C[cell_P[p]], start_C[cell_P[p] + 1]
        while low < high:
            middle = (low + high) // 2
            if row_V[middle] < row:
                low = middle + 1
            else:
                high = middle
        is_among_P[p] = low < start_C[cell_P[p] + 1] and row_V[low] == row
    return is_among_P


def join_cells(
    space: Space, wanted: Wanted, cells: Cells, probes: Probes, *, threads: int, share: Share = WHOLE
) -> tuple[Pairs, Neighbors]:
    """Pairs and neighbours, each row compared with its home and the cells that it probes.

    A share has the queries that are at home in the cells t, t + T, … of the order of their size.
    """
    inside = space.narrowed(probes.order_N, cells.order_N)
    is_self_join, home_N = space.is_self_join, probes.home_N
    size_C = np.diff(cells.start_C)
    is_owned_C = np.zeros(len(cells), bool)
    is_owned_C[np.argsort(-size_C, kind="stable")[share[0] :: share[1]]] = True
    scan = Scan(inside, wanted)

    def is_first(query_P: Rows, base_P: Rows) -> NDArray[np.bool_]:
        # The other row meets the query as well if it probes the query's home; then the one with the lower code counts.
        is_met = probes.do_visit(base_P, home_N[query_P])
        return ~is_met | (cells.order_N[query_P] < cells.order_N[base_P])

    def visit_home(cell: int) -> None:
        visit(cell, probes.at_home(cell), is_mutual=False)

    def visit_away(cell: int) -> None:
        visitors = probes.visitors(cell)
        if share != WHOLE:
            visitors = visitors[is_owned_C[home_N[visitors]]]
        visit(cell, visitors, is_mutual=is_self_join and bool(is_owned_C[cell]))

    def visit(cell: int, queries: Rows, *, is_mutual: bool) -> None:
        base = cells.rows(cell)
        for part in split_items(len(queries), _ROWS_AT_A_TIME):
            for bases in split_items(len(base), _ROWS_AT_A_TIME):
                some = range(base.start + bases.start, base.start + bases.stop)
                owns = is_first if is_self_join else all_of
                scan.take(queries[part.start : part.stop], some, is_mutual=is_mutual, owns=owns)

    # All homes first, so that the floors are high when the far larger rest is looked at; the largest cells first, so
    # that no thread is left alone with one of them at the end.
    by_size = np.argsort(-size_C * probes.counts(), kind="stable").tolist()
    spread(visit_home, [cell for cell in by_size if is_owned_C[cell]], threads)
    spread(visit_away, by_size, threads)
    pairs = _as_codes(scan.pairs(), probes.order_N, cells.order_N, is_self_join=is_self_join)
    if not wanted.neighbors:
        return pairs, Neighbors.none()
    neighbors, _ = scan.neighbors(np.flatnonzero(is_owned_C[home_N]), threads=threads)
    return pairs, _in_first_order(neighbors, probes.order_N, cells.order_N)


def group_rows(cell_P: NDArray[np.int32], cells: int) -> tuple[Rows, Rows]:
    """Positions grouped by cell, in order within, and where each cell begins and the last one ends."""
    place_P, start_C = _turn_around(np.ones(len(cell_P), np.int64), cell_P, cells)
    return place_P.astype(np.int64), start_C


def _as_codes(pairs: Pairs, left_order_N: Rows, right_order_N: Rows, *, is_self_join: bool) -> Pairs:
    """Pairs of places as pairs of codes, in a join with itself the lower one first."""
    left_P, right_P = left_order_N[pairs.left_P], right_order_N[pairs.right_P]
    if is_self_join:
        left_P, right_P = np.minimum(left_P, right_P), np.maximum(left_P, right_P)
    return Pairs(left_P, right_P, pairs.similarity_P)


def _in_first_order(neighbors: Neighbors, left_order_N: Rows, right_order_N: Rows) -> Neighbors:
    """Neighbours as codes, in the order of their rows; places are sorted again, since ties go by code."""
    code_NK = np.where(neighbors.code_NK >= 0, right_order_N[neighbors.code_NK], -1)
    rows, similarity_NK = left_order_N[neighbors.row_N], neighbors.similarity_NK
    sort_places(similarity_NK, code_NK)
    order = np.argsort(rows, kind="stable")
    return Neighbors(rows[order], code_NK[order], similarity_NK[order])
