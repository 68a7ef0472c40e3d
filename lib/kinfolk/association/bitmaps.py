"""The bits of classes: the baskets of a class are numbered anew, and each of its members has a bit for each of them.

Baskets are taken a stretch at a time. In a stretch each item has a row of bits, one for each basket; all rows together
stay in the cache next to the processor, while the bits of every class are looked up in them. So nothing is written but
the bits of classes, and baskets are read once for as many classes as there is room for.

Shape suffixes: E entries of baskets, R ranks, S itemsets, K classes, P spans of baskets, W words of 64 baskets, X
octets, B baskets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Integers, Ranks
from kinfolk.association.pairs import Pairs
from kinfolk.kernels.bits import LANES, OCTET, count_bits, gather_bits, trailing_zeros
from kinfolk.kernels.compiling import Whole, kernel

_CACHED_WORDS = 128 << 10
"""Words of a stretch of all rows that stay in the cache next to the processor."""
_MOST_WORDS = 1 << 24
"""Words of the bits of classes that are set together, if no single class needs more."""


class Members(NamedTuple):
    """The members of each class that may be extended: class r has those of the pairs `pair_S[first_R[r]:][:kept_R[r]]`.

    The members of a class are two or more, or none.
    """

    pair_S: Integers
    first_R: Integers
    kept_R: Integers


class Classes(NamedTuple):
    """Some classes, by rank, that have members. Where their bits are set, each member has `words_K` words of `bit_W`.

    These are `octet_X` as well. The first member's begin at `word_K`; no other class has any of them.
    """

    class_K: Codes
    word_K: Integers
    words_K: Integers
    bit_W: NDArray[np.uint64]
    octet_X: NDArray[np.uint8]


def choose_members(pairs: Pairs, shares: int, pool: Any) -> Members:
    """Which members of each class are frequent together with another one."""
    items = len(pairs.first_R)
    members = Members(np.empty(len(pairs.item_S), np.int64), pairs.first_R, np.zeros(items, np.int64))

    def choose(share: int) -> None:
        _choose_members(pairs, members, np.full(items, -1, np.int32), share, shares)

    list(pool.map(choose, range(shares)))
    return members


def list_classes(members: Members) -> Classes:
    """All classes that have members, without bits."""
    class_K = np.flatnonzero(members.kept_R).astype(np.int32)
    words_K = np.zeros(len(class_K), np.int64)
    return Classes(class_K, words_K, words_K, np.empty(0, np.uint64), np.empty(0, np.uint8))


def set_bits(baskets: Baskets, pairs: Pairs, members: Members, pool: Any) -> Iterator[Classes]:
    """All classes that have members, with their bits, as many at a time as there is room for.

    The bits of some are overwritten by those of the next.
    """
    class_K = list_classes(members).class_K
    row_of, words = _plan_rows(pairs)
    # Threads take spans of the baskets, and write to octets of their own: an octet holds baskets of one stretch.
    count_PR = np.stack(list(pool.map(partial(_tally, baskets), baskets.spans)))
    octets_PK = count_PR[:, class_K + 1] // OCTET + -(-count_PR[:, :1] // (64 * words))
    start_PK = np.concatenate([np.zeros_like(octets_PK[:1]), np.cumsum(octets_PK, axis=0)])
    words_K = -(-start_PK[-1] // (OCTET * LANES)) * LANES
    needed_K = words_K * members.kept_R[class_K]
    room = max(int(needed_K.max(initial=0)), min(_MOST_WORDS, int(needed_K.sum())))
    bit_W, first = np.empty(room, np.uint64), 0
    while first < len(class_K):
        stop_K = np.cumsum(needed_K[first:])
        some = slice(first, first + int(np.searchsorted(stop_K, room, side="right")))
        first = some.stop
        word_K = stop_K[: some.stop - some.start] - needed_K[some]
        classes = Classes(class_K[some], word_K, words_K[some], bit_W, bit_W.view(np.uint8))
        start_PK[-1, some] = words_K[some] * OCTET

        def fill(span: tuple[int, int], start_K: Integers, stop_K: Integers, classes: Classes = classes) -> None:
            sought = _Sought(pairs.item_S, members, classes)
            _fill(baskets.rank_E, span, _make_stretch(row_of, words), sought, start_K.copy(), stop_K)

        list(pool.map(fill, baskets.spans, start_PK[:-1, some], start_PK[1:, some]))
        yield classes


class _Stretch(NamedTuple):
    """A stretch of baskets: the row of rank r begins with word `row_of[r + 1] * words` of `bit_W`.

    That of `END` has what means nothing, and so have all ranks that are in no set of three. `basket_B` is for the
    numbers of the baskets that hold an item.
    """

    row_of: Codes
    words: int
    bit_W: NDArray[np.uint64]
    basket_B: Integers


class _Sought(NamedTuple):
    """The classes whose bits are set, their members, and the items of these."""

    item_S: Codes
    members: Members
    classes: Classes


def _plan_rows(pairs: Pairs) -> tuple[Codes, int]:
    """The row of each rank, behind that of `END`, and how many words it has; one of a set of three is in two pairs."""
    items = len(pairs.first_R)
    is_needed_R = pairs.stop_R - pairs.first_R + np.bincount(pairs.item_S[items:], minlength=items) >= 2
    needed = int(is_needed_R.sum())
    row_R = np.where(is_needed_R, np.cumsum(is_needed_R) - 1, needed)
    words = max(LANES, _CACHED_WORDS // (needed + 1) // LANES * LANES)
    return np.concatenate([[needed], row_R]).astype(np.int32), words


def _make_stretch(row_of: Codes, words: int) -> _Stretch:
    rows = int(row_of[0]) + 1
    # Some numbers are written and read that are no basket's.
    return _Stretch(row_of, words, np.empty(rows * words, np.uint64), np.zeros(64 * words + OCTET, np.int64))


def _tally(baskets: Baskets, span: tuple[int, int]) -> Integers:
    """How many baskets there are in a span, or somewhat more; and how many hold each item."""
    if len(baskets.spans) == 1:
        return np.concatenate([[baskets.basket_count], baskets.count_R])
    count_R = np.zeros(len(baskets.count_R) + 1, np.int64)
    _count_ranks(baskets.rank_E, *span, count_R)
    return count_R


@kernel
def _count_ranks(rank_E: Ranks, start: Whole, stop: Whole, count_R: Integers) -> None:
    for e in range(start, stop):
        count_R[rank_E[e] + 1] += 1


@kernel
def _choose_members(pairs: Pairs, members: Members, local_R: Codes, share: Whole, shares: Whole) -> None:
    """Choose the members of a share of the classes; `local_R` is all -1 between classes."""
    item_S, first_R, stop_R, _ = pairs
    for first in range(share, len(first_R), shares):
        start, stop = first_R[first], stop_R[first]
        for s in range(start, stop):
            local_R[item_S[s]] = 0
        for s in range(start, stop):
            rank = item_S[s]
            for pair in range(first_R[rank], stop_R[rank]):
                if local_R[item_S[pair]] >= 0:
                    local_R[rank], local_R[item_S[pair]] = 1, 1
        kept = start
        for s in range(start, stop):
            if local_R[item_S[s]] == 1:
                members.pair_S[kept] = s
                kept += 1
            local_R[item_S[s]] = -1
        members.kept_R[first] = kept - start


@kernel
def _fill(
    rank_E: Ranks,
    span: tuple[Whole, Whole],
    stretch: _Stretch,
    sought: _Sought,
    at_K: Integers,
    stop_K: Integers,
) -> None:
    """Set the bits of all classes in the baskets of a span.

    They go into the octets of each member from `at_K` on, which moves; what is left before `stop_K` is set to 0.
    """
    _, members, classes = sought
    e, stop = span
    while e < stop:
        e, baskets = _set_rows(rank_E, e, stop, stretch)
        for k in range(len(at_K)):
            at_K[k] += _look_up(stretch, baskets, sought, k, at_K[k])
    for k in range(len(at_K)):
        for member in range(members.kept_R[classes.class_K[k]]):
            row = (classes.word_K[k] + member * classes.words_K[k]) * OCTET
            classes.octet_X[row + at_K[k] : row + stop_K[k]] = np.uint8(0)


@kernel
def _set_rows(rank_E: Ranks, start: Whole, stop: Whole, stretch: _Stretch) -> tuple[Whole, Whole]:
    """Set the bits of as many baskets as a stretch has room for; returns where they end, and how many they are."""
    row_of, words, bit_W, _ = stretch
    bit_W[:] = np.uint64(0)
    e, basket, most = start, 0, 64 * words
    while e < stop and basket < most:
        rank = rank_E[e]
        # The end of a basket, which cannot be foreseen, sets a bit as well.
        bit_W[row_of[rank + 1] * words + (basket >> 6)] |= np.uint64(1) << np.uint64(basket & 63)
        basket += rank < 0
        e += 1
    return e, basket


@kernel
def _look_up(stretch: _Stretch, baskets: Whole, sought: _Sought, k: Whole, to: Whole) -> Whole:
    """Set the bits of the members of a class, from an octet of each on; returns how many octets each got."""
    row_of, words, bit_W, basket_B = stretch
    item_S, members, classes = sought
    first = classes.class_K[k]
    held = _list_baskets(stretch, row_of[first + 1] * words, (baskets + 63) >> 6)
    octets = (held + OCTET - 1) // OCTET
    if not octets:
        return 0
    # The last octet may have room for more baskets than there are.
    rest = np.uint8((1 << (held - (octets - 1) * OCTET)) - 1)
    to += classes.word_K[k] * OCTET
    for place in range(members.first_R[first], members.first_R[first] + members.kept_R[first]):
        row = row_of[item_S[members.pair_S[place]] + 1] * words
        for octet in range(octets):
            classes.octet_X[to + octet] = gather_bits(bit_W, row, basket_B, octet * OCTET)
        classes.octet_X[to + octets - 1] &= rest
        to += classes.words_K[k] * OCTET
    return octets


@kernel
def _list_baskets(stretch: _Stretch, row: Whole, words: Whole) -> Whole:
    """List the baskets that hold an item, whose row begins at a word; returns how many."""
    _, _, bit_W, basket_B = stretch
    baskets = 0
    for w in range(words):
        bits = bit_W[row + w]
        held = int(count_bits(bits))
        # Most words have two at most, which are written without a look at how many there are, and overwritten.
        basket_B[baskets] = w * 64 + np.int64(trailing_zeros(bits))
        bits &= bits - np.uint64(1)
        basket_B[baskets + 1] = w * 64 + np.int64(trailing_zeros(bits))
        for place in range(2, held):
            bits &= bits - np.uint64(1)
            basket_B[baskets + place] = w * 64 + np.int64(trailing_zeros(bits))
        baskets += held
    return baskets
