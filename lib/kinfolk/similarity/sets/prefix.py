"""Exact joins of sets by their rarest tokens.

Sort the tokens of all sets from rare to common. Two sets with at least c tokens in common have one in common among the
first |A| - c + 1 of A and the first |B| - c + 1 of B, so it is enough to look up these prefixes (Chaudhuri, Ganti,
Kaushik, A primitive operator for similarity joins in data cleaning, 2006; Bayardo, Ma, Srikant, Scaling up all pairs
similarity search, 2007). Who shares a token with whom is kept as postings: slots of a hash table, each with the items
that have a token there. Tokens that no other set has are left out. Pairs that meet pass the lossless filter of
`sketches`, and are measured on the two sets themselves.

The larger of two sets looks up the smaller, of which a shorter prefix will do then. Under containment c depends on the
smaller set alone, so that any token of the larger one may be the one in its prefix: all of them are looked up.

How common a token is, is counted in slots too; tokens are ordered by (count, part of their hash). Tokens that are equal
in that order only make a prefix of a multiset, which has the same property, so the join stays exact.

Shape suffixes: N items, S slots, P postings or pairs, K neighbours, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.similarity.effort import Budget, Effort, split_items, spread
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.sets.items import Codes, ItemSets, profile_sets, take_items
from kinfolk.similarity.sets.shingles import Source, Workspace, count_common, make_workspace, read_set
from kinfolk.similarity.sets.sketches import (
    CONTAINMENT,
    JACCARD,
    Records,
    Rule,
    may_be_similar,
    similarity_of,
)

PREFIX_TOKEN_SECONDS = 6e-8
"""Of reading a token three times, counting it, and finding the rarest, on one thread."""

_MOST_COUNT_BITS = 24
_COUNT_BITS_KEPT = 24
_KEY_BITS = np.uint64(64 - _COUNT_BITS_KEPT)
_PAIRS_A_CHUNK = 1 << 16
_JOBS = 64
_LEAST_ROWS_A_JOB = 512

BEFORE, NOT_LARGER, SMALLER = 0, 1, 2
"""Which items a row is paired with: those before it, those that are no larger, those that are smaller."""


@dataclass(frozen=True)
class Side:
    """One side of a join, in the order in which it is worked through; `code_N` says which item stands where."""

    source: Source
    record_NW: Records
    code_N: Codes

    def __len__(self) -> int:
        return len(self.code_N)

    def take(self, places: Codes) -> Side:
        """What stands at these places."""
        return Side(take_items(self.source, places), self.record_NW[places], self.code_N[places])

    def sizes(self) -> Codes:
        """How many tokens each set has."""
        size_N: Codes = self.record_NW[:, 0].astype(np.int64)
        return size_N


class Slots(NamedTuple):
    """The slots of some tokens of each item, `count_N` from `start_N` on; the first `indexed_N` it is found by."""

    start_N: NDArray[np.int64]
    count_N: NDArray[np.int64]
    indexed_N: NDArray[np.int64]
    slot_P: NDArray[np.uint32]


class Postings(NamedTuple):
    """The items of slot s, in order: `item_P` from `start_S[s]` to `start_S[s + 1]`."""

    start_S: NDArray[np.int64]
    item_P: NDArray[np.int32]


class Probe(NamedTuple):
    """What looks up: rows share, share + shares, … of one side, with their slots."""

    source: Source
    record_NW: Records
    slots: Slots
    share: int
    shares: int


class Index(NamedTuple):
    """What is looked up."""

    source: Source
    record_NW: Records
    postings: Postings


class Room(NamedTuple):
    """Where a kernel writes pairs of places."""

    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]
    similarity_P: NDArray[np.float64]


def make_room(pairs: int) -> Room:
    """Room for so many pairs."""
    return Room(np.empty(pairs, np.int64), np.empty(pairs, np.int64), np.empty(pairs))


def take_found(room: Room, count: Whole) -> Pairs:
    """The first pairs of a room, copied."""
    return Pairs(room.left_P[:count].copy(), room.right_P[:count].copy(), room.similarity_P[:count].copy())


def join_prefixes(left: ItemSets, right: ItemSets | None, rule: Rule, effort: Effort) -> Pairs:
    """All pairs of at least the rule's similarity; a share has rows t, t + T, … of each side, small sets first."""
    sides = make_sides(left, right, effort.threads)
    slots = _list_prefixes(sides, rule, effort.threads)
    join = _Join(rule, effort, Budget(effort.max_pairs))
    if right is None:
        return join.look_up(sides[0], slots[0], sides[0], slots[0], BEFORE)
    pairs = join.look_up(sides[0], slots[0], sides[1], slots[1], NOT_LARGER)
    turned = join.look_up(sides[1], slots[1], sides[0], slots[0], SMALLER)
    return Pairs.joined([pairs, Pairs(turned.right_P, turned.left_P, turned.similarity_P)])


