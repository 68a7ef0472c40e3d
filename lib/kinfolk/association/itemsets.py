"""Every frequent itemset of a set of baskets, from Arrow to Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.baskets import Baskets, Integers, encode_baskets
from kinfolk.association.kernel import search_itemsets, unfold
from kinfolk.association.thresholds import least_count
from kinfolk.settings import AssociationSettings

ITEMSET_SCHEMA = pa.schema(
    [
        pa.field("itemset_id", pa.string()),
        pa.field("length", pa.int32()),
        pa.field("basket_count", pa.int64()),
        pa.field("items", pa.list_(pa.string())),
        pa.field("item_names", pa.list_(pa.string())),
    ]
)

_BATCH_ITEMSETS = 1 << 16


def mine_itemsets(lines: pa.Table, settings: AssociationSettings) -> Iterator[pa.RecordBatch]:
    """Yield the frequent itemsets of lines (basket_id, item_id, item_name), in batches of `ITEMSET_SCHEMA`.

    The first is the empty set, which every basket holds: its count is the number of baskets. After
    `settings.max_itemsets` more sets and one the search stops: whoever counts the rows sees that there are too many.
    """
    baskets = encode_baskets(lines, settings.min_support)
    labels = _Labels(baskets)
    nothing = np.empty(0, np.int32)
    yield labels.describe(np.zeros(1, np.int32), nothing, np.array([baskets.basket_count]))
    least = least_count(settings.min_support, baskets.basket_count)
    tree = search_itemsets(baskets, least, max_length=settings.max_length, most=settings.max_itemsets)
    start_S, ranks = unfold(tree)
    told = min(len(tree.count_S), settings.max_itemsets + 1)
    for first in range(0, told, _BATCH_ITEMSETS):
        stop = min(first + _BATCH_ITEMSETS, told)
        lengths = np.diff(start_S[first : stop + 1])
        yield labels.describe(lengths, ranks[start_S[first] : start_S[stop]], tree.count_S[first:stop])


def join_ids(item_ids: pa.ListArray) -> pa.StringArray:
    """The id of each itemset: its item ids, which have to be sorted, as a compact JSON list."""
    quoted = pa.array([json.dumps(item, ensure_ascii=False) for item in item_ids.flatten().to_pylist()], pa.string())
    return _wrap_list(pa.ListArray.from_arrays(item_ids.offsets, quoted))


def _wrap_list(quoted: pa.ListArray) -> pa.StringArray:
    return pc.binary_join_element_wise("[", pc.binary_join(quoted, ","), "]", "")


class _Labels:
    """Turns ranks into what people read: ids in order, names, and the id of the set."""

    def __init__(self, baskets: Baskets) -> None:
        by_id = sorted(range(len(baskets.item_ids)), key=baskets.item_ids.__getitem__)
        ids = [baskets.item_ids[rank] for rank in by_id]
        self._place_of = np.empty(len(ids), dtype=np.int64)
        self._place_of[by_id] = np.arange(len(ids))
        self._ids = pa.array(ids, pa.string())
        self._quoted = pa.array([json.dumps(item, ensure_ascii=False) for item in ids], pa.string())
        self._names = pa.array([baskets.item_names[rank] for rank in by_id], pa.string())

    def describe(self, lengths: Integers, ranks: Integers, counts: Integers) -> pa.RecordBatch:
        """Render itemsets, whose ranks stand one set after the other, with their counts."""
        # Ids sort within each set: the set's number leads the key.
        places = np.repeat(np.arange(len(lengths)) * len(self._ids), lengths) + self._place_of[ranks]
        places.sort()
        places %= max(1, len(self._ids))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())

        def lists(values: pa.StringArray) -> pa.ListArray:
            return pa.ListArray.from_arrays(offsets, values.take(pa.array(places)))

        columns = [_wrap_list(lists(self._quoted)), pa.array(lengths, pa.int32()), pa.array(counts, pa.int64())]
        return pa.record_batch([*columns, lists(self._ids), lists(self._names)], schema=ITEMSET_SCHEMA)
