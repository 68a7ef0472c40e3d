"""Depth-first search for frequent itemsets on packed bitsets (Zaki, Scalable Algorithms for Association Mining, 2000).

A class is all sets that begin with one item; items are named by rank, the rarest first, and a set lists its items in
that order. First the frequent pairs of all classes are counted: their second items are the members of the class. The
baskets of a class are few, since its first item is its rarest. They are numbered anew, and a member has a bit for each
of them. As all frequent pairs are known, no set is counted that has an infrequent one.

Threads take classes. Each keeps its place in arrays and comes back wherever it needs more room, so that arrays grow
only as the result does.

Shape suffixes: E entries of baskets, R ranks, S itemsets, M members of a class, L levels of the search, T places on its
stack, W words of 64 baskets.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Entries, Integers, order_baskets
from kinfolk.association.bitmaps import Classes, Members, choose_members, list_classes, set_bits
from kinfolk.association.pairs import AHEAD, Pairs, bar_pairs, list_pairs, table_pairs
from kinfolk.association.tree import Limits, Tree, cut_tree, join_trees, lengthen, lengthen_tree, make_tree
from kinfolk.kernels.bits import count_words, intersect_rows, prefetch
from kinfolk.kernels.compiling import Whole, kernel
from kinfolk.kernels.threads import open_threads

_DONE, _NEEDS_SETS, _NEEDS_STACK = range(3)
_CLASS, _SIZE, _MEMBERS, _WORDS, _LEVEL, _TOP, _SHARE = range(7)
"""Places of what a search knows of itself: the class it comes to or is in; how many itemsets it has written; how many
members the class has and how many words a bitset; the level that is extended, -1 between classes, the first free place,
and which share of the classes it is."""

_FIRST_SETS, _FIRST_WORDS, _FIRST_PLACES = 1 << 14, 1 << 16, 1 << 10
_MOST_TABLED = 1024
"""Items whose pairs are counted in a table, which stays in the cache."""
_MOST_PAIRED = 8192
"""Members of a class above which a table of their pairs would cost more than it saves."""
_SHARES_A_THREAD = 8
"""Shares of the classes: several a thread, so that none waits long for the last."""

_NONE_BARRED = np.empty((0, 2), np.int32)
_NO_ENTRIES = Entries(np.empty(0, np.int16), np.empty(0, np.uint32), np.zeros(1, np.int64))


class _Scratch(NamedTuple):
    """What the opening of a class needs.

    Between classes `local_R`, the number of a rank among the members, is all -1. `is_pair_MM` says row by row which
    members are frequent together; `found_M` is for the members of a basket.
    """

    local_R: Codes
    found_M: Codes
    is_pair_MM: NDArray[np.uint8]


class _Stack(NamedTuple):
    """Sets that are yet to be extended, each by those after it on its level.

    A place holds the last member of a set, by its number in the class, where the set stands among the itemsets, and its
    baskets as bits. A level has the places from `first_L` to `stop_L`; the one at `at_L` comes next.
    """

    bit_W: NDArray[np.uint64]
    member_T: Codes
    set_T: Integers
    first_L: Integers
    stop_L: Integers
    at_L: Integers


class _Given(NamedTuple):
    """What a search for larger sets goes by: some classes with their members' bits, or else the baskets as entries."""

    classes: Classes
    members: Members
    pairs: Pairs
    entries: Entries


class _Own(NamedTuple):
    """What a search works with, and what it writes."""

    scratch: _Scratch
    tree: Tree
    stack: _Stack


class _Account(NamedTuple):
    """Where a search stands: its state, what it found of each number of items, what each share has written."""

    state: Integers
    tally_L: Integers
    written_N: Integers


def search_itemsets(baskets: Baskets, limits: Limits, *, threads: int = 1) -> Tree:
    """Every itemset within the limits, exactly once.

    The search ends soon after there are more than `limits.sets`; each thread may find as many first.
    """
    small, found = _search(baskets, limits, threads, is_kept=True)
    before = 0
    for some in found:
        # Each search numbers its own sets from the last pair on.
        parent_S = some.tree.parent_S
        parent_S[parent_S >= len(small.parent_S)] += before
        before += len(parent_S)
    return join_trees([small, *(some.tree for some in found)])


