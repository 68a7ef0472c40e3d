"""The exact join: blocks of rows against blocks of rows, each pair of blocks multiplied once.

Shape suffixes: N items, P pairs, K neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinfolk.similarity.effort import WHOLE, Share, split_items, spread
from kinfolk.similarity.found import Neighbors, Pairs
from kinfolk.similarity.vectors.scan import SPARE_PLACES, Rows, Scan, Wanted, all_of
from kinfolk.similarity.vectors.spaces import Space


def join_exactly(
    space: Space, wanted: Wanted, *, block_rows: int, threads: int, share: Share = WHOLE
) -> tuple[Pairs, Neighbors]:
    """All pairs of at least a similarity, and the nearest neighbours of every row of the left side.

    A share has the blocks t, t + T, … of the left side: the pairs whose first row is among them, and their neighbours.
    """
    blocks = split_items(len(space.query_NE), block_rows)
    bases = blocks if space.is_self_join else split_items(len(space.base_NE), block_rows)
    own = range(share[0], len(blocks), share[1])
    scan = Scan(space, wanted, spare_places=SPARE_PLACES)

    def join_with_itself(i: int) -> None:
        scan.take(np.arange(blocks[i].start, blocks[i].stop), blocks[i], is_mutual=False, owns=np.less)

    def join_with_others(i: int) -> None:
        query_Q = np.arange(blocks[i].start, blocks[i].stop)
        near = _near(space, query_Q, block_rows)
        if not space.is_self_join:
            for base in bases[near.start : near.stop]:
                scan.take(query_Q, base, is_mutual=False, owns=all_of)
            return
        for j in range(i + 1, near.stop):
            scan.take(query_Q, blocks[j], is_mutual=j in own, owns=all_of)
        for j in range(near.start, i):
            if j not in own and wanted.neighbors:
                scan.take(query_Q, blocks[j], is_mutual=False, owns=None)

    if space.is_self_join:
        # All blocks with themselves first, so that no row is without a floor when others are offered to it.
        spread(join_with_itself, own, threads)
    spread(join_with_others, own, threads)
    rows = np.concatenate([np.arange(0), *(np.arange(blocks[i].start, blocks[i].stop) for i in own)])
    return scan.pairs(), _find_neighbors(scan, rows, block_rows, threads)


def join_some(space: Space, wanted: Wanted, rows: Rows, *, block_rows: int, threads: int) -> tuple[Pairs, Neighbors]:
    """What some rows of the left side are similar to, exactly, whichever id comes first; an item is not its own.

    The rows rise. The pairs have the rows as their left side.
    """
    scan = Scan(space, wanted, spare_places=SPARE_PLACES)
    bases = split_items(len(space.base_NE), block_rows)

    def join_part(part: range) -> None:
        query_Q = rows[part.start : part.stop]
        near = _near(space, query_Q, block_rows)
        for base in bases[near.start : near.stop]:
            scan.take(query_Q, base, is_mutual=False, owns=_others if space.is_self_join else all_of)

    spread(join_part, _split_for(len(rows), block_rows, threads), threads)
    return scan.pairs(), _find_neighbors(scan, rows, block_rows, threads)


def _find_neighbors(scan: Scan, rows: Rows, block_rows: int, threads: int) -> Neighbors:
    """The nearest neighbours of rows that were scanned against the whole base."""
    if not scan.wanted.neighbors:
        return Neighbors.none()
    neighbors, is_certain_N = scan.neighbors(rows, threads=threads)
    _settle(scan, neighbors, np.flatnonzero(~is_certain_N), block_rows, threads)
    return neighbors


def _near(space: Space, query_Q: Rows, block_rows: int) -> range:
    """The blocks of base rows that some query rows are compared with."""
    reach = space.reach(query_Q)
    return range(reach.start // block_rows, -(-reach.stop // block_rows))


def _split_for(count: int, block_rows: int, threads: int) -> list[range]:
    """Cut rows into blocks, smaller ones where there would be fewer than threads."""
    return split_items(count, max(1, min(block_rows, -(-count // threads))))


def _others(query_P: Rows, base_P: Rows) -> NDArray[np.bool_]:
    is_other_P: NDArray[np.bool_] = query_P != base_P
    return is_other_P


def _settle(scan: Scan, neighbors: Neighbors, places: Rows, block_rows: int, threads: int) -> None:
    """Look once more at the rows in these places, whose last neighbour lies closer to others than a score can tell.

    Every candidate that may be as near as the last one found is measured exactly.
    """
    space = scan.space
    bases = split_items(len(space.base_NE), block_rows)

    def settle_part(part: range) -> None:
        some = places[part.start : part.stop]
        row_Q, count = neighbors.row_N[some], neighbors.code_NK.shape[1]
        code_QK, similarity_QK = neighbors.code_NK[some], neighbors.similarity_NK[some]
        near = _near(space, row_Q, block_rows)
        for base in bases[near.start : near.stop]:
            least_Q = space.candidate_scores(similarity_QK[:, -1])
            query_P, base_P = scan.candidates(row_Q, base, least_Q)
            similarity_P = space.similarity(row_Q[query_P], base_P)
            _merge(code_QK, similarity_QK, query_P, base_P, similarity_P)
        neighbors.code_NK[some], neighbors.similarity_NK[some] = code_QK[:, :count], similarity_QK[:, :count]

    spread(settle_part, _split_for(len(places), block_rows, threads), threads)


def _merge(
    code_QK: NDArray[np.int64],
    similarity_QK: NDArray[np.float64],
    query_P: Rows,
    code_P: Rows,
    similarity_P: NDArray[np.float64],
) -> None:
    """Let candidates compete for the places of their rows: the most similar first, equal ones by code."""
    count = code_QK.shape[1]
    touched = np.unique(query_P)
    rows = np.concatenate([np.repeat(touched, count), query_P])
    codes = np.concatenate([code_QK[touched].ravel(), code_P])
    similarities = np.concatenate([similarity_QK[touched].ravel(), similarity_P])
    # A neighbour that stands there already comes as a candidate again.
    order = np.lexsort((codes, -similarities, rows))
    rows, codes, similarities = rows[order], codes[order], similarities[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])
    rows, codes, similarities = rows[is_new], codes[is_new], similarities[is_new]
    best = np.searchsorted(rows, touched)[:, None] + np.arange(count)
    code_QK[touched], similarity_QK[touched] = codes[best], similarities[best]
