"""Near-duplicates by MinHash banding: sets that agree in all rows of a band are compared, exactly.

A row is the least value of a random hash function over a set; two sets of Jaccard similarity s agree in it with
probability s (Broder, On the resemblance and containment of documents, 1997), in some of b bands of r rows with
probability 1 - (1 - s^r)^b (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.2). Every band sorts
its keys, each packed into 64 bits with the item's number, so that equal keys lie side by side: a bucket. A pair counts
in the first of its bands that agree, passes the lossless filter of `sketches`, and is measured on the sets themselves.

A bucket of more than `_LARGE_BUCKET` items would cost the square of them. Such buckets come from texts that share much,
a form that everybody fills in, without being alike. The items of all large buckets are instead joined among themselves
with the prefix filter (`prefix`), which is exact and for which what they all share is the least telling: no pair is
lost, and more are found than banding would.

Shape suffixes: N items, H hash functions (rows of all bands, one band after the other), B bands, W words of a record, P
pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.similarity.effort import Budget, Effort, split_items, spread
from kinfolk.similarity.found import Pairs
from kinfolk.similarity.recall import draw_rows
from kinfolk.similarity.sets.items import ItemSets, sketch_sets
from kinfolk.similarity.sets.prefix import PREFIX_TOKEN_SECONDS, Room, join_prefixes, make_room, take_found
from kinfolk.similarity.sets.shingles import Source, Workspace, count_common, make_workspace, read_set
from kinfolk.similarity.sets.sketches import (
    Hashes,
    Records,
    Rule,
    draw_hashes,
    may_be_similar,
    record_words,
    similarity_of,
)

_LARGE_BUCKET = 1000
"""Items of a bucket above which the prefix filter is cheaper than looking at all pairs of sketches."""
_MOST_ROWS = 12
_MOST_HASHES = 1024
_SAMPLE_ITEMS = 2000
_SAMPLE_HASHES = 48
_CHANCE_ITEMS = 4
"""Items of a sample that may share a bucket without its being large among all items."""
_PAIRS_A_CHUNK = 1 << 16
_KEYS_A_JOB = 1 << 16

_HASH_SECONDS = 1.5e-10
"""Of one hash function over one token."""
_KEY_SECONDS = 6e-8
"""Of sorting one key and looking at its bucket."""
CANDIDATE_SECONDS = 1e-8
"""Of the sketches of one pair."""


@dataclass(frozen=True)
class Bands:
    """How many bands of how many rows.

    `candidates` are the pairs that are expected to share a bucket, each counted in every band where it does; `seconds`
    is what hashing, sorting and looking at them is expected to take on one thread.
    """

    bands: int
    rows: int
    candidates: float
    seconds: float

    def recall_at(self, similarity: float) -> float:
        """The probability that two sets of this Jaccard similarity share a bucket."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def choose_bands(left: ItemSets, right: ItemSets | None, least: float, recall: float, *, seed: int) -> Bands:
    """The cheapest bands in which sets of the least similarity meet with a probability of at least `recall`.

    How many others would meet is learned from a sample: the share of its pairs that agree in r rows.
    """
    sides = [left] if right is None else [left, right]
    count = sum(len(side) for side in sides)
    pairs = len(left) * (len(left) - 1) / 2 if right is None else len(left) * len(right)
    row_NH = np.concatenate([_sample_rows(side, seed) for side in sides])
    mean_tokens = sum(side.mean_tokens * len(side) for side in sides) / max(count, 1)
    choices = []
    for rows in range(1, _MOST_ROWS + 1):
        bands = _bands_needed(least, recall, rows)
        met, in_large = _forecast_meetings(row_NH, rows, count)
        candidates = pairs * bands * met
        seconds = count * bands * (mean_tokens * rows * _HASH_SECONDS + _KEY_SECONDS) + candidates * CANDIDATE_SECONDS
        choices.append(Bands(bands, rows, candidates, seconds + count * in_large * mean_tokens * PREFIX_TOKEN_SECONDS))
    fitting = [choice for choice in choices if choice.bands * choice.rows <= _MOST_HASHES]
    return min(fitting or choices[:1], key=lambda choice: choice.seconds)


def _bands_needed(least: float, recall: float, rows: int) -> int:
    """The fewest bands that reach the recall at the least similarity.

    >>> _bands_needed(0.8, 0.99, 4)
    9
    """
    miss = 1 - least**rows
    if miss <= 0:
        return 1
    return max(1, math.ceil(math.log(1 - recall) / math.log1p(-(least**rows)) - 1e-9))


