"""Itemsets and rules as people read them: by the ids and names of their items, from arrays to Arrow.

Shape suffixes: S itemsets, J items of all itemsets, R ranks, Q rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, Codes, Integers
from kinfolk.association.evidence import COLUMNS as EVIDENCE
from kinfolk.association.evidence import Evidence
from kinfolk.association.lattice import CLOSED, GENERATOR, MAXIMAL, Lattice
from kinfolk.association.measures import measure
from kinfolk.association.selection import ChosenRules
from kinfolk.association.significance import confidence_interval, lift_interval
from kinfolk.kernels.compiling import kernel

MEASURES = ("support", "confidence", "lift", "leverage", "conviction")
"""The measures that stand in the table of rules; all others are functions of the counts beside them."""

_INTERVALS = ("confidence_low", "confidence_high", "lift_low", "lift_high")
_JUDGEMENTS = ("improvement", "p_value", "false_discovery_rate")
SETS_AT_A_TIME = 1 << 16
_NAMES = pa.list_(pa.dictionary(pa.int32(), pa.string()))


def itemset_schema(ids: pa.DataType) -> pa.Schema:
    """The columns of itemsets of items with such ids."""
    marks = [(name, pa.bool_()) for name in ("is_closed", "is_maximal", "is_generator")]
    counts = [("length", pa.int32()), ("basket_count", pa.int64()), ("support", pa.float64())]
    return pa.schema([("itemset_id", pa.string()), *counts, *marks, ("items", _list_of(ids)), ("item_names", _NAMES)])


def rule_schema(ids: pa.DataType) -> pa.Schema:
    """The columns of rules of items with such ids."""
    counts = [(name, pa.int64()) for name in ("basket_count", "antecedent_count", "consequent_count", "baskets")]
    return pa.schema(
        [
            *((f"{side}_id", pa.string()) for side in ("antecedent", "consequent")),
            *counts,
            *((name, pa.float64()) for name in (*MEASURES, *_INTERVALS, *_JUDGEMENTS)),
            *EVIDENCE.items(),
            *((side, _list_of(ids)) for side in ("antecedent", "consequent")),
            *((f"{side}_names", _NAMES) for side in ("antecedent", "consequent")),
        ]
    )


def _list_of(ids: pa.DataType) -> pa.DataType:
    return pa.list_(pa.dictionary(pa.int32(), ids))


class SetLabels:
    """Names sets of items by their ids and names, with the items of each in the order of their ids.

    The items of set s are `item_J[start_S[s]:start_S[s + 1]]`; `item_ids` and `item_names` say what each is.
    """

    def __init__(self, start_S: Integers, item_J: Codes, item_ids: pa.Array, item_names: pa.Array) -> None:
        self._start_S = start_S
        order_R = pc.array_sort_indices(item_ids)
        self._ids, self._names = item_ids.take(order_R), item_names.take(order_R)
        place_R = np.empty(len(order_R), np.int32)
        place_R[order_R.to_numpy()] = np.arange(len(order_R), dtype=np.int32)
        self._place_J = np.empty(len(item_J), np.int32)
        _place_items(start_S, item_J, place_R, self._place_J)
        self._quoted = pa.array([json.dumps(item, ensure_ascii=False) for item in self._ids.to_pylist()], pa.string())
        self.set_ids = self._join_ids()

    @property
    def items_type(self) -> pa.DataType:
        """The type of the ids of a set's items."""
        return _list_of(self._ids.type)

    def _join_ids(self) -> pa.StringArray:
        """The id of each set: its item ids, in order, as a compact JSON list."""
        parts = []
        for first in range(0, len(self._start_S) - 1, SETS_AT_A_TIME):
            starts = self._start_S[first : first + SETS_AT_A_TIME + 1]
            quoted = self._quoted.take(pa.array(self._place_J[starts[0] : starts[-1]]))
            lists = pa.ListArray.from_arrays(pa.array((starts - starts[0]).astype(np.int32)), quoted)
            parts.append(pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", ""))
        return pa.chunked_array(parts, pa.string())

    def list_items(self, sets: Integers | Codes) -> tuple[pa.ListArray, pa.ListArray]:
        """The ids and the names of the items of sets."""
        lengths = self._start_S[sets.astype(np.int64) + 1] - self._start_S[sets]
        offsets = np.zeros(len(sets) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        places = np.empty(int(offsets[-1]), np.int32)
        _gather(self._start_S, self._place_J, sets.astype(np.int64), places)
        codes = pa.array(places)
        ids, names = (pa.DictionaryArray.from_arrays(codes, values) for values in (self._ids, self._names))
        return tuple(pa.ListArray.from_arrays(pa.array(offsets), values) for values in (ids, names))


class Labels:
    """Writes itemsets, and rules of them, with their items in the order of their ids."""

    def __init__(self, lattice: Lattice, baskets: Baskets) -> None:
        self._lattice, self._basket_count = lattice, baskets.basket_count
        self._sets = SetLabels(lattice.start_S, lattice.item_J, baskets.item_ids, baskets.item_names)
        ids = baskets.item_ids.type
        self.itemset_schema, self.rule_schema = itemset_schema(ids), rule_schema(ids)

    def describe_sets(self, chosen_S: Integers, marks_S: NDArray[np.uint8]) -> Iterator[pa.Table]:
        """Some of the itemsets, in parts."""
        for first in range(0, len(chosen_S), SETS_AT_A_TIME):
            sets = chosen_S[first : first + SETS_AT_A_TIME]
            counts, marks = self._lattice.count_S[sets], marks_S[sets]
            yield pa.table(
                [
                    self._sets.set_ids.take(pa.array(sets)),
                    pa.array(self._lattice.lengths[sets].astype(np.int32)),
                    pa.array(counts),
                    pa.array(counts / self._basket_count),
                    *(pa.array((marks & mark) != 0) for mark in (CLOSED, MAXIMAL, GENERATOR)),
                    *self._sets.list_items(sets),
                ],
                schema=self.itemset_schema,
            )

    def describe_rules(self, some: ChosenRules, evidence: Evidence) -> pa.Table:
        """Rules with their counts, measures, intervals and evidence; a measure without a value is null."""
        sides = some.rules.antecedent_Q, some.rules.consequent_Q
        (left_items, left_names), (right_items, right_names) = map(self._sets.list_items, sides)
        measures = [measure(name, some.counts) for name in MEASURES]
        intervals = *confidence_interval(some.counts), *lift_interval(some.counts)
        return pa.table(
            [
                *(self._sets.set_ids.take(pa.array(side)) for side in sides),
                *(pa.array(values.astype(np.int64)) for values in some.counts),
                *(
                    pa.array(values, from_pandas=True)
                    for values in (*measures, *intervals, some.improvement_Q, some.p_Q, some.rate_Q)
                ),
                *evidence.describe(some.rules, self._lattice),
                left_items,
                right_items,
                left_names,
                right_names,
            ],
            schema=self.rule_schema,
        )


@kernel
def _place_items(start_S: Integers, item_J: Codes, place_R: Codes, place_J: Codes) -> None:
    """Write where the items of each set stand in the order of ids, in that order."""
    for s in range(len(start_S) - 1):
        first = start_S[s]
        for j in range(first, start_S[s + 1]):
            place, at = place_R[item_J[j]], j
            while at > first and place_J[at - 1] > place:
                place_J[at] = place_J[at - 1]
                at -= 1
            place_J[at] = place


@kernel
def _gather(start_S: Integers, place_J: Codes, sets: Integers, places: Codes) -> None:
    """Write the items of sets, one after the other."""
    at = 0
    for s in sets:
        for j in range(start_S[s], start_S[s + 1]):
            places[at] = place_J[j]
            at += 1
