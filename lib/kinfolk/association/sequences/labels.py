"""Sequences as people read them: by the ids and names of their items, with what is said of their last step.

Shape suffixes: S sequences, J items of all sequences, one sequence after the other, G elements of all sequences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.baskets import Codes, Integers
from kinfolk.association.sequences.histories import Histories
from kinfolk.association.sequences.tree import NONE, SequenceTree
from kinfolk.kernels.compiling import kernel

MICROSECONDS_A_DAY = 86_400_000_000

_SEQUENCES_AT_A_TIME = 1 << 16
_ITEMS = pa.list_(pa.list_(pa.dictionary(pa.int32(), pa.string())))

SEQUENCES = pa.schema(
    [
        ("sequence_id", pa.string()),
        ("length", pa.int32()),
        ("elements", pa.int32()),
        ("customer_count", pa.int64()),
        ("support", pa.float64()),
        ("antecedent_count", pa.int64()),
        ("confidence", pa.float64()),
        ("lift", pa.float64()),
        ("median_days", pa.float64()),
        ("items", _ITEMS),
        ("item_names", _ITEMS),
    ]
)
"""The columns of sequences."""


class _Shape(NamedTuple):
    """How many items and elements each sequence has, and its last element has; and which it is without that one.

    `antecedent_S` is `NONE` where there is one element.
    """

    length_S: Codes
    elements_S: Codes
    last_S: Codes
    antecedent_S: Codes


class _Written(NamedTuple):
    """Sequences written out: their items, by place in the order of ids, which ascend within an element, and where
    elements begin among the items, and sequences among the elements.
    """

    place_J: Codes
    start_G: Codes
    start_S: Codes


def describe_sequences(tree: SequenceTree, histories: Histories) -> Iterator[pa.Table]:
    """All sequences, in parts with the columns of `SEQUENCES`."""
    shape = _Shape(*np.empty((4, len(tree.item_S)), np.int32))
    _find_shapes(tree, shape)
    step = _judge_steps(tree, shape, histories.customer_count)
    order_R = pc.array_sort_indices(histories.item_ids)
    ids, names = (values.cast(pa.string()).take(order_R) for values in (histories.item_ids, histories.item_names))
    quoted = pa.array([json.dumps(item, ensure_ascii=False) for item in ids.to_pylist()], pa.string())
    place_R = np.empty(len(order_R), np.int32)
    place_R[order_R.to_numpy()] = np.arange(len(order_R), dtype=np.int32)
    for first in range(0, len(tree.item_S), _SEQUENCES_AT_A_TIME):
        some = slice(first, min(first + _SEQUENCES_AT_A_TIME, len(tree.item_S)))
        written = _write_out(tree, shape, place_R, some)
        yield pa.table(
            [
                _join_ids(written, quoted),
                pa.array(shape.length_S[some]),
                pa.array(shape.elements_S[some]),
                pa.array(tree.count_S[some]),
                pa.array(tree.count_S[some] / histories.customer_count),
                *step.slice(first, some.stop - first).columns,
                pa.array(tree.gap_S[some] / MICROSECONDS_A_DAY, from_pandas=True),
                _list_items(written, ids),
                _list_items(written, names),
            ],
            schema=SEQUENCES,
        )


def _judge_steps(tree: SequenceTree, shape: _Shape, customers: int) -> pa.Table:
    """Customers with the sequence but for its last element, and confidence and lift of the step to that; or null."""
    is_first_S = shape.antecedent_S == NONE
    before_S = np.where(is_first_S, 0, tree.count_S[shape.antecedent_S])
    confidence_S = tree.count_S / np.maximum(before_S, 1)
    lift_S = confidence_S * customers / tree.count_S[_find_last_elements(tree, shape)]
    columns = {"antecedent_count": before_S, "confidence": confidence_S, "lift": lift_S}
    return pa.table({name: pa.array(values, mask=is_first_S) for name, values in columns.items()})


def _find_last_elements(tree: SequenceTree, shape: _Shape) -> Integers:
    """For each sequence the one that is nothing but its last element, which is frequent as well."""
    items = int((tree.parent_S == NONE).sum())
    found_S = tree.item_S.astype(np.int64)
    key_S = np.where(tree.parent_S == NONE, 0, tree.parent_S).astype(np.int64) * items + tree.item_S
    single_S = np.flatnonzero((shape.elements_S == 1) & (shape.length_S > 1))
    single_S = single_S[np.argsort(key_S[single_S])]
    for size in range(2, int(shape.last_S.max(initial=0)) + 1):
        wanted_S = np.flatnonzero(shape.last_S == size)
        key = found_S[tree.parent_S[wanted_S]] * items + tree.item_S[wanted_S]
        found_S[wanted_S] = single_S[np.searchsorted(key_S[single_S], key)]
    return found_S


def _write_out(tree: SequenceTree, shape: _Shape, place_R: Codes, some: slice) -> _Written:
    lengths, elements = shape.length_S[some], shape.elements_S[some]
    written = _Written(
        np.empty(int(lengths.sum()), np.int32),
        np.zeros(int(elements.sum()) + 1, np.int32),
        np.concatenate([[0], np.cumsum(elements)]).astype(np.int32),
    )
    _write_items(tree, place_R, some.start, np.cumsum(lengths), written)
    return written


def _join_ids(written: _Written, quoted: pa.StringArray) -> pa.Array:
    """The id of each sequence: its elements' item ids, in order, as a compact JSON list of lists."""
    joined = quoted.take(pa.array(written.place_J))
    for starts in (written.start_G, written.start_S):
        lists = pa.ListArray.from_arrays(pa.array(starts), joined)
        joined = pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")
    return joined


def _list_items(written: _Written, values: pa.StringArray) -> pa.ListArray:
    """The items of each sequence, element by element."""
    items = pa.DictionaryArray.from_arrays(pa.array(written.place_J), values)
    return pa.ListArray.from_arrays(
        pa.array(written.start_S), pa.ListArray.from_arrays(pa.array(written.start_G), items)
    )


@kernel
def _find_shapes(tree: SequenceTree, shape: _Shape) -> None:
    length_S, elements_S, last_S, antecedent_S = shape
    for s in range(len(tree.item_S)):
        parent = tree.parent_S[s]
        if parent == NONE:
            length_S[s], elements_S[s], last_S[s], antecedent_S[s] = 1, 1, 1, NONE
        elif tree.is_new_S[s]:
            length_S[s], elements_S[s], last_S[s] = length_S[parent] + 1, elements_S[parent] + 1, 1
            antecedent_S[s] = parent
        else:
            length_S[s], elements_S[s], last_S[s] = length_S[parent] + 1, elements_S[parent], last_S[parent] + 1
            antecedent_S[s] = antecedent_S[parent]


@kernel
def _write_items(tree: SequenceTree, place_R: Codes, first: int, stop_S: Integers, written: _Written) -> None:
    """Write some sequences from their last items on; the items of an element are put in order of place."""
    place_J, start_G, start_S = written
    for s in range(len(stop_S)):
        node, element, j, stop = np.int64(first + s), start_S[s + 1] - 1, stop_S[s], stop_S[s]
        while node != NONE:
            j -= 1
            place, at = place_R[tree.item_S[node]], j
            while at + 1 < stop and place_J[at + 1] < place:
                place_J[at] = place_J[at + 1]
                at += 1
            place_J[at] = place
            if tree.is_new_S[node]:
                start_G[element] = j
                element, stop = element - 1, j
            node = np.int64(tree.parent_S[node])
    start_G[start_S[len(stop_S)]] = len(place_J)