def count_meetings(left: ItemSets, right: ItemSets | None, rule: Rule) -> float:
    """About how many pairs `join_prefixes` would meet, each counted once for every token that it is met by."""
    sides = make_sides(left, right, 1)
    slots = _list_prefixes(sides, rule, 1)
    looking = [_take_slots(one, one.count_N) for one in slots]
    indexed = [_take_slots(one, one.indexed_N) for one in slots]
    # Of two items that share a slot, the larger one alone meets the other.
    met = _count_equal(looking[0], indexed[-1]) + _count_equal(looking[-1], indexed[0])
    return met / (4 if right is None else 2)


def _take_slots(slots: Slots, count_N: Codes) -> NDArray[np.uint32]:
    """The first slots of each item, so many of them."""
    places = np.repeat(slots.start_N - np.cumsum(count_N) + count_N, count_N) + np.arange(count_N.sum())
    taken_P: NDArray[np.uint32] = slots.slot_P[places]
    return taken_P


def _count_equal(one_P: NDArray[np.uint32], other_P: NDArray[np.uint32]) -> float:
    """How many pairs of equal ones there are."""
    (one_S, one_count_S), (other_S, other_count_S) = (np.unique(p, return_counts=True) for p in (one_P, other_P))
    _, one, other = np.intersect1d(one_S, other_S, assume_unique=True, return_indices=True)
    return float((one_count_S[one] * other_count_S[other]).sum())


def _list_prefixes(sides: Sequence[Side], rule: Rule, threads: int) -> list[Slots]:
    count_S = count_tokens(sides, threads)
    return [list_rarest(side, *prefix_lengths(rule, side), count_S, threads) for side in sides]


def make_sides(left: ItemSets, right: ItemSets | None, threads: int, *, is_by_size: bool = True) -> list[Side]:
    """The sides of a join, one where it is with itself, by code or the smallest sets first, equal ones by code."""
    left = profile_sets(left, threads=threads)
    if right is None:
        return [_make_side(left, is_by_size)]
    words = left.records().shape[1]
    return [_make_side(left, is_by_size), _make_side(profile_sets(right, threads=threads, words=words), is_by_size)]


def _make_side(sets: ItemSets, is_by_size: bool) -> Side:
    record_NW = sets.records()
    if not is_by_size:
        return Side(sets.source, record_NW, np.arange(len(sets)))
    order = np.argsort(record_NW[:, 0], kind="stable")
    return Side(take_items(sets.source, order), record_NW[order], order)


