"""Near-duplicates among vectors by the signs of random projections: only rows that agree in many signs are compared.

Two vectors at an angle of t lie on one side of a random plane through the origin with probability p = 1 - t/π
(Charikar, Similarity estimation techniques from rounding algorithms, 2002, section 3). A half-key is h such signs, a
row has m half-keys, and any two of these are the key of a table: m(m-1)/2 tables for the products of m halves (Andoni
and Indyk, E2LSH 0.1 user manual, 2005; Christiani, Fast locality-sensitive hashing frameworks for approximate near
neighbor search, 2019, calls it tensoring). Tables that share a half-key are not independent, but half-keys are: a pair
meets in a table when at least two of its m half-keys agree, which with q = p^h has the probability

    1 - (1 - q)^m - m q (1 - q)^(m - 1)

Every table sorts its keys, each packed into 64 bits with the row's number, so that equal keys lie side by side: a
bucket. A pair belongs to the table of the first two half-keys that it agrees in. It is a candidate if not too many of
all its m h signs differ, and is then measured in float64. So which pairs are found depends on the half-keys alone, and
not on how the work is cut.

A bucket of more than `_LARGE_BUCKET` rows is joined tile by tile. Rows that are nearly the same without being similar
enough share large buckets in most tables; where that would cost more than a product of the rows of all large buckets
with each other, that product is made instead, and what belongs to the share is picked from it. No pair is lost, and
nothing is ever looked at more often than the exact join would.

Half-keys are kept as 16 bits each, four of them in a word.

Shape suffixes: N rows of both sides, the left ones first; W words of a row; S signs of all half-keys; E coordinates of
the product; Q query rows; P pairs; B steps of agreement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc

from kinfolk.kernels.bits import count_bits
from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.similarity.effort import WHOLE, Budget, Share, split_items, spread
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.recall import draw_rows
from kinfolk.similarity.vectors.product import join_exactly
from kinfolk.similarity.vectors.scan import Rows, Wanted
from kinfolk.similarity.vectors.spaces import Matrix, Space

Words = NDArray[np.uint64]

_MOST_HALVES = 32
_MOST_SIGNS = 16
"""Signs of a half-key: it fits into 16 bits, and a key of two with a row's number into 64."""
_HALVES_A_WORD = 4
_LARGE_BUCKET = 512
_ROWS_AT_A_TIME = 1024

_MISSED_BY_TABLES = 0.75
_MISSED_BY_DIFFERENCE = 0.05
"""Shares of the pairs that may be missed: meeting in no table, and differing in too many signs. The rest is left to
chance, since the rows of one join share one drawing of planes."""

_STEPS = 1024
_SAMPLE_QUERIES = 256
_SAMPLE_BASE = 4096

PRODUCT_SECONDS = 3.5e-11
"""Of one coordinate of one product in float32."""
_KEY_SECONDS = 2e-8
"""Of packing and sorting one key, and looking at its bucket."""
_CANDIDATE_SECONDS = 1.5e-8
"""Of the half-keys of one pair."""
_MEASURE_SECONDS = 2.5e-9
"""Of one coordinate of one pair in float64."""


@dataclass(frozen=True)
class SignPlan:
    """How many half-keys of how many signs, and in how many of all their signs a candidate may differ.

    `meetings` are the pairs that are expected to share a bucket, each counted in every table where it does; `seconds`
    is what one thread is expected to take.
    """

    halves: int
    signs: int
    most_different: int
    meetings: float
    seconds: float

    @property
    def tables(self) -> int:
        """Pairs of half-keys."""
        return self.halves * (self.halves - 1) // 2

    def recall_at(self, cosine: float) -> float:
        """The least probability that a pair of this cosine is found."""
        agreement = _agreement(cosine)
        found = float(_meet(np.array([agreement**self.signs]), self.halves)[0])
        return found - float(bdtrc(self.most_different, self.halves * self.signs, 1 - agreement))


@dataclass(frozen=True)
class HalfKeys:
    """The half-keys of all rows under a plan; `shift` is the number of left rows, 0 in a join with itself."""

    plan: SignPlan
    word_NW: Words
    shift: int


