"""Baskets, as a table of lines or of lists, as sorted integer arrays.

Items are told apart part by part, as tables come in parts, and by as many threads as there are; only the distinct items
of the parts are brought together.

Shape suffixes: B baskets of a part, E entries of baskets, I distinct items of a part, R ranks, P parts, N pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.errors import DataError
from kinfolk.kernels.compiling import Whole, kernel
from kinfolk.kernels.threads import open_threads

END = -1
"""What stands behind each basket."""
LISTS = "items"
"""The column of a table of lists."""

_MOST_POSITIONS = 1 << 32
_NARROW = 1 << 16
"""Whole numbers that lie so near each other are told apart without a look at them."""
_MOST_NARROW = (1 << 15) - 1
"""Items whose ranks, and the one beyond them all, take 16 bits."""
_BLOCK = 1 << 16
"""Baskets that are put in order at a time."""

Integers = NDArray[np.int64]
Codes = NDArray[np.int32]
Ranks = NDArray[np.int16 | np.int32]
"""Ranks of entries, as narrow as they may be: to read and write so much memory takes longer than the work on it."""


@dataclass(frozen=True)
class Baskets:
    """Baskets reduced to their frequent items, which are named by rank: 0 is the rarest, ties in order of id.

    Ranks that ascend by frequency keep the branches of a search small. `rank_E` holds the ranks of each basket without
    repeats, and `END` behind them, in the stretches of `spans`: from where to where. Baskets without a frequent item
    are left out.

    `item_ids`, `item_names` and `count_R`, the number of baskets with an item, are indexed by rank. `basket_count`
    counts all baskets. In each row of `barred_N2` are two ranks, the lower one first, that no set may hold together;
    None where there are no such. `parent_R` is the rank of the category right above each item, -1 for none.
    """

    rank_E: Ranks
    spans: tuple[tuple[int, int], ...]
    count_R: Integers
    item_ids: pa.Array
    item_names: pa.Array
    basket_count: int
    barred_N2: Codes | None = None
    parent_R: Codes | None = None


class Entries(NamedTuple):
    """Baskets with their ranks in ascending order, and where each rank stands in them.

    That is for rank r `position_E[first_R[r]:first_R[r + 1]]`.
    """

    rank_E: Ranks
    position_E: NDArray[np.uint32]
    first_R: Integers


class _Part(NamedTuple):
    """Baskets of a part of the input: the items of basket b are `code_E[start_B[b]:start_B[b + 1]]`, -1 for none.

    `ids` are the items by code; a code may have no entry.
    """

    code_E: Codes
    start_B: Integers | Codes
    ids: pa.Array


class _Counted(NamedTuple):
    """Stretches of the parts for each thread, what item each code of a part is, the items, and their baskets."""

    stretches: list[list[_Part]]
    item_PI: list[Codes]
    ids: pa.Array
    count_I: Integers
    basket_count: int


def encode_baskets(
    table: pa.Table, least: Callable[[int], int], *, excluded: Sequence[str] = (), threads: int = 1
) -> Baskets:
    """Keep the items that enough baskets hold: `least` of the number of baskets.

    A table of lists has a basket in each row of its column `items`; an empty list is a basket too, a null is none. A
    table of lines has `basket_id`, `item_id` and, if names are known, `item_name`; its baskets have one item or more.
    An item that a basket names twice counts once; a null is no item. An item is called what most of its lines call it,
    ties by the name that sorts first, and by its id where no line has a name.

    Raises DataError where one process cannot number so many entries.
    """
    with open_threads(threads) as pool:
        counted = _count_parts(table, pool, threads)
        frequent = rank_items(counted.ids, counted.count_I, least(counted.basket_count), excluded)
        ids = counted.ids.take(pa.array(frequent))
        rank_I = np.full(len(counted.ids), END, np.int32)
        rank_I[frequent] = np.arange(len(frequent), dtype=np.int32)
        packed = _pack(counted, rank_I, len(frequent), pool)
    names = ids.cast(pa.string())
    if "item_name" in table.column_names:
        names = name_items(table["item_id"], table["item_name"], ids)
    return Baskets(*packed, counted.count_I[frequent], ids, names, counted.basket_count)


def encode_known(table: pa.Table, known: Baskets, *, threads: int = 1) -> Baskets:
    """Reduce other baskets to the items of known ones, named by the same ranks."""
    with open_threads(threads) as pool:
        counted = _count_parts(table, pool, threads)
        # Without a basket nothing tells the type of the items.
        rank_I = pc.index_in(counted.ids.cast(known.item_ids.type), known.item_ids).fill_null(END).to_numpy()
        packed = _pack(counted, rank_I, len(known.item_ids), pool)
    count_R = np.zeros(len(known.item_ids), np.int64)
    count_R[rank_I[rank_I >= 0]] = counted.count_I[rank_I >= 0]
    return Baskets(*packed, count_R, known.item_ids, known.item_names, counted.basket_count)


def _count_parts(table: pa.Table, pool: Any, threads: int) -> _Counted:
    if LISTS in table.column_names:
        parts = list(pool.map(_read_lists, _chunks(table[LISTS])))
    else:
        parts = [_group_lines(table["basket_id"], table["item_id"])]
    parts = parts or [_Part(np.empty(0, np.int32), np.zeros(1, np.int64), pa.nulls(0, pa.string()))]
    ids = pa.chunked_array([part.ids for part in parts]).unique()
    item_PI = [pc.index_in(part.ids, ids).to_numpy() for part in parts]
    # Each thread has a stretch of every part.
    stretches = [[_stretch(part, thread, threads) for part in parts] for thread in range(threads)]
    count_I = sum(
        pool.map(partial(_count_items, item_PI=item_PI, items=len(ids)), stretches), np.zeros(len(ids), np.int64)
    )
    return _Counted(stretches, item_PI, ids, count_I, sum(len(part.start_B) - 1 for part in parts))


def _chunks(column: pa.ChunkedArray) -> list[Any]:
    return [chunk for chunk in column.chunks if len(chunk)]


def _fixed(values: Any) -> Any:
    """The same array, not to be written: kernels are compiled for such ones, as those that Arrow gives are."""
    values = values.view()
    values.flags.writeable = False
    return values


def _read_lists(lists: Any) -> _Part:
    if lists.null_count:
        lists = lists.drop_null()
    code_E, ids = _tell_apart(lists.values)
    return _Part(code_E, _fixed(lists.offsets.to_numpy()), ids)


def _group_lines(basket_ids: pa.ChunkedArray, item_ids: pa.ChunkedArray) -> _Part:
    """Put the lines of each basket beside each other."""
    is_basket = pc.is_valid(basket_ids)
    if not pc.all(is_basket, min_count=0).as_py():
        basket_ids, item_ids = basket_ids.filter(is_basket), item_ids.filter(is_basket)
    basket_E, baskets = _tell_apart(whole(basket_ids))
    code_E, ids = _tell_apart(whole(item_ids))
    start_B = np.zeros(len(baskets) + 1, np.int64)
    start_B[1:] = np.cumsum(np.bincount(basket_E, minlength=len(baskets)))
    if np.any(basket_E[1:] < basket_E[:-1]):
        grouped = np.empty(len(code_E), np.int32)
        _group(basket_E, code_E, start_B[:-1].copy(), grouped)
        code_E = _fixed(grouped)
    if np.any(start_B[1:] == start_B[:-1]):
        # Numbers between those of baskets are none.
        start_B = np.concatenate([start_B[:1], start_B[1:][start_B[1:] > start_B[:-1]]])
    return _Part(code_E, _fixed(start_B), ids)


def whole(column: pa.ChunkedArray) -> Any:
    """A column as one array."""
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _tell_apart(values: Any) -> tuple[Codes, Any]:
    """Number the values: (the number of each, -1 for null; the value of each number)."""
    if pa.types.is_integer(values.type) and len(values) and not values.null_count:
        low, high = pc.min_max(values).as_py().values()
        low = 0 if 0 <= low < _NARROW else low
        if high - low < max(_NARROW, len(values)):
            code_E = values.to_numpy()
            code_E = (code_E - low if low else code_E).astype(np.int32, copy=False)
            return _fixed(code_E), pa.array(np.arange(low, high + 1), values.type)
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    indices = encoded.indices.cast(pa.int32())
    indices = indices.fill_null(END) if indices.null_count else indices
    return _fixed(indices.to_numpy()), encoded.dictionary


def _stretch(part: _Part, number: int, count: int) -> _Part:
    """One of so many stretches of a part."""
    baskets = len(part.start_B) - 1
    first, stop = baskets * number // count, baskets * (number + 1) // count
    return part._replace(start_B=part.start_B[first : stop + 1])


def _count_items(stretches: list[_Part], item_PI: list[Codes], items: int) -> Integers:
    """The baskets that hold each item."""
    count_I = np.zeros(items, np.int64)
    for part, item_I in zip(stretches, item_PI, strict=True):
        counted = np.zeros(len(part.ids), np.int64)
        _count(part.code_E, part.start_B, np.full(len(part.ids), -1), counted)
        count_I[item_I] += counted
    return count_I


def rank_items(ids: pa.Array, count_I: Integers, least: int, excluded: Sequence[str] = ()) -> Integers:
    """The items that enough baskets hold, in order of rank: the rarest first, ties in order of id."""
    is_wanted = count_I >= least
    if excluded:
        is_wanted &= ~pc.is_in(ids.cast(pa.string()), pa.array(excluded, pa.string())).to_numpy(zero_copy_only=False)
    frequent = np.flatnonzero(is_wanted)
    place = np.empty(len(frequent), np.int64)
    place[pc.array_sort_indices(ids.take(pa.array(frequent))).to_numpy()] = np.arange(len(frequent))
    return frequent[np.lexsort((place, count_I[frequent]))]


def name_items(item_ids: pa.ChunkedArray, names: pa.ChunkedArray, ids: pa.Array) -> pa.Array:
    """What most lines call each of some items, ties by the name that sorts first; its id where no line has a name."""
    return choose_names(tally_names(item_ids, names, ids), ids)


def tally_names(item_ids: pa.ChunkedArray, names: pa.ChunkedArray, ids: pa.Array) -> pa.Table:
    """How many lines call each of some items what: columns rank, name, lines. Items have the ranks they come in."""
    lines = pa.table({"rank": pc.index_in(item_ids, ids), "name": names})
    named = lines.filter(pc.field("name").is_valid() & pc.field("rank").is_valid())
    tally = named.group_by(["rank", "name"]).aggregate([([], "count_all")])
    return tally.select(["rank", "name", "count_all"]).rename_columns(["rank", "name", "lines"])


def choose_names(tally: pa.Table, ids: pa.Array) -> pa.Array:
    """What each item is called by such a tally."""
    tally = tally.sort_by([("rank", "ascending"), ("lines", "descending"), ("name", "ascending")])
    # The first of several places of a rank is that of the commonest name.
    place = pc.index_in(pa.array(np.arange(len(ids), dtype=np.int32)), whole(tally["rank"]))
    return pc.coalesce(whole(tally["name"]).take(place), ids.cast(pa.string()))


def order_baskets(baskets: Baskets, *, threads: int = 1) -> Entries:
    """Put the ranks of each basket in ascending order, where they are, and note where each rank stands."""
    ranks, spans = len(baskets.count_R), baskets.spans
    first_R = np.zeros(ranks + 1, np.int64)
    np.cumsum(baskets.count_R, out=first_R[1:])
    entries = Entries(baskets.rank_E, np.empty(int(first_R[-1]), np.uint32), first_R)
    count_TR = np.zeros((len(spans), ranks), np.int64)
    with open_threads(threads) as pool:
        list(pool.map(partial(_tally_ranks, baskets.rank_E), *np.array(spans).reshape(-1, 2).T, count_TR))
        next_TR = first_R[:-1] + np.cumsum(count_TR, axis=0) - count_TR
        list(pool.map(partial(_order_span, entries), spans, next_TR))
    return entries


def _order_span(entries: Entries, span: tuple[int, int], next_R: Integers) -> None:
    """Put the baskets of a span in order, block by block, so that a block stays in the cache meanwhile."""
    counts = np.zeros((2, len(next_R)), np.int64)
    work = _Work(next_R, counts[0], counts[1], np.empty(_BLOCK, np.int64))
    row_L, (start, stop) = np.empty(0, np.int32), span
    while start < stop:
        end = int(_find_rows(entries.rank_E, start, stop, work))
        if end - start > len(row_L):
            row_L = np.empty(2 * (end - start), np.int32)
        _order_rows(entries, work, row_L, start, end)
        start = end


def _pack(counted: _Counted, rank_I: Codes, ranks: int, pool: Any) -> tuple[Ranks, tuple[tuple[int, int], ...]]:
    """Write the ranks of all baskets."""
    kind: type[np.int16 | np.int32] = np.int16 if ranks <= _MOST_NARROW else np.int32
    rank_I = np.where(rank_I >= 0, rank_I, ranks).astype(kind)
    rank_PI = [_fixed(rank_I[item_I]) for item_I in counted.item_PI]
    # As much room as all entries of a thread may take; what is never written takes no memory.
    room_T = [sum(map(_room, parts)) for parts in counted.stretches]
    size = sum(room_T)
    if size > _MOST_POSITIONS:
        raise DataError(
            f"{size:,} entries of baskets are more than the {_MOST_POSITIONS:,} that one task can number; mine fewer "
            "at a time, such as those of a window (association.window_days)"
        )
    rank_E: Ranks = np.empty(size, kind)

    def write(thread: int) -> tuple[int, int]:
        last_R = np.full(ranks + 1, -1)
        start = position = sum(room_T[:thread])
        for part, rank_J in zip(counted.stretches[thread], rank_PI, strict=True):
            position = int(_write_rows(part.code_E, part.start_B, rank_J, last_R, rank_E, position))
        return start, position

    return rank_E, tuple(pool.map(write, range(len(counted.stretches))))


class _Work(NamedTuple):
    """What putting a block of baskets, the rows, in order needs.

    `next_R` is where the next place of each rank is noted. Between blocks `count_R`, how many rows hold each rank, is
    all 0. `at_R` is where the next row of a rank is listed, and `start_B` where a row begins or goes on.
    """

    next_R: Integers
    count_R: Integers
    at_R: Integers
    start_B: Integers


def _room(part: _Part) -> int:
    """Most places that the baskets of a part take."""
    return int(part.start_B[-1] - part.start_B[0]) + len(part.start_B) - 1


@kernel
def _group(basket_E: Codes, code_E: Codes, next_B: Integers, grouped_E: Codes) -> None:
    for e in range(len(basket_E)):
        basket = basket_E[e]
        grouped_E[next_B[basket]] = code_E[e]
        next_B[basket] += 1


@kernel
def _count(code_E: Codes, start_B: Integers | Codes, last_I: Integers, count_I: Integers) -> None:
    """Count the baskets of each item; `last_I` is the last basket that held it, -1 at first."""
    for basket in range(len(start_B) - 1):
        for e in range(start_B[basket], start_B[basket + 1]):
            code = code_E[e]
            if code >= 0 and last_I[code] != basket:
                last_I[code] = basket
                count_I[code] += 1


@kernel
def _write_rows(
    code_E: Codes, start_B: Integers | Codes, rank_I: Ranks, last_R: Integers, rank_E: Ranks, position: Whole
) -> Whole:
    """Write the ranks of baskets as they come, without repeats; returns where the last one ends.

    `last_R` is where the basket begins that held each rank last. Items that are not frequent have a rank beyond all
    others. Every rank is written, and kept where it is new: whether it is cannot be foreseen.
    """
    none = len(last_R) - 1
    for basket in range(len(start_B) - 1):
        first = position
        last_R[none] = first
        for e in range(start_B[basket], start_B[basket + 1]):
            code = code_E[e]
            rank = rank_I[code] if code >= 0 else none
            rank_E[position] = rank
            position += last_R[rank] != first
            last_R[rank] = first
        if position > first:
            rank_E[position] = END
            position += 1
    return position


@kernel
def _tally_ranks(rank_E: Ranks, start: Whole, stop: Whole, count_R: Integers) -> None:
    for e in range(start, stop):
        if rank_E[e] >= 0:
            count_R[rank_E[e]] += 1


@kernel
def _find_rows(rank_E: Ranks, start: Whole, stop: Whole, work: _Work) -> Whole:
    """Note where the rows of the next block begin, and how many hold each rank; returns where the block ends."""
    rows, e = 0, start
    while e < stop and rows < len(work.start_B):
        work.start_B[rows] = e
        rows += 1
        while rank_E[e] >= 0:
            work.count_R[rank_E[e]] += 1
            e += 1
        e += 1
    return e


@kernel
def _order_rows(entries: Entries, work: _Work, row_L: Codes, start: Whole, stop: Whole) -> None:
    """Put the ranks of rows in ascending order: each rank is handed out to its rows, the lowest one first."""
    rank_E, position_E, _ = entries
    next_R, count_R, at_R, start_B = work
    at = 0
    for rank in range(len(count_R)):
        at_R[rank] = at
        at += count_R[rank]
    row = 0
    for e in range(start, stop):
        rank = rank_E[e]
        if rank < 0:
            row += 1
        else:
            row_L[at_R[rank]] = row
            at_R[rank] += 1
    for rank in range(len(count_R)):
        following = next_R[rank]
        for place in range(at_R[rank] - count_R[rank], at_R[rank]):
            row = row_L[place]
            rank_E[start_B[row]] = rank
            position_E[following] = start_B[row]
            start_B[row] += 1
            following += 1
        next_R[rank] = following
        count_R[rank] = 0