def _sample_rows(sets: ItemSets, seed: int) -> NDArray[np.uint64]:
    """The rows of some sets, drawn at random: each row is a band of its own."""
    drawn = draw_rows(len(sets), _SAMPLE_ITEMS, seed=seed)
    row_NH = np.empty((len(drawn), _SAMPLE_HASHES), np.uint64)
    sample = sets.take(drawn)
    sketch_sets(sample, draw_hashes(_SAMPLE_HASHES, 1, seed), record_words(sets.mean_tokens), row_NH, 1)
    return row_NH


def _forecast_meetings(row_NH: NDArray[np.uint64], rows: int, items: int) -> tuple[float, float]:
    """The share of pairs that meet in a bucket of `rows` rows, and the share of `items` that have a large one.

    Pairs of large buckets are left out. The sample's rows have room for several bands; pairs are averaged over these.
    """
    count = len(row_NH)
    if count < 2:
        return 0.0, 0.0
    bands = row_NH.shape[1] // rows
    most = max(_CHANCE_ITEMS, _LARGE_BUCKET * count / items)
    meetings, has_large_N = 0.0, np.zeros(count, bool)
    for band in range(bands):
        key_NR = np.ascontiguousarray(row_NH[:, band * rows : (band + 1) * rows])
        opaque_N = key_NR.view(np.dtype((np.void, 8 * rows))).ravel()
        _, bucket_N, sizes = np.unique(opaque_N, return_inverse=True, return_counts=True)
        small = sizes[sizes <= most]
        meetings += float((small * (small - 1) // 2).sum())
        has_large_N |= sizes[bucket_N] > most
    return meetings / bands / (count * (count - 1) / 2), float(has_large_N.mean())


class _Buckets(NamedTuple):
    """Both sides of a join in one row of numbers: those of the right side follow those of the left.

    In a join with itself there is one side, `right` is the same as the left, and `shift` is 0; otherwise the number of
    left items. `key_NB` are the keys, whose lowest `number_bits` are the item's number. `is_in_large_N` says which
    items have a large bucket.
    """

    left: Source
    right: Source
    left_NW: Records
    right_NW: Records
    key_NB: NDArray[np.uint64]
    is_in_large_N: NDArray[np.bool_]
    shift: int
    number_bits: int


class _Part(NamedTuple):
    """A part of the sorted keys of a band, and which of all keys belong to the share: those that are t modulo T."""

    band: int
    key_N: NDArray[np.uint64]
    start: int
    stop: int
    share: int
    shares: int


def join_bands(left: ItemSets, right: ItemSets | None, rule: Rule, bands: Bands, effort: Effort, *, seed: int) -> Pairs:
    """Pairs of at least the rule's Jaccard similarity that share a bucket or are in large ones."""
    hashes = draw_hashes(bands.bands, bands.rows, seed)
    buckets = _make_buckets(left, right, hashes, effort.threads)
    sorted_B = spread(lambda band: np.sort(buckets.key_NB[:, band]), range(bands.bands), effort.threads)
    for sorted_N in sorted_B:
        _mark_large(sorted_N, np.uint64(buckets.number_bits), _LARGE_BUCKET, buckets.is_in_large_N)
    budget = Budget(effort.max_pairs)

    parts = [
        _Part(band, key_N, some.start, some.stop, *effort.share)
        for band, key_N in enumerate(sorted_B)
        for some in split_items(len(key_N), _KEYS_A_JOB)
    ]
    found = spread(lambda part: _join_part(buckets, part, rule, budget), parts, effort.threads)
    if buckets.is_in_large_N.any() and not budget.is_spent:
        found.append(_join_large(left, right, buckets.is_in_large_N, rule, effort))
    return Pairs.joined(found)


def _make_buckets(left: ItemSets, right: ItemSets | None, hashes: Hashes, threads: int) -> _Buckets:
    count = len(left) + (0 if right is None else len(right))
    number_bits = max(1, (count - 1).bit_length())
    key_NB = np.empty((count, len(hashes.multiplier_H) // hashes.rows), np.uint64)
    shift = 0 if right is None else len(left)
    words = record_words(left.mean_tokens)
    left = sketch_sets(left, hashes, words, key_NB[: len(left)], threads)
    right = left if right is None else sketch_sets(right, hashes, words, key_NB[shift:], threads)
    key_NB >>= np.uint64(number_bits)
    key_NB <<= np.uint64(number_bits)
    key_NB |= np.arange(count, dtype=np.uint64)[:, None]
    is_in_large_N = np.zeros(count, bool)
    records = left.records(), right.records()
    return _Buckets(left.source, right.source, *records, key_NB, is_in_large_N, shift, number_bits)


def _join_part(buckets: _Buckets, part: _Part, rule: Rule, budget: Budget) -> Pairs:
    work = make_workspace(buckets.left, buckets.right)
    room = make_room(_PAIRS_A_CHUNK)
    found: list[Pairs] = []
    place: Whole = part.start
    while place < part.stop and not budget.is_spent:
        count, place = _join_buckets(buckets, part, place, rule, work, room)
        found.append(take_found(room, count))
        budget.spend(count)
    return Pairs.joined(found)


def _join_large(
    left: ItemSets, right: ItemSets | None, is_in_large_N: NDArray[np.bool_], rule: Rule, effort: Effort
) -> Pairs:
    """Join the items of large buckets among themselves."""
    left_codes = np.flatnonzero(is_in_large_N[: len(left)])
    if right is None:
        pairs = join_prefixes(left.take(left_codes), None, rule, effort)
        return Pairs(left_codes[pairs.left_P], left_codes[pairs.right_P], pairs.similarity_P)
    right_codes = np.flatnonzero(is_in_large_N[len(left) :])
    pairs = join_prefixes(left.take(left_codes), right.take(right_codes), rule, effort)
    return Pairs(left_codes[pairs.left_P], right_codes[pairs.right_P], pairs.similarity_P)


@kernel
def _mark_large(
    sorted_N: NDArray[np.uint64], number_bits: np.uint64, most: int, is_in_large_N: NDArray[np.bool_]
) -> None:
    """Mark the items of buckets with more than `most` items."""
    number_mask = (np.uint64(1) << number_bits) - np.uint64(1)
    start = 0
    for place in range(1, len(sorted_N) + 1):
        if place < len(sorted_N) and sorted_N[place] >> number_bits == sorted_N[start] >> number_bits:
            continue
        if place - start > most:
            for other in range(start, place):
                is_in_large_N[np.int64(sorted_N[other] & number_mask)] = True
        start = place


@kernel
def _join_buckets(
    buckets: _Buckets, part: _Part, first: Whole, rule: Rule, work: Workspace, room: Room
) -> tuple[int, Whole]:
    """Write the pairs whose first item stands in the part, from the place `first` on, until there may be no room.

    Returns how many pairs there are, and the place to go on at.
    """
    key_N, number_bits = part.key_N, np.uint64(buckets.number_bits)
    number_mask = (np.uint64(1) << number_bits) - np.uint64(1)
    count = 0
    for place in range(first, part.stop):
        if np.int64((key_N[place] >> number_bits) % np.uint64(part.shares)) != part.share:
            continue
        if count + _LARGE_BUCKET > len(room.left_P):
            return count, place
        is_far = place + _LARGE_BUCKET < len(key_N)
        if is_far and not (key_N[place + _LARGE_BUCKET] ^ key_N[place]) >> number_bits:
            # A large bucket, whose items are joined elsewhere.
            continue
        one = np.int64(key_N[place] & number_mask)
        size: Whole = 0
        slots: Whole = 0
        for next_place in range(place + 1, len(key_N)):
            if (key_N[next_place] ^ key_N[place]) >> number_bits:
                break
            other = np.int64(key_N[next_place] & number_mask)
            if not _is_candidate(buckets, rule, part.band, one, other):
                continue
            if not slots:
                size, slots = read_set(buckets.left, one, work)
            common = count_common(buckets.right, other - buckets.shift, slots, work)
            other_size = np.int64(buckets.right_NW[other - buckets.shift, 0])
            similarity = similarity_of(rule.measure, common, size, other_size)
            if similarity >= rule.least:
                room.left_P[count], room.right_P[count] = one, other - buckets.shift
                room.similarity_P[count] = similarity
                count += 1
    return count, part.stop


@inlined
def _is_candidate(buckets: _Buckets, rule: Rule, band: int, one: Whole, other: Whole) -> bool:
    """Whether two items of a bucket have to be measured here."""
    if buckets.is_in_large_N[one] and buckets.is_in_large_N[other]:
        return False
    if buckets.shift and (one >= buckets.shift or other < buckets.shift):
        return False
    if not may_be_similar(rule, buckets.left_NW, one, buckets.right_NW, other - buckets.shift):
        return False
    for earlier in range(band):
        if not (buckets.key_NB[one, earlier] ^ buckets.key_NB[other, earlier]) >> np.uint64(buckets.number_bits):
            return False
    return True
