"""Depth-first search for frequent itemsets on packed bitsets (Zaki, Scalable Algorithms for Association Mining, 2000).

Shapes: K members of a class (items that are frequent together with its prefix), W words of 64 baskets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kinfolk.association.baskets import Baskets, Integers

_CHUNK_COST = 1 << 22
"""Entries of baskets that are gathered at a time, which bounds the scratch memory to some 100 MB."""

Bits = npt.NDArray[np.uint64]


class Block(NamedTuple):
    """The itemsets `prefix` + one member, for each member: ranks ascend, and `counts[m]` baskets hold the m-th."""

    prefix: tuple[int, ...]
    members: Integers
    counts: Integers


def search_itemsets(baskets: Baskets, least: int, max_length: int) -> Iterator[Block]:
    """Yield every itemset of at most `max_length` items that at least `least` baskets hold, exactly once."""
    ranks = np.arange(len(baskets.item_ids))
    yield Block((), ranks, baskets.item_counts)
    if max_length >= 2:
        yield from _Search(baskets, least, max_length).classes()


class _Search:
    """The search below the single items, one class a first item.

    The classes are searched from the last item to the first: when a class is searched, the frequent pairs among its
    members are known, and no set with an infrequent pair is ever counted.
    """

    def __init__(self, baskets: Baskets, least: int, max_length: int) -> None:
        self._baskets = baskets
        self._least = least
        self._max_length = max_length
        self._item_count = len(baskets.item_ids)
        self._entries_by_rank = np.argsort(baskets.ranks, kind="stable")
        self._first_entry = np.concatenate([[0], np.cumsum(baskets.item_counts)])
        # Items frequent together with an item and ranked after it.
        self._partners: list[Integers] = [np.empty(0, dtype=np.int64)] * self._item_count
        self._is_partner = np.zeros(self._item_count, dtype=bool)

    def classes(self) -> Iterator[Block]:
        for rank in reversed(range(self._item_count)):
            pair_counts = np.zeros(self._item_count, dtype=np.int64)
            for _, later in self._rows_after(rank):
                pair_counts += np.bincount(later, minlength=self._item_count)
            members = np.flatnonzero(pair_counts >= self._least)
            self._partners[rank] = members
            if len(members):
                yield Block((rank,), members, pair_counts[members])
            if len(members) >= 2 and self._max_length >= 3:
                yield from self._extend((rank,), members, self._project(rank, members))

    def _rows_after(self, rank: int, row_cost: int = 0) -> Iterator[tuple[Integers, Integers]]:
        """Yield, in chunks, what the item's baskets hold after it: (number of the basket among them, rank).

        A chunk holds about `_CHUNK_COST` entries; each of its baskets counts as `row_cost` more.
        """
        entries = self._entries_by_rank[self._first_entry[rank] : self._first_entry[rank + 1]]
        lengths = self._baskets.ends[entries] - entries - 1
        chunk_of_row = np.cumsum(lengths + row_cost) // _CHUNK_COST
        for rows in np.split(np.arange(len(entries)), np.flatnonzero(np.diff(chunk_of_row)) + 1):
            length = lengths[rows]
            skipped = np.cumsum(length) - length
            places = np.repeat(entries[rows] + 1 - skipped, length) + np.arange(length.sum())
            yield np.repeat(rows, length), self._baskets.ranks[places]

    def _project(self, rank: int, members: Integers) -> Bits:
        """For each member the set of the item's baskets that hold it, as bits: (K, W)."""
        row_count = int(self._first_entry[rank + 1] - self._first_entry[rank])
        place_of = np.full(self._item_count, -1, dtype=np.int64)
        place_of[members] = np.arange(len(members))
        octets = np.zeros((len(members), (row_count + 63) // 64 * 8), dtype=np.uint8)
        # `_set_bits` spreads a basket over a byte a member, an eighth of what an entry takes here.
        for rows, later in self._rows_after(rank, row_cost=len(members) // 8):
            places = place_of[later]
            rows, places = rows[places >= 0], places[places >= 0]
            if len(rows):
                _set_bits(octets, places, rows)
        return octets.view(np.uint64)

    def _extend(self, prefix: tuple[int, ...], members: Integers, bits_KW: Bits) -> Iterator[Block]:
        """Search the sets that begin with `prefix` and two or more of `members`."""
        for place in range(len(members) - 1):
            later = place + 1 + np.flatnonzero(self._paired(members[place], members[place + 1 :]))
            if not len(later):
                continue
            both_KW = bits_KW[later] & bits_KW[place]
            counts = np.bitwise_count(both_KW).sum(axis=1, dtype=np.int64)
            kept = np.flatnonzero(counts >= self._least)
            if not len(kept):
                continue
            extended, found = (*prefix, int(members[place])), members[later[kept]]
            yield Block(extended, found, counts[kept])
            if len(kept) >= 2 and len(extended) + 2 <= self._max_length:
                yield from self._extend(extended, found, both_KW[kept])

    def _paired(self, rank: int, candidates: Integers) -> npt.NDArray[np.bool_]:
        partners = self._partners[rank]
        self._is_partner[partners] = True
        answer = self._is_partner[candidates]
        self._is_partner[partners] = False
        return answer


def _set_bits(octets: npt.NDArray[np.uint8], places: Integers, rows: Integers) -> None:
    """Set bit `rows[e]` of line `places[e]`; the rows ascend, and only the stretch that they span is touched."""
    first, last = int(rows[0]) // 8, int(rows[-1]) // 8 + 1
    is_set = np.zeros((len(octets), (last - first) * 8), dtype=bool)
    is_set[places, rows - first * 8] = True
    octets[:, first:last] |= np.packbits(is_set, axis=1, bitorder="little")
