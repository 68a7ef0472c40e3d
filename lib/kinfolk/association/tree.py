"""Itemsets as a tree, in arrays that grow as more are found.

Shape suffixes: S itemsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers

Number = TypeVar("Number", bound=np.generic)


class Tree(NamedTuple):
    """Itemsets, each its parent and one more item, of a higher rank; parents come first.

    Set r, for each rank r, is the single item. The children of a set stand beside each other, in the order of their
    items. `parent_S` is -1 for single items; `count_S` is how many baskets hold the set.
    """

    parent_S: Codes
    item_S: Codes
    count_S: Integers


class Limits(NamedTuple):
    """The least count of a set, the most items, and the most sets that are looked for."""

    least: int
    length: int
    sets: int


def make_tree(room: int) -> Tree:
    """Room for so many sets."""
    return Tree(np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int64))


def join_trees(trees: list[Tree]) -> Tree:
    """The sets of all trees, one after the other; their numbers stay as they are."""
    parent_S, item_S, count_S = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    return Tree(parent_S, item_S, count_S)


def merge_trees(trees: Sequence[Tree], count_R: Integers, *, most: int) -> Tree | None:
    """The sets that are in any of the trees, each once; None where they are more than that.

    All trees name items by the same ranks, and have all of them. Their counts are of no account: those of single items
    are given, those of other sets are 0.
    """
    items = len(count_R)
    found = [Tree(np.full(items, -1, np.int32), np.arange(items, dtype=np.int32), count_R)]
    sets = items
    # What number each set has among those found, -1 for none yet, and which have none.
    numbers = [np.where(tree.parent_S < 0, tree.item_S, -1).astype(np.int64) for tree in trees]
    rests = [np.flatnonzero(number_S < 0) for number_S in numbers]
    while sets <= most and any(map(len, rests)):
        is_next = [
            number_S[tree.parent_S[rest]] >= 0 for tree, number_S, rest in zip(trees, numbers, rests, strict=True)
        ]
        level = [rest[some] for rest, some in zip(rests, is_next, strict=True)]
        keys = [
            number_S[tree.parent_S[some]] * items + tree.item_S[some]
            for tree, number_S, some in zip(trees, numbers, level, strict=True)
        ]
        # In this order the children of a set stand beside each other, in the order of their items.
        key_S, place = np.unique(np.concatenate(keys), return_inverse=True)
        places = np.split(sets + place, np.cumsum([len(some) for some in keys])[:-1])
        for number_S, some, its in zip(numbers, level, places, strict=True):
            number_S[some] = its
        rests = [rest[~some] for rest, some in zip(rests, is_next, strict=True)]
        parent_S, item_S = ((values).astype(np.int32) for values in np.divmod(key_S, items))
        found.append(Tree(parent_S, item_S, np.zeros(len(key_S), np.int64)))
        sets += len(key_S)
    return join_trees(found) if sets <= most else None


def cut_tree(tree: Tree, sets: int) -> Tree:
    """The first so many sets."""
    return Tree(tree.parent_S[:sets], tree.item_S[:sets], tree.count_S[:sets])


def lengthen_tree(tree: Tree, room: int) -> Tree:
    """The same sets, with room for so many."""
    return Tree(lengthen(tree.parent_S, room), lengthen(tree.item_S, room), lengthen(tree.count_S, room))


def lengthen(values: NDArray[Number], size: int) -> NDArray[Number]:
    """The same values, with room for so many."""
    longer = np.empty(size, values.dtype)
    longer[: len(values)] = values
    return longer