def plan_signs(space: Space, least: float, recall: float, *, seed: int) -> SignPlan | None:
    """The cheapest half-keys by which a pair of the least cosine is found with a probability of more than `recall`.

    None where even the most half-keys would miss too many. What other pairs will cost is learned from a sample of them.
    """
    share_B = _sample_agreements(space, seed)
    agreement, may_miss = _agreement(least - space.margin), 1 - recall
    choices = []
    for signs in range(1, _MOST_SIGNS + 1):
        halves = _halves_needed(agreement**signs, _MISSED_BY_TABLES * may_miss)
        if halves is not None:
            most_different = _most_different(halves * signs, 1 - agreement, _MISSED_BY_DIFFERENCE * may_miss)
            choices.append(_forecast(space, share_B, halves, signs, most_different))
    return min(choices, key=lambda choice: choice.seconds) if choices else None


def _agreement(cosine: float) -> float:
    """The probability that two vectors lie on one side of a random plane.

    >>> _agreement(1.0), _agreement(0.0), _agreement(-1.0)
    (1.0, 0.5, 0.0)
    """
    return 1 - math.acos(min(1.0, max(-1.0, cosine))) / math.pi


def _meet(half_P: NDArray[np.float64], halves: int) -> NDArray[np.float64]:
    """The probability that at least two of the half-keys agree, from that of one."""
    meets_P: NDArray[np.float64] = bdtrc(1, halves, half_P)
    return meets_P


def _halves_needed(half: float, may_miss: float) -> int | None:
    """The fewest half-keys of which two agree but for a probability, where one agrees with probability `half`.

    >>> _halves_needed(0.9219**10, 0.05), _halves_needed(0.001, 0.05)
    (9, None)
    """
    halves = np.arange(2, _MOST_HALVES + 1)
    enough = halves[bdtr(1, halves, half) <= may_miss]
    return int(enough[0]) if len(enough) else None


def _most_different(signs: int, difference: float, may_miss: float) -> int:
    """In how many of all signs a pair differs at most, but for a probability; `difference` is that of one sign.

    >>> _most_different(100, 0.08, 0.001)
    17
    """
    return int(np.argmax(bdtrc(np.arange(signs + 1), signs, difference) <= may_miss))


def _sample_agreements(space: Space, seed: int) -> NDArray[np.float64]:
    """The share of the pairs in each of `_STEPS` equal steps of agreement from 0 to 1, judged by some rows."""
    query_Q = draw_rows(len(space.query_NE), _SAMPLE_QUERIES, seed=seed)
    base_N = draw_rows(len(space.base_NE), _SAMPLE_BASE, seed=seed + 1)
    score_QN = space.query_NE[query_Q] @ space.base_NE[base_N].T
    is_pair_QN = np.ones(score_QN.shape, bool)
    if space.is_self_join:
        is_pair_QN = query_Q[:, None] != base_N
    angle_P = np.arccos(np.clip(score_QN[is_pair_QN], -1, 1))
    step_P = ((1 - angle_P / np.float32(math.pi)) * _STEPS).astype(np.int64)
    count_B = np.bincount(np.minimum(step_P, _STEPS - 1), minlength=_STEPS)
    return count_B / max(1, len(step_P))


def _forecast(space: Space, share_B: NDArray[np.float64], halves: int, signs: int, most_different: int) -> SignPlan:
    left, right = len(space.query_NE), len(space.base_NE)
    rows, pairs = (left, left * (left - 1) / 2) if space.is_self_join else (left + right, float(left * right))
    agreement_B = (np.arange(_STEPS) + 0.5) / _STEPS
    tables = halves * (halves - 1) / 2
    meetings = pairs * tables * float(share_B @ agreement_B ** (2 * signs))
    is_near_B = bdtr(most_different, halves * signs, 1 - agreement_B)
    measured = pairs * float(share_B @ (_meet(agreement_B**signs, halves) * is_near_B))
    coordinates = space.base_NE.shape[1]
    seconds = (
        rows * (halves * signs * coordinates * PRODUCT_SECONDS + tables * _KEY_SECONDS)
        + meetings * _CANDIDATE_SECONDS
        + measured * coordinates * _MEASURE_SECONDS
    )
    return SignPlan(halves, signs, most_different, meetings, seconds)


