"""Rows of a join before they are compared: ids in order, and the tables of those that take no part.

Shape suffixes: N items.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.errors import DataError


def sort_ids(ids: pa.ChunkedArray, *, remedy: str) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """The ids in order, and the rows that they come from.

    Raises DataError where one is missing or comes twice; `remedy` says what to do then.
    """
    ids = pa.chunked_array(ids).cast(pa.string()).combine_chunks()
    if ids.null_count:
        raise DataError(f"{ids.null_count:,} items have no item_id; every item to be joined needs one")
    order = np.arange(len(ids))
    if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        order = pc.sort_indices(ids).to_numpy().astype(np.int64)
        ids = ids.take(pa.array(order))
        _refuse_repeated(ids, remedy)
    return ids, order


def _refuse_repeated(ids: pa.StringArray, remedy: str) -> None:
    is_repeated = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    if is_repeated.any():
        shown = ids[1:].filter(pa.array(is_repeated))[:3].to_pylist()
        raise DataError(
            f"{int(is_repeated.sum()):,} item ids come more than once, such as {', '.join(shown)}; {remedy}"
        )


def tell_copies(ids: pa.StringArray, first_N: NDArray[np.int64]) -> pa.Table:
    """The items that are not the first of those equal to them: item_id and representative_id."""
    copies = np.flatnonzero(first_N != np.arange(len(first_N)))
    return pa.table({"item_id": ids.take(pa.array(copies)), "representative_id": ids.take(pa.array(first_N[copies]))})


def tell_rejected(ids: pa.StringArray, reasons: NDArray[np.object_], details: list[str]) -> pa.Table:
    """Rejected items: item_id, reject_reason and reject_detail."""
    columns = {"item_id": ids, "reject_reason": pa.array(reasons, pa.string())}
    return pa.table(columns | {"reject_detail": pa.array(details, pa.string())})
