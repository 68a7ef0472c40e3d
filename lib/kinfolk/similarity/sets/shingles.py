"""Tokens of texts and lists: units are split off, put in lower case, and hashed, and so are runs of them, in one pass.

A text is a sequence of units, and its tokens are its runs of `length` units; one with fewer units is one token. Units
are words, the longest runs of Unicode letters, marks and decimal digits, or characters, among which a run of white
space is one blank and white space at both ends is nothing. Case is taken away by Unicode's simple lower case, one code
point for one (The Unicode Standard, section 3.13), whatever stands around it.

A token is a hash of 64 bits, the same on every machine: two different tokens are taken for one with a chance of about
2^-60, which is the only way in which what is computed from them can be wrong. Words are hashed eight bytes of their
lower-cased UTF-8 at a time. Words of ASCII are found 64 bytes at a time, by comparing them all in vector registers, and
lower-cased eight bytes at a time; what holds other code points goes through a table. A run's hash is a polynomial of
its units' hashes, so that each next run costs the same whatever its length (Karp and Rabin, Efficient randomized
pattern-matching algorithms, 1987).

Kernels read up to 64 bytes at once, and so a little beyond the end of a text (`texts.SLACK`).

Shape suffixes: N items, X bytes, C code points, U units of one text, T tokens, S slots of a table of hashes (a power
of two).
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from kinfolk.kernels.bits import load_from, trailing_zeros
from kinfolk.kernels.compiling import Whole, compiled, inlined, instruction, kernel

WORDS, CHARACTERS, LISTS = 0, 1, 2
"""What items are: texts of words, texts of characters, or lists whose elements are hashed already."""

_ZERO, _SIXTY_FOUR = np.uint64(0), np.uint64(64)
_HALF = np.uint64(32)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_HIGH_BITS = np.uint64(0x8080808080808080)
_LOWER_BITS = np.uint64(0x2020202020202020)
_STRETCH = 64
_NEAR, _SPAN = 3, 512
"""Bytes between words of several widths that make them a text, and bytes that are read as such before others are
expected."""
_TWO_BYTES, _TWO_BYTES_MASK = np.uint64(0x80C080C080C080C0), np.uint64(0xC0E0C0E0C0E0C0E0)
_THREE_BYTES, _THREE_BYTES_MASK = np.uint64(0x8080E0), np.uint64(0xC0C0F0)
"""How UTF-8 marks code points of two bytes, four of them, and one of three bytes; the first byte is the lowest."""
_BYTE, _WORD = ir.IntType(8), ir.IntType(64)

_SEED = np.uint64(0x243F6A8885A308D3)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SECOND_FACTOR = np.uint64(0xD6E8FEB86659FD93)
# Odd, so that no unit is lost, and 3 modulo 4, so that swapped units cost at most a few bits of the hash.
_BASE = np.uint64(0xBF58476D1CE4E5BB)
_BLANK = np.uint32(0x20)


class Source(NamedTuple):
    """What tokens are read from: `kind` says whether from texts or from lists.

    `text_X` holds the UTF-8 of texts (see `texts`), `hash_T` the hashed elements of lists; `start_N` and `stop_N` say
    where each item lies in them. `lower_C` comes from `lower_case_table`; `length` is the number of units of a token.
    `salt_N` makes equal tokens of items with different salts differ; it is empty where all tokens count as they are.
    """

    text_X: NDArray[np.uint8]
    hash_T: NDArray[np.uint64]
    start_N: NDArray[np.int64]
    stop_N: NDArray[np.int64]
    salt_N: NDArray[np.uint64]
    lower_C: NDArray[np.uint32]
    length: int
    kind: int


class Workspace(NamedTuple):
    """Memory that a thread reads items into.

    `unit_U` and `token_T` take the units and tokens of any one item, `narrow_T` the upper halves of its tokens, and
    `slot_S` is the table of the tokens of a set,
    0 where a slot is free; `mark_S` says in which comparison, counted by `clock`, a slot was last found.
    """

    unit_U: NDArray[np.uint64]
    token_T: NDArray[np.uint64]
    narrow_T: NDArray[np.uint32]
    slot_S: NDArray[np.uint64]
    mark_S: NDArray[np.int64]
    clock: NDArray[np.int64]


def make_workspace(*sources: Source) -> Workspace:
    """Room for the largest item of the sources."""
    most = 1
    for source in sources:
        sizes_N = source.stop_N - source.start_N
        largest = int(sizes_N.max(initial=0))
        # Between two words there is at least one byte.
        most = max(most, largest // 2 + 1 if source.kind == WORDS else largest)
    slots = table_size(most)
    unit_U, token_T = np.empty((2, most), np.uint64)
    slot_S, mark_S, clock = np.empty(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(1, np.int64)
    return Workspace(unit_U, token_T, np.empty(most, np.uint32), slot_S, mark_S, clock)


@functools.cache
def lower_case_table(kind: int) -> NDArray[np.uint32]:
    """What each code point is hashed as: its lower case in UTF-8, the first byte lowest, for words or for characters.

    Of words, 0 where it is part of none; of characters, a blank for white space.
    """
    lower_C = np.zeros(0x110000, np.uint32)
    for code in (*range(0x40000), *range(0xE0000, 0xF0000)):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cs" or (kind == WORDS and category[0] not in "LM" and category != "Nd"):
            continue
        # Only U+0130 has two characters here; its simple lower case is the first of them.
        lower = " " if kind == CHARACTERS and character.isspace() else character.lower()[0]
        lower_C[code] = int.from_bytes(lower.encode(), "little")
    if kind == CHARACTERS:
        _fill_planes(lower_C)
    return lower_C


def _fill_planes(lower_C: NDArray[np.uint32]) -> None:
    """Give the code points of the planes that have no letters their own UTF-8."""
    code = np.flatnonzero(lower_C[0x40000:] == 0).astype(np.uint32) + np.uint32(0x40000)
    lower_C[code] = (
        (0xF0 | code >> 18)
        | (0x80 | code >> 12 & 0x3F) << 8
        | (0x80 | code >> 6 & 0x3F) << 16
        | (0x80 | code & 0x3F) << 24
    )


@instruction
def _load_eight(_typing_context: Any, octets: Any, index: Any) -> Any:
    """Eight bytes from any place of an array of bytes, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place = zip(signature.args, arguments, strict=True)
        return load_from(context, builder, array, [place], _WORD)

    return types.uint64(octets, index), generate


