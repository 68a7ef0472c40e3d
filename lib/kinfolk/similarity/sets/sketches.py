"""Sizes and sketches of sets: what tells most pairs apart without a look at their tokens, and how pairs are measured.

The sketch of a set is a row of bits, one of them set for each token (Bloom, Space/time trade-offs in hash coding with
allowable errors, 1970). A bit that A has and B lacks stands for at least one token of A that B lacks, so A and B have
at most

    min(|A| - bits of A alone, |B| - bits of B alone)

tokens in common. The filter drops a pair only where that many are too few: it loses none.

Shape suffixes: N items, W words of 64 bits: the first is the size of the set, the others are the sketch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinfolk.kernels.bits import count_bits
from kinfolk.kernels.compiling import Whole, inlined, kernel
from kinfolk.settings import SetMeasure
from kinfolk.similarity.sets.shingles import Source, Workspace, mix, read_set, read_tokens

Records = NDArray[np.uint64]

JACCARD, CONTAINMENT, OVERLAP = 0, 1, 2
_CODES = {"jaccard": JACCARD, "containment": CONTAINMENT, "overlap": OVERLAP}

_BITS_A_TOKEN = 2.5
"""Bits of a sketch for each token of a set: fewer let too many pairs through, more cost memory."""
_RECORD_WORDS = (4, 8, 16)
"""Lengths that a record may have; one of 8 words fills a cache line."""


class Rule(NamedTuple):
    """Which measure, and the least similarity that counts."""

    measure: int
    least: float


class Hashes(NamedTuple):
    """Random functions of 32 bits, multiplier * x + addend; so many `rows` in a row make up a band."""

    multiplier_H: NDArray[np.uint32]
    addend_H: NDArray[np.uint32]
    rows: int


class Profile(NamedTuple):
    """What one pass over the tokens tells of each set: its size and sketch, and the sum of its tokens."""

    record_NW: Records
    digest_N: NDArray[np.uint64]


def make_profile(items: int, words: int) -> Profile:
    """Room for the profile of so many items."""
    return Profile(np.empty((items, words), np.uint64), np.empty(items, np.uint64))


def draw_hashes(bands: int, rows: int, seed: int) -> Hashes:
    """Draw the hash functions of all bands; multipliers are odd."""
    drawn = np.random.default_rng(seed).integers(0, 1 << 32, (2, bands * rows), dtype=np.uint32)
    return Hashes(drawn[0] | np.uint32(1), drawn[1], rows)


def make_rule(measure: SetMeasure, least: float) -> Rule:
    """The rule as kernels read it."""
    return Rule(_CODES[measure], float(least))


def record_words(mean_tokens: float) -> int:
    """Words of a record for sets of so many tokens.

    >>> record_words(10), record_words(130), record_words(5000)
    (4, 8, 16)
    """
    fitting = [words for words in _RECORD_WORDS if 64 * (words - 1) >= _BITS_A_TOKEN * mean_tokens]
    return fitting[0] if fitting else _RECORD_WORDS[-1]


@inlined
def sketch_bit(token: np.uint64, bits: np.uint64) -> np.uint64:
    """Which of the bits of a sketch stands for a token."""
    return ((token >> np.uint64(32)) * bits) >> np.uint64(32)


@kernel
def sketch_items(
    source: Source,
    part: tuple[int, int],
    hashes: Hashes,
    profile: tuple[bool, Profile],
    key_NB: NDArray[np.uint64],
    room: tuple[Workspace, NDArray[np.uint32]],
) -> None:
    """Write the keys of a part of the items in each band, and their profile unless that is there already."""
    is_profiled, written = profile
    work, least_H = room
    rows = hashes.rows
    for item in range(part[0], part[1]):
        if is_profiled:
            count = read_tokens(source, item, work)
        else:
            count, _ = read_set(source, item, work)
            _profile_tokens(work.token_T, count, item, written.record_NW, written.digest_N)
        _find_least(work, count, hashes, least_H)
        for band in range(key_NB.shape[1]):
            key = np.uint64(band)
            for h in range(band * rows, (band + 1) * rows):
                key = mix(key ^ np.uint64(least_H[h]))
            key_NB[item, band] = key


@kernel
def _profile_tokens(
    token_T: NDArray[np.uint64], count: Whole, item: Whole, record_NW: Records, digest_N: NDArray[np.uint64]
) -> None:
    """Write the size, the sketch and the digest of a set whose tokens come each once."""
    bits = np.uint64(64 * (record_NW.shape[1] - 1))
    digest = np.uint64(0)
    record_NW[item, :] = np.uint64(0)
    record_NW[item, 0] = count
    for t in range(count):
        # A sum, since the order of tokens is none of the set's.
        digest += token_T[t]
        bit = sketch_bit(token_T[t], bits)
        record_NW[item, 1 + np.int64(bit >> np.uint64(6))] |= np.uint64(1) << (bit & np.uint64(63))
    digest_N[item] = digest


@kernel
def _find_least(work: Workspace, count: Whole, hashes: Hashes, least_H: NDArray[np.uint32]) -> None:
    """The least value of each hash function over the tokens that were read."""
    multiplier_H, addend_H = hashes.multiplier_H, hashes.addend_H
    token_T, narrow_T = work.token_T, work.narrow_T
    for t in range(count):
        narrow_T[t] = np.uint32(token_T[t] >> np.uint64(32))
    for h in range(len(multiplier_H)):
        multiplier, addend = multiplier_H[h], addend_H[h]
        least = np.uint32(0xFFFFFFFF)
        for t in range(count):
            least = min(least, np.uint32(narrow_T[t] * multiplier + addend))
        least_H[h] = least


@inlined
def may_be_similar(rule: Rule, one_NW: Records, one: Whole, other_NW: Records, other: Whole) -> bool:
    """Whether the sketches of two items leave it open that they are similar enough; true of all that are."""
    one_size, other_size = np.int64(one_NW[one, 0]), np.int64(other_NW[other, 0])
    least = least_common(rule, one_size, other_size)
    if min(one_size, other_size) < least:
        return False
    one_alone, other_alone = np.uint64(0), np.uint64(0)
    for w in range(1, one_NW.shape[1]):
        one_bits, other_bits = one_NW[one, w], other_NW[other, w]
        one_alone += count_bits(one_bits & ~other_bits)
        other_alone += count_bits(other_bits & ~one_bits)
    return bool(min(one_size - np.int64(one_alone), other_size - np.int64(other_alone)) >= least)


@inlined
def least_common(rule: Rule, one_size: Whole, other_size: Whole) -> float:
    """No fewer common tokens than this make sets of these sizes similar enough; a little less, for rounding."""
    if rule.measure == JACCARD:
        common = rule.least / (1.0 + rule.least) * (one_size + other_size)
    elif rule.measure == CONTAINMENT:
        common = rule.least * min(one_size, other_size)
    else:
        common = rule.least
    return common * (1.0 - 1e-12)


@inlined
def similarity_of(measure: Whole, common: Whole, one_size: Whole, other_size: Whole) -> float:
    """The similarity of sets of these sizes with so many common tokens."""
    if measure == JACCARD:
        return common / (one_size + other_size - common)
    if measure == CONTAINMENT:
        return common / min(one_size, other_size)
    return float(common)