def make_half_keys(space: Space, plan: SignPlan, *, seed: int, threads: int) -> HalfKeys:
    """The half-keys of all rows, by planes that are drawn at random, the same for both sides."""
    sides = [space.query_NE] if space.is_self_join else [space.query_NE, space.base_NE]
    word_NW = np.empty((sum(map(len, sides)), -(-plan.halves // _HALVES_A_WORD)), np.uint64)
    shift = 0 if space.is_self_join else len(space.query_NE)
    for side_NE, some_NW in zip(sides, np.split(word_NW, [len(sides[0])]), strict=False):
        plane_ES = np.random.default_rng(seed).standard_normal(
            (side_NE.shape[1], plan.halves * plan.signs), dtype=np.float32
        )
        _write_half_keys(side_NE, plane_ES, plan.halves, some_NW, threads)
    return HalfKeys(plan, word_NW, shift)


def _write_half_keys(side_NE: Matrix, plane_ES: Matrix, halves: int, word_NW: Words, threads: int) -> None:
    def write(part: range) -> None:
        rows = slice(part.start, part.stop)
        _pack_signs(side_NE[rows] @ plane_ES, halves, word_NW[rows])

    spread(write, split_items(len(side_NE), _ROWS_AT_A_TIME), threads)


@kernel
def _pack_signs(product_QS: Matrix, halves: int, word_QW: NDArray[np.uint64]) -> None:
    """Write one bit for each product, set where it is positive."""
    signs = product_QS.shape[1] // halves
    for q in range(word_QW.shape[0]):
        word_QW[q, :] = np.uint64(0)
        for m in range(halves):
            half = np.uint64(0)
            for s in range(m * signs, (m + 1) * signs):
                half = half << np.uint64(1) | np.uint64(product_QS[q, s] > 0)
            word_QW[q, m >> 2] |= half << np.uint64(16 * (m & 3))


@inlined
def _half_key(word_NW: Words, row: Whole, m: Whole) -> np.uint64:
    """A half-key of a row."""
    return np.uint64((word_NW[row, m >> 2] >> np.uint64(16 * (m & 3))) & np.uint64(0xFFFF))


@inlined
def _find_equal(difference: np.uint64) -> np.uint64:
    """The highest bit of each half-key of a word in which two rows do not differ."""
    low = np.uint64(0x7FFF7FFF7FFF7FFF)
    return ~(((difference & low) + low) | difference | low)


class _Table(NamedTuple):
    """A table: two half-keys, the earlier one first; and the share that is joined, t of T."""

    one: int
    other: int
    share: int
    shares: int


class _Room(NamedTuple):
    """Where a kernel writes pairs of rows."""

    left_P: NDArray[np.int64]
    right_P: NDArray[np.int64]


def _make_room() -> _Room:
    """Room for all pairs of two parts of a bucket."""
    return _Room(np.empty(_LARGE_BUCKET**2, np.int64), np.empty(_LARGE_BUCKET**2, np.int64))


class _Bucket(NamedTuple):
    """The rows of a large bucket of a table, in order."""

    table: _Table
    row_N: NDArray[np.int64]


def join_signs(space: Space, wanted: Wanted, keys: HalfKeys, *, threads: int, share: Share = WHOLE) -> Pairs:
    """Pairs of at least the cosine wanted that agree in two half-keys, and differ in no more signs than allowed.

    A share has the keys of each table that a hash deals to it. Where more than `wanted.max_pairs` pairs are found the
    rest is not looked for.
    """
    search = _Search(space, wanted, keys)
    halves = range(keys.plan.halves)
    tables = [_Table(one, other, *share) for other in halves for one in range(other)]
    large = [bucket for buckets in spread(search.join_table, tables, threads) for bucket in buckets]
    if large and not search.is_over_budget:
        search.join_large(large, threads)
    return search.pairs()


class _Search:
    """What was found so far; threads add to it table by table."""

    def __init__(self, space: Space, wanted: Wanted, keys: HalfKeys) -> None:
        assert wanted.least is not None
        self._space, self._wanted, self._keys, self._least = space, wanted, keys, wanted.least
        self._number_bits = max(1, (len(keys.word_NW) - 1).bit_length())
        self._found: list[Pairs] = []
        self._budget = Budget(wanted.max_pairs)

    @property
    def is_over_budget(self) -> bool:
        """Whether there are more pairs than allowed."""
        return self._budget.is_spent

    def pairs(self) -> Pairs:
        """The pairs found so far."""
        return Pairs.joined(self._found)

    def join_table(self, table: _Table) -> list[_Bucket]:
        """Join the buckets of a table, but for the large ones, which come back."""
        word_NW, plan, shift = self._keys.word_NW, self._keys.plan, self._keys.shift
        key_N = np.empty(len(word_NW), np.uint64)
        key_N = key_N[: _pack_keys(word_NW, table, plan.signs, self._number_bits, key_N)]
        key_N.sort()
        room, large = _make_room(), []
        place: Whole = 0
        while place < len(key_N) and not self.is_over_budget:
            count, place, size = _join_buckets(
                key_N, place, (word_NW, shift), table, (plan.most_different, self._number_bits), room
            )
            self._measure(room, count)
            if size:
                row_N = key_N[place - size : place] & np.uint64((1 << self._number_bits) - 1)
                large.append(_Bucket(table, row_N.astype(np.int64)))
        return large

    def join_large(self, buckets: Sequence[_Bucket], threads: int) -> None:
        """Join large buckets one by one, or their rows all at once where that is less work."""
        rows = np.unique(np.concatenate([bucket.row_N for bucket in buckets]))
        meetings = sum(len(bucket.row_N) ** 2 for bucket in buckets) / 2
        product_seconds = len(rows) ** 2 / 2 * self._space.base_NE.shape[1] * PRODUCT_SECONDS
        if product_seconds < meetings * _CANDIDATE_SECONDS:
            self._join_rows(rows, buckets[0].table, threads)
        else:
            parts = [
                (bucket.table, bucket.row_N[one.start : one.stop], bucket.row_N[other.start : other.stop])
                for bucket in buckets
                for one in split_items(len(bucket.row_N), _LARGE_BUCKET)
                for other in split_items(len(bucket.row_N), _LARGE_BUCKET)
                if one.start <= other.start
            ]
            spread(self._join_parts, parts, threads)

    def _join_parts(self, parts: tuple[_Table, Rows, Rows]) -> None:
        """Join two parts of a bucket with each other, or one with itself."""
        if self.is_over_budget:
            return
        table, one_N, other_N = parts
        room = _make_room()
        keys = self._keys.word_NW, self._keys.shift
        count = _join_tile(one_N, other_N, keys, table, self._keys.plan.most_different, room)
        self._measure(room, count)

    def _join_rows(self, rows: Rows, table: _Table, threads: int) -> None:
        """Join rows with each other by a product, and keep what belongs to the share of the table."""
        space, word_NW, shift = self._space, self._keys.word_NW, self._keys.shift
        left, right = (rows[rows < shift], rows[rows >= shift] - shift) if shift else (rows, rows)
        wanted = Wanted(self._least, 0, self._wanted.max_pairs)
        found, _ = join_exactly(space.narrowed(left, right), wanted, block_rows=_ROWS_AT_A_TIME, threads=threads)
        found = Pairs(left[found.left_P], right[found.right_P], found.similarity_P)
        if len(found) > wanted.max_pairs:
            # Pairs of other shares are among them, but so many there are: the whole join is over its budget.
            self._found.append(found)
            return
        is_own_P = np.empty(len(found), bool)
        rule = self._keys.plan.halves, self._keys.plan.most_different
        _mark_own(found.left_P, found.right_P + shift, word_NW, table, rule, is_own_P)
        # What some of these rows have in common in small buckets was found there already, and comes again.
        is_in_N = np.zeros(len(word_NW), bool)
        is_in_N[rows] = True
        self._found = [_pick(pairs, ~(is_in_N[pairs.left_P] & is_in_N[pairs.right_P + shift])) for pairs in self._found]
        self._found.append(_pick(found, is_own_P))

    def _measure(self, room: _Room, count: int) -> None:
        """Keep the candidates that are similar enough."""
        left_P, right_P = room.left_P[:count], room.right_P[:count]
        similarity_P = self._space.similarity(left_P, right_P)
        is_similar_P = similarity_P >= self._least
        if is_similar_P.any():
            self._found.append(Pairs(left_P[is_similar_P], right_P[is_similar_P], similarity_P[is_similar_P]))
            self._budget.spend(int(is_similar_P.sum()))


def _pick(pairs: Pairs, is_picked_P: NDArray[np.bool_]) -> Pairs:
    return Pairs(pairs.left_P[is_picked_P], pairs.right_P[is_picked_P], pairs.similarity_P[is_picked_P])


@inlined
def _is_in_share(word_NW: Words, row: Whole, one: Whole, other: Whole, table: _Table) -> bool:
    """Whether the bucket of a row in the table of two half-keys belongs to the share."""
    if table.shares == 1:
        return True
    key = _half_key(word_NW, row, one) << np.uint64(16) | _half_key(word_NW, row, other)
    # The table counts as well, so that rows which are together in many tables are dealt to many shares.
    key |= np.uint64(one * _MOST_HALVES + other) << np.uint64(32)
    mixed = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return bool(np.int64(mixed % np.uint64(table.shares)) == table.share)


@kernel
def _pack_keys(word_NW: Words, table: _Table, signs: int, number_bits: int, key_N: NDArray[np.uint64]) -> int:
    """Write the keys of a table that belong to the share, each with its row in the lowest bits; returns how many."""
    count = 0
    for row in range(len(word_NW)):
        if _is_in_share(word_NW, row, table.one, table.other, table):
            key = _half_key(word_NW, row, table.one) << np.uint64(signs) | _half_key(word_NW, row, table.other)
            key_N[count] = key << np.uint64(number_bits) | np.uint64(row)
            count += 1
    return count


@inlined
def _is_candidate(keys: tuple[Words, int], one: Whole, other: Whole, table: _Table, most_different: int) -> bool:
    """Whether two rows of a bucket, `one` before `other`, have to be measured in this table."""
    word_NW, shift = keys
    if shift and (one >= shift or other < shift):
        return False
    different, earlier = np.uint64(0), np.uint64(0)
    last = table.other >> 2
    for w in range(word_NW.shape[1]):
        difference = word_NW[one, w] ^ word_NW[other, w]
        different += count_bits(difference)
        equal = _find_equal(difference)
        if w == last:
            equal &= (np.uint64(1) << np.uint64(16 * (table.other & 3))) - np.uint64(1)
        if w <= last:
            earlier += count_bits(equal)
    # Of the half-keys before the later one of this table only the other one agrees.
    return bool(np.int64(different) <= most_different and earlier == np.uint64(1))


@kernel
def _join_buckets(
    key_N: NDArray[np.uint64],
    first: Whole,
    keys: tuple[Words, int],
    table: _Table,
    rule: tuple[int, int],
    room: _Room,
) -> tuple[int, Whole, Whole]:
    """Write the candidates of the buckets from the place `first` on, until there may be no room or one is large.

    Returns how many there are, the place to go on at, and the size of the large bucket that ends there, or 0.
    """
    most_different, bits = rule
    number_bits = np.uint64(bits)
    number_mask = (np.uint64(1) << number_bits) - np.uint64(1)
    shift = keys[1]
    count = 0
    start = first
    while start < len(key_N):
        stop = start + 1
        while stop < len(key_N) and not (key_N[stop] ^ key_N[start]) >> number_bits:
            stop += 1
        if stop - start > _LARGE_BUCKET:
            return count, stop, stop - start
        if count + (stop - start) * (stop - start - 1) // 2 > len(room.left_P):
            return count, start, 0
        for place in range(start, stop):
            one = np.int64(key_N[place] & number_mask)
            for next_place in range(place + 1, stop):
                other = np.int64(key_N[next_place] & number_mask)
                if _is_candidate(keys, one, other, table, most_different):
                    room.left_P[count], room.right_P[count] = one, other - shift
                    count += 1
        start = stop
    return count, start, 0


@kernel
def _join_tile(
    one_N: Rows,
    other_N: Rows,
    keys: tuple[Words, int],
    table: _Table,
    most_different: int,
    room: _Room,
) -> int:
    """Write the candidates among two parts of a bucket, of each row with those that come after it."""
    shift = keys[1]
    count = 0
    for one in one_N:
        for other in other_N:
            if one < other and _is_candidate(keys, one, other, table, most_different):
                room.left_P[count], room.right_P[count] = one, other - shift
                count += 1
    return count


@kernel
def _mark_own(
    one_P: Rows,
    other_P: Rows,
    word_NW: Words,
    table: _Table,
    rule: tuple[int, int],
    is_own_P: NDArray[np.bool_],
) -> None:
    """Mark the pairs that meet in a table, the first of them with a bucket of the share."""
    halves, most_different = rule
    for p in range(len(one_P)):
        first, second, different = -1, -1, np.uint64(0)
        for m in range(halves):
            difference = _half_key(word_NW, one_P[p], m) ^ _half_key(word_NW, other_P[p], m)
            different += count_bits(difference)
            if second < 0 and not difference:
                first, second = (m, -1) if first < 0 else (first, m)
        is_own_P[p] = (
            second >= 0
            and np.int64(different) <= most_different
            and _is_in_share(word_NW, one_P[p], first, second, table)
        )