def count_itemsets(baskets: Baskets, limits: Limits, *, threads: int = 1) -> Integers:
    """How many itemsets there are of each number of items, 0 to `limits.length`, none of which is kept.

    The least count may be higher than that of the items of the baskets. The search ends soon after there are more than
    `limits.sets`.
    """
    small, found = _search(baskets, limits, threads, is_kept=False)
    items = len(baskets.count_R)
    tally_L = sum((some.tally_L for some in found), np.zeros(limits.length + 1, np.int64))
    frequent = int((baskets.count_R >= limits.least).sum())
    tally_L[:3] += np.array([0, frequent, len(small.item_S) - items])[: limits.length + 1]
    return tally_L


class _Found(NamedTuple):
    """The larger sets that a search found, and how many there are of each number of items."""

    tree: Tree
    tally_L: Integers


def _search(baskets: Baskets, limits: Limits, threads: int, *, is_kept: bool) -> tuple[Tree, list[_Found]]:
    """Single items and pairs; and what searches for larger sets found, which keep them or only count them."""
    items = len(baskets.count_R)
    singles = Tree(np.full(items, -1, np.int32), np.arange(items, dtype=np.int32), baskets.count_R)
    limits = limits._replace(sets=limits.sets - int((baskets.count_R >= limits.least).sum()))
    if limits.length < 2 or limits.sets < 0:
        return singles, []
    is_tabled = items <= _MOST_TABLED
    barred_N2 = _NONE_BARRED if baskets.barred_N2 is None else baskets.barred_N2
    entries = _NO_ENTRIES if is_tabled else order_baskets(baskets, threads=threads)
    shares = 1 if threads == 1 else _SHARES_A_THREAD * threads
    with open_threads(threads) as pool:
        written_N = np.zeros(shares, np.int64)
        if is_tabled:
            tree, pairs = table_pairs(singles, baskets, limits, pool)
            written_N[0] = len(tree.item_S) - items
        else:
            # What is barred is counted, and takes no place.
            room = limits._replace(sets=limits.sets + len(barred_N2))
            tree, pairs = list_pairs(singles, entries, room, written_N, pool)
        if len(barred_N2):
            tree, pairs = bar_pairs(tree, pairs, barred_N2)
            written_N[:] = 0
            written_N[0] = len(tree.item_S) - items
        if limits.length < 3 or written_N.sum() > limits.sets:
            return tree, []
        members = choose_members(pairs, shares, pool)
        searches = [_Search(members, limits, written_N, share) for share in range(shares)]
        for classes in set_bits(baskets, pairs, members, pool) if is_tabled else [list_classes(members)]:
            given = _Given(classes, members, pairs, entries)
            list(pool.map(partial(_Search.extend, given=given, is_kept=is_kept), searches))
        return tree, [search.tell() for search in searches]


