"""Rules from itemsets, from Arrow to Arrow: the antecedent has one item or more, the consequent exactly one.

A rule with a longer consequent says no more than the rules with its single items, each at least as confident.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kinfolk.association.baskets import Integers
from kinfolk.association.measures import count, measure
from kinfolk.association.thresholds import least_counts

RULE_SCHEMA = pa.schema(
    [
        pa.field("antecedent_id", pa.string()),
        pa.field("consequent_id", pa.string()),
        pa.field("basket_count", pa.int64()),
        pa.field("support", pa.float64()),
        pa.field("confidence", pa.float64()),
        pa.field("lift", pa.float64()),
        pa.field("leverage", pa.float64()),
        pa.field("conviction", pa.float64()),
        pa.field("antecedent", pa.list_(pa.string())),
        pa.field("consequent", pa.list_(pa.string())),
        pa.field("antecedent_names", pa.list_(pa.string())),
        pa.field("consequent_names", pa.list_(pa.string())),
    ]
)

_MEASURES = ("support", "confidence", "lift", "leverage", "conviction")
_CHUNK_ITEMSETS = 1 << 14


class _Candidates(NamedTuple):
    """Rules as rows of the table of itemsets: both sides together, the antecedent, the consequent."""

    both: Integers
    antecedent: Integers
    consequent: Integers


def derive_rules(itemsets: pa.Table, min_confidence: float) -> Iterator[pa.RecordBatch]:
    """Yield the rules of at least `min_confidence`, in batches of `RULE_SCHEMA`.

    `itemsets` has the columns of ITEMSET_SCHEMA and holds every subset of every set in it, the empty set included.
    """
    itemsets = itemsets.combine_chunks()
    counts = itemsets["basket_count"].to_numpy()
    lengths = itemsets["length"].to_numpy()
    basket_count = int(counts[lengths == 0][0])
    subsets = _Subsets(itemsets["items"].chunk(0), lengths)
    together = np.flatnonzero(lengths >= 2)
    for start in range(0, len(together), _CHUNK_ITEMSETS):
        rules = subsets.split(together[start : start + _CHUNK_ITEMSETS])
        n_antecedent = counts[rules.antecedent]
        kept = counts[rules.both] >= least_counts(min_confidence, n_antecedent)
        if kept.any():
            yield _describe(itemsets, _Candidates(*(rows[kept] for rows in rules)), basket_count)


class _Subsets:
    """Finds the row of an itemset less one of its items.

    Each item has a random 64-bit number, and a set has the sum of its items' numbers, so that leaving an item out is
    one subtraction. The sums of all sets are checked to differ, and the subsets are known to be there: a sum that is
    found can only be the right one's.
    """

    def __init__(self, items: pa.ListArray, lengths: Integers) -> None:
        encoded = items.flatten().dictionary_encode()
        self._items = encoded.indices.to_numpy()
        self._ends = np.cumsum(lengths)
        self._lengths = lengths
        self._numbers, self._sums = self._add_up(len(encoded.dictionary))
        self._by_sum = np.argsort(self._sums)
        self._row_of_item = np.empty(len(encoded.dictionary), dtype=np.int64)
        alone = np.flatnonzero(lengths == 1)
        self._row_of_item[self._items[self._ends[alone] - 1]] = alone

    def split(self, rows: Integers) -> _Candidates:
        """Every way to take one item out of the itemsets of `rows`."""
        lengths = self._lengths[rows]
        both = np.repeat(rows, lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = self._items[self._ends[both] - self._lengths[both] + within]
        rest = self._sums[both] - self._numbers[items]
        found = np.searchsorted(self._sums, rest, sorter=self._by_sum)
        return _Candidates(both, self._by_sum[found], self._row_of_item[items])

    def _add_up(self, item_count: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Draw numbers until the sums of all sets differ, nearly always at once: (a number an item, a sum a set)."""
        seed = 0
        while True:
            numbers = np.random.default_rng(seed).integers(0, 1 << 64, item_count, dtype=np.uint64)
            running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(numbers[self._items], dtype=np.uint64)])
            sums = running[self._ends] - running[self._ends - self._lengths]
            if len(np.unique(sums)) == len(sums):
                return numbers, sums
            seed += 1


def _describe(itemsets: pa.Table, rules: _Candidates, basket_count: int) -> pa.RecordBatch:
    counts = itemsets["basket_count"].to_numpy()
    n_both, n_antecedent, n_consequent = (counts[rows] for rows in rules)
    counted = count(n_both, n_antecedent, n_consequent, basket_count)
    left, right = itemsets.take(pa.array(rules.antecedent)), itemsets.take(pa.array(rules.consequent))
    columns = {
        "antecedent_id": left["itemset_id"],
        "consequent_id": right["itemset_id"],
        "basket_count": pa.array(n_both),
        **{name: pa.array(measure(name, counted), from_pandas=True) for name in _MEASURES},
        "antecedent": left["items"],
        "consequent": right["items"],
        "antecedent_names": left["item_names"],
        "consequent_names": right["item_names"],
    }
    return pa.table(columns, schema=RULE_SCHEMA).combine_chunks().to_batches()[0]
