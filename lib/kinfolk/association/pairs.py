"""The frequent pairs of all items, which are counted before any larger set.

Shape suffixes: E entries of baskets, R ranks, S itemsets, N shares of the classes, Z stretches of ranks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Entries, Integers, Ranks
from kinfolk.association.tree import Limits, Tree, cut_tree, join_trees, lengthen_tree, make_tree
from kinfolk.kernels.bits import prefetch
from kinfolk.kernels.compiling import Whole, kernel

AHEAD = 16
"""Baskets of a class that are asked for before they are read: they lie anywhere in memory."""

_MOST_COUNTED = (1 << 16) - 1
_FIRST_SETS = 1 << 14
_STRETCH_BITS = 6
"""Bits of a rank that tell it from others of its stretch."""
_CLASS, _SIZE, _SHARE = range(3)
"""Places of what the search of a share knows of itself: the class it comes to, how many pairs it has written, and
which share it is."""


class Pairs(NamedTuple):
    """The frequent pairs: those of class r have the second items `item_S[first_R[r]:stop_R[r]]`, which ascend.

    Where some are barred, a set may be frequent and yet hold a pair that is not among them.
    """

    item_S: Codes
    first_R: Integers
    stop_R: Integers
    is_barred: bool = False


class _Scratch(NamedTuple):
    """All 0 between classes: `count_R` counts pairs, `seen_Z` says of which stretches of ranks some were counted."""

    count_R: Integers
    seen_Z: NDArray[np.uint8]


def table_pairs(singles: Tree, baskets: Baskets, limits: Limits, pool: Any) -> tuple[Tree, Pairs]:
    """Single items and frequent pairs, of few items: by one pass over all baskets, with a table of all pairs."""
    items = len(singles.item_S)
    # A pair is in no more baskets than its rarer item: mostly half the memory will do, and stays in the cache.
    is_countable = items < 2 or np.sort(baskets.count_R)[-2] <= _MOST_COUNTED
    most_baskets = baskets.basket_count if is_countable else _MOST_COUNTED

    def tally(span: tuple[int, int]) -> list[NDArray[np.uint16]]:
        (start, stop), tables = span, []
        while start < stop:
            tables.append(np.zeros((items, items), np.uint16))
            start = int(_tally_pairs(baskets.rank_E, start, stop, tables[-1], most_baskets))
        return tables

    tables = [table for some in pool.map(tally, baskets.spans) for table in some]
    count_RR = tables[0] if len(tables) == 1 else sum(tables, np.zeros((items, items), np.uint32))
    found, bound_R = make_tree(items * (items - 1) // 2), np.full(items + 1, items)
    _collect_pairs(count_RR, limits.least, found, bound_R)
    tree = join_trees([singles, cut_tree(found, int(bound_R[-1]) - items)])
    return tree, Pairs(tree.item_S, bound_R[:-1], bound_R[1:])


def list_pairs(singles: Tree, entries: Entries, limits: Limits, written_N: Integers, pool: Any) -> tuple[Tree, Pairs]:
    """The same of any number of items: class by class, for each the baskets that hold its item.

    `written_N` is to say how many pairs each share of the classes has written: all end where these are too many.
    """
    items, shares = len(singles.item_S), len(written_N)
    first_R, stop_R = np.zeros((2, items), np.int64)

    def count_pairs(share: int) -> Tree:
        scratch = _Scratch(np.zeros(items, np.int64), np.zeros((items >> _STRETCH_BITS) + 1, np.uint8))
        tree, state = make_tree(items + _FIRST_SETS), np.array([share, 0, share])
        while _count_pairs(entries, scratch, tree, (first_R, stop_R), limits, (state, written_N)):
            tree = lengthen_tree(cut_tree(tree, int(state[_SIZE])), 2 * len(tree.item_S) + items)
        return cut_tree(tree, int(state[_SIZE]))

    counted = list(pool.map(count_pairs, range(shares)))
    for share in range(shares):
        before = items + sum(len(some.item_S) for some in counted[:share])
        first_R[share::shares] += before
        stop_R[share::shares] += before
    tree = join_trees([singles, *counted])
    return tree, Pairs(tree.item_S, first_R, stop_R)


def bar_pairs(tree: Tree, pairs: Pairs, barred_N2: Codes) -> tuple[Tree, Pairs]:
    """Single items and frequent pairs without those that are barred."""
    items = len(pairs.first_R)
    # Single items have no parent, and so no key of a pair.
    key_S = tree.parent_S * np.int64(items) + tree.item_S
    is_kept_S = ~np.isin(key_S, barred_N2[:, 0] * np.int64(items) + barred_N2[:, 1])
    place_S = np.concatenate([[0], np.cumsum(is_kept_S)])
    kept = Tree(tree.parent_S[is_kept_S], tree.item_S[is_kept_S], tree.count_S[is_kept_S])
    return kept, Pairs(kept.item_S, place_S[pairs.first_R], place_S[pairs.stop_R], is_barred=True)


@kernel
def _tally_pairs(rank_E: Ranks, start: Whole, stop: Whole, count_RR: NDArray[np.uint16], most: Whole) -> Whole:
    """Count each pair of at most so many baskets once, as its items come; returns where the last basket ends."""
    e, first, baskets = start, start, 0
    while e < stop and baskets < most:
        rank = rank_E[e]
        if rank >= 0:
            # With those that came before: how many these are does not depend on how many follow, and so is foreseen.
            for other in range(first, e):
                count_RR[rank, rank_E[other]] += np.uint16(1)
        else:
            baskets += 1
            first = e + 1
        e += 1
    return e


@kernel
def _collect_pairs(count_RR: NDArray[np.uint32], least: Whole, found: Tree, bound_R: Integers) -> None:
    """Write the frequent pairs, each of which was counted on either side, as its items came; and where classes end."""
    parent_S, item_S, count_S = found
    pairs = 0
    for rank in range(len(count_RR)):
        for other in range(rank + 1, len(count_RR)):
            count = count_RR[rank, other] + count_RR[other, rank]
            if count >= least:
                parent_S[pairs], item_S[pairs], count_S[pairs] = rank, other, count
                pairs += 1
        bound_R[rank + 1] += pairs


@kernel
def _count_pairs(
    entries: Entries,
    scratch: _Scratch,
    tree: Tree,
    bounds: tuple[Integers, Integers],
    limits: Limits,
    account: tuple[Integers, Integers],
) -> Whole:
    """Write the frequent pairs of a share of the classes, and from where to where they stand.

    Returns whether there is more to do, once there is room for it.
    """
    rank_E, position_E, first_R = entries
    count_R, seen_Z = scratch.count_R, scratch.seen_Z
    pair_R, pair_stop_R = bounds
    state, written_N = account
    items, last = len(count_R), len(position_E) - 1
    while state[_CLASS] < items and written_N.sum() <= limits.sets:
        first, size = state[_CLASS], state[_SIZE]
        if size + items - first > len(tree.parent_S):
            return 1
        for place in range(first_R[first], first_R[first + 1]):
            prefetch(rank_E, np.int64(position_E[min(place + AHEAD, last)]))
            e = np.int64(position_E[place]) + 1
            while rank_E[e] >= 0:
                rank = rank_E[e]
                seen_Z[rank >> _STRETCH_BITS] = 1
                count_R[rank] += 1
                e += 1
        pair_R[first] = size
        for stretch in range((first + 1) >> _STRETCH_BITS, len(seen_Z)):
            if not seen_Z[stretch]:
                continue
            seen_Z[stretch] = 0
            begin = max(first + 1, stretch << _STRETCH_BITS)
            for rank in range(begin, min(items, (stretch + 1) << _STRETCH_BITS)):
                if count_R[rank] >= limits.least:
                    tree.parent_S[size], tree.item_S[size], tree.count_S[size] = first, rank, count_R[rank]
                    size += 1
                count_R[rank] = 0
        pair_stop_R[first] = size
        written_N[state[_SHARE]] += size - state[_SIZE]
        state[_CLASS], state[_SIZE] = first + len(written_N), size
    return 0
