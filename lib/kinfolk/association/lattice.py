"""Itemsets that know their subsets, and which of them say it all: closed and maximal sets, and generators.

Shape suffixes: S itemsets, J items of all itemsets, one set after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.tree import Tree
from kinfolk.kernels.compiling import Whole, inlined, kernel

NOTHING = -1
"""The empty set among subsets."""
CLOSED, MAXIMAL, GENERATOR = 1, 2, 4


class Lattice(NamedTuple):
    """Itemsets with their items, and with the sets that have one item less, all of which are among them.

    The items of set s are `item_J[start_S[s]:start_S[s + 1]]`, their ranks in ascending order; the set without its j-th
    item is `subset_J[start_S[s] + j]`, `NOTHING` for the empty one. `count_S` is how many baskets hold it, and `item_S`
    its last item. Its children, which have one item of a higher rank more, are the sets from `child_S[s]` on,
    `children_S[s]` of them. Set r, for each rank r, is the single item.
    """

    start_S: Integers
    item_J: Codes
    subset_J: Codes
    count_S: Integers
    item_S: Codes
    child_S: Codes
    children_S: Codes

    @property
    def lengths(self) -> Integers:
        """How many items each set has."""
        return np.diff(self.start_S)


def link_subsets(tree: Tree) -> Lattice:
    """Write out the items of all sets, and find their subsets."""
    sets = len(tree.parent_S)
    length_S, child_S, children_S = np.empty((3, sets), np.int32)
    _list_children(tree, length_S, child_S, children_S)
    start_S = np.zeros(sets + 1, np.int64)
    np.cumsum(length_S, out=start_S[1:])
    item_J, subset_J = np.empty((2, int(start_S[-1])), np.int32)
    _write_sets(tree, start_S, child_S, children_S, item_J, subset_J)
    return Lattice(start_S, item_J, subset_J, tree.count_S, tree.item_S, child_S, children_S)


def mark_sets(lattice: Lattice, basket_count: int) -> NDArray[np.uint8]:
    """Which sets are `CLOSED`, `MAXIMAL` and `GENERATOR`s, as bits.

    A set is closed if no larger one is in as many baskets, maximal if no larger one is frequent, and a generator if no
    smaller one is in as few, where all baskets hold the empty set (Pasquier et al., Discovering frequent closed
    itemsets for association rules, ICDT 1999; Bastide et al., Mining minimal non-redundant association rules using
    frequent closed itemsets, CL 2000). Larger sets are those that were looked for: of the longest ones that are allowed
    all are maximal.
    """
    marks_S = np.full(len(lattice.count_S), CLOSED | MAXIMAL | GENERATOR, np.uint8)
    _mark(lattice, basket_count, marks_S)
    return marks_S


@kernel
def _list_children(tree: Tree, length_S: Codes, child_S: Codes, children_S: Codes) -> None:
    parent_S = tree.parent_S
    child_S[:], children_S[:] = 0, 0
    for s in range(len(parent_S)):
        parent = parent_S[s]
        if parent < 0:
            length_S[s] = 1
            continue
        length_S[s] = length_S[parent] + 1
        if not children_S[parent]:
            child_S[parent] = s
        children_S[parent] += 1


@kernel
def _write_sets(
    tree: Tree, start_S: Integers, child_S: Codes, children_S: Codes, item_J: Codes, subset_J: Codes
) -> None:
    """Write items and subsets: a child without an item is a child of its parent without that item."""
    item_S = tree.item_S
    for s in range(len(item_S)):
        last = start_S[s + 1] - 1
        item_J[last], subset_J[last] = item_S[s], tree.parent_S[s]
        first = child_S[s]
        for place in range(start_S[s], last + 1):
            without = subset_J[place]
            at = child_S[without] if without >= 0 else 0
            for child in range(first, first + children_S[s]):
                to = start_S[child] + place - start_S[s]
                item_J[to] = item_J[place]
                if without >= 0:
                    at = _find(item_S, at, child_S[without] + children_S[without], item_S[child])
                    subset_J[to] = at
                else:
                    subset_J[to] = item_S[child]


@inlined
def _find(item_S: Codes, start: Whole, stop: Whole, item: Whole) -> Whole:
    """The place of an item among those that ascend from `start`, where it is one of them: soon, if it is near."""
    step, low = 1, start
    while low + step < stop and item_S[low + step] <= item:
        low += step
        step *= 2
    high = min(low + step, stop)
    while high - low > 1:
        middle = (low + high) >> 1
        if item_S[middle] <= item:
            low = middle
        else:
            high = middle
    return low


@inlined
def find_child(lattice: Lattice, parent: Whole, item: Whole) -> Whole:
    """The set that has one item, of a higher rank, more than another; it has to be there."""
    start = lattice.child_S[parent]
    return _find(lattice.item_S, start, start + lattice.children_S[parent], item)


@kernel
def _mark(lattice: Lattice, basket_count: Whole, marks_S: NDArray[np.uint8]) -> None:
    start_S, subset_J, count_S = lattice.start_S, lattice.subset_J, lattice.count_S
    for s in range(len(count_S)):
        for j in range(start_S[s], start_S[s + 1]):
            subset = subset_J[j]
            if count_S[s] == (count_S[subset] if subset >= 0 else basket_count):
                marks_S[s] &= np.uint8(CLOSED | MAXIMAL)
                if subset >= 0:
                    marks_S[subset] &= np.uint8(GENERATOR)
            if subset >= 0:
                marks_S[subset] &= np.uint8(CLOSED | GENERATOR)
