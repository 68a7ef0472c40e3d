"""All partners of a few sets, exactly, in one pass over the many that they are compared with.

The few are found by their rarest tokens (see `prefix`), and all tokens of the many are looked up, so that nothing has
to be counted or ordered among these: they are read once. Which tokens are rare, some of the many tell; any order will
do for all partners to be met, and a good one for few others. A table of bits tells most tokens apart that none of the
few is found by (Bloom, 1970, with one hash function).

Shape suffixes: R the few, N the many, S slots, P pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, kernel
from kinfolk.similarity.effort import split_items, spread
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.recall import draw_rows
from kinfolk.similarity.sets.items import Codes, ItemSets
from kinfolk.similarity.sets.prefix import (
    Index,
    Room,
    Side,
    count_tokens,
    list_rarest,
    make_postings,
    make_room,
    make_sides,
    prefix_lengths,
    take_found,
    token_slot,
)
from kinfolk.similarity.sets.shingles import Source, Workspace, count_common, make_workspace, read_set, read_tokens
from kinfolk.similarity.sets.sketches import Records, Rule, may_be_similar, similarity_of

PARTNER_TOKEN_SECONDS = 2e-8
"""Of reading a token of the many once, and looking it up, on one thread."""

_COUNTED_ITEMS = 20_000
"""Of the many, to tell which tokens are rare."""
_BITS_A_TOKEN, _MOST_BITS = 32, 1 << 27
"""Of the table: few enough for a core's own cache where there are few tokens, and hardly ever set for other tokens."""
_PAIRS_A_CHUNK = 1 << 16


class _Wanted(NamedTuple):
    """The few, by the slots of their rarest tokens, and a bit for each of these slots."""

    few: Index
    word_S: NDArray[np.uint64]


def find_partners(some: ItemSets, many: ItemSets, rule: Rule, threads: int) -> Pairs:
    """All pairs of one of the few and one of the many with at least the rule's similarity, by their positions."""
    few, base = make_sides(some, many, threads, is_by_size=False)
    wanted, sets = _want(few, base, rule, threads), (base.source, base.record_NW)

    def find_part(part: range) -> Pairs:
        work, seen_R = make_workspace(few.source, base.source), np.full(len(few), -1)
        # An item has no more partners than there are rows.
        room = make_room(max(_PAIRS_A_CHUNK, len(few)))
        found: list[Pairs] = []
        item: Whole = part.start
        while item < part.stop:
            count, item = _meet_items(wanted, sets, (item, part.stop), (rule, work, seen_R), room)
            order = np.argsort(room.left_P[:count], kind="stable")
            _measure(wanted.few, sets, order, (rule, work), room)
            met = take_found(room, count)
            is_similar = met.similarity_P >= rule.least
            found.append(Pairs(met.left_P[is_similar], met.right_P[is_similar], met.similarity_P[is_similar]))
        return Pairs.joined(found)

    return Pairs.joined(spread(find_part, split_items(len(base)), threads))


def _want(few: Side, base: Side, rule: Rule, threads: int) -> _Wanted:
    """The few, by as many of their rarest tokens as it takes to meet all partners."""
    drawn = draw_rows(len(base), _COUNTED_ITEMS, seed=0)
    # None counts as a token that no other set has: in the rest of the many there may be one.
    count_S = count_tokens([base.take(drawn)], threads) + np.uint32(2)
    length_R, _ = prefix_lengths(rule, few)
    slots = list_rarest(few, length_R, length_R, count_S, threads)
    postings = make_postings(slots)
    bits = min(1 << (_BITS_A_TOKEN * len(slots.slot_P)).bit_length(), _MOST_BITS)
    word_S = np.zeros(max(1, bits >> 6), np.uint64)
    bit_P = slots.slot_P & np.uint32(64 * len(word_S) - 1)
    np.bitwise_or.at(word_S, bit_P >> np.uint32(6), np.uint64(1) << (bit_P & np.uint32(63)).astype(np.uint64))
    return _Wanted(Index(few.source, few.record_NW, postings), word_S)


@kernel
def _meet_items(
    wanted: _Wanted,
    sets: tuple[Source, Records],
    part: tuple[Whole, Whole],
    how: tuple[Rule, Workspace, NDArray[np.int64]],
    room: Room,
) -> tuple[Whole, Whole]:
    """Write who meets whom until there may be no room; returns how many there are, and the item to go on with."""
    source, record_NW = sets
    rule, work, seen_R = how
    few, word_S = wanted
    start_S, item_P = few.postings
    mask, last_bit = np.uint32(len(start_S) - 2), np.uint32(64 * len(word_S) - 1)
    met = 0
    for item in range(part[0], part[1]):
        if met + len(seen_R) > len(room.left_P):
            return met, item
        for t in range(read_tokens(source, item, work)):
            slot = token_slot(work.token_T[t])
            bit = slot & last_bit
            if not word_S[bit >> np.uint32(6)] >> np.uint64(bit & np.uint32(63)) & np.uint64(1):
                continue
            for posting in range(start_S[slot & mask], start_S[(slot & mask) + 1]):
                row = np.int64(item_P[posting])
                if seen_R[row] != item:
                    seen_R[row] = item
                    if may_be_similar(rule, few.record_NW, row, record_NW, item):
                        room.left_P[met], room.right_P[met] = row, item
                        met += 1
    return met, part[1]


@kernel
def _measure(few: Index, sets: tuple[Source, Records], order: Codes, how: tuple[Rule, Workspace], room: Room) -> None:
    """Write the similarity of pairs of an order in which those of a row follow one another."""
    source, record_NW = sets
    rule, work = how
    last: Whole = -1
    slots: Whole = 0
    for place in order:
        row, item = room.left_P[place], room.right_P[place]
        if row != last:
            _, slots = read_set(few.source, row, work)
            last = row
        common = count_common(source, item, slots, work)
        sizes = np.int64(few.record_NW[row, 0]), np.int64(record_NW[item, 0])
        room.similarity_P[place] = similarity_of(rule.measure, common, sizes[0], sizes[1])