class _Search:
    """Finds the sets of three items or more of one of so many shares of the classes.

    There is more room wherever it is needed. `written_N` says how many sets each share has written: all of them end
    where these are too many.
    """

    def __init__(self, members: Members, limits: Limits, written_N: Integers, share: int) -> None:
        items = len(members.kept_R)
        self.limits, self.share = limits, share
        side = min(int(members.kept_R.max(initial=0)), _MOST_PAIRED)
        self.scratch = _Scratch(np.full(items, -1, np.int32), np.empty(items, np.int32), np.empty(side**2, np.uint8))
        levels = np.zeros((3, min(items, limits.length) + 1), np.int64)
        member_T, set_T = np.empty(_FIRST_PLACES, np.int32), np.empty(_FIRST_PLACES, np.int64)
        self.tree = make_tree(items + _FIRST_SETS)
        self.stack = _Stack(np.empty(_FIRST_WORDS, np.uint64), member_T, set_T, *levels)
        tally_L = np.zeros(limits.length + 1, np.int64)
        self.account = _Account(np.array([share, 0, 0, 0, -1, 0, share]), tally_L, written_N)

    def extend(self, given: _Given, *, is_kept: bool) -> None:
        """Take the share of some classes, and keep the sets, or only count them."""
        self.account.state[_CLASS] = self.share
        status = self._go_on(given, is_kept=is_kept)
        while status != _DONE:
            if status == _NEEDS_SETS:
                self.tree = lengthen_tree(self._written(), 2 * len(self.tree.item_S) + len(self.scratch.local_R))
            else:
                self._make_places()
            status = self._go_on(given, is_kept=is_kept)

    def tell(self) -> _Found:
        """What was found."""
        return _Found(self._written(), self.account.tally_L)

    def _go_on(self, given: _Given, *, is_kept: bool) -> int:
        own = _Own(self.scratch, self.tree, self.stack)
        return int(_extend_classes(given, own, self.account, self.limits, is_kept))

    def _written(self) -> Tree:
        return cut_tree(self.tree, int(self.account.state[_SIZE]))

    def _make_places(self) -> None:
        """Make room for at least one level more of the class."""
        state, stack = self.account.state, self.stack
        top = state[_TOP] if state[_LEVEL] >= 0 else 0
        places = int(top + state[_MEMBERS])
        words = int(places * state[_WORDS])
        if words > len(stack.bit_W):
            stack = stack._replace(bit_W=lengthen(stack.bit_W, 2 * words))
        if places > len(stack.member_T):
            longer = lengthen(stack.member_T, 2 * places), lengthen(stack.set_T, 2 * places)
            stack = stack._replace(member_T=longer[0], set_T=longer[1])
        self.stack = stack


@kernel
def _extend_classes(given: _Given, own: _Own, account: _Account, limits: Limits, is_kept: bool) -> Whole:
    """Write the larger sets of a share of the classes; go on until it is done or needs room, and return which.

    Where sets are not to be kept, those of a class are overwritten by the next one's.
    """
    state, _, written_N = account
    while state[_CLASS] < len(given.classes.class_K) and written_N.sum() <= limits.sets:
        if state[_LEVEL] < 0 and not _open_class(given, own, state):
            return _NEEDS_STACK
        before = state[_SIZE]
        status = _extend(given.pairs, own, account, limits, before + limits.sets - written_N.sum())
        written_N[state[_SHARE]] += state[_SIZE] - before
        if status != _DONE:
            return status
        if not is_kept:
            state[_SIZE] = 0
        state[_CLASS] += len(written_N)
    return _DONE


@kernel
def _open_class(given: _Given, own: _Own, state: Integers) -> bool:
    """Put the members of a class on the stack; returns whether there is room for them."""
    (class_K, word_K, words_K, bit_W, _), chosen, pairs, entries = given
    scratch, _, stack = own
    k = state[_CLASS]
    first = class_K[k]
    members, words = chosen.kept_R[first], words_K[k]
    if not words:
        words = count_words(entries.first_R[first + 1] - entries.first_R[first])
    state[_MEMBERS], state[_WORDS] = members, words
    if members > len(stack.member_T) or members * words > len(stack.bit_W):
        return False
    for m in range(members):
        stack.set_T[m] = chosen.pair_S[chosen.first_R[first] + m]
    _number_members(pairs, scratch, stack, members)
    if words_K[k]:
        for w in range(members * words):
            stack.bit_W[w] = bit_W[word_K[k] + w]
    else:
        state[_WORDS] = _project(entries, scratch, stack, first, state)
    for m in range(members):
        scratch.local_R[pairs.item_S[stack.set_T[m]]] = -1
        stack.member_T[m] = m
    stack.first_L[0], stack.at_L[0], stack.stop_L[0] = 0, 0, members
    state[_TOP], state[_LEVEL] = members, 0
    return True


