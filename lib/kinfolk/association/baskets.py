"""Lines of baskets, in any order and with repeats, as sorted integer arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.thresholds import least_count

Integers = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Baskets:
    """Baskets reduced to their frequent items, which are named by rank: 0 is the rarest, ties in order of id.

    Ranks that ascend by frequency keep the branches of the search small. `ranks` holds the baskets one after another,
    each ascending and without repeats; `ends[e]` is the position after the last entry of the basket of entry e.
    `item_ids`, `item_names` and `item_counts` are indexed by rank; `basket_count` counts every basket, also those left
    without a frequent item.
    """

    ranks: Integers
    ends: Integers
    item_ids: list[str]
    item_names: list[str]
    item_counts: Integers
    basket_count: int


def encode_baskets(lines: pa.Table, min_support: float) -> Baskets:
    """Group lines (basket_id, item_id, item_name), keep the items that at least `min_support` of the baskets hold.

    An item that a basket names twice counts once. An item is called what most of its lines call it, ties by the name
    that sorts first, and by its id where no line has a name.
    """
    basket_of_line, basket_ids = _encode(lines["basket_id"])
    item_of_line, item_ids = _encode(lines["item_id"])
    entries = _sorted_unique(basket_of_line.astype(np.int64) * max(1, len(item_ids)) + item_of_line)
    basket_of_entry, item_of_entry = np.divmod(entries, max(1, len(item_ids)))
    counts = np.bincount(item_of_entry, minlength=len(item_ids))
    least = least_count(min_support, len(basket_ids))
    frequent = [int(item) for item in np.flatnonzero(counts >= least)]
    frequent.sort(key=lambda item: (counts[item], item_ids[item]))
    ranks, ends = _rank_entries(basket_of_entry, item_of_entry, frequent, len(item_ids))
    return Baskets(
        ranks=ranks,
        ends=ends,
        item_ids=[item_ids[item] for item in frequent],
        item_names=_name_items(item_of_line, lines["item_name"], frequent, item_ids),
        item_counts=counts[frequent],
        basket_count=len(basket_ids),
    )


def _encode(column: pa.ChunkedArray) -> tuple[Integers, list[str]]:
    """Number the distinct strings of a column: (number of each row, the strings)."""
    encoded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        return np.empty(0, dtype=np.int32), []
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _sorted_unique(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    values.sort()
    is_first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    return values[is_first]


def _rank_entries(
    baskets: npt.NDArray[np.int64], items: npt.NDArray[np.int64], frequent: list[int], item_count: int
) -> tuple[Integers, Integers]:
    """Replace items by ranks, leave infrequent ones out, and sort each basket: (ranks, end of each entry's basket)."""
    rank_of = np.full(item_count, -1, dtype=np.int64)
    rank_of[frequent] = np.arange(len(frequent))
    ranks = rank_of[items]
    kept = ranks >= 0
    entries = baskets[kept] * max(1, len(frequent)) + ranks[kept]
    entries.sort()
    baskets, ranks = np.divmod(entries, max(1, len(frequent)))
    sizes = np.bincount(baskets)
    ends = np.repeat(np.cumsum(sizes), sizes)
    return ranks.astype(np.int32), ends


def _name_items(items: Integers, names: pa.ChunkedArray, frequent: list[int], item_ids: list[str]) -> list[str]:
    lines = pa.table({"item": pa.array(items), "name": names}).filter(pc.field("name").is_valid())
    tally = lines.group_by(["item", "name"]).aggregate([([], "count_all")])
    # Of several rows with one key a mapping keeps the last: the commonest name, and of equals the first by name.
    tally = tally.sort_by([("item", "ascending"), ("count_all", "ascending"), ("name", "descending")])
    name_of = dict(zip(tally["item"].to_pylist(), tally["name"].to_pylist(), strict=True))
    return [name_of.get(item, item_ids[item]) for item in frequent]
