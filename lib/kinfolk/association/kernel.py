"""Depth-first search for frequent itemsets on packed bitsets (Zaki, Scalable Algorithms for Association Mining, 2000).

A class is all sets that begin with one item; items are named by rank, the rarest first, and a set lists its items in
that order. First the frequent pairs of all classes are counted: their second items are the members of the class. The
baskets of a class are few, since its first item is its rarest. Those that hold two members or more are numbered anew,
and a member has a bit for each of them. As all frequent pairs are known, no set is counted that has an infrequent one.

Threads take classes. Each keeps its place in arrays and comes back wherever it needs more room, so that arrays grow
only as the result does.

Shape suffixes: E entries of baskets, R ranks, S itemsets, M members of a class, L levels of the search, T places on its
stack, W words of 64 baskets.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Integers
from kinfolk.kernels.bits import count_words, intersect_rows, prefetch, trailing_zeros
from kinfolk.kernels.compiling import Whole, kernel

_DONE, _NEEDS_SETS, _NEEDS_STACK, _NEEDS_PAIRS = 0, 1, 2, 3
_CLASS, _SIZE, _MEMBERS, _WORDS, _LEVEL, _TOP, _SHARE = range(7)
"""Places of what a search knows of itself: the class it comes to or is in; how many itemsets it has written; how many
members the class has and how many words a bitset; the level that is extended, -1 between classes, the first free place,
and which share of the classes it is."""

_FIRST_SETS, _FIRST_WORDS, _FIRST_PLACES = 1 << 14, 1 << 16, 1 << 10
_AHEAD = 16
"""Baskets of a class that are asked for before they are read: they lie anywhere in memory."""
_MOST_TABLED = 1024
"""Items whose pairs are counted in a table, which stays in the cache."""
_MOST_PAIRED = 8192
"""Members of a class above which a table of their pairs would cost more than it saves."""
_SHARES_A_THREAD = 8
"""Shares of the classes: several a thread, so that none waits long for the last."""

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


class _Entries(NamedTuple):
    """Baskets, and where each rank stands in them: see `Baskets`."""

    rank_E: Codes
    position_E: NDArray[np.uint32]
    first_R: Integers


class _Pairs(NamedTuple):
    """The frequent pairs: those of class r have the second items `item_S[first_R[r]:stop_R[r]]`, which ascend."""

    item_S: Codes
    first_R: Integers
    stop_R: Integers


class _Scratch(NamedTuple):
    """What the opening of a class needs.

    Between classes `count_R`, which counts pairs, and `seen_W`, with a bit for each rank that was counted, are all 0,
    and `local_R`, the number of a rank among the members, is all -1. `is_pair_MM` says row by row which members are
    frequent together; `found_M` is for the members of a basket.
    """

    count_R: Integers
    seen_W: NDArray[np.uint64]
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
    """What a search for larger sets goes by."""

    entries: _Entries
    pairs: _Pairs


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
    return _join([small, *(some.tree for some in found)])


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
    entries = _Entries(baskets.rank_E, baskets.position_E, baskets.first_R)
    shares = 1 if threads == 1 else _SHARES_A_THREAD * threads
    with ThreadPoolExecutor(threads) as pool:
        written_N = np.zeros(shares, np.int64)
        if items <= _MOST_TABLED:
            tree, first_R, stop_R = _table_pairs(singles, baskets, limits, pool)
            written_N[0] = len(tree.item_S) - items
        else:
            tree, first_R, stop_R = _list_pairs(singles, entries, limits, written_N, pool)
        if limits.length < 3 or written_N.sum() > limits.sets:
            return tree, []
        pairs = _Pairs(tree.item_S, first_R, stop_R)

        def extend(share: int) -> _Found:
            return _ClassSearch(entries, pairs, limits, written_N, share).run(is_kept=is_kept)

        return tree, list(pool.map(extend, range(shares)))


def _table_pairs(
    singles: Tree, baskets: Baskets, limits: Limits, pool: ThreadPoolExecutor
) -> tuple[Tree, Integers, Integers]:
    """Single items and frequent pairs, by one pass over all baskets with a table of all pairs of few items.

    Returns also from where to where the pairs of each class stand.
    """
    items = len(singles.item_S)
    rank_R = np.arange(items + 1)
    # The pairs of a rank with higher ones stand in a row.
    row_R = rank_R * items - rank_R * (rank_R + 1) // 2
    shift_R = row_R - rank_R - 1

    def tally(span: tuple[int, int]) -> Codes:
        table_P = np.zeros(int(row_R[-1]), np.int32)
        _tally_pairs(baskets.rank_E, *span, shift_R, table_P)
        return table_P

    tables = list(pool.map(tally, baskets.spans))
    table_P = sum(tables[1:], tables[0])
    place_P = np.flatnonzero(table_P >= limits.least)
    bound_R = np.searchsorted(place_P, row_R)
    parent_P = np.repeat(rank_R[:-1], np.diff(bound_R))
    item_P = place_P - shift_R[parent_P]
    found = Tree(parent_P.astype(np.int32), item_P.astype(np.int32), table_P[place_P].astype(np.int64))
    return _join([singles, found]), bound_R[:-1] + items, bound_R[1:] + items


def _list_pairs(
    singles: Tree, entries: _Entries, limits: Limits, written_N: Integers, pool: ThreadPoolExecutor
) -> tuple[Tree, Integers, Integers]:
    """The same, class by class, of any number of items."""
    items, shares = len(singles.item_S), len(written_N)
    first_R, stop_R = np.zeros((2, items), np.int64)

    def count_pairs(share: int) -> Tree:
        return _PairSearch(entries, limits, written_N, share).run(first_R, stop_R)

    counted = list(pool.map(count_pairs, range(shares)))
    for share in range(shares):
        before = items + sum(len(some.item_S) for some in counted[:share])
        first_R[share::shares] += before
        stop_R[share::shares] += before
    return _join([singles, *counted]), first_R, stop_R


def _join(trees: list[Tree]) -> Tree:
    parent_S, item_S, count_S = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    return Tree(parent_S, item_S, count_S)


def _lengthened(values: NDArray[Number], size: int) -> NDArray[Number]:
    longer = np.empty(size, values.dtype)
    longer[: len(values)] = values
    return longer


class _Search:
    """Writes sets for one of so many shares of the classes, with more room wherever it is needed.

    `written_N` says how many sets each share has written: all of them end where these are too many.
    """

    def __init__(self, entries: _Entries, limits: Limits, written_N: Integers, share: int) -> None:
        self.entries, self.limits, self.written_N = entries, limits, written_N
        items = len(entries.first_R) - 1
        self.tree = Tree(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
        self.scratch = _Scratch(
            np.zeros(items, np.int64),
            np.zeros(items // 64 + 1, np.uint64),
            np.full(items, -1, np.int32),
            np.empty(items, np.int32),
            np.empty(0, np.uint8),
        )
        self.state = np.array([share, 0, 0, 0, -1, 0, share])
        self.make_room()

    def make_room(self) -> None:
        """Make room for more sets."""
        used, room = int(self.state[_SIZE]), 2 * len(self.tree.parent_S) + len(self.scratch.count_R) + _FIRST_SETS
        parent_S, item_S = (_lengthened(values[:used], room) for values in (self.tree.parent_S, self.tree.item_S))
        self.tree = Tree(parent_S, item_S, _lengthened(self.tree.count_S[:used], room))

    def written(self) -> Tree:
        """The sets that were written."""
        size = int(self.state[_SIZE])
        return Tree(self.tree.parent_S[:size], self.tree.item_S[:size], self.tree.count_S[:size])


class _PairSearch(_Search):
    """Finds the frequent pairs, and notes from where to where those of each class stand."""

    def run(self, first_R: Integers, stop_R: Integers) -> Tree:
        """Take the share."""
        account, bounds = _Account(self.state, np.empty(0, np.int64), self.written_N), (first_R, stop_R)
        while _count_pairs(self.entries, self.scratch, self.tree, bounds, self.limits, account) != _DONE:
            self.make_room()
        return self.written()


class _ClassSearch(_Search):
    """Finds the sets of three items or more, given all pairs."""

    def __init__(self, entries: _Entries, pairs: _Pairs, limits: Limits, written_N: Integers, share: int) -> None:
        super().__init__(entries, limits, written_N, share)
        self.pairs = pairs
        levels = np.zeros((3, min(len(pairs.first_R), limits.length) + 1), np.int64)
        member_T, set_T = np.empty(_FIRST_PLACES, np.int32), np.empty(_FIRST_PLACES, np.int64)
        self.stack = _Stack(np.empty(_FIRST_WORDS, np.uint64), member_T, set_T, *levels)

    def run(self, *, is_kept: bool) -> _Found:
        """Take the share, and keep the sets, or only count them."""
        account = _Account(self.state, np.zeros(self.limits.length + 1, np.int64), self.written_N)
        grow: dict[int, Callable[[], None]] = {
            _NEEDS_SETS: self.make_room,
            _NEEDS_STACK: self.make_places,
            _NEEDS_PAIRS: self.make_pairs,
        }
        status = self._go_on(account, is_kept=is_kept)
        while status != _DONE:
            grow[status]()
            status = self._go_on(account, is_kept=is_kept)
        return _Found(self.written(), account.tally_L)

    def _go_on(self, account: _Account, *, is_kept: bool) -> int:
        given, own = _Given(self.entries, self.pairs), _Own(self.scratch, self.tree, self.stack)
        return int(_extend_classes(given, own, account, self.limits, is_kept))

    def make_places(self) -> None:
        """Make room for at least one level more of the class."""
        top = self.state[_TOP] if self.state[_LEVEL] >= 0 else 0
        places = int(top + self.state[_MEMBERS])
        words, stack = int(places * self.state[_WORDS]), self.stack
        if words > len(stack.bit_W):
            stack = stack._replace(bit_W=_lengthened(stack.bit_W, 2 * words))
        if places > len(stack.member_T):
            longer = _lengthened(stack.member_T, 2 * places), _lengthened(stack.set_T, 2 * places)
            stack = stack._replace(member_T=longer[0], set_T=longer[1])
        self.stack = stack

    def make_pairs(self) -> None:
        """Make room for the table of the pairs of a class."""
        side = min(2 * int(self.state[_MEMBERS]), _MOST_PAIRED)
        self.scratch = self.scratch._replace(is_pair_MM=np.empty(side**2, np.uint8))


@kernel
def _tally_pairs(rank_E: Codes, start: Whole, stop: Whole, shift_R: Integers, table_P: Codes) -> None:
    for e in range(start, stop):
        rank = rank_E[e]
        if rank >= 0:
            row, other = shift_R[rank], e + 1
            while rank_E[other] >= 0:
                table_P[row + rank_E[other]] += 1
                other += 1


@kernel
def _count_pairs(
    entries: _Entries,
    scratch: _Scratch,
    tree: Tree,
    bounds: tuple[Integers, Integers],
    limits: Limits,
    account: _Account,
) -> Whole:
    """Write the frequent pairs of a share of the classes, and from where to where they stand."""
    rank_E, position_E, first_R = entries
    count_R, seen_W = scratch.count_R, scratch.seen_W
    pair_R, pair_stop_R = bounds
    state, written_N = account.state, account.written_N
    items, last = len(count_R), len(position_E) - 1
    while state[_CLASS] < items and written_N.sum() <= limits.sets:
        first, size = state[_CLASS], state[_SIZE]
        if size + items - first > len(tree.parent_S):
            return _NEEDS_SETS
        for place in range(first_R[first], first_R[first + 1]):
            prefetch(rank_E, np.int64(position_E[min(place + _AHEAD, last)]))
            e = np.int64(position_E[place]) + 1
            while rank_E[e] >= 0:
                rank = rank_E[e]
                seen_W[rank >> 6] |= np.uint64(1) << np.uint64(rank & 63)
                count_R[rank] += 1
                e += 1
        pair_R[first] = size
        for word in range(first >> 6, len(seen_W)):
            bits = seen_W[word]
            seen_W[word] = np.uint64(0)
            while bits:
                rank = np.int64(word * 64 + np.int64(trailing_zeros(bits)))
                bits &= bits - np.uint64(1)
                if count_R[rank] >= limits.least:
                    tree.parent_S[size], tree.item_S[size], tree.count_S[size] = first, rank, count_R[rank]
                    size += 1
                count_R[rank] = 0
        pair_stop_R[first] = size
        written_N[state[_SHARE]] += size - state[_SIZE]
        state[_CLASS], state[_SIZE] = first + len(written_N), size
    return _DONE


@kernel
def _extend_classes(given: _Given, own: _Own, account: _Account, limits: Limits, is_kept: bool) -> Whole:
    """Write the larger sets of a share of the classes; go on until it is done or needs room, and return which.

    Where sets are not to be kept, those of a class are overwritten by the next one's.
    """
    entries, pairs = given
    scratch, _, stack = own
    state, _, written_N = account
    items = len(scratch.count_R)
    while state[_CLASS] < items and written_N.sum() <= limits.sets:
        first = state[_CLASS]
        if state[_LEVEL] < 0:
            members = pairs.stop_R[first] - pairs.first_R[first]
            state[_MEMBERS] = members
            state[_WORDS] = count_words(entries.first_R[first + 1] - entries.first_R[first])
            if min(members, _MOST_PAIRED) ** 2 > len(scratch.is_pair_MM):
                return _NEEDS_PAIRS
            if members > len(stack.member_T) or members * state[_WORDS] > len(stack.bit_W):
                return _NEEDS_STACK
            if members >= 2 and _pair_members(pairs, scratch, stack, first):
                _project(entries, pairs, scratch, stack, state)
                state[_LEVEL] = 0
        if state[_LEVEL] >= 0:
            before = state[_SIZE]
            status = _extend(pairs, own, account, limits, before + limits.sets - written_N.sum())
            written_N[state[_SHARE]] += state[_SIZE] - before
            if status != _DONE:
                return status
        if not is_kept:
            state[_SIZE] = 0
        state[_CLASS] += len(written_N)
    return _DONE


@kernel
def _pair_members(pairs: _Pairs, scratch: _Scratch, stack: _Stack, first: Whole) -> Whole:
    """Put the members of a class on the stack that are frequent together with another one; returns their number."""
    local_R, item_S = scratch.local_R, pairs.item_S
    start, stop = pairs.first_R[first], pairs.stop_R[first]
    for s in range(start, stop):
        local_R[item_S[s]] = 0
    kept = 0
    for s in range(start, stop):
        rank = item_S[s]
        for pair in range(pairs.first_R[rank], pairs.stop_R[rank]):
            if local_R[item_S[pair]] >= 0:
                local_R[rank], local_R[item_S[pair]] = 1, 1
    for s in range(start, stop):
        rank = item_S[s]
        if local_R[rank] == 1:
            stack.set_T[kept] = s
            local_R[rank] = kept
            kept += 1
        else:
            local_R[rank] = -1
    if kept <= _MOST_PAIRED:
        _mark_pairs(pairs, scratch, stack, kept)
    stack.stop_L[0] = kept
    return kept


@kernel
def _mark_pairs(pairs: _Pairs, scratch: _Scratch, stack: _Stack, members: Whole) -> None:
    """Fill the table of which members are frequent together."""
    local_R, is_pair_MM, item_S = scratch.local_R, scratch.is_pair_MM, pairs.item_S
    is_pair_MM[: members * members] = np.uint8(0)
    for m in range(members):
        rank = item_S[stack.set_T[m]]
        for pair in range(pairs.first_R[rank], pairs.stop_R[rank]):
            other = local_R[item_S[pair]]
            if other >= 0:
                is_pair_MM[m * members + other] = np.uint8(1)


@kernel
def _project(entries: _Entries, pairs: _Pairs, scratch: _Scratch, stack: _Stack, state: Integers) -> None:
    """Set the bits of the members on the stack in the baskets of the class that hold two or more of them."""
    rank_E, position_E, first_R = entries
    local_R, found_M, bit_W = scratch.local_R, scratch.found_M, stack.bit_W
    first, members, room = state[_CLASS], stack.stop_L[0], state[_WORDS]
    bit_W[: members * room] = np.uint64(0)
    baskets = 0
    for place in range(first_R[first], first_R[first + 1]):
        prefetch(rank_E, np.int64(position_E[min(place + _AHEAD, len(position_E) - 1)]))
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
        local_R[pairs.item_S[stack.set_T[m]]] = -1
        stack.member_T[m] = m
    stack.first_L[0], stack.at_L[0] = 0, 0
    state[_MEMBERS], state[_WORDS], state[_TOP] = members, words, members


@kernel
def _extend(pairs: _Pairs, own: _Own, account: _Account, limits: Limits, most: Whole) -> Whole:
    """Write the sets of a class with three items or more; returns what there is no room for.

    The search of a class that has too many ends with the first beyond `most`.
    """
    scratch, tree, stack = own
    state, tally_L, _ = account
    bit_W, member_T, set_T, first_L, stop_L, at_L = stack
    members, words, before = state[_MEMBERS], state[_WORDS], len(pairs.item_S)
    knows_pairs = members <= _MOST_PAIRED
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
