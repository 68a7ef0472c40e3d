"""Itemsets as a tree, in arrays that grow as more are found.

Shape suffixes: S itemsets.
"""

from __future__ import annotations

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
