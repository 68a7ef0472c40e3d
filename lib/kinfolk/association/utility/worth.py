"""What each item is worth in each basket: lines with quantities and prices as sorted whole numbers.

Money is counted in the smallest unit that a quantity times a price can have, in whole numbers of 64 bits, so that all
sums are exact.

Shape suffixes: N lines, B baskets, E entries (items of baskets), I items, R ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Codes, Integers, name_items, whole
from kinfolk.errors import DataError

NEEDED = ("basket_id", "item_id", "quantity", "price")
"""Columns without which nothing is known to be worth anything."""
_MOST_DIGITS = 18
"""Digits behind the point that a quantity times a price may have."""
MOST_UNITS = 2**63 - 1
"""The most of the smallest unit that all lines may be worth."""


@dataclass(frozen=True)
class PricedBaskets:
    """Baskets with what their items are worth, reduced to the items that may be in a set that is worth enough.

    Items are named by rank: 0 is the one whose baskets are worth least, ties in order of id. Basket b has the ranks
    `rank_E[start_B[b]:start_B[b + 1]]`, ascending, each worth `worth_E`, and is worth `whole_B`, all of its items
    included. Baskets without any of these items are left out. Worths are counted in units of 10 to the power of
    `-digits`.

    `item_ids` and `item_names` are indexed by rank. `basket_count` counts all baskets, `total` is what they are worth,
    and `left_out` counts the lines without a basket, an item, a quantity or a price.
    """

    rank_E: Codes
    worth_E: Integers
    start_B: Integers
    whole_B: Integers
    item_ids: pa.Array
    item_names: pa.Array
    digits: int
    basket_count: int
    total: int
    left_out: int


def encode_worths(table: pa.Table, least: Callable[[int, int], int], *, excluded: Sequence[str] = ()) -> PricedBaskets:
    """Keep the items whose baskets are worth enough: `least` of what all are worth and the digits of its unit.

    `table` has a line in each row: basket_id, item_id, quantity and price, of one, both whole or decimal numbers, and
    item_name if names are known, by which items are called as `encode_baskets` does it. Lines that name an item of a
    basket again add to what it is worth there. Excluded items are worth nothing, but their baskets count.

    Raises DataError for numbers that are not exact, for a quantity or a price below 0, where no line is complete, and
    where all lines together are worth more than 64 bits hold.
    """
    lines = _drop_incomplete(table)
    worth_N, digits = _multiply(*(_count_units(lines[name], name) for name in ("quantity", "price")))
    basket_N, baskets = _tell_apart(lines["basket_id"])
    item_N, ids = _tell_apart(lines["item_id"])
    if excluded:
        is_excluded = pc.is_in(ids.cast(pa.string()), pa.array(excluded, pa.string())).to_numpy(zero_copy_only=False)
        kept = ~is_excluded[item_N]
        worth_N, basket_N, item_N = worth_N[kept], basket_N[kept], item_N[kept]
    total = _add_up(worth_N, digits)
    basket_E, item_E, worth_E = _sum_lines(basket_N, item_N, worth_N, len(ids))
    whole_B = np.zeros(len(baskets), np.int64)
    np.add.at(whole_B, basket_E, worth_E)
    reach_I = np.zeros(len(ids), np.int64)
    np.add.at(reach_I, item_E, whole_B[basket_E])
    wanted = _rank_items(reach_I, ids, least(total, digits))
    rank_I = np.full(len(ids), -1)
    rank_I[wanted] = np.arange(len(wanted))
    kept = rank_I[item_E] >= 0
    basket_E, rank_E, worth_E = _sum_lines(basket_E[kept], rank_I[item_E[kept]], worth_E[kept], len(wanted))
    held, count_B = np.unique(basket_E, return_counts=True)
    wanted_ids = ids.take(pa.array(wanted))
    names = wanted_ids.cast(pa.string())
    if "item_name" in lines.column_names:
        names = name_items(lines["item_id"], lines["item_name"], wanted_ids)
    return PricedBaskets(
        rank_E.astype(np.int32),
        worth_E,
        np.concatenate([[0], np.cumsum(count_B)]),
        whole_B[held],
        wanted_ids,
        names,
        digits,
        len(baskets),
        total,
        table.num_rows - lines.num_rows,
    )


def _drop_incomplete(table: pa.Table) -> pa.Table:
    """The lines that have all that is needed. Raises DataError where none has."""
    lines = table
    for name in NEEDED:
        if lines[name].null_count:
            lines = lines.filter(pc.is_valid(lines[name]))
        if not lines.num_rows and table.num_rows:
            raise DataError(
                f"of {table.num_rows:,} lines none has all of {', '.join(NEEDED)}: the last ones lack the {name}; name "
                "its column under sources.events, or give lines that have one"
            )
    return lines


def _count_units(column: pa.ChunkedArray, name: str) -> tuple[Integers, int]:
    """Numbers as counts of their smallest unit, which has so many digits behind the point.

    Raises DataError for numbers that are not exact, negative, or too large.
    """
    values, kind = whole(column), column.type
    if pa.types.is_integer(kind):
        units_N, digits = values.cast(pa.int64()).to_numpy(), 0
    elif pa.types.is_decimal(kind):
        digits = kind.scale
        words = np.frombuffer(values.cast(pa.decimal128(38, digits)).buffers()[1], np.int64).reshape(-1, 2)
        low_N, high_N = words[values.offset : values.offset + len(values)].T
        if np.any(high_N != low_N >> 63):
            raise DataError(f"a {name} has more than the {MOST_UNITS:,} units of 10^-{digits} that one may have")
        units_N = low_N
    else:
        raise DataError(
            f"the {name} is of type {kind}; sums of money are exact for whole and decimal numbers: cast it, such as to "
            "decimal(18,4)"
        )
    below = int(np.count_nonzero(units_N < 0))
    if below:
        raise DataError(
            f"{below:,} of {len(units_N):,} lines have a {name} below 0; what is given back brings nothing in: leave "
            "these lines out, and the ones that they take back"
        )
    return units_N, digits


def _multiply(quantity: tuple[Integers, int], price: tuple[Integers, int]) -> tuple[Integers, int]:
    """What each line is worth, and the digits of its unit. Raises DataError where that is too much."""
    (quantity_N, digits), (price_N, more_digits) = quantity, price
    digits += more_digits
    if digits > _MOST_DIGITS:
        raise DataError(
            f"a quantity times a price has {digits} digits behind the point, and sums are exact up to {_MOST_DIGITS}: "
            "round either to fewer digits"
        )
    if np.any(price_N > MOST_UNITS // np.maximum(quantity_N, 1)):
        raise _too_much("a line is", digits)
    return quantity_N * price_N, digits


def _add_up(worth_N: Integers, digits: int) -> int:
    """What all lines are worth. Raises DataError where that is too much, and so that no other sum is."""
    total = (int((worth_N >> 32).sum()) << 32) + int((worth_N & 0xFFFFFFFF).sum())
    if total > MOST_UNITS:
        raise _too_much("all lines together are", digits)
    return total


def _too_much(what: str, digits: int) -> DataError:
    return DataError(
        f"{what} worth more than the {MOST_UNITS:,} units of 10^-{digits} up to which sums are exact: round prices or "
        "quantities to fewer digits, or take fewer lines"
    )


def _tell_apart(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Any]:
    """The number of each value, and the values."""
    encoded = whole(column).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _sum_lines(
    basket_N: Integers, item_N: Integers, worth_N: Integers, items: int
) -> tuple[Integers, Integers, Integers]:
    """The items of each basket, in order, each once, with what they are worth there in all."""
    key_N = basket_N * items + item_N
    order = np.argsort(key_N, kind="stable")
    key_N = key_N[order]
    first_E = np.flatnonzero(np.diff(key_N, prepend=-1))
    basket_E, item_E = np.divmod(key_N[first_E], max(items, 1))
    return basket_E, item_E, np.add.reduceat(worth_N[order], first_E)


def _rank_items(reach_I: Integers, ids: Any, least: int) -> Integers:
    """The items whose baskets are worth enough, in order of rank."""
    wanted = np.flatnonzero(reach_I >= least)
    place = np.empty(len(wanted), np.int64)
    place[pc.array_sort_indices(ids.take(pa.array(wanted))).to_numpy()] = np.arange(len(wanted))
    return wanted[np.lexsort((place, reach_I[wanted]))]
