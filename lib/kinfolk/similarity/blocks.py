"""Blocks: what an item is told apart by before anything is compared, such as its brand or its language.

Shape suffixes: N items.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.similarity.rows import sort_ids, tell_rejected


class BlockProblem(StrEnum):
    """Why an item has no place in a join within blocks."""

    MISSING = "missing_block"


def number_blocks(rows: pa.Table) -> pa.Table:
    """The rows with a number for each block instead of its name, the same for both sides; null stays null.

    A column `salt` is added, a hash of the name, which stays the same when other blocks come or go.
    """
    place = rows.column_names.index("block")
    names = pa.chunked_array(rows["block"]).combine_chunks().dictionary_encode()
    hashes = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names.dictionary.to_pylist()]
    salts = pa.array(np.frombuffer(b"".join(hashes), np.uint64))
    return rows.set_column(place, "block", names.indices).append_column("salt", salts.take(names.indices))


def split_rows(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows that have a block, and the others with item_id, reject_reason and reject_detail.

    Raises DataError where an id is missing or comes twice.
    """
    is_missing = pc.is_null(rows["block"])
    bad = rows["item_id"].filter(is_missing)
    if len(bad):
        # The same id may stand once with a block and once without.
        sort_ids(rows["item_id"], remedy="a join within blocks needs one row for each item")
    ids = pa.chunked_array(bad).cast(pa.string()).combine_chunks()
    reasons = np.full(len(ids), BlockProblem.MISSING.value, dtype=object)
    return rows.filter(pc.invert(is_missing)), tell_rejected(ids, reasons, ["no value to be told apart by"] * len(ids))


def find_blocks(ids: pa.StringArray, rows: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """The number of the block of each of some items, and its salt."""
    places = pc.index_in(ids, value_set=pa.chunked_array(rows["item_id"]).cast(pa.string()).combine_chunks())
    block_N: NDArray[np.int32] = rows["block"].take(places).to_numpy().astype(np.int32)
    salt_N: NDArray[np.uint64] = rows["salt"].take(places).to_numpy()
    return block_N, salt_N
