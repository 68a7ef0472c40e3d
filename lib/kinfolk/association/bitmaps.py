"""Baskets as rows of bits, one for each item, and from them the bits of classes, whose baskets are numbered anew.

All rows together outgrow the cache next to the processor. So a stretch of the baskets is taken at a time, for as many
classes as there is room for: from memory each row comes once for all of them.

Shape suffixes: E entries of baskets, R ranks, S itemsets, K classes, T members of all classes, W words of 64 baskets, X
octets, B baskets.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Integers
from kinfolk.association.tree import Tree
from kinfolk.kernels.bits import LANES, OCTET, count_bits, count_words, gather_bits, trailing_zeros
from kinfolk.kernels.compiling import Whole, kernel

_MOST_WORDS, _WORDS_PER_ENTRY = 1 << 25, 2
"""Words of all rows, in all or for each entry of the baskets: however many these are, rows may take a few times their
memory."""
_STRETCH = 64 * LANES
"""Baskets whose bits are set at a time."""
_CACHED_WORDS = 128 << 10
"""Words of a stretch of all rows that stay in the cache next to the processor."""
_GROUP_WORDS = 1 << 17
"""Words of the bits of classes that are set together, if no single class needs more."""


class Rows(NamedTuple):
    """Baskets as rows of bits, one for each rank that may be in a set of three, with a bit for each basket.

    That of rank r begins at `row_R[r] * words` of `bit_W`; all other ranks have the last row together, which means
    nothing.
    """

    bit_W: NDArray[np.uint64]
    row_R: Codes
    words: int


NO_ROWS = Rows(np.empty(0, np.uint64), np.empty(0, np.int32), 0)


class Group(NamedTuple):
    """Classes whose bits are set together, and what that needs.

    Class k is that of rank `class_K[k]`. Its members are the second items of the pairs `pair_T[first_K[k]:first_K[k +
    1]]`, and each has `words_R` of its class words of `bit_W`, which are `octet_X` as well; the first member's begin at
    `word_K[k]`, and `octets_K[k]` octets are in use. `basket_B` is for the baskets of a class in a stretch of `words`.
    """

    class_K: Codes
    first_K: Integers
    pair_T: Integers
    word_K: Integers
    octets_K: Integers
    words_R: Integers
    bit_W: NDArray[np.uint64]
    octet_X: NDArray[np.uint8]
    basket_B: Integers
    words: int


def set_rows(baskets: Baskets, pairs: Tree, pool: Any) -> Rows:
    """The baskets as rows of bits, none if these were too many; an item of a set of three is in two frequent pairs."""
    items = len(baskets.count_R)
    sides = np.concatenate([pairs.parent_S[items:], pairs.item_S[items:]])
    is_needed_R = np.bincount(sides, minlength=items) >= 2
    needed, entries = int(is_needed_R.sum()), sum(stop - start for start, stop in baskets.spans)
    if needed * baskets.basket_count > 64 * max(_MOST_WORDS, _WORDS_PER_ENTRY * entries):
        return NO_ROWS
    row_R = np.where(is_needed_R, np.cumsum(is_needed_R) - 1, needed).astype(np.int32)
    spans, counts = baskets.spans if needed else (), [baskets.basket_count]
    if len(spans) > 1:
        # The baskets of a span begin with a stretch of their own, so that threads write to different words.
        counts = list(pool.map(partial(_count_baskets, baskets.rank_E), *zip(*spans, strict=True)))
    first_words = np.cumsum([0, *(count_words(count) for count in counts)]).tolist()
    rows = Rows(np.empty((needed + 1) * first_words[-1], np.uint64), row_R, first_words[-1])

    # The end of a basket, which is no rank, has the last row as well.
    row_of = np.concatenate([np.array([needed], np.int32), row_R])

    def set_bits(span: tuple[int, int], first_word: int, stop_word: int) -> None:
        stretch_W = np.zeros((needed + 1) * LANES, np.uint64)
        _set_bits(baskets.rank_E, span, row_of, rows, (first_word, stop_word), stretch_W)

    list(pool.map(set_bits, spans, first_words, first_words[1:]))
    return rows


def make_group(rows: Rows, members_R: Integers, count_R: Integers) -> Group:
    """Room for classes of so many members and baskets: for any one of them, and for many small ones."""
    classes = len(members_R)
    words = max(LANES, _CACHED_WORDS * rows.words // max(1, len(rows.bit_W)) // LANES * LANES)
    # An octet holds baskets of one stretch.
    bits_R = count_R + OCTET * -(-rows.words // words)
    words_R = -(-bits_R // (64 * LANES)) * LANES
    bit_W = np.empty(max(_GROUP_WORDS, int((members_R * words_R).max(initial=0))), np.uint64)
    return Group(
        class_K=np.empty(classes, np.int32),
        first_K=np.zeros(classes + 1, np.int64),
        pair_T=np.empty(int(members_R.sum()), np.int64),
        word_K=np.empty(classes, np.int64),
        octets_K=np.empty(classes, np.int64),
        words_R=words_R,
        bit_W=bit_W,
        octet_X=bit_W.view(np.uint8),
        # A few numbers are written too many, and read.
        basket_B=np.zeros(64 * words + 2 + OCTET, np.int64),
        words=words,
    )


@kernel
def fill_group(rows: Rows, item_S: Codes, group: Group, classes: Whole) -> None:
    """Set the bits of the members of so many classes, stretch by stretch of the baskets."""
    class_K, first_K, word_K, octets_K = group.class_K, group.first_K, group.word_K, group.octets_K
    octets_K[:classes] = 0
    for start in range(0, rows.words, group.words):
        stop = min(start + group.words, rows.words)
        for k in range(classes):
            baskets = _list_baskets(rows, class_K[k], (start, stop), group.basket_B)
            octets = (baskets + OCTET - 1) // OCTET
            # The last octet may have room for more baskets than there are.
            rest = np.uint8((1 << (baskets - (octets - 1) * OCTET)) - 1)
            to = word_K[k] * OCTET + octets_K[k]
            for t in range(first_K[k], first_K[k + 1]):
                row = rows.row_R[item_S[group.pair_T[t]]] * rows.words
                for octet in range(octets):
                    found = gather_bits(rows.bit_W, row, group.basket_B, octet * OCTET)
                    group.octet_X[to + octet] = found if octet < octets - 1 else found & rest
                to += group.words_R[class_K[k]] * OCTET
            octets_K[k] += octets
    for k in range(classes):
        words = group.words_R[class_K[k]]
        for member in range(first_K[k + 1] - first_K[k]):
            to = (word_K[k] + member * words) * OCTET
            group.octet_X[to + octets_K[k] : to + words * OCTET] = np.uint8(0)


@kernel
def _list_baskets(rows: Rows, rank: Whole, stretch: tuple[Whole, Whole], basket_B: Integers) -> Whole:
    """List the baskets of a stretch of words that hold an item; returns how many."""
    row, baskets = rows.row_R[rank] * rows.words, 0
    for w in range(stretch[0], stretch[1]):
        bits = rows.bit_W[row + w]
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


@kernel
def _count_baskets(rank_E: Codes, start: Whole, stop: Whole) -> Whole:
    count = 0
    for e in range(start, stop):
        count += rank_E[e] < 0
    return count


@kernel
def _set_bits(
    rank_E: Codes,
    span: tuple[Whole, Whole],
    row_of: Codes,
    rows: Rows,
    bounds: tuple[Whole, Whole],
    stretch_W: NDArray[np.uint64],
) -> None:
    """Write the words of all rows within some bounds: the baskets of a span, and nothing behind them.

    `row_of` is the row of each rank, behind that of `END`, so that nothing has to be foreseen. A stretch of baskets is
    written at a time, for all rows: `stretch_W`, all 0 between stretches, stays in the cache.
    """
    (word, stop_word), basket = bounds, 0
    for e in range(span[0], span[1]):
        rank = rank_E[e]
        stretch_W[row_of[rank + 1] * LANES + (basket >> 6)] |= np.uint64(1) << np.uint64(basket & 63)
        basket += rank < 0
        if basket == _STRETCH:
            _write_stretch(rows, word, stretch_W)
            word += LANES
            basket = 0
    while word < stop_word:
        _write_stretch(rows, word, stretch_W)
        word += LANES


@kernel
def _write_stretch(rows: Rows, first_word: Whole, stretch_W: NDArray[np.uint64]) -> None:
    """Write the words of a stretch of baskets into all rows, and clear them."""
    bit_W, _, words = rows
    for row in range(len(stretch_W) // LANES):
        for lane in range(LANES):
            bit_W[row * words + first_word + lane] = stretch_W[row * LANES + lane]
    stretch_W[:] = np.uint64(0)