@instruction
def _find_word_bytes(_typing_context: Any, octets: Any, index: Any) -> Any:
    """Which of 64 bytes from any place may be part of a word: ASCII letters, digits, and what is not ASCII.

    The first byte is the lowest bit.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place = zip(signature.args, arguments, strict=True)
        bytes_ = load_from(context, builder, array, [place], ir.VectorType(_BYTE, _STRETCH))

        def is_between(bytes_: Any, first: str, last: str) -> Any:
            distance = builder.sub(bytes_, every(ord(first)))
            return builder.icmp_unsigned("<=", distance, every(ord(last) - ord(first)))

        def every(value: int) -> Any:
            return ir.Constant(ir.VectorType(_BYTE, _STRETCH), [value] * _STRETCH)

        letters = is_between(builder.or_(bytes_, every(0x20)), "a", "z")
        others = builder.icmp_unsigned(">=", bytes_, every(0x80))
        parts = builder.or_(builder.or_(letters, is_between(bytes_, "0", "9")), others)
        return builder.bitcast(parts, _WORD)

    return types.uint64(octets, index), generate


@inlined
def mix(word: np.uint64) -> np.uint64:
    """Spread the bits of a 64-bit integer over all of them, one to one."""
    word = (word ^ (word >> _HALF)) * _FACTOR
    word = (word ^ (word >> np.uint64(29))) * _SECOND_FACTOR
    return word ^ (word >> _HALF)


@inlined
def _absorb(state: np.uint64, block: np.uint64) -> np.uint64:
    state = (state ^ block) * _FACTOR
    return state ^ (state >> _HALF)


@inlined
def _append(
    state: np.uint64, block: np.uint64, filled: np.uint64, value: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Append a code point's bytes to what is being hashed: `state` so far, and the lowest `filled` bits of a block."""
    width = np.uint64(8) << np.uint64(value >= 0x100)
    if value >= 0x10000:
        width = np.uint64(24) + (np.uint64(value >= 0x1000000) << np.uint64(3))
    block |= value << filled
    filled += width
    if filled >= _SIXTY_FOUR:
        state = _absorb(state, block)
        filled -= _SIXTY_FOUR
        block = value >> (width - filled) if filled else _ZERO
    return state, block, filled


