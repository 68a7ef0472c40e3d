"""Every frequent itemset of a set of baskets, from Arrow to Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.baskets import Baskets, Integers, encode_baskets
from kinfolk.association.kernel import Block, search_itemsets
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
    yield labels.describe([np.empty((1, 0), dtype=np.int64)], np.array([baskets.basket_count]))
    if not baskets.item_ids:
        return
    blocks = search_itemsets(baskets, least_count(settings.min_support, baskets.basket_count), settings.max_length)
    for sets, counts in _gather(_stop_after(settings.max_itemsets + 1, blocks)):
        yield labels.describe(sets, counts)


def join_ids(item_ids: pa.ListArray) -> pa.StringArray:
    """The id of each itemset: its item ids, which have to be sorted, as a compact JSON list."""
    quoted = pa.array([json.dumps(item, ensure_ascii=False) for item in item_ids.flatten().to_pylist()], pa.string())
    return _wrap_list(pa.ListArray.from_arrays(item_ids.offsets, quoted))


def _wrap_list(quoted: pa.ListArray) -> pa.StringArray:
    return pc.binary_join_element_wise("[", pc.binary_join(quoted, ","), "]", "")


def _stop_after(most: int, blocks: Iterable[Block]) -> Iterator[Block]:
    for prefix, members, counts in blocks:
        yield Block(prefix, members[:most], counts[:most])
        most -= len(members)
        if most <= 0:
            return


def _gather(blocks: Iterable[Block]) -> Iterator[tuple[list[Integers], Integers]]:
    """Put blocks together to batches: (matrices of one itemset a row, counts of all of them in order)."""
    sets: list[Integers] = []
    counts: list[Integers] = []
    size = 0
    for block in blocks:
        prefix = np.broadcast_to(np.array(block.prefix, dtype=np.int64), (len(block.members), len(block.prefix)))
        sets.append(np.column_stack([prefix, block.members]))
        counts.append(block.counts)
        size += len(block.members)
        if size >= _BATCH_ITEMSETS:
            yield sets, np.concatenate(counts)
            sets, counts, size = [], [], 0
    if sets:
        yield sets, np.concatenate(counts)


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

    def describe(self, sets: list[Integers], counts: Integers) -> pa.RecordBatch:
        """Render matrices of ranks, one itemset a row, with their counts."""
        lengths = np.repeat([matrix.shape[1] for matrix in sets], [len(matrix) for matrix in sets])
        ranks = np.concatenate([matrix.ravel() for matrix in sets])
        # Ids sort within each set: the set's number leads the key.
        places = np.repeat(np.arange(len(lengths)) * len(self._ids), lengths) + self._place_of[ranks]
        places.sort()
        places %= max(1, len(self._ids))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())

        def lists(values: pa.StringArray) -> pa.ListArray:
            return pa.ListArray.from_arrays(offsets, values.take(pa.array(places)))

        columns = [_wrap_list(lists(self._quoted)), pa.array(lengths, pa.int32()), pa.array(counts, pa.int64())]
        return pa.record_batch([*columns, lists(self._ids), lists(self._names)], schema=ITEMSET_SCHEMA)
