"""Depth-first search for the itemsets that bring in the most, on the baskets that hold each of them.

Baskets list their items by rank, and a set is extended by items of higher ranks only. Below a set stand the baskets
that hold it, each with what it paid for the set and with the entries behind the set's last item. A larger set brings in
no more there than what its baskets paid for the set and for their most expensive entries, as many as a set may still
have. That bounds each item among the entries: where the baskets with it fall short, it is in no set that is wanted, and
its entries go (local utility: Zida et al., EFIM, Knowledge and Information Systems 51, 2017; no more than a set may
still have: Fournier-Viger et al., FHM+, IEA/AIE 2016). What the entries behind an item may still bring in says whether
the set with the item is extended (remaining utility: Liu and Qu, Mining high utility itemsets without candidate
generation, CIKM 2012).

Threads take the first items of sets. Each keeps its place in arrays and comes back wherever it needs more room.

Shape suffixes: B baskets, E entries of baskets, R ranks, M members (items by which a set is extended), L levels of the
search, S itemsets, J items of all itemsets.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.tree import lengthen
from kinfolk.association.utility.worth import PricedBaskets
from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.kernels.threads import open_threads

_DONE, _NEEDS_SETS = 0, -1
_LEVEL, _SETS, _ITEMS, _SHARE = range(4)
"""Places of what a search knows of itself: the level that it is at, how many sets and items of sets it has written, and
which share of the first items it has."""

_FIRST_ROOM = 1 << 14
"""Sets, items of sets, and entries on the stack for which there is room at first."""
_SHARES_A_THREAD = 8
"""Shares of the first items: several a thread, so that none waits long for the last."""


class UtilityLimits(NamedTuple):
    """The least worth of a set and the fewest baskets, the fewest and most items, and most sets that are looked for."""

    worth: int
    baskets: int
    min_length: int
    max_length: int
    sets: int


class ValuableSets(NamedTuple):
    """Itemsets: the items of set s are `item_J[start_S[s]:start_S[s + 1]]`, their ranks in ascending order.

    `worth_S` is what its items bring in, in the `count_S` baskets that hold all of them, and `whole_S` what all items
    of these baskets do.
    """

    start_S: Integers
    item_J: Codes
    worth_S: Integers
    whole_S: Integers
    count_S: Integers


class _Rows(NamedTuple):
    """Baskets below sets: basket b has the entries from the end of the one before to `stop_B[b]`.

    It paid `paid_B` for the set, and `whole_B` in all. Entry e is item `item_E`, which cost `worth_E`, in basket
    `basket_E`; `place_E` lists the entries of each member, one member after the other.
    """

    item_E: Codes
    basket_E: Codes
    worth_E: Integers
    place_E: Integers
    stop_B: Integers
    paid_B: Integers
    whole_B: Integers


class _Members(NamedTuple):
    """Items by which sets are extended.

    The `count_M` entries of a member are listed from `first_M` on. `worth_M` is what the set with it brings in, and
    `whole_M` what all of its baskets do. At most `reach_M` is what any larger set brings in, and `behind_M` entries
    stand behind the member's.
    """

    item_M: Codes
    first_M: Integers
    count_M: Integers
    worth_M: Integers
    whole_M: Integers
    reach_M: Integers
    behind_M: Integers


class _Tally(NamedTuple):
    """Of each item among the entries of a level: its baskets, the bound, which member it is, where its next entry goes.

    `item_R` lists the items there are. Between levels `count_R` is all 0. `most_K` is for the largest worths of a
    basket.
    """

    count_R: Integers
    bound_R: Integers
    member_R: Integers
    next_R: Integers
    item_R: Integers
    most_K: Integers


class _Levels(NamedTuple):
    """The levels of a search: level l has the baskets below a set of l items, the last of which is `item_L[l]`.

    Its members are those from `member_L[l]` to `member_L[l + 1]`, of which that at `at_L[l]` comes next; its entries
    and baskets begin and end likewise.
    """

    item_L: Integers
    at_L: Integers
    member_L: Integers
    entry_L: Integers
    basket_L: Integers


class _Below(NamedTuple):
    """Baskets below sets, and the items by which these are extended."""

    rows: _Rows
    members: _Members


class _Own(NamedTuple):
    """What a search works with, and what it writes."""

    tally: _Tally
    below: _Below
    levels: _Levels
    sets: ValuableSets


Arrays = TypeVar("Arrays", _Rows, _Members, ValuableSets)


def search_valuable(baskets: PricedBaskets, limits: UtilityLimits, *, threads: int = 1) -> ValuableSets:
    """Every itemset within the limits, exactly once.

    The search ends soon after there are more than `limits.sets`.
    """
    top, members = _open_top(baskets, limits)
    shares = max(1, min(_SHARES_A_THREAD * threads, members))
    written_N = np.zeros(shares, np.int64)

    def search(share: int) -> ValuableSets:
        return _Search(top, members, limits, written_N, share).run()

    with open_threads(threads) as pool:
        return _join_sets(list(pool.map(search, range(shares))))


def _open_top(baskets: PricedBaskets, limits: UtilityLimits) -> tuple[_Below, int]:
    """All baskets, which are below the empty set, and how many members there are."""
    entries, items = len(baskets.rank_E), len(baskets.item_ids)
    rows = _make_rows(entries)._replace(
        item_E=baskets.rank_E.copy(),
        worth_E=baskets.worth_E.copy(),
        stop_B=baskets.start_B[1:].copy(),
        paid_B=np.zeros(len(baskets.whole_B), np.int64),
        whole_B=baskets.whole_B,
    )
    top, levels = _Below(rows, _make_members(items)), _make_levels(0)
    levels.entry_L[1], levels.basket_L[1] = entries, len(baskets.whole_B)
    _open(top, _make_tally(items, limits), levels, limits, 0)
    return top, int(levels.member_L[1])


def _make_rows(room: int) -> _Rows:
    return _Rows(*np.empty((2, room), np.int32), *np.empty((5, room), np.int64))


def _make_members(room: int) -> _Members:
    return _Members(np.empty(room, np.int32), *np.empty((6, room), np.int64))


def _make_tally(items: int, limits: UtilityLimits) -> _Tally:
    count_R, bound_R, member_R, next_R, item_R = np.zeros((5, items), np.int64)
    return _Tally(count_R, bound_R, member_R, next_R, item_R, np.zeros(limits.max_length, np.int64))


def _make_levels(deepest: int) -> _Levels:
    return _Levels(*np.zeros((5, deepest + 2), np.int64))


def _make_sets(room: int) -> ValuableSets:
    return ValuableSets(np.zeros(room + 1, np.int64), np.empty(room, np.int32), *np.empty((3, room), np.int64))


def _join_sets(parts: list[ValuableSets]) -> ValuableSets:
    """The sets of all shares, one after the other."""
    lengths = np.concatenate([np.diff(part.start_S) for part in parts])
    _, *arrays = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ValuableSets(np.concatenate([[0], np.cumsum(lengths)]), *arrays)


class _Search:
    """Finds the sets that begin with one of a share of the first items; there is more room wherever it is needed."""

    def __init__(self, top: _Below, members: int, limits: UtilityLimits, written_N: Integers, share: int) -> None:
        self._given = top, members, limits, written_N
        items = len(top.members.item_M)
        levels = _make_levels(min(items, limits.max_length))
        levels.at_L[0] = share
        below = _Below(_make_rows(_FIRST_ROOM), _make_members(_FIRST_ROOM))
        self._own = _Own(_make_tally(items, limits), below, levels, _make_sets(_FIRST_ROOM))
        self._state = np.array([0, 0, 0, share])

    def run(self) -> ValuableSets:
        """Take the share."""
        status = self._go_on()
        while status != _DONE:
            self._make_room(status)
            status = self._go_on()
        start_S, item_J, *numbers = self._own.sets
        sets, items = self._state[[_SETS, _ITEMS]]
        return ValuableSets(start_S[: sets + 1], item_J[:items], *(array[:sets] for array in numbers))

    def _go_on(self) -> int:
        return int(_search(*self._given, self._own, self._state))

    def _make_room(self, status: int) -> None:
        """Make room for at least one set more, or one level more on the stack."""
        if status == _NEEDS_SETS:
            self._own = self._own._replace(sets=_lengthen(self._own.sets, len(self._own.levels.item_L)))
        else:
            rows, members = self._own.below
            self._own = self._own._replace(below=_Below(_lengthen(rows, status), _lengthen(members, status)))


def _lengthen(arrays: Arrays, more: int) -> Arrays:
    """The same arrays with at least twice their room, and so many places more."""
    longer: Any = (lengthen(array, 2 * len(array) + more) for array in arrays)
    return type(arrays)._make(longer)


@kernel
def _search(
    top: _Below, firsts: Whole, limits: UtilityLimits, written_N: Integers, own: _Own, state: Integers
) -> Whole:
    """Go on until the share is done, or there are too many sets, or room is needed; returns which.

    That is `_NEEDS_SETS`, or how many places more are needed on the stack.
    """
    at_L, member_L = own.levels.at_L, own.levels.member_L
    while written_N.sum() <= limits.sets:
        level = state[_LEVEL]
        if level > 0 and at_L[level] == member_L[level + 1]:
            state[_LEVEL] -= 1
            continue
        if level == 0 and at_L[0] >= firsts:
            break
        below = own.below if level else top
        status = _take(below, at_L[level], own, limits, state)
        if status != _DONE:
            return status
        at_L[level] += 1 if level else len(written_N)
        written_N[state[_SHARE]] = state[_SETS]
    return _DONE


@kernel
def _take(source: _Below, member: Whole, own: _Own, limits: UtilityLimits, state: Integers) -> Whole:
    """Write the set with a member, and go to the level below it, if it is worth it; returns what room is needed."""
    members, sets, levels = source.members, own.sets, own.levels
    length = state[_LEVEL] + 1
    levels.item_L[length] = members.item_M[member]
    is_written = length >= limits.min_length and members.worth_M[member] >= limits.worth
    is_extended = length < limits.max_length and members.reach_M[member] >= limits.worth
    if is_written and (state[_SETS] == len(sets.worth_S) or state[_ITEMS] + length > len(sets.item_J)):
        return _NEEDS_SETS
    if is_extended:
        more: Whole = max(members.count_M[member], members.behind_M[member])
        taken = max(levels.basket_L[length], levels.entry_L[length], levels.member_L[length])
        if taken + more > min(len(own.below.rows.item_E), len(own.below.members.item_M)):
            return more
    if is_written:
        _write(members, member, levels, sets, state)
    if is_extended:
        _project(source, member, own.below.rows, levels, length)
        _open(own.below, own.tally, levels, limits, length)
        state[_LEVEL] = length
    return _DONE


@kernel
def _write(members: _Members, member: Whole, levels: _Levels, sets: ValuableSets, state: Integers) -> None:
    """Write the set with a member, whose items are those of the levels."""
    for level in range(1, state[_LEVEL] + 2):
        sets.item_J[state[_ITEMS]] = levels.item_L[level]
        state[_ITEMS] += 1
    s = state[_SETS]
    sets.worth_S[s], sets.whole_S[s] = members.worth_M[member], members.whole_M[member]
    sets.count_S[s] = members.count_M[member]
    sets.start_S[s + 1] = state[_ITEMS]
    state[_SETS] += 1


@kernel
def _project(source: _Below, member: Whole, rows: _Rows, levels: _Levels, level: Whole) -> None:
    """Put the baskets of a member that have entries behind it on the stack, as those of a level."""
    given, members = source.rows, source.members
    entry, basket = levels.entry_L[level], levels.basket_L[level]
    for place in range(members.first_M[member], members.first_M[member] + members.count_M[member]):
        e = given.place_E[place]
        b = given.basket_E[e]
        stop = given.stop_B[b]
        if e + 1 == stop:
            continue
        for behind in range(e + 1, stop):
            rows.item_E[entry], rows.worth_E[entry] = given.item_E[behind], given.worth_E[behind]
            entry += 1
        rows.paid_B[basket], rows.whole_B[basket] = given.paid_B[b] + given.worth_E[e], given.whole_B[b]
        rows.stop_B[basket] = entry
        basket += 1
    levels.entry_L[level + 1], levels.basket_L[level + 1] = entry, basket


@kernel
def _open(below: _Below, tally: _Tally, levels: _Levels, limits: UtilityLimits, level: Whole) -> None:
    """Find the members of a level, and keep only their entries."""
    _bound_items(below.rows, tally, levels, limits, level)
    _choose_members(below.members, tally, levels, limits, level)
    _keep_entries(below, tally, levels, limits, level)
    for member in range(levels.member_L[level], levels.member_L[level + 1]):
        tally.count_R[below.members.item_M[member]] = 0


@kernel
def _bound_items(rows: _Rows, tally: _Tally, levels: _Levels, limits: UtilityLimits, level: Whole) -> None:
    """Count the baskets of each item, and what the sets with it can bring in at most."""
    most_K, most = tally.most_K, limits.max_length - level
    items, start = 0, levels.entry_L[level]
    for b in range(levels.basket_L[level], levels.basket_L[level + 1]):
        stop, paid = rows.stop_B[b], rows.paid_B[b]
        for e in range(start, stop):
            paid += _gain(most_K, min(e - start, most), most, rows.worth_E[e])
        # An item that is not among the most expensive ones takes the place of the last of them.
        last = most_K[most - 1] if stop - start >= most else 0
        for e in range(start, stop):
            item = rows.item_E[e]
            if not tally.count_R[item]:
                tally.bound_R[item] = 0
                tally.item_R[items] = item
                items += 1
            tally.count_R[item] += 1
            tally.bound_R[item] += paid - max(0, last - rows.worth_E[e])
        start = stop
    levels.member_L[level + 1] = items


@inlined
def _gain(most_K: Integers, held: Whole, most: Whole, worth: Whole) -> Whole:
    """Put a worth among the `most` largest, of which there are `held`; returns how much more they are together."""
    place, gain = held, worth
    if held == most:
        if most == 0 or worth <= most_K[most - 1]:
            return 0
        place, gain = most - 1, worth - most_K[most - 1]
    while place > 0 and most_K[place - 1] < worth:
        most_K[place] = most_K[place - 1]
        place -= 1
    most_K[place] = worth
    return gain


@kernel
def _choose_members(members: _Members, tally: _Tally, levels: _Levels, limits: UtilityLimits, level: Whole) -> None:
    """Make the items that may be in a set that is wanted members, and no others."""
    items = levels.member_L[level + 1]
    member, place = levels.member_L[level], levels.entry_L[level]
    for number in range(items):
        item = tally.item_R[number]
        if tally.bound_R[item] < limits.worth or tally.count_R[item] < limits.baskets:
            tally.count_R[item] = 0
            continue
        tally.member_R[item], tally.next_R[item] = member, place
        members.item_M[member], members.first_M[member] = item, place
        members.count_M[member] = tally.count_R[item]
        members.worth_M[member], members.whole_M[member] = 0, 0
        members.reach_M[member], members.behind_M[member] = 0, 0
        place += tally.count_R[item]
        member += 1
    levels.member_L[level + 1], levels.at_L[level] = member, levels.member_L[level]


@kernel
def _keep_entries(below: _Below, tally: _Tally, levels: _Levels, limits: UtilityLimits, level: Whole) -> None:
    """Keep the entries of members, and sum up for each member what its baskets paid and may still pay."""
    rows, members = below.rows, below.members
    most = limits.max_length - level - 1
    e = kept = levels.entry_L[level]
    for b in range(levels.basket_L[level], levels.basket_L[level + 1]):
        first = kept
        while e < rows.stop_B[b]:
            item = rows.item_E[e]
            if tally.count_R[item]:
                rows.item_E[kept], rows.worth_E[kept], rows.basket_E[kept] = item, rows.worth_E[e], b
                rows.place_E[tally.next_R[item]] = kept
                tally.next_R[item] += 1
                kept += 1
            e += 1
        rows.stop_B[b] = kept
        rest: Whole = 0
        for behind in range(kept - first):
            entry = kept - 1 - behind
            member = tally.member_R[rows.item_E[entry]]
            paid = rows.paid_B[b] + rows.worth_E[entry]
            members.worth_M[member] += paid
            members.whole_M[member] += rows.whole_B[b]
            if behind:
                members.reach_M[member] += paid + rest
                members.behind_M[member] += behind
            rest += _gain(tally.most_K, min(behind, most), most, rows.worth_E[entry])
    levels.entry_L[level + 1] = kept
