"""Items as sets of tokens in memory: checked, in the order of their ids, and without repetition.

The tokens of texts are not kept: a text is shorter than its hashed tokens, and is read again wherever they are needed.

Shape suffixes: N items, X bytes, T tokens, W words of a record (`sketches`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.kernels.compiling import Whole, compiled
from kinfolk.settings import TokenSettings
from kinfolk.similarity.effort import split_items, spread
from kinfolk.similarity.rows import sort_ids, tell_copies, tell_rejected
from kinfolk.similarity.sets.shingles import (
    CHARACTERS,
    LISTS,
    WORDS,
    Source,
    Workspace,
    count_common,
    find_empty,
    hash_strings,
    is_same_value,
    lower_case_table,
    make_workspace,
    mix,
    read_set,
)
from kinfolk.similarity.sets.sketches import (
    Hashes,
    Profile,
    Records,
    draw_hashes,
    make_profile,
    record_words,
    sketch_items,
)
from kinfolk.similarity.sets.texts import Texts, gather_texts, locate_texts

_BYTES_A_WORD = 6
_NO_HASHES = np.empty(0, np.uint64)

Codes = NDArray[np.int64]


class SetProblem(StrEnum):
    """Why an item cannot be compared with others."""

    MISSING = "missing_value"
    EMPTY = "empty_set"


@dataclass(frozen=True)
class ItemSets:
    """Items in the order of their ids, and their sets, none of them empty, in the same order.

    The position of an item is its code: codes compare as ids do. `profile` is there once a pass has made it.
    """

    ids: pa.StringArray
    source: Source
    tokens: TokenSettings
    profile: Profile | None = None

    def __len__(self) -> int:
        return len(self.source.start_N)

    def __reduce__(self) -> tuple[type[ItemSets], tuple[object, ...]]:
        """Pickle the texts alone: those of other items may lie between them."""
        return ItemSets, (self.ids, _gather(self.source), self.tokens, self.profile)

    def in_blocks(self, _block_N: NDArray[np.int32], salt_N: NDArray[np.uint64]) -> ItemSets:
        """The same items, each in its block: what is in different blocks has no token in common any more."""
        return replace(self, source=self.source._replace(salt_N=salt_N), profile=None)

    def take(self, codes: Codes) -> ItemSets:
        """The items at these positions, which have to rise."""
        profile = self.profile
        if profile is not None:
            profile = Profile(profile.record_NW[codes], profile.digest_N[codes])
        return ItemSets(self.ids.take(pa.array(codes)), take_items(self.source, codes), self.tokens, profile)

    def records(self) -> Records:
        """Sizes and sketches, of sets that have their profile."""
        assert self.profile is not None
        return self.profile.record_NW

    def digests(self) -> NDArray[np.uint64]:
        """A hash of each set, and of its block, of sets that have their profile."""
        assert self.profile is not None
        return self.profile.digest_N

    def has_profile(self, words: int) -> bool:
        """Whether there is a profile with records of so many words."""
        return self.profile is not None and self.profile.record_NW.shape[1] == words

    @property
    def nbytes(self) -> int:
        """Bytes of all texts, or of the hashed elements of all lists."""
        size = int((self.source.stop_N - self.source.start_N).sum())
        return size * self.source.hash_T.itemsize if self.source.kind == LISTS else size

    @property
    def mean_tokens(self) -> float:
        """About how many tokens an item has."""
        sizes_N = self.source.stop_N - self.source.start_N
        mean = float(sizes_N.mean()) if len(sizes_N) else 0.0
        return mean / _BYTES_A_WORD if self.source.kind == WORDS else mean


def take_items(source: Source, codes: Codes) -> Source:
    """Some of the items; their texts or tokens stay where they are."""
    salt_N = source.salt_N[codes] if len(source.salt_N) else source.salt_N
    return source._replace(start_N=source.start_N[codes], stop_N=source.stop_N[codes], salt_N=salt_N)


def _gather(source: Source) -> Source:
    """The same items, their texts in memory of their own."""
    if source.kind == LISTS:
        return source
    texts = gather_texts(Texts(source.text_X, source.start_N, source.stop_N))
    return source._replace(text_X=texts.text_X, start_N=texts.start_N, stop_N=texts.stop_N)


def read_sets(items: pa.Table, tokens: TokenSettings) -> tuple[ItemSets, pa.Table]:
    """Split items into those that can be compared, and the others with item_id, reject_reason and reject_detail.

    `items` has the columns item_id (string) and value: texts, or lists of strings or integers. Elements of lists are
    taken as they are, and a null among them is no element. A set without a token resembles nothing, so its item is
    rejected. Raises DataError where an id is missing or comes twice, and where values are of another type.
    """
    remedy = "a join needs one value for each item: choose one table, or one version"
    ids, order = sort_ids(items["item_id"], remedy=remedy)
    values = items["value"]
    source = take_items(_read_values(values, tokens), order)
    is_missing_N = pc.is_null(values).to_numpy()[order]
    is_bad_N = is_missing_N | find_empty(source)
    good = ItemSets(ids.filter(pa.array(~is_bad_N)), take_items(source, np.flatnonzero(~is_bad_N)), tokens)
    return good, _rejected(ids.filter(pa.array(is_bad_N)), is_missing_N[is_bad_N], source.kind)


def collapse_set_copies(sets: ItemSets, *, threads: int = 1) -> tuple[ItemSets, pa.Table]:
    """Keep the first of items with equal sets, by id; the others come back as item_id and representative_id."""
    sets = profile_sets(sets, threads=threads)
    digest_N = sets.digests()
    first_N = np.arange(len(sets))
    # Stable, so that of equal ones the first by id comes first.
    left = np.argsort(digest_N, kind="stable")
    while len(left):
        is_alone = _find_alone(digest_N[left])
        left = left[~is_alone]
        # Sets that only hash alike are left over, and are compared with each other in a further round.
        work = make_workspace(sets.source)
        left = left[_compare_with_first(sets.source, sets.records(), digest_N, left, first_N, work)]
    copies = tell_copies(sets.ids, first_N)
    kept = sets if not len(copies) else sets.take(np.flatnonzero(first_N == np.arange(len(sets))))
    return kept, copies


def profile_sets(sets: ItemSets, *, threads: int, words: int | None = None) -> ItemSets:
    """The same sets with their profile; `words` is the length of a record, where it is not left to the sets."""
    words = words or record_words(sets.mean_tokens)
    if sets.has_profile(words):
        return sets
    return sketch_sets(sets, draw_hashes(0, 1, 0), words, np.empty((len(sets), 0), np.uint64), threads)


def sketch_sets(sets: ItemSets, hashes: Hashes, words: int, key_NB: NDArray[np.uint64], threads: int) -> ItemSets:
    """Write the keys of all bands, and make the profile in the same pass where it is not there yet."""
    is_profiled = sets.has_profile(words)
    profile = sets.profile if is_profiled and sets.profile is not None else make_profile(len(sets), words)

    def sketch_part(part: range) -> None:
        room = make_workspace(sets.source), np.empty(len(hashes.multiplier_H), np.uint32)
        sketch_items(sets.source, (part.start, part.stop), hashes, (is_profiled, profile), key_NB, room)

    spread(sketch_part, split_items(len(sets)), threads)
    return replace(sets, profile=profile)


def _read_values(values: pa.ChunkedArray, tokens: TokenSettings) -> Source:
    """What kernels read; values are not null."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        unit = WORDS if tokens.unit == "words" else CHARACTERS
        texts = locate_texts(values)
        return Source(texts.text_X, _NO_HASHES, *texts[1:], _NO_HASHES, lower_case_table(unit), tokens.length, unit)
    if not _is_list(kind) or not _is_element(kind.value_type):
        raise DataError(
            f"a join of sets cannot read values of type {kind}: it takes texts, or lists of strings or of integers; "
            "cast the column, or choose another"
        )
    hash_T, offset_N = _elements_of(values)
    hash_T, offset_N = _distinct_elements(hash_T, offset_N)
    start_N, stop_N, no_case_C = offset_N[:-1].copy(), offset_N[1:].copy(), np.empty(0, np.uint32)
    return Source(np.empty(0, np.uint8), hash_T, start_N, stop_N, _NO_HASHES, no_case_C, tokens.length, LISTS)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_element(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _elements_of(lists: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hashed elements of lists one after the other, and where each list begins and the last one ends."""
    parents = pa.chunked_array(pc.list_parent_indices(lists), pa.int64()).to_numpy()
    elements = pa.chunked_array(pc.list_flatten(lists), lists.type.value_type)
    is_there = pc.is_valid(elements).to_numpy()
    elements = elements.drop_null()
    size_N = np.bincount(parents[is_there], minlength=len(lists))
    offset_N = np.concatenate([[0], np.cumsum(size_N)])
    if pa.types.is_integer(elements.type):
        whole_T = elements.to_numpy().astype(np.uint64) if len(elements) else np.empty(0, np.uint64)
        return _hash_integers(whole_T), offset_N
    return hash_strings(*locate_texts(elements)), offset_N


@compiled
def _hash_integers(whole_T: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hash_T = np.empty(len(whole_T), np.uint64)
    for t in range(len(whole_T)):
        hash_T[t] = max(mix(whole_T[t]), np.uint64(1))
    return hash_T


def _distinct_elements(
    hash_T: NDArray[np.uint64], offset_N: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The same lists with each element once."""
    owner_T = np.repeat(np.arange(len(offset_N) - 1), np.diff(offset_N))
    order = np.lexsort((hash_T, owner_T))
    hash_T, owner_T = hash_T[order], owner_T[order]
    is_new = np.ones(len(hash_T), bool)
    is_new[1:] = (hash_T[1:] != hash_T[:-1]) | (owner_T[1:] != owner_T[:-1])
    sizes_N = np.bincount(owner_T[is_new], minlength=len(offset_N) - 1)
    return hash_T[is_new], np.concatenate([[0], np.cumsum(sizes_N)])


def _find_alone(digest_N: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of sorted digests differ from both of their neighbours."""
    differs = np.ones(len(digest_N) + 1, bool)
    differs[1:-1] = digest_N[1:] != digest_N[:-1]
    return differs[1:] & differs[:-1]


@compiled
def _compare_with_first(
    source: Source, record_NW: Records, digest_N: NDArray[np.uint64], order: Codes, first_N: Codes, work: Workspace
) -> NDArray[np.bool_]:
    """Compare each item with the first of its digest, which goes to `first_N` where the sets are equal.

    `order` has the items digest by digest. Returns which of them hash alike but are others.
    """
    is_other = np.zeros(len(order), np.bool_)
    first: Whole = np.int64(-1)
    slots: Whole = np.int64(0)
    for place in range(len(order)):
        item = order[place]
        if first < 0 or digest_N[item] != digest_N[first]:
            first = item
            _, slots = read_set(source, first, work)
            continue
        size = record_NW[item, 0]
        is_same = size == record_NW[first, 0] and (
            is_same_value(source, item, first) or count_common(source, item, slots, work) == size
        )
        if is_same:
            first_N[item] = first
        is_other[place] = not is_same
    return is_other


def _rejected(ids: pa.StringArray, is_missing_N: NDArray[np.bool_], kind: int) -> pa.Table:
    unit = {WORDS: "no letter or digit", CHARACTERS: "nothing but white space", LISTS: "no element"}[kind]
    reasons_N = np.where(is_missing_N, SetProblem.MISSING.value, SetProblem.EMPTY.value)
    return tell_rejected(ids, reasons_N, ["no value" if is_missing else unit for is_missing in is_missing_N])
