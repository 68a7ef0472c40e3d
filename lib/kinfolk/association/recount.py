"""How many other baskets hold itemsets that are known: held-out ones, those of one shop, tonight's.

As in the search, the baskets of a class are numbered anew, and a member of the class has a bit for each of them; but
the sets to count are given, so that no other is looked at.

Shape suffixes: S itemsets, R ranks, E entries of baskets, M members of a class, L levels, W words of 64 baskets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Entries, Integers, order_baskets
from kinfolk.association.lattice import Lattice
from kinfolk.kernels.bits import LANES, count_row, count_words, intersect_rows
from kinfolk.kernels.compiling import Whole, kernel


class _Work(NamedTuple):
    """What counting works with: between classes `local_R`, the number of a rank among the members, is all -1.

    `bit_W` has the baskets of each member, and behind them those of the set of each level; the sets of a level that
    are yet to be counted are those from `at_L` to `stop_L`.
    """

    local_R: Codes
    bit_W: NDArray[np.uint64]
    at_L: Integers
    stop_L: Integers


def count_sets(lattice: Lattice, baskets: Baskets) -> Integers:
    """How many baskets hold each set; they have to be encoded by the ranks of the sets (`encode_known`)."""
    count_S = np.zeros(len(lattice.count_S), np.int64)
    items = len(baskets.count_R)
    count_S[:items] = baskets.count_R
    if items < len(count_S):
        deepest = int(lattice.lengths.max()) + 1
        rows_R = -(-baskets.count_R // (64 * LANES)) * LANES
        words_R = rows_R * (lattice.children_S[:items] + deepest)
        bits = np.empty(int(words_R.max(initial=0)), np.uint64)
        work = _Work(np.full(items, -1, np.int32), bits, *np.empty((2, deepest), np.int64))
        _count_classes(order_baskets(baskets), lattice, work, count_S)
    return count_S


@kernel
def _count_classes(entries: Entries, lattice: Lattice, work: _Work, count_S: Integers) -> None:
    first_R, children_S, local_R, bit_W = entries.first_R, lattice.children_S, work.local_R, work.bit_W
    for first in range(len(local_R)):
        members, start = np.int64(children_S[first]), np.int64(lattice.child_S[first])
        if not members or first_R[first + 1] == first_R[first]:
            continue
        words = count_words(first_R[first + 1] - first_R[first])
        _set_bits(entries, lattice, work, first)
        for m in range(members):
            count = count_row(bit_W, m * words, words)
            count_S[start + m] = count
            if count and children_S[start + m]:
                _count_below(lattice, work, (start + m, m), (members, words), count_S)
        for m in range(members):
            local_R[lattice.item_S[start + m]] = -1


@kernel
def _set_bits(entries: Entries, lattice: Lattice, work: _Work, first: Whole) -> None:
    """Number the members of a class, and set the bits of each in the baskets of the class."""
    rank_E, position_E, first_R = entries
    local_R, bit_W = work.local_R, work.bit_W
    members, start = lattice.children_S[first], lattice.child_S[first]
    words = count_words(first_R[first + 1] - first_R[first])
    for m in range(members):
        local_R[lattice.item_S[start + m]] = m
    bit_W[: members * words] = np.uint64(0)
    for basket in range(first_R[first + 1] - first_R[first]):
        word, bit = basket >> 6, np.uint64(1) << np.uint64(basket & 63)
        e = np.int64(position_E[first_R[first] + basket]) + 1
        while rank_E[e] >= 0:
            m = local_R[rank_E[e]]
            if m >= 0:
                bit_W[m * words + word] |= bit
            e += 1


@kernel
def _count_below(
    lattice: Lattice, work: _Work, pair: tuple[Whole, Whole], shape: tuple[Whole, Whole], count_S: Integers
) -> None:
    """Count all sets that begin with a pair, which is given with the number of its member.

    `shape` are how many members the class has, and how many words a bitset.
    """
    child_S, children_S = lattice.child_S, lattice.children_S
    local_R, bit_W, at_L, stop_L = work
    (top, member), (members, words) = pair, shape
    level = 0
    at_L[0], stop_L[0] = child_S[top], child_S[top] + children_S[top]
    while level >= 0:
        s = at_L[level]
        if s == stop_L[level]:
            level -= 1
            continue
        at_L[level] = s + 1
        above = (members + level - 1) * words if level else member * words
        own, to = local_R[lattice.item_S[s]] * words, (members + level) * words
        count = intersect_rows(bit_W, above, own, to, words)
        count_S[s] = count
        if count and children_S[s]:
            level += 1
            at_L[level], stop_L[level] = child_S[s], child_S[s] + children_S[s]
