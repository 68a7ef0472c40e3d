"""Depth-first search for frequent itemsets on packed bitsets (Zaki, Scalable Algorithms for Association Mining, 2000).

A class is all sets that begin with one item; items are named by rank, the rarest first, and a set lists its items in
that order. The baskets of a class are few, since its first item is its rarest, and they are numbered anew: a member of
the class, an item that is frequent together with the first, has a bit for each of them. Classes are searched from the
last item to the first. So when a class is searched the frequent pairs of all its members are known, and no set with an
infrequent pair is ever counted.

The search keeps its place in arrays and returns wherever it needs more room: arrays grow only as the result does.

Shape suffixes: E entries of baskets, R ranks, S itemsets, M members of a class, L levels of the search, T places on its
stack, W words of 64 baskets.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets
from kinfolk.kernels.bits import count_bits, trailing_zeros
from kinfolk.kernels.compiling import Whole, inlined, kernel

_DONE, _NEEDS_SETS, _NEEDS_STACK, _NEEDS_PAIRS = 0, 1, 2, 3
_COUNTING, _PROJECTING, _EXTENDING = 0, 1, 2
_CLASS, _PHASE, _SIZE, _MEMBERS, _WORDS, _LEVEL, _TOP = range(7)
"""Places of what the search knows of itself: the class it is in and what it does there, how many itemsets there are,
how many members the class has and how many words a bitset, the level that is extended, and the first free place."""

_FIRST_SETS, _FIRST_WORDS, _FIRST_PLACES = 1 << 14, 1 << 16, 1 << 10
_MOST_PAIRED = 8192
"""Members of a class above which a table of their pairs would cost more than it saves."""

Integers = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


class Tree(NamedTuple):
    """Itemsets, each its parent and one more item, of a higher rank; parents come first.

    `parent_S` is -1 for single items; `count_S` is how many baskets hold the set.
    """

    parent_S: NDArray[np.int32]
    item_S: NDArray[np.int32]
    count_S: Integers


class _Entries(NamedTuple):
    """Baskets: the rank of each entry and where its basket ends; and the entries of each rank, rank by rank."""

    rank_E: NDArray[np.int32]
    end_E: Integers
    entry_E: Integers
    first_R: Integers


class _Scratch(NamedTuple):
    """What the opening of a class needs, all zero but for `local_R`, all -1, between classes.

    `count_R` counts pairs, `seen_W` has a bit for each rank that was counted, `local_R` is the number of a rank among
    the members. `pair_R` is where the pairs of each class begin among the itemsets, and where they end is `pair_end_R`.
    `is_pair_MM` says row by row which members are frequent together.
    """

    count_R: Integers
    seen_W: NDArray[np.uint64]
    local_R: NDArray[np.int32]
    pair_R: Integers
    pair_end_R: Integers
    is_pair_MM: NDArray[np.uint8]


class _Stack(NamedTuple):
    """Sets that are yet to be extended, each by those after it on its level.

    A place holds the last member of a set, by its number in the class, where the set stands among the itemsets, and its
    baskets as bits. A level has the places from `first_L` to `stop_L`; the one at `at_L` comes next.
    """

    bit_W: NDArray[np.uint64]
    member_T: NDArray[np.int32]
    set_T: Integers
    first_L: Integers
    stop_L: Integers
    at_L: Integers


def search_itemsets(baskets: Baskets, least: int, *, max_length: int, most: int) -> Tree:
    """Every itemset of at most `max_length` items that at least `least` baskets hold, exactly once.

    The search ends once there are more than `most`.
    """
    items = len(baskets.item_ids)
    tree = Tree(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    tree = _with_room(tree, 0, items + _FIRST_SETS)
    tree.parent_S[:items], tree.item_S[:items], tree.count_S[:items] = -1, np.arange(items), baskets.item_counts
    entries, scratch, stack = _list_entries(baskets), _make_scratch(items), _make_stack(items)
    state = np.array([items - 1, _COUNTING, items, 0, 0, 0, 0])
    status = _search(entries, scratch, tree, stack, (least, max_length, most), state) if max_length > 1 else _DONE
    while status != _DONE:
        if status == _NEEDS_SETS:
            tree = _with_room(tree, int(state[_SIZE]), 2 * len(tree.parent_S) + items)
        elif status == _NEEDS_PAIRS:
            scratch = scratch._replace(is_pair_MM=np.empty(min(2 * state[_MEMBERS], _MOST_PAIRED) ** 2, np.uint8))
        else:
            stack = _with_places(stack, state)
        status = _search(entries, scratch, tree, stack, (least, max_length, most), state)
    size = int(state[_SIZE])
    return Tree(tree.parent_S[:size], tree.item_S[:size], tree.count_S[:size])


def unfold(tree: Tree) -> tuple[Integers, NDArray[np.int32]]:
    """The items of itemsets, one set after the other; and before them where each set begins and the last one ends."""
    length_S = np.empty(len(tree.parent_S), np.int32)
    _measure(tree, length_S)
    start_S = np.concatenate([[0], np.cumsum(length_S, dtype=np.int64)])
    items = np.empty(int(start_S[-1]), np.int32)
    _write_items(tree, start_S, items)
    return start_S, items


def _list_entries(baskets: Baskets) -> _Entries:
    rank_E = baskets.ranks.astype(np.int32, copy=False)
    first_R = np.concatenate([[0], np.cumsum(baskets.item_counts)]).astype(np.int64)
    entry_E = np.empty(len(rank_E), np.int64)
    _list_by_rank(rank_E, first_R[:-1].copy(), entry_E)
    return _Entries(rank_E, baskets.ends.astype(np.int64, copy=False), entry_E, first_R)


def _make_scratch(items: int) -> _Scratch:
    count_R, seen_W = np.zeros(items, np.int64), np.zeros(items // 64 + 1, np.uint64)
    pair_R, pair_end_R = np.zeros((2, items), np.int64)
    return _Scratch(count_R, seen_W, np.full(items, -1, np.int32), pair_R, pair_end_R, np.empty(0, np.uint8))


def _make_stack(items: int) -> _Stack:
    first_L, stop_L, at_L = np.zeros((3, items + 1), np.int64)
    member_T, set_T = np.empty(_FIRST_PLACES, np.int32), np.empty(_FIRST_PLACES, np.int64)
    return _Stack(np.empty(_FIRST_WORDS, np.uint64), member_T, set_T, first_L, stop_L, at_L)


def _with_room(tree: Tree, used: int, room: int) -> Tree:
    """The same itemsets with room for more."""
    parent_S, item_S = (_lengthened(values[:used], room) for values in (tree.parent_S, tree.item_S))
    return Tree(parent_S, item_S, _lengthened(tree.count_S[:used], room))


def _with_places(stack: _Stack, state: Integers) -> _Stack:
    """The same sets with room for at least one level more of the class."""
    top = state[_TOP] if state[_PHASE] == _EXTENDING else 0
    places = int(top + state[_MEMBERS])
    words = int(places * state[_WORDS])
    if words > len(stack.bit_W):
        stack = stack._replace(bit_W=_lengthened(stack.bit_W, 2 * words))
    if places > len(stack.member_T):
        longer = _lengthened(stack.member_T, 2 * places), _lengthened(stack.set_T, 2 * places)
        stack = stack._replace(member_T=longer[0], set_T=longer[1])
    return stack


def _lengthened(values: NDArray[Number], size: int) -> NDArray[Number]:
    longer = np.empty(size, values.dtype)
    longer[: len(values)] = values
    return longer


@kernel
def _list_by_rank(rank_E: NDArray[np.int32], next_R: Integers, entry_E: Integers) -> None:
    """Write the entries of each rank, in order; `next_R` is where those of each begin."""
    for e in range(len(rank_E)):
        rank = rank_E[e]
        entry_E[next_R[rank]] = e
        next_R[rank] += 1


@kernel
def _search(
    entries: _Entries, scratch: _Scratch, tree: Tree, stack: _Stack, limits: tuple[int, int, int], state: Integers
) -> Whole:
    """Go on with the search until it is done or needs room; returns which.

    `limits` are the least count, the most items of a set, and the most sets.
    """
    while state[_CLASS] >= 0 and state[_SIZE] <= limits[2]:
        if state[_PHASE] == _COUNTING:
            if state[_SIZE] + len(scratch.count_R) > len(tree.parent_S):
                return _NEEDS_SETS
            _count_pairs(entries, scratch, tree, limits[0], state)
            state[_PHASE] = _PROJECTING
        if state[_MEMBERS] >= 2 and limits[1] >= 3:
            if state[_PHASE] == _PROJECTING:
                if state[_MEMBERS] <= _MOST_PAIRED and state[_MEMBERS] ** 2 > len(scratch.is_pair_MM):
                    return _NEEDS_PAIRS
                if state[_MEMBERS] > len(stack.member_T) or state[_MEMBERS] * state[_WORDS] > len(stack.bit_W):
                    return _NEEDS_STACK
                _project(entries, scratch, tree, stack, state)
                state[_PHASE] = _EXTENDING
            status = _extend(scratch, tree, stack, limits, state)
            if status != _DONE:
                return status
        state[_CLASS] -= 1
        state[_PHASE] = _COUNTING
    return _DONE


@kernel
def _count_pairs(entries: _Entries, scratch: _Scratch, tree: Tree, least: Whole, state: Integers) -> None:
    """Write the frequent pairs of a class, whose second items are its members."""
    rank_E, end_E, entry_E, first_R = entries
    count_R, seen_W = scratch.count_R, scratch.seen_W
    first = state[_CLASS]
    for place in range(first_R[first], first_R[first + 1]):
        entry = entry_E[place]
        for e in range(entry + 1, end_E[entry]):
            rank = rank_E[e]
            seen_W[rank >> 6] |= np.uint64(1) << np.uint64(rank & 63)
            count_R[rank] += 1
    size = state[_SIZE]
    scratch.pair_R[first] = size
    for word in range(first >> 6, len(seen_W)):
        bits = seen_W[word]
        seen_W[word] = np.uint64(0)
        while bits:
            rank = np.int64(word * 64 + np.int64(trailing_zeros(bits)))
            bits &= bits - np.uint64(1)
            if count_R[rank] >= least:
                tree.parent_S[size], tree.item_S[size], tree.count_S[size] = first, rank, count_R[rank]
                size += 1
            count_R[rank] = 0
    scratch.pair_end_R[first] = size
    state[_MEMBERS] = size - state[_SIZE]
    state[_WORDS] = (first_R[first + 1] - first_R[first] + 63) >> 6
    state[_SIZE] = size


@kernel
def _project(entries: _Entries, scratch: _Scratch, tree: Tree, stack: _Stack, state: Integers) -> None:
    """Put the members of a class on the stack, with the baskets of the class that hold each; and note their pairs."""
    rank_E, end_E, entry_E, first_R = entries
    local_R, bit_W = scratch.local_R, stack.bit_W
    first, members, words = state[_CLASS], state[_MEMBERS], state[_WORDS]
    start = scratch.pair_R[first]
    for m in range(members):
        local_R[tree.item_S[start + m]] = m
        stack.member_T[m], stack.set_T[m] = m, start + m
    bit_W[: members * words] = np.uint64(0)
    for basket in range(first_R[first + 1] - first_R[first]):
        entry = entry_E[first_R[first] + basket]
        word, bit = basket >> 6, np.uint64(1) << np.uint64(basket & 63)
        for e in range(entry + 1, end_E[entry]):
            m = local_R[rank_E[e]]
            if m >= 0:
                bit_W[m * words + word] |= bit
    if members <= _MOST_PAIRED:
        is_pair_MM = scratch.is_pair_MM
        is_pair_MM[: members * members] = np.uint8(0)
        for m in range(members):
            rank = tree.item_S[start + m]
            for pair in range(scratch.pair_R[rank], scratch.pair_end_R[rank]):
                other = local_R[tree.item_S[pair]]
                if other >= 0:
                    is_pair_MM[m * members + other] = np.uint8(1)
    for m in range(members):
        local_R[tree.item_S[start + m]] = -1
    stack.first_L[0], stack.stop_L[0], stack.at_L[0] = 0, members, 0
    state[_LEVEL], state[_TOP] = 0, members


@kernel
def _extend(scratch: _Scratch, tree: Tree, stack: _Stack, limits: tuple[int, int, int], state: Integers) -> Whole:
    """Write the sets of a class with three items or more; returns what there is no room for."""
    least, max_length, most = limits
    bit_W, member_T, set_T, first_L, stop_L, at_L = stack
    members, words = state[_MEMBERS], state[_WORDS]
    start = scratch.pair_R[state[_CLASS]]
    knows_pairs = members <= _MOST_PAIRED
    level, top, size = state[_LEVEL], state[_TOP], state[_SIZE]
    status = _DONE
    while level >= 0 and size <= most:
        one, stop = at_L[level], stop_L[level]
        if one >= stop - 1 or level + 3 > max_length:
            top = first_L[level]
            level -= 1
            continue
        most_new = stop - one - 1
        if size + most_new > len(tree.parent_S):
            status = _NEEDS_SETS
            break
        if top + most_new > len(member_T) or (top + most_new) * words > len(bit_W):
            status = _NEEDS_STACK
            break
        at_L[level] = one + 1
        new = top
        row = member_T[one] * members
        for other in range(one + 1, stop):
            member = member_T[other]
            if knows_pairs and not scratch.is_pair_MM[row + member]:
                continue
            count = _intersect(bit_W, one * words, other * words, top * words, words)
            if count >= least:
                tree.parent_S[size] = set_T[one]
                tree.item_S[size] = tree.item_S[start + member]
                tree.count_S[size] = count
                member_T[top], set_T[top] = member, size
                size += 1
                top += 1
        if top - new >= 2:
            level += 1
            first_L[level], stop_L[level], at_L[level] = new, top, new
        else:
            top = new
    state[_LEVEL], state[_TOP], state[_SIZE] = level, top, size
    return status


@inlined
def _intersect(bit_W: NDArray[np.uint64], one: Whole, other: Whole, to: Whole, words: Whole) -> Whole:
    """Write the baskets that two sets have in common; returns their number."""
    count = np.uint64(0)
    for w in range(words):
        both = bit_W[one + w] & bit_W[other + w]
        bit_W[to + w] = both
        count += count_bits(both)
    return np.int64(count)


@kernel
def _measure(tree: Tree, length_S: NDArray[np.int32]) -> None:
    """Write how many items each set has."""
    for s in range(len(length_S)):
        parent = tree.parent_S[s]
        length_S[s] = 1 if parent < 0 else length_S[parent] + 1


@kernel
def _write_items(tree: Tree, start_S: Integers, items: NDArray[np.int32]) -> None:
    """Write the items of each set: those of its parent, and its own."""
    for s in range(len(tree.parent_S)):
        parent, last = tree.parent_S[s], start_S[s + 1] - 1
        for i in range(last - start_S[s]):
            items[start_S[s] + i] = items[start_S[parent] + i]
        items[last] = tree.item_S[s]
