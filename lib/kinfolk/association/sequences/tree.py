"""Sequences as a tree, in arrays that grow as more are found.

Shape suffixes: S sequences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers

NONE = -1
"""The parent of a single item, and the element before the first one."""


class SequenceTree(NamedTuple):
    """Sequences, each its parent and one more item, in an element of its own where `is_new_S` is 1; parents come first.

    Sequence r, for each rank r, is the single item. Items of an element come in order of rank. `count_S` is how many
    customers hold the sequence. `gap_S` is the median of the microseconds between the last two elements, where each of
    these customers first completes the sequence; not a number where there is one element.
    """

    parent_S: Codes
    item_S: Codes
    is_new_S: NDArray[np.uint8]
    count_S: Integers
    gap_S: NDArray[np.float64]


class SequenceLimits(NamedTuple):
    """The least count, the most items and elements of a sequence, the most sequences that are looked for, and times.

    Times are in microseconds: the least gap, 1 or more, and the most gap between elements, the most span of them all.
    """

    least: int
    length: int
    elements: int
    sequences: int
    min_gap: int
    max_gap: int
    max_span: int


def list_singles(count_R: Integers) -> SequenceTree:
    """The single items, given how many customers hold each."""
    items = len(count_R)
    parent_S, item_S = np.full(items, NONE, np.int32), np.arange(items, dtype=np.int32)
    return SequenceTree(parent_S, item_S, np.ones(items, np.uint8), count_R, np.full(items, np.nan))


def make_sequences(room: int) -> SequenceTree:
    """Room for so many sequences."""
    parent_S, item_S = np.empty((2, room), np.int32)
    return SequenceTree(parent_S, item_S, np.empty(room, np.uint8), np.empty(room, np.int64), np.empty(room))


def cut_sequences(tree: SequenceTree, size: int) -> SequenceTree:
    """The first so many sequences."""
    return SequenceTree._make(values[:size] for values in tree)


def join_sequences(singles: SequenceTree, found: list[SequenceTree]) -> SequenceTree:
    """The sequences of all trees, which have the same single items, given apart, and number their own from there on."""
    items, before = len(singles.item_S), 0
    for tree in found:
        tree.parent_S[tree.parent_S >= items] += before
        before += len(tree.parent_S)
    return SequenceTree._make(np.concatenate(parts) for parts in zip(singles, *found, strict=True))