@inlined
def _decode(text_X: NDArray[np.uint8], place: Whole) -> tuple[Whole, int]:
    """The code point that begins at a place of valid UTF-8, and the bytes it takes."""
    first = np.int64(text_X[place])
    if first < 0x80:
        return first, 1
    second = np.int64(text_X[place + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(text_X[place + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    fourth = np.int64(text_X[place + 3]) & 0x3F
    return (first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4


@kernel
def _split_words(source: Source, item: Whole, unit_U: NDArray[np.uint64]) -> Whole:
    """Hash the words of a text; returns their number."""
    text_X, lower_C = source.text_X, source.lower_C
    base: Whole = source.start_N[item]
    last = source.stop_N[item]
    count: Whole = 0
    # Where a word begins that has not ended, and where the last one ended that had to be decoded.
    start: Whole = -1
    ended: Whole = -_STRETCH
    carry = _ZERO
    while base <= last:
        parts = _find_word_bytes(text_X, base) if base < last else _ZERO
        if 0 < last - base < _STRETCH:
            parts &= _ALL >> np.uint64(_STRETCH - (last - base))
        # Where a stretch of such bytes begins or ends.
        turns = parts ^ (parts << np.uint64(1) | carry)
        carry = parts >> np.uint64(63)
        following = base + _STRETCH
        while turns:
            place = base + np.int64(trailing_zeros(turns))
            turns &= turns - np.uint64(1)
            if start < 0:
                start = place
                continue
            is_hashed, unit_U[count] = _hash_whole(text_X, lower_C, start, place)
            if is_hashed:
                count += 1
            elif start - ended > _NEAR:
                ended = place
                count, _ = _decode_words(text_X, lower_C, (start, place, place), unit_U, count)
            else:
                # The second in a row: the text has many such, and is read faster one code point after the other.
                span = start, min(start + _SPAN, last), last
                count, following = _decode_words(text_X, lower_C, span, unit_U, count)
                ended, carry, turns = following, _ZERO, _ZERO
            start = -1
        base = following
    return count


@inlined
def _hash_whole(text_X: NDArray[np.uint8], lower_C: NDArray[np.uint32], start: Whole, stop: Whole) -> tuple[bool, Any]:
    """Hash a word of ASCII, of letters of two bytes each, or of three and no upper case; False where it is another.

    Nearly all words are, and where each of their letters begins is known beforehand.
    """
    first = text_X[start]
    if first < 0x80:
        return _hash_ones(text_X, start, stop)
    return _hash_twos(text_X, lower_C, start, stop) if first < 0xE0 else _hash_threes(text_X, lower_C, start, stop)


@inlined
def _hash_ones(text_X: NDArray[np.uint8], place: Whole, stop: Whole) -> tuple[bool, Any]:
    """Hash a word of ASCII."""
    state, seen = _SEED, _ZERO
    while stop - place > 8:
        eight = _load_eight(text_X, place)
        seen |= eight
        # The bit that makes a letter lower-case is set in digits anyway.
        state = _absorb(state, eight | _LOWER_BITS)
        place += 8
    mask = _ALL >> np.uint64(64 - 8 * (stop - place))
    eight = _load_eight(text_X, place) & mask
    return (seen | eight) & _HIGH_BITS == _ZERO, _absorb(state, (eight | _LOWER_BITS) & mask)


@inlined
def _hash_twos(text_X: NDArray[np.uint8], lower_C: NDArray[np.uint32], place: Whole, stop: Whole) -> tuple[bool, Any]:
    """Hash a word of letters of two bytes, of which the lower case has two bytes as well."""
    state, wrong = _SEED, _ZERO
    while stop - place > 16:
        block, is_wrong = _lower_twos(lower_C, _load_eight(text_X, place), _ALL)
        state = _absorb(state, block)
        wrong |= is_wrong
        place += 8
    # Both blocks in any case: a branch that depends on the length of a word is mostly predicted wrong.
    mask, next_mask = _mask_bytes(stop - place), _mask_bytes(stop - place - 8)
    block, is_wrong = _lower_twos(lower_C, _load_eight(text_X, place) & mask, mask)
    next_block, is_next_wrong = _lower_twos(lower_C, _load_eight(text_X, place + 8) & next_mask, next_mask)
    return wrong | is_wrong | is_next_wrong == _ZERO, _absorb_next(_absorb(state, block), next_block, next_mask)


@inlined
def _mask_bytes(count: Whole) -> np.uint64:
    """The lowest `count` bytes of a word: none where that is negative, all where it is eight or more."""
    return np.uint64(_ALL >> np.uint64(64 - 8 * min(max(count, 1), 8))) * np.uint64(count > 0)


@inlined
def _absorb_next(state: np.uint64, block: np.uint64, mask: np.uint64) -> np.uint64:
    """The state after one more block, or as it is where the mask says that the block has no bytes."""
    return state ^ ((state ^ _absorb(state, block)) & (_ZERO - np.uint64(mask > 0)))


@inlined
def _lower_twos(lower_C: NDArray[np.uint32], eight: np.uint64, mask: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Put four code points of two bytes in lower case; the second number is 0 where all are letters that allow it."""
    codes = (eight & np.uint64(0x001F001F001F001F)) << np.uint64(6)
    codes |= eight >> np.uint64(8) & np.uint64(0x003F003F003F003F)
    one = np.uint64(lower_C[codes & np.uint64(0x7FF)])
    two = np.uint64(lower_C[codes >> np.uint64(16) & np.uint64(0x7FF)])
    three = np.uint64(lower_C[codes >> np.uint64(32) & np.uint64(0x7FF)])
    four = np.uint64(lower_C[codes >> np.uint64(48)])
    block = one | two << np.uint64(16) | three << np.uint64(32) | four << np.uint64(48)
    wrong = (eight & _TWO_BYTES_MASK) ^ (_TWO_BYTES & mask) | (block & _HIGH_BITS) ^ (_HIGH_BITS & mask)
    return block, wrong | (one | two | three | four) >> np.uint64(16)


@inlined
def _hash_threes(text_X: NDArray[np.uint8], lower_C: NDArray[np.uint32], place: Whole, stop: Whole) -> tuple[bool, Any]:
    """Hash a word of letters of three bytes that are their own lower case."""
    state, wrong = _SEED, np.uint64((stop - place) % 3)
    while stop - place > 24:
        wrong |= _find_wrong_threes(text_X, lower_C, place, stop)
        for eight in range(0, 24, 8):
            state = _absorb(state, _load_eight(text_X, place + eight))
        place += 24
    wrong |= _find_wrong_threes(text_X, lower_C, place, stop)
    state = _absorb(state, _load_eight(text_X, place) & _mask_bytes(stop - place))
    for eight in range(8, 24, 8):
        mask = _mask_bytes(stop - place - eight)
        state = _absorb_next(state, _load_eight(text_X, place + eight) & mask, mask)
    return wrong == _ZERO, state


@inlined
def _find_wrong_threes(text_X: NDArray[np.uint8], lower_C: NDArray[np.uint32], place: Whole, stop: Whole) -> np.uint64:
    """0 where the next eight code points, as far as there are so many, are letters of three bytes in lower case."""
    wrong = _ZERO
    for letter in range(8):
        three = _load_eight(text_X, place + 3 * letter) & np.uint64(0xFFFFFF)
        code = three << np.uint64(12) & np.uint64(0xF000)
        code |= three >> np.uint64(2) & np.uint64(0xFC0) | three >> np.uint64(16) & np.uint64(0x3F)
        is_wrong = (three & _THREE_BYTES_MASK) ^ _THREE_BYTES | np.uint64(lower_C[code]) ^ three
        wrong |= is_wrong & (_ZERO - np.uint64(place + 3 * letter < stop))
    return wrong


@kernel
def _decode_words(
    text_X: NDArray[np.uint8],
    lower_C: NDArray[np.uint32],
    span: tuple[Whole, Whole, Whole],
    unit_U: NDArray[np.uint64],
    count: Whole,
) -> tuple[Whole, Whole]:
    """Append the words of a span, code point by code point; returns the number of words, and where it stopped.

    A span has a beginning, a place from which on it ends where a word does, and a place where it ends in any case.
    """
    place, enough, last = span
    state, block, filled = _SEED, _ZERO, _ZERO
    while place < last:
        code, width = _decode(text_X, place)
        place += width
        value = np.uint64(lower_C[code])
        if value:
            state, block, filled = _append(state, block, filled, value)
            continue
        if filled or state != _SEED:
            unit_U[count] = _absorb(state, block) if filled else state
            count += 1
            state, block, filled = _SEED, _ZERO, _ZERO
        if place >= enough:
            return count, place
    if filled or state != _SEED:
        unit_U[count] = _absorb(state, block) if filled else state
        count += 1
    return count, place


@kernel
def _split_characters(source: Source, item: Whole, unit_U: NDArray[np.uint64]) -> Whole:
    """Hash the characters of a text; returns their number."""
    text_X, lower_C = source.text_X, source.lower_C
    place, stop = source.start_N[item], source.stop_N[item]
    count = 0
    is_after_blank = False
    while place < stop:
        code, width = _decode(text_X, place)
        place += width
        value = lower_C[code]
        if value == _BLANK:
            is_after_blank = count > 0
            continue
        if is_after_blank:
            unit_U[count] = mix(np.uint64(_BLANK) ^ _SEED)
            count += 1
            is_after_blank = False
        unit_U[count] = mix(np.uint64(value) ^ _SEED)
        count += 1
    return count


@kernel
def _hash_runs(unit_U: NDArray[np.uint64], count: Whole, length: Whole, token_T: NDArray[np.uint64]) -> Whole:
    """Hash each run of `length` units, or all of them where there are fewer; returns the number of tokens."""
    state, leaving = _ZERO, np.uint64(1)
    for _ in range(length):
        leaving *= _BASE
    for u in range(min(count, length)):
        state = state * _BASE + unit_U[u]
    if count:
        token_T[0] = _token(state)
    for u in range(length, count):
        state = state * _BASE + unit_U[u] - leaving * unit_U[u - length]
        token_T[u - length + 1] = _token(state)
    return max(count - length + 1, min(count, 1))


@inlined
def _token(state: np.uint64) -> np.uint64:
    """A hash that is never 0, which stands for a free slot."""
    word = (state ^ (state >> _HALF)) * _SECOND_FACTOR
    return max(word ^ (word >> _HALF), np.uint64(1))


@kernel
def read_tokens(source: Source, item: Whole, work: Workspace) -> Whole:
    """Read an item's tokens into `work.token_T`, those of a text with repetitions; returns their number."""
    token_T = work.token_T
    if source.kind == LISTS:
        hash_T, start = source.hash_T, source.start_N[item]
        count: Whole = np.int64(source.stop_N[item] - start)
        for t in range(count):
            token_T[t] = hash_T[start + t]
    else:
        if source.kind == WORDS:
            units = _split_words(source, item, work.unit_U)
        else:
            units = _split_characters(source, item, work.unit_U)
        count = np.int64(_hash_runs(work.unit_U, units, source.length, token_T))
    if len(source.salt_N):
        salt = source.salt_N[item]
        for t in range(count):
            token_T[t] = max(token_T[t] ^ salt, np.uint64(1))
    return count


@kernel
def table_size(count: Whole) -> Whole:
    """Slots of a table of so many tokens: a power of two, a third full at most."""
    slots = 8
    while slots < 3 * count:
        slots *= 2
    return slots


@kernel
def read_set(source: Source, item: Whole, work: Workspace) -> tuple[Whole, Whole]:
    """Read an item's tokens, each once, into `work.token_T` and into a table; returns their number and the slots."""
    count = read_tokens(source, item, work)
    slots = table_size(count)
    slot_S, token_T = work.slot_S, work.token_T
    slot_S[:slots] = _ZERO
    last = np.uint64(slots - 1)
    distinct = 0
    for t in range(count):
        token = token_T[t]
        slot = token & last
        while slot_S[slot] != _ZERO and slot_S[slot] != token:
            slot = (slot + np.uint64(1)) & last
        if slot_S[slot] == _ZERO:
            slot_S[slot] = token
            token_T[distinct] = token
            distinct += 1
    return distinct, slots


@kernel
def count_common(source: Source, item: Whole, slots: Whole, work: Workspace) -> Whole:
    """How many tokens of an item are in the set that `read_set` left in a table of `slots` slots.

    The tokens in `work.token_T` are overwritten.
    """
    count = read_tokens(source, item, work)
    slot_S, mark_S, token_T = work.slot_S, work.mark_S, work.token_T
    work.clock[0] += 1
    stamp = work.clock[0]
    last = np.uint64(slots - 1)
    common = 0
    for t in range(count):
        token = token_T[t]
        slot = token & last
        while slot_S[slot] != _ZERO and slot_S[slot] != token:
            slot = (slot + np.uint64(1)) & last
        if slot_S[slot] == token and mark_S[slot] != stamp:
            mark_S[slot] = stamp
            common += 1
    return common


@kernel
def is_same_value(source: Source, one: Whole, other: Whole) -> bool:
    """Whether two items have the same text, or the same elements, of one block."""
    if len(source.salt_N) and source.salt_N[one] != source.salt_N[other]:
        return False
    size = source.stop_N[one] - source.start_N[one]
    if source.stop_N[other] - source.start_N[other] != size:
        return False
    one_start, other_start = source.start_N[one], source.start_N[other]
    if source.kind == LISTS:
        same = 0
        for t in range(size):
            same += source.hash_T[one_start + t] == source.hash_T[other_start + t]
        return bool(same == size)
    text_X = source.text_X
    for at in range(0, size, 8):
        differs = _load_eight(text_X, one_start + at) ^ _load_eight(text_X, other_start + at)
        if differs & (_ALL >> np.uint64(64 - 8 * min(size - at, 8))):
            return False
    return True


@compiled
def hash_strings(
    text_X: NDArray[np.uint8], start_N: NDArray[np.int64], stop_N: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Hash whole strings, byte for byte."""
    hash_N = np.empty(len(start_N), np.uint64)
    for n in range(len(start_N)):
        size = stop_N[n] - start_N[n]
        state = _SEED ^ np.uint64(size)
        for place in range(start_N[n], stop_N[n], 8):
            left = np.uint64(8 * min(stop_N[n] - place, 8))
            state = _absorb(state, _load_eight(text_X, place) & (_ALL >> (_SIXTY_FOUR - left)))
        hash_N[n] = max(mix(state), np.uint64(1))
    return hash_N


@compiled
def find_empty(source: Source) -> NDArray[np.bool_]:
    """Which items have no token."""
    is_empty_N = np.empty(len(source.start_N), np.bool_)
    for n in range(len(source.start_N)):
        place, stop = source.start_N[n], source.stop_N[n]
        is_empty = source.kind != LISTS or place == stop
        while source.kind != LISTS and is_empty and place < stop:
            code, width = _decode(source.text_X, place)
            place += width
            value = source.lower_C[code]
            is_empty = value == 0 if source.kind == WORDS else value == _BLANK
        is_empty_N[n] = is_empty
    return is_empty_N
