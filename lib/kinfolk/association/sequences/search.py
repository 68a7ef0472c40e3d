"""Depth-first search for frequent sequences by projection (PrefixSpan: Pei et al., IEEE TKDE 16(11), 2004).

A sequence grows by one item: in its last element, of a higher rank than those there, or in a later element of its own.
Each grows out of one other in this way, and no customer holds it without the other. So all that is needed of a sequence
are the places where it ends in the histories of its customers. With a most gap, the first of them is not enough (Pei,
Han and Wang, Journal of Intelligent Information Systems 28, 2007): all are kept. Of the ways to a place, only the one
that started last is: where any keeps within the most span, it does. It comes from the nearest place that a step may
come from, because the later a sequence ends, the later the last way there started.

All sequences that grow out of one are counted in a look at its places, and their places written in a second one, onto a
stack. Threads take classes, that is, all sequences that begin with one item. Each keeps what it knows in arrays and
comes back wherever it needs more room.

Shape suffixes: S sequences, T elements of all histories, E entries of elements, R ranks, P places, N sequences that are
yet to be extended, C customers.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.sequences.histories import Elements, Histories
from kinfolk.association.sequences.tree import (
    NONE,
    SequenceLimits,
    SequenceTree,
    cut_sequences,
    join_sequences,
    list_singles,
    make_sequences,
)
from kinfolk.association.tree import lengthen
from kinfolk.kernels.compiling import Whole, kernel
from kinfolk.kernels.medians import find_median
from kinfolk.kernels.threads import open_threads

_DONE, _NEEDS_ROOM = range(2)
_CLASS, _SHARE, _SIZE, _PENDING, _NEW_SEQUENCES, _NEW_PLACES = range(6)
"""Places of what a search knows of itself: the class it comes to or is in; which share of the classes it is; how many
sequences it has written; how many are to be extended; and how many sequences and places it needs room for."""

_FIRST_SEQUENCES, _FIRST_PLACES = 1 << 12, 1 << 16
_SHARES_A_THREAD = 8
"""Shares of the classes: several a thread, so that none waits long for the last."""


class _Places(NamedTuple):
    """Where a sequence ends in histories, in order: in which element; and, of the way there that started last, in which
    it started, and which was the one before the last, `NONE` where there is none.
    """

    end_P: Codes
    start_P: Codes
    before_P: Codes


class _Pending(NamedTuple):
    """Sequences that are yet to be extended: number, places from where to where, items, elements, and last item."""

    sequence_N: Integers
    first_N: Integers
    stop_N: Integers
    length_N: Integers
    elements_N: Integers
    item_N: Integers


class _Tally(NamedTuple):
    """What may grow out of a sequence in one of the two ways.

    `touched_R` lists the items that were seen. For these, and no others, `customer_R` is the customer that held one
    last, `NONE` for the others, `customers_R` how many did, and `places_R` in how many places; `next_R` is where its
    next place is written.
    """

    touched_R: Codes
    customer_R: Codes
    customers_R: Integers
    places_R: Integers
    next_R: Integers


class _Own(NamedTuple):
    """What a search works with, and what it writes.

    `steps` are the elements that may come next after a sequence; `gap_C` is for a gap of each customer. `written_N`
    says how many sequences each share has written.
    """

    state: Integers
    tree: SequenceTree
    pending: _Pending
    places: _Places
    steps: _Places
    same: _Tally
    later: _Tally
    gap_C: Integers
    written_N: Integers


class _Source(NamedTuple):
    """The sequence that others grow out of, and in which way they do."""

    sequence: Whole
    length: Whole
    elements: Whole
    is_new: Whole


def search_sequences(histories: Histories, limits: SequenceLimits, *, threads: int = 1) -> SequenceTree:
    """Every sequence within the limits, exactly once.

    The search ends soon after there are more than `limits.sequences`; each thread may find as many first.
    """
    singles = list_singles(histories.count_R)
    limits = limits._replace(sequences=limits.sequences - len(singles.item_S))
    if limits.length < 2 or limits.sequences < 0:
        return singles
    written_N = np.zeros(1 if threads == 1 else _SHARES_A_THREAD * threads, np.int64)
    with open_threads(threads) as pool:
        shares = range(len(written_N))
        found = list(pool.map(lambda share: _search_share(histories, limits, written_N, share), shares))
    return join_sequences(singles, found)


def _search_share(histories: Histories, limits: SequenceLimits, written_N: Integers, share: int) -> SequenceTree:
    """The sequences of two items or more of one of so many shares of the classes.

    There is more room wherever it is needed. All searches end where too many sequences were written.
    """
    items, elements = len(histories.count_R), len(histories.elements.time_T)
    own = _Own(
        np.array([share, share, 0, 0, 0, 0]),
        make_sequences(_FIRST_SEQUENCES),
        _Pending(*np.empty((6, _FIRST_SEQUENCES), np.int64)),
        _Places(*np.empty((3, _FIRST_PLACES), np.int32)),
        _Places(*np.empty((3, elements), np.int32)),
        _make_tally(items),
        _make_tally(items),
        np.empty(int(histories.count_R.max(initial=0)), np.int64),
        written_N,
    )
    while _extend_classes(histories.elements, limits, own) != _DONE:
        state = own.state
        own = own._replace(
            tree=_make_room(own.tree, state[_SIZE] + state[_NEW_SEQUENCES]),
            pending=_make_room(own.pending, state[_PENDING] + state[_NEW_SEQUENCES]),
            places=_make_room(own.places, state[_NEW_PLACES]),
        )
    return cut_sequences(own.tree, int(own.state[_SIZE]))


def _make_tally(items: int) -> _Tally:
    zeros = np.zeros((3, items), np.int64)
    return _Tally(np.empty(items, np.int32), np.full(items, NONE, np.int32), *zeros)


Arrays = TypeVar("Arrays", SequenceTree, _Pending, _Places)


def _make_room(arrays: Arrays, size: int) -> Arrays:
    """The same values, with room for at least so many, and for twice as many as there was if that is not enough."""
    room = len(arrays[0])
    return arrays if size <= room else type(arrays)._make(lengthen(values, max(2 * room, size)) for values in arrays)


@kernel
def _extend_classes(elements: Elements, limits: SequenceLimits, own: _Own) -> Whole:
    """Write the sequences of a share of the classes; go on until it is done or needs room, and return which."""
    state, written_N = own.state, own.written_N
    items = len(elements.first_R) - 1
    while state[_CLASS] < items and written_N.sum() <= limits.sequences:
        if not state[_PENDING] and not _open_class(elements, own):
            return _NEEDS_ROOM
        while state[_PENDING] and written_N.sum() <= limits.sequences:
            before = state[_SIZE]
            if not _extend(elements, limits, own):
                return _NEEDS_ROOM
            written_N[state[_SHARE]] += state[_SIZE] - before
        state[_CLASS] += len(written_N)
    return _DONE


@kernel
def _open_class(elements: Elements, own: _Own) -> bool:
    """Put a single item on the stack; returns whether there was room for its places."""
    state, places, pending = own.state, own.places, own.pending
    first = state[_CLASS]
    start, stop = elements.first_R[first], elements.first_R[first + 1]
    state[_NEW_SEQUENCES], state[_NEW_PLACES] = 1, stop - start
    if stop - start > len(places.end_P):
        return False
    for p in range(stop - start):
        element = elements.element_E[start + p]
        places.end_P[p], places.start_P[p], places.before_P[p] = element, element, NONE
    pending.sequence_N[0], pending.item_N[0] = first, first
    pending.first_N[0], pending.stop_N[0] = 0, stop - start
    pending.length_N[0], pending.elements_N[0] = 1, 1
    state[_PENDING] = 1
    return True


@kernel
def _extend(elements: Elements, limits: SequenceLimits, own: _Own) -> bool:
    """Write all that grows out of the sequence on top of the stack in its place; returns whether there was room."""
    state, tree, pending, places, steps, same, later = own[:7]
    top = state[_PENDING] - 1
    first, stop = pending.first_N[top], pending.stop_N[top]
    length, parts, last = pending.length_N[top], pending.elements_N[top], pending.item_N[top]
    seen_same = _tally(elements, places, (first, stop), last, same)
    found: Whole = 0
    if parts < limits.elements:
        found = _list_steps(elements, limits, places, (first, stop), steps)
    seen_later = _tally(elements, steps, (0, found), NONE, later)
    new, room = 0, stop
    for seen, tally in ((seen_same, same), (seen_later, later)):
        for t in range(seen):
            rank = tally.touched_R[t]
            if tally.customers_R[rank] >= limits.least:
                new += 1
                room += tally.places_R[rank]
    has_room = state[_SIZE] + new <= len(tree.item_S) and top + new <= len(pending.item_N) and room <= len(places.end_P)
    if has_room:
        sequence = pending.sequence_N[top]
        state[_PENDING] = top
        stop = _write(elements, limits, own, _Source(sequence, length, parts, 0), (first, stop, stop), seen_same)
        _write(elements, limits, own, _Source(sequence, length, parts, 1), (0, found, stop), seen_later)
    else:
        state[_NEW_SEQUENCES], state[_NEW_PLACES] = new, room
    _clear(same, seen_same)
    _clear(later, seen_later)
    return bool(has_room)


@kernel
def _list_steps(
    elements: Elements, limits: SequenceLimits, places: _Places, span: tuple[Whole, Whole], steps: _Places
) -> Whole:
    """List the elements that may come next after a sequence whose places are given; returns how many there are."""
    customer_T, time_T, end_P = elements.customer_T, elements.time_T, places.end_P
    (at, stop), found = span, 0
    while at < stop:
        customer, beyond = customer_T[end_P[at]], at + 1
        while beyond < stop and customer_T[end_P[beyond]] == customer:
            beyond += 1
        element = np.int64(end_P[at]) + 1
        while element < len(time_T) and customer_T[element] == customer:
            time = time_T[element]
            # The nearest place is the one to come from: of all it also started last.
            while at + 1 < beyond and time_T[end_P[at + 1]] <= time - limits.min_gap:
                at += 1
            gap = time - time_T[end_P[at]]
            if gap > limits.max_gap and at + 1 == beyond:
                break
            if limits.min_gap <= gap <= limits.max_gap and time - time_T[places.start_P[at]] <= limits.max_span:
                steps.end_P[found] = element
                steps.start_P[found], steps.before_P[found] = places.start_P[at], end_P[at]
                found += 1
            element += 1
        at = beyond
    return found


@kernel
def _tally(elements: Elements, places: _Places, span: tuple[Whole, Whole], above: Whole, tally: _Tally) -> Whole:
    """Count the items of a rank above some one in the elements of places; returns how many items were seen."""
    rank_E, start_T = elements.rank_E, elements.start_T
    first, stop = span
    seen = 0
    for p in range(first, stop):
        element = places.end_P[p]
        customer = elements.customer_T[element]
        e = start_T[element + 1] - 1
        while e >= start_T[element] and rank_E[e] > above:
            rank = rank_E[e]
            if tally.customer_R[rank] != customer:
                if tally.customer_R[rank] == NONE:
                    tally.touched_R[seen] = rank
                    seen += 1
                tally.customer_R[rank] = customer
                tally.customers_R[rank] += 1
            tally.places_R[rank] += 1
            e -= 1
    return seen


@kernel
def _write(
    elements: Elements,
    limits: SequenceLimits,
    own: _Own,
    source: _Source,
    span: tuple[Whole, Whole, Whole],
    seen: Whole,
) -> Whole:
    """Write what grows out of a sequence in one way; returns where its places end.

    `span` is from where to where the places are that it grows from, and where those of what grows begin. Sequences that
    have as many items as allowed are not extended, and leave no places.
    """
    state, tree, pending = own.state, own.tree, own.pending
    tally = own.later if source.is_new else own.same
    first, stop, start = span
    to = start
    for t in range(seen):
        rank = tally.touched_R[t]
        is_frequent = tally.customers_R[rank] >= limits.least
        tally.next_R[rank] = to if is_frequent else NONE
        to += tally.places_R[rank] if is_frequent else 0
    if to == start:
        return start
    _write_places(elements, own, (first, stop), source.is_new)
    to = start
    for t in range(seen):
        rank = tally.touched_R[t]
        if tally.next_R[rank] == NONE:
            continue
        size, top = state[_SIZE], state[_PENDING]
        after = tally.next_R[rank]
        tree.parent_S[size], tree.item_S[size], tree.is_new_S[size] = source.sequence, rank, source.is_new
        tree.count_S[size] = tally.customers_R[rank]
        tree.gap_S[size] = _measure_gap(elements, own, to, after)
        if source.length + 1 < limits.length:
            pending.sequence_N[top], pending.item_N[top] = len(elements.first_R) - 1 + size, rank
            pending.first_N[top], pending.stop_N[top] = to, after
            pending.length_N[top], pending.elements_N[top] = source.length + 1, source.elements + source.is_new
            state[_PENDING] = top + 1
        state[_SIZE] = size + 1
        to = after
    return to if source.length + 1 < limits.length else start


@kernel
def _write_places(elements: Elements, own: _Own, span: tuple[Whole, Whole], is_new: Whole) -> None:
    """Write the places of what grows out of a sequence, where the tally says for each item."""
    rank_E, start_T, to = elements.rank_E, elements.start_T, own.places
    given, tally = (own.steps, own.later) if is_new else (own.places, own.same)
    for p in range(span[0], span[1]):
        element = given.end_P[p]
        for e in range(start_T[element], start_T[element + 1]):
            rank = rank_E[e]
            # Items that were not seen have no rank above the last one.
            if tally.customer_R[rank] != NONE and tally.next_R[rank] != NONE:
                place = tally.next_R[rank]
                to.end_P[place], to.start_P[place], to.before_P[place] = element, given.start_P[p], given.before_P[p]
                tally.next_R[rank] = place + 1


@kernel
def _measure_gap(elements: Elements, own: _Own, first: Whole, stop: Whole) -> float:
    """The median of the microseconds between the last two elements, in the first place of each customer."""
    customer_T, time_T = elements.customer_T, elements.time_T
    end_P, before_P, gap_C = own.places.end_P, own.places.before_P, own.gap_C
    if before_P[first] == NONE:
        return np.nan
    size, last = 0, np.int64(NONE)
    for p in range(first, stop):
        customer = np.int64(customer_T[end_P[p]])
        if customer != last:
            gap_C[size] = time_T[end_P[p]] - time_T[before_P[p]]
            size, last = size + 1, customer
    return find_median(gap_C, size)


@kernel
def _clear(tally: _Tally, seen: Whole) -> None:
    for t in range(seen):
        rank = tally.touched_R[t]
        tally.customer_R[rank], tally.customers_R[rank], tally.places_R[rank] = NONE, 0, 0
