"""Vectors of items in memory: checked, in the order of their ids, and without repetition.

Shape suffixes: N items, D coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.errors import DataError


class VectorProblem(StrEnum):
    """Why an item cannot be compared with others."""

    MISSING = "missing_vector"
    WRONG_LENGTH = "wrong_length"
    NOT_FINITE = "not_finite"
    ZERO = "zero_vector"


@dataclass(frozen=True)
class ItemVectors:
    """Items in the order of their ids, and their vectors (float32, finite, not zero) in the same order.

    The position of an item is its code: codes compare as ids do.
    """

    ids: pa.StringArray
    vectors_ND: NDArray[np.float32]

    def take(self, codes: NDArray[np.int64]) -> ItemVectors:
        """The items at these positions, which have to rise."""
        return ItemVectors(self.ids.take(pa.array(codes)), self.vectors_ND[codes])


def read_vectors(items: pa.Table) -> tuple[ItemVectors, pa.Table]:
    """Split items into those that can be compared, and the others with item_id, reject_reason and reject_detail.

    `items` has the columns item_id (string) and embedding (list of floats). All vectors have to be as long as most of
    them are; where two lengths are equally common, as the shorter. Raises DataError where an id comes twice.
    """
    items = items.select(["item_id", "embedding"]).sort_by("item_id")
    ids = pa.chunked_array(items["item_id"]).cast(pa.string()).combine_chunks()
    _refuse_repeated(ids)
    lengths_N = pc.fill_null(pc.list_value_length(items["embedding"]), 0).to_numpy()
    common = int(np.bincount(lengths_N[lengths_N > 0], minlength=1).argmax())
    reasons_N = np.full(len(ids), "", dtype=object)
    reasons_N[lengths_N != common] = VectorProblem.WRONG_LENGTH.value
    reasons_N[lengths_N == 0] = VectorProblem.MISSING.value
    is_whole_N = reasons_N == ""
    vectors_ND = _matrix(items["embedding"].filter(pa.array(is_whole_N)), common)
    problems = np.full(len(vectors_ND), "", dtype=object)
    problems[~vectors_ND.any(axis=1)] = VectorProblem.ZERO.value
    problems[~np.isfinite(vectors_ND).all(axis=1)] = VectorProblem.NOT_FINITE.value
    reasons_N[is_whole_N] = problems
    is_good_N = reasons_N == ""
    good = ItemVectors(ids.filter(pa.array(is_good_N)), vectors_ND[problems == ""])
    return good, _rejected(ids, reasons_N, lengths_N, common)


def collapse_copies(items: ItemVectors) -> tuple[ItemVectors, pa.Table]:
    """Keep the first of identical items, by id; the others come back as item_id and representative_id."""
    count, size = items.vectors_ND.shape
    if count == 0:
        return items, _copies(items.ids, np.empty(0, np.int64), np.empty(0, np.int64))
    # One opaque value a row, so that rows are compared whole.
    rows_N = np.ascontiguousarray(items.vectors_ND).view(np.dtype((np.void, size * 4))).ravel()
    _, first, inverse_N = np.unique(rows_N, return_index=True, return_inverse=True)
    first_N = first[inverse_N]
    is_first_N = first_N == np.arange(count)
    copies = np.flatnonzero(~is_first_N)
    return items.take(np.flatnonzero(is_first_N)), _copies(items.ids, copies, first_N[copies])


def _refuse_repeated(ids: pa.StringArray) -> None:
    if ids.null_count:
        raise DataError(f"{ids.null_count:,} items have no item_id; every item to be joined needs one")
    if len(ids) < 2:
        return
    is_repeated = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    if is_repeated.any():
        shown = ids[1:].filter(pa.array(is_repeated))[:3].to_pylist()
        raise DataError(
            f"{int(is_repeated.sum()):,} item ids come more than once, such as {', '.join(shown)}; "
            "a join needs one vector for each item: choose one modality, or one version"
        )


def _matrix(lists: pa.ChunkedArray, size: int) -> NDArray[np.float32]:
    """Lists of `size` floats as the rows of one matrix; missing coordinates become NaN."""
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False) for chunk in lists.chunks]
    flat = np.concatenate([*parts, np.empty(0, np.float32)])
    # Adding zero turns -0.0 into 0.0: equal vectors then have equal bytes.
    return flat.reshape(-1, max(size, 1)) + np.float32(0)


def _rejected(
    ids: pa.StringArray, reasons_N: NDArray[np.object_], lengths_N: NDArray[np.int32], common: int
) -> pa.Table:
    bad = np.flatnonzero(reasons_N != "")
    details = [f"{lengths_N[i]} coordinates; most items have {common}" for i in bad]
    return pa.table(
        {
            "item_id": ids.take(pa.array(bad)),
            "reject_reason": pa.array(reasons_N[bad], pa.string()),
            "reject_detail": pa.array(details, pa.string()),
        }
    )


def _copies(ids: pa.StringArray, copies: NDArray[np.int64], representatives: NDArray[np.int64]) -> pa.Table:
    return pa.table({"item_id": ids.take(pa.array(copies)), "representative_id": ids.take(pa.array(representatives))})
