"""Vectors of items in memory: checked, in the order of their ids, and without repetition.

Shape suffixes: N items, D coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.similarity.rows import sort_ids, tell_copies, tell_rejected

_ROWS_AT_A_TIME = 8192


class VectorProblem(StrEnum):
    """Why an item cannot be compared with others."""

    MISSING = "missing_vector"
    WRONG_LENGTH = "wrong_length"
    NOT_FINITE = "not_finite"
    ZERO = "zero_vector"


@dataclass(frozen=True)
class ItemVectors:
    """Items in the order of their ids, and their vectors (float32, finite, not zero) in the same order.

    The position of an item is its code: codes compare as ids do. Where items have a block each, those of different ones
    are neither compared nor copies; `salt_N` is then a hash of the block's name.
    """

    ids: pa.StringArray
    vectors_ND: NDArray[np.float32]
    block_N: NDArray[np.int32] | None = None
    salt_N: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def in_blocks(self, block_N: NDArray[np.int32], salt_N: NDArray[np.uint64]) -> ItemVectors:
        """The same items, each in its block."""
        return replace(self, block_N=block_N, salt_N=salt_N)

    def digests(self) -> NDArray[np.uint64]:
        """A hash of each vector, and of its block."""
        digest_N = _hash_rows(self.vectors_ND)
        return digest_N if self.salt_N is None else digest_N + self.salt_N

    def take(self, codes: NDArray[np.int64]) -> ItemVectors:
        """The items at these positions, which have to rise."""
        block_N = None if self.block_N is None else self.block_N[codes]
        salt_N = None if self.salt_N is None else self.salt_N[codes]
        return ItemVectors(self.ids.take(pa.array(codes)), self.vectors_ND[codes], block_N, salt_N)


def read_vectors(items: pa.Table, *, is_zero_allowed: bool = False) -> tuple[ItemVectors, pa.Table]:
    """Split items into those that can be compared, and the others with item_id, reject_reason and reject_detail.

    `items` has the columns item_id (string) and value (list of floats). All vectors have to be as long as most of
    them are; where two lengths are equally common, as the shorter. A vector of zeros has no
    direction, and is rejected unless it is allowed. Raises DataError where an id comes twice.
    """
    remedy = "a join needs one vector for each item: choose one modality, or one version"
    ids, order = sort_ids(items["item_id"], remedy=remedy)
    values = items["value"]
    lengths_N = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    common = int(np.bincount(lengths_N[lengths_N > 0], minlength=1).argmax())
    reasons_N = np.full(len(ids), "", dtype=object)
    reasons_N[lengths_N != common] = VectorProblem.WRONG_LENGTH.value
    reasons_N[lengths_N == 0] = VectorProblem.MISSING.value
    is_whole_N = lengths_N == common if common else np.zeros(len(ids), bool)
    vectors_ND = _matrix(values if is_whole_N.all() else values.filter(pa.array(is_whole_N)), common)
    is_finite, is_zero = np.isfinite(vectors_ND).all(axis=1), ~vectors_ND.any(axis=1) & (not is_zero_allowed)
    if not is_finite.all() or is_zero.any():
        problems = np.full(len(vectors_ND), "", dtype=object)
        problems[is_zero] = VectorProblem.ZERO.value
        problems[~is_finite] = VectorProblem.NOT_FINITE.value
        reasons_N[is_whole_N] = problems
    reasons_N = reasons_N[order]
    is_good_N = reasons_N == ""
    # From a row's place among all to its place among the whole ones.
    place_N = (np.cumsum(is_whole_N) - 1)[order[is_good_N]]
    if not np.array_equal(place_N, np.arange(len(vectors_ND))):
        vectors_ND = vectors_ND[place_N]
    good = ItemVectors(ids if is_good_N.all() else ids.filter(pa.array(is_good_N)), vectors_ND)
    return good, _rejected(ids, reasons_N, lengths_N[order], common)


def collapse_copies(items: ItemVectors) -> tuple[ItemVectors, pa.Table]:
    """Keep the first of identical items, by id; the others come back as item_id and representative_id."""
    digest_N, block_N = items.digests(), items.block_N
    first_N = np.arange(len(items))
    # Stable, so that of equal ones the first by id comes first.
    left = np.argsort(digest_N, kind="stable")
    while len(left):
        is_new = np.ones(len(left) + 1, bool)
        is_new[1:-1] = digest_N[left[1:]] != digest_N[left[:-1]]
        is_alone = is_new[:-1] & is_new[1:]
        left, is_new = left[~is_alone], is_new[:-1][~is_alone]
        first = left[np.maximum.accumulate(np.where(is_new, np.arange(len(left)), 0))]
        is_equal = (items.vectors_ND[left] == items.vectors_ND[first]).all(axis=1)
        if block_N is not None:
            is_equal &= block_N[left] == block_N[first]
        first_N[left[is_equal]] = first[is_equal]
        # Rows that only hash alike are compared with each other in a further round.
        left = left[~is_equal]
    copies = tell_copies(items.ids, first_N)
    distinct = items if not len(copies) else items.take(np.flatnonzero(first_N == np.arange(len(items))))
    return distinct, copies


def scale_to_one(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors divided by their lengths, in float64 until the end."""
    units_ND = np.empty_like(vectors_ND)
    for start in range(0, len(vectors_ND), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        exact_ND = vectors_ND[rows].astype(np.float64)
        units_ND[rows] = exact_ND / np.sqrt(np.square(exact_ND).sum(axis=1, keepdims=True))
    return units_ND


def _hash_rows(vectors_ND: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A hash of each row: its words times random odd numbers, added up (multiply-shift hashing of vectors)."""
    words_ND = np.ascontiguousarray(vectors_ND).view(np.uint32)
    factor_D = np.random.default_rng(0).integers(1, 1 << 63, words_ND.shape[1:], dtype=np.uint64) | np.uint64(1)
    digest_N = np.zeros(len(words_ND), np.uint64)
    for d in range(len(factor_D)):
        digest_N += (words_ND[:, d] + np.uint64(1)) * factor_D[d]
    return digest_N


def _matrix(lists: pa.ChunkedArray, size: int) -> NDArray[np.float32]:
    """Lists of `size` floats as the rows of one matrix; missing coordinates become NaN."""
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False) for chunk in lists.chunks]
    flat = np.concatenate([*parts, np.empty(0, np.float32)])
    # Adding zero turns -0.0 into 0.0: equal vectors then have equal bytes.
    flat += np.float32(0)
    return flat.reshape(-1, max(size, 1))


def _rejected(
    ids: pa.StringArray, reasons_N: NDArray[np.object_], lengths_N: NDArray[np.int32], common: int
) -> pa.Table:
    bad = np.flatnonzero(reasons_N != "")
    details = [f"{lengths_N[i]} coordinates; most items have {common}" for i in bad]
    return tell_rejected(ids.take(pa.array(bad)), reasons_N[bad], details)