def count_tokens(sides: Sequence[Side], threads: int) -> NDArray[np.uint32]:
    """How many sets have a token, by slot: the slot of a token is its highest bits."""
    tokens = sum(int(side.sizes().sum()) for side in sides)
    bits = min(max(tokens.bit_length(), 8), _MOST_COUNT_BITS)
    jobs = [(side, part) for side in sides for part in split_items(len(side), max(1, -(-len(side) // threads)))]

    def count_part(job: tuple[Side, range]) -> NDArray[np.uint32]:
        side, part = job
        count_S = np.zeros(1 << bits, np.uint32)
        _count_tokens(side.source, part.start, part.stop, count_S, make_workspace(side.source))
        return count_S

    total_S = np.zeros(1 << bits, np.uint32)
    for count_S in spread(count_part, jobs, threads):
        total_S += count_S
    return total_S


def prefix_lengths(rule: Rule, side: Side) -> tuple[Codes, Codes]:
    """How many of each set's rarest tokens are looked up, and how many are there to be found by sets no smaller."""
    size_N, least = side.sizes(), rule.least * (1 - 1e-12)
    if rule.measure == JACCARD:
        # c >= t|A| with any partner, and c >= t(|A| + |B|) / (1 + t) >= 2t|A| / (1 + t) with one that is no smaller.
        return _lengths(size_N, least * size_N), _lengths(size_N, 2 * least / (1 + least) * size_N)
    if rule.measure == CONTAINMENT:
        return size_N, _lengths(size_N, least * size_N)
    lengths_N = _lengths(size_N, np.full(len(size_N), least))
    return lengths_N, lengths_N


def _lengths(size_N: Codes, least_N: NDArray[np.floating]) -> Codes:
    """Lengths of prefixes that leave out fewer tokens than have to be common; 0 where sets are too small."""
    lengths_N: Codes = np.maximum(size_N - np.ceil(least_N).astype(np.int64) + 1, 0)
    return lengths_N


def list_rarest(side: Side, take_N: Codes, index_N: Codes, count_S: NDArray[np.uint32], threads: int) -> Slots:
    """The slots of the rarest `take_N` tokens of each item, without those that only one set has.

    The rarest `index_N` of them come first.
    """
    items = len(side)
    slot_P = np.empty(int(take_N.sum()), np.uint32)
    slots = Slots(np.cumsum(take_N) - take_N, np.zeros(items, np.int64), np.zeros(items, np.int64), slot_P)

    def list_part(part: range) -> None:
        work = make_workspace(side.source)
        _list_rarest(side.source, (part.start, part.stop), (take_N, index_N), count_S, slots, work)

    spread(list_part, split_items(items), threads)
    return slots


def make_postings(slots: Slots) -> Postings:
    """Which items are to be found in which slot; the slots are hashed on to about one a posting."""
    postings = int(slots.indexed_N.sum())
    bits = min(max(postings.bit_length() - 1, 4), 32)
    start_S, item_P = np.zeros((1 << bits) + 1, np.int64), np.empty(postings, np.int32)
    _fill_postings(slots.start_N, slots.indexed_N, slots.slot_P, start_S, item_P)
    return Postings(start_S, item_P)


@dataclass(frozen=True)
class _Join:
    """One join: what counts as similar, and with how much effort it is looked for."""

    rule: Rule
    effort: Effort
    budget: Budget

    def look_up(self, probe: Side, probe_slots: Slots, base: Side, base_slots: Slots, relation: int) -> Pairs:
        """The pairs of a side with another, or with itself, that share one of the slots."""
        share, shares = self.effort.share
        prober = Probe(probe.source, probe.record_NW, probe_slots, share, shares)
        index = Index(base.source, base.record_NW, make_postings(base_slots))
        rows = len(range(share, len(probe), shares))

        def look_up_part(part: range) -> Pairs:
            return self._look_up_part(prober, index, relation, part)

        parts = split_items(rows, max(_LEAST_ROWS_A_JOB, -(-rows // _JOBS)))
        places = Pairs.joined(spread(look_up_part, parts, self.effort.threads))
        one_P, other_P = probe.code_N[places.left_P], base.code_N[places.right_P]
        if relation == BEFORE:
            one_P, other_P = np.minimum(one_P, other_P), np.maximum(one_P, other_P)
        return Pairs(one_P, other_P, places.similarity_P)

    def _look_up_part(self, probe: Probe, index: Index, relation: int, part: range) -> Pairs:
        work = make_workspace(probe.source, index.source)
        # A row has no more partners than there are items.
        size = max(_PAIRS_A_CHUNK, len(index.record_NW))
        room = make_room(size)
        seen_N, met_N = np.full(len(index.record_NW), -1, np.int32), np.empty(len(index.record_NW), np.int32)
        found: list[Pairs] = []
        row = part.start
        while row < part.stop and not self.budget.is_spent:
            how = (self.rule, relation, part.stop, work, seen_N, met_N)
            count, row = _look_up_rows(probe, index, row, how, room)
            found.append(take_found(room, count))
            self.budget.spend(count)
        return Pairs.joined(found)


@kernel
def _count_tokens(source: Source, first: Whole, last: Whole, count_S: NDArray[np.uint32], work: Workspace) -> None:
    shift = np.uint64(64 - _bit_length(len(count_S)) + 1)
    for item in range(first, last):
        count, _ = read_set(source, item, work)
        for t in range(count):
            count_S[np.int64(work.token_T[t] >> shift)] += np.uint32(1)


@kernel
def _bit_length(value: Whole) -> int:
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


@kernel
def _list_rarest(
    source: Source,
    part: tuple[int, int],
    lengths: tuple[Codes, Codes],
    count_S: NDArray[np.uint32],
    slots: Slots,
    work: Workspace,
) -> None:
    shift = np.uint64(64 - _bit_length(len(count_S)) + 1)
    token_T, key_T = work.token_T, work.unit_U
    take_N, index_N = lengths
    start_N, count_N, indexed_N, slot_P = slots
    for item in range(part[0], part[1]):
        if take_N[item] == 0:
            continue
        count, _ = read_set(source, item, work)
        for t in range(count):
            others = min(count_S[np.int64(token_T[t] >> shift)], np.uint32((1 << _COUNT_BITS_KEPT) - 1))
            key_T[t] = np.uint64(others) << _KEY_BITS | token_T[t] >> np.uint64(_COUNT_BITS_KEPT)
        _select_least(key_T, count, take_N[item])
        _select_least(key_T, take_N[item], index_N[item])
        kept = start_N[item]
        for t in range(take_N[item]):
            if key_T[t] >> _KEY_BITS > np.uint64(1):
                slot_P[kept] = np.uint32(key_T[t] & np.uint64(0xFFFFFFFF))
                kept += 1
                indexed_N[item] += np.int64(t < index_N[item])
        count_N[item] = kept - start_N[item]


@inlined
def token_slot(token: np.uint64) -> np.uint32:
    """The slot that sets are found in by a token: those of its bits that the slots of counts leave out."""
    return np.uint32(token >> np.uint64(_COUNT_BITS_KEPT) & np.uint64(0xFFFFFFFF))


@kernel
def _select_least(key_T: NDArray[np.uint64], count: Whole, take: Whole) -> None:
    """Bring the `take` least of `count` keys to the front (Hoare, Algorithm 65: find, 1961)."""
    low, high = 0, count - 1
    while low < high:
        pivot = key_T[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while key_T[i] < pivot:
                i += 1
            while key_T[j] > pivot:
                j -= 1
            if i <= j:
                key_T[i], key_T[j] = key_T[j], key_T[i]
                i += 1
                j -= 1
        if take - 1 <= j:
            high = j
        elif take - 1 >= i:
            low = i
        else:
            return


@kernel
def _fill_postings(
    start_N: Codes, count_N: Codes, slot_P: NDArray[np.uint32], start_S: NDArray[np.int64], item_P: NDArray[np.int32]
) -> None:
    """Count the items of each slot, and write them there, in order."""
    mask = np.uint32(len(start_S) - 2)
    for item in range(len(start_N)):
        for place in range(start_N[item], start_N[item] + count_N[item]):
            start_S[(slot_P[place] & mask) + 1] += 1
    for slot in range(1, len(start_S)):
        start_S[slot] += start_S[slot - 1]
    # From the last item to the first, each slot is filled from its end; then its end stands where it begins.
    for item in range(len(start_N) - 1, -1, -1):
        for place in range(start_N[item], start_N[item] + count_N[item]):
            end = (slot_P[place] & mask) + 1
            start_S[end] -= 1
            item_P[start_S[end]] = item
    for slot in range(1, len(start_S) - 1):
        start_S[slot] = start_S[slot + 1]
    start_S[len(start_S) - 1] = len(item_P)


@kernel
def _look_up_rows(
    probe: Probe,
    index: Index,
    first: Whole,
    how: tuple[Rule, int, int, Workspace, NDArray[np.int32], NDArray[np.int32]],
    room: Room,
) -> tuple[int, int]:
    """Write the pairs of rows until there may be no room; returns how many there are, and the row to go on with."""
    rule, relation, last, work, seen_N, met_N = how
    count = 0
    for place in range(first, last):
        row = probe.share + place * probe.shares
        meetings = _meet(probe, index, row, (rule, relation), seen_N, met_N)
        if count + meetings > len(room.left_P):
            return count, place
        if not meetings:
            continue
        _, slots = read_set(probe.source, row, work)
        size = np.int64(probe.record_NW[row, 0])
        for m in range(meetings):
            other = np.int64(met_N[m])
            common = count_common(index.source, other, slots, work)
            similarity = similarity_of(rule.measure, common, size, np.int64(index.record_NW[other, 0]))
            if similarity >= rule.least:
                room.left_P[count], room.right_P[count], room.similarity_P[count] = row, other, similarity
                count += 1
    return count, last


@kernel
def _meet(
    probe: Probe,
    index: Index,
    row: Whole,
    how: tuple[Rule, int],
    seen_N: NDArray[np.int32],
    met_N: NDArray[np.int32],
) -> int:
    """Write to `met_N` the partners of a row that share a slot with it and pass the filter; returns their number."""
    rule, relation = how
    start_S, item_P = index.postings
    start_N, count_N, _, slot_P = probe.slots
    mask = np.uint32(len(start_S) - 2)
    size = probe.record_NW[row, 0]
    meetings = 0
    for place in range(start_N[row], start_N[row] + count_N[row]):
        slot = slot_P[place] & mask
        for posting in range(start_S[slot], start_S[slot + 1]):
            other = np.int64(item_P[posting])
            if relation == BEFORE and other >= row:
                break
            if relation >= NOT_LARGER and index.record_NW[other, 0] + np.uint64(relation == SMALLER) > size:
                break
            if seen_N[other] != row:
                seen_N[other] = row
                if may_be_similar(rule, probe.record_NW, row, index.record_NW, other):
                    met_N[meetings] = other
                    meetings += 1
    return meetings