@kernel
def _number_members(pairs: Pairs, scratch: _Scratch, stack: _Stack, members: Whole) -> None:
    """Number the members on the stack, and fill the table of which are frequent together if they are not too many."""
    local_R, is_pair_MM, item_S = scratch.local_R, scratch.is_pair_MM, pairs.item_S
    for m in range(members):
        local_R[item_S[stack.set_T[m]]] = m
    if members > _MOST_PAIRED:
        return
    is_pair_MM[: members * members] = np.uint8(0)
    for m in range(members):
        rank = item_S[stack.set_T[m]]
        for pair in range(pairs.first_R[rank], pairs.stop_R[rank]):
            other = local_R[item_S[pair]]
            if other >= 0:
                is_pair_MM[m * members + other] = np.uint8(1)


@kernel
def _project(entries: Entries, scratch: _Scratch, stack: _Stack, first: Whole, state: Integers) -> Whole:
    """Set the bits of the members on the stack in the baskets of the class that hold two or more; returns the words."""
    rank_E, position_E, first_R = entries
    local_R, found_M, bit_W = scratch.local_R, scratch.found_M, stack.bit_W
    members, room = state[_MEMBERS], state[_WORDS]
    bit_W[: members * room] = np.uint64(0)
    baskets = 0
    for place in range(first_R[first], first_R[first + 1]):
        prefetch(rank_E, np.int64(position_E[min(place + AHEAD, len(position_E) - 1)]))
        e = np.int64(position_E[place]) + 1
        found = 0
        while rank_E[e] >= 0:
            found_M[found] = local_R[rank_E[e]]
            found += found_M[found] >= 0
            e += 1
        if found >= 2:
            word, bit = baskets >> 6, np.uint64(1) << np.uint64(baskets & 63)
            for m in range(found):
                bit_W[found_M[m] * room + word] |= bit
            baskets += 1
    words = count_words(baskets)
    for m in range(members):
        for w in range(words):
            bit_W[m * words + w] = bit_W[m * room + w]
    return words


@kernel
def _are_paired(pairs: Pairs, one: Whole, other: Whole) -> bool:
    """Whether two pairs of a class, of which the first has the lower member, have members that are a pair."""
    item_S, rank, sought = pairs.item_S, pairs.item_S[one], pairs.item_S[other]
    low, high = pairs.first_R[rank], pairs.stop_R[rank]
    while low < high:
        middle = (low + high) >> 1
        if item_S[middle] < sought:
            low = middle + 1
        else:
            high = middle
    return bool(low < pairs.stop_R[rank] and item_S[low] == sought)


@kernel
def _extend(pairs: Pairs, own: _Own, account: _Account, limits: Limits, most: Whole) -> Whole:
    """Write the sets of a class with three items or more; returns what there is no room for.

    The search of a class that has too many ends with the first beyond `most`.
    """
    scratch, tree, stack = own
    state, tally_L, _ = account
    bit_W, member_T, set_T, first_L, stop_L, at_L = stack
    members, words, before = state[_MEMBERS], state[_WORDS], len(pairs.item_S)
    knows_pairs = members <= _MOST_PAIRED
    looks_up = pairs.is_barred and not knows_pairs
    level, top, size = state[_LEVEL], state[_TOP], state[_SIZE]
    status = _DONE
    while level >= 0 and size <= most:
        one, stop = at_L[level], stop_L[level]
        if one >= stop - 1 or level + 3 > limits.length:
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
            if looks_up and not _are_paired(pairs, set_T[member_T[one]], set_T[member]):
                continue
            count = intersect_rows(bit_W, one * words, other * words, top * words, words)
            if count >= limits.least:
                tree.parent_S[size] = set_T[one]
                tree.item_S[size] = pairs.item_S[set_T[member]]
                tree.count_S[size] = count
                member_T[top], set_T[top] = member, before + size
                size += 1
                top += 1
        tally_L[level + 3] += top - new
        if top - new >= 2:
            level += 1
            first_L[level], stop_L[level], at_L[level] = new, top, new
        else:
            top = new
    state[_LEVEL], state[_TOP], state[_SIZE] = level, top, size
    return status
