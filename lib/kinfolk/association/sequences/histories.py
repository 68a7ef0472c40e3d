"""Histories of customers, as a table of lines or as sorted integer arrays.

Shape suffixes: L lines, K baskets of a customer, T elements of all histories, E entries of elements, I distinct items,
R ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers, name_items, rank_items, whole
from kinfolk.errors import DataError

COLUMNS = ("customer_id", "basket_id", "item_id", "event_time")
"""What a line has to tell; one that lacks any of it is left out."""

_MOST_ELEMENTS = 1 << 31


class Elements(NamedTuple):
    """What customers bought at a time, in order of customer and time, reduced to frequent items, named by rank.

    The ranks of element t ascend in `rank_E[start_T[t]:start_T[t + 1]]`; none is empty. `customer_T` numbers its
    customer, from 0, and `time_T` is its time in microseconds since 1970. The elements that hold rank r are
    `element_E[first_R[r]:first_R[r + 1]]`, in order.
    """

    rank_E: Codes
    start_T: Integers
    customer_T: Codes
    time_T: Integers
    element_E: Codes
    first_R: Integers


@dataclass(frozen=True)
class Histories:
    """Elements of all customers, and the frequent items in them, by rank: 0 is the rarest, ties in order of id.

    `count_R` is how many customers have an item in their history; `customer_count` counts all customers.
    """

    elements: Elements
    count_R: Integers
    item_ids: pa.Array
    item_names: pa.Array
    customer_count: int


class _Lines(NamedTuple):
    """Lines by number of their customer, basket and item, each told from 0 on, and their time."""

    customer_L: Integers
    basket_L: Integers
    item_L: Integers
    time_L: Integers


def encode_histories(table: pa.Table, least: Callable[[int], int], *, excluded: Sequence[str] = ()) -> Histories:
    """Keep the items that enough customers hold: `least` of the number of customers.

    A table has the columns of `COLUMNS` and, if names are known, `item_name`. Lines of a customer with the same basket
    are one element, at the earliest of their times, and so are baskets of a customer at the same microsecond. An item
    counts once in an element.

    Raises DataError where there are more elements than one process can number.
    """
    for name in COLUMNS:
        if table[name].null_count:
            table = table.filter(table[name].is_valid())
    customer_L, customers = _tell_apart(table["customer_id"])
    basket_L, _ = _tell_apart(table["basket_id"])
    item_L, ids = _tell_apart(table["item_id"])
    lines = _Lines(customer_L, basket_L, item_L, _read_times(table["event_time"]))
    count_I = _count_customers(lines, len(ids))
    frequent = rank_items(ids, count_I, least(len(customers)), excluded)
    rank_I = np.full(len(ids), -1)
    rank_I[frequent] = np.arange(len(frequent))
    kept = ids.take(pa.array(frequent))
    names = kept.cast(pa.string())
    if "item_name" in table.column_names:
        names = name_items(table["item_id"], table["item_name"], kept)
    return Histories(_order_elements(lines, rank_I[item_L], len(kept)), count_I[frequent], kept, names, len(customers))


def _tell_apart(column: pa.ChunkedArray) -> tuple[Integers, Any]:
    """Number the values, none of which is null: (the number of each, the value of each number)."""
    encoded = whole(column).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _drop_repeats(values: Integers) -> Integers:
    """Each of the values once, which ascend; `np.unique` would tell them apart by hashing, which takes longer."""
    return values[np.diff(values, prepend=values[:1] - 1) > 0]


def _read_times(column: pa.ChunkedArray) -> Integers:
    """Microseconds since 1970."""
    times: Integers = whole(column).cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).to_numpy()
    return times


def _count_customers(lines: _Lines, items: int) -> Integers:
    """How many customers hold each item."""
    held = _drop_repeats(np.sort(lines.customer_L * items + lines.item_L))
    return np.bincount(held % max(items, 1), minlength=items)


def _order_elements(lines: _Lines, rank_L: Integers, ranks: int) -> Elements:
    """Put what each customer bought in order of time, and of rank within an element, without repeats."""
    element_L, customer_T, time_T = _tell_elements(lines)
    if len(time_T) >= _MOST_ELEMENTS:
        raise DataError(
            f"{len(time_T):,} baskets of customers are more than the {_MOST_ELEMENTS:,} that one task can number; "
            "search fewer at a time, such as those of a window (sequence.window_days)"
        )
    is_kept_L = rank_L >= 0
    entry_E = _drop_repeats(np.sort(element_L[is_kept_L] * ranks + rank_L[is_kept_L]))
    element_E, rank_E = np.divmod(entry_E, max(ranks, 1))
    # Gaps are gaps of time, so that elements without a frequent item are not missed.
    there = _drop_repeats(element_E)
    element_E = np.searchsorted(there, element_E)
    start_T = np.zeros(len(there) + 1, np.int64)
    np.cumsum(np.bincount(element_E, minlength=len(there)), out=start_T[1:])
    first_R = np.zeros(ranks + 1, np.int64)
    np.cumsum(np.bincount(rank_E, minlength=ranks), out=first_R[1:])
    by_rank = np.argsort(rank_E, kind="stable")
    return Elements(
        rank_E.astype(np.int32),
        start_T,
        customer_T[there].astype(np.int32),
        time_T[there],
        element_E[by_rank].astype(np.int32),
        first_R,
    )


def _tell_elements(lines: _Lines) -> tuple[Integers, Integers, Integers]:
    """Number the elements, in order of customer and time: (that of each line, and the customer and time of each)."""
    baskets = int(lines.basket_L.max(initial=0)) + 1
    key_K, basket_L = np.unique(lines.customer_L * baskets + lines.basket_L, return_inverse=True)
    customer_K, time_K = key_K // baskets, np.full(len(key_K), np.iinfo(np.int64).max)
    np.minimum.at(time_K, basket_L, lines.time_L)
    order = np.lexsort((time_K, customer_K))
    customer_K, time_K = customer_K[order], time_K[order]
    is_new_K: NDArray[np.bool_] = np.ones(len(order), bool)
    is_new_K[1:] = (customer_K[1:] != customer_K[:-1]) | (time_K[1:] != time_K[:-1])
    element_K = np.empty(len(order), np.int64)
    element_K[order] = np.cumsum(is_new_K) - 1
    return element_K[basket_L], customer_K[is_new_K], time_K[is_new_K]
