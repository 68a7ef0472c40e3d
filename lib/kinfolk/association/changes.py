"""What was mined before, brought up to date with the baskets that came and those that went.

All sets are known that at least `border` baskets held, somewhat fewer than a frequent set needs. Of the known ones the
baskets that came are added and those that went subtracted. An unknown set was held by fewer than `border`: it can be
frequent now only if so many of the new baskets hold it that it is frequent among these. The new baskets are mined for
such sets; if there is one, all baskets have to be mined again (after Cheung et al., Maintenance of discovered
association rules in large databases, ICDE 1996; the border of almost frequent sets is that of Hong, Wang and Tao, A new
incremental data mining algorithm using pre-large itemsets, Intelligent Data Analysis 5, 2001).

Shape suffixes: S itemsets, R ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, encode_baskets, encode_known
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import link_subsets
from kinfolk.association.recount import count_sets
from kinfolk.association.tree import Limits, Tree

STATE = pa.schema(
    [
        ("number", pa.int32()),
        ("parent", pa.int32()),
        ("item_id", pa.string()),
        ("item_name", pa.string()),
        ("basket_count", pa.int64()),
    ]
)
"""Known sets as rows: each has the items of its parent, -1 for none, and one more."""

_MANY_TIMES, _FEW_SETS = 4, 10_000
"""How many times as many sets as are known may be frequent among the new baskets, and how many in any case."""


@dataclass(frozen=True)
class Known:
    """All itemsets that at least `border` of `basket_count` baskets hold, by items that are named by rank."""

    tree: Tree
    item_ids: pa.Array
    item_names: pa.Array
    basket_count: int
    border: int

    def header(self) -> Baskets:
        """The items by rank, and how many baskets hold each, without the baskets themselves."""
        count_R = self.tree.count_S[: len(self.item_ids)]
        return Baskets(np.empty(0, np.int32), (), count_R, self.item_ids, self.item_names, self.basket_count)

    def at_least(self, least: int) -> Known:
        """The same without the rarer sets; no set is in more baskets than its parent."""
        least = max(least, self.border)
        is_kept_S = self.tree.count_S >= least
        is_kept_R = is_kept_S[: len(self.item_ids)]
        number_S = (np.cumsum(is_kept_S) - 1).astype(np.int32)
        parent_S, item_S = self.tree.parent_S[is_kept_S], self.tree.item_S[is_kept_S]
        # Single items are the first sets, so that a rank is the number of a set as well.
        tree = Tree(
            np.where(parent_S < 0, parent_S, number_S[parent_S]), number_S[item_S], self.tree.count_S[is_kept_S]
        )
        mask = pa.array(is_kept_R)
        return replace(
            self,
            tree=tree,
            item_ids=self.item_ids.filter(mask),
            item_names=self.item_names.filter(mask),
            border=least,
        )

    def to_table(self) -> pa.Table:
        """The sets as rows of `STATE`."""
        ranks = pa.array(self.tree.item_S)
        ids, names = (values.cast(pa.string()).take(ranks) for values in (self.item_ids, self.item_names))
        numbers = pa.array(np.arange(len(ranks), dtype=np.int32))
        columns = [numbers, pa.array(self.tree.parent_S), ids, names, pa.array(self.tree.count_S)]
        return pa.table(columns, schema=STATE)

    @staticmethod
    def from_table(rows: pa.Table, *, basket_count: int, border: int, id_type: pa.DataType) -> Known:
        """Read rows of `STATE` back, in any order."""
        rows = rows.sort_by("number").combine_chunks()
        parent_S = rows["parent"].to_numpy().astype(np.int32)
        items = int((parent_S < 0).sum())
        ids, names = (rows[name].slice(0, items).combine_chunks() for name in ("item_id", "item_name"))
        item_S = pc.index_in(rows["item_id"], ids).to_numpy().astype(np.int32)
        tree = Tree(parent_S, item_S, rows["basket_count"].to_numpy().astype(np.int64))
        return Known(tree, ids.cast(id_type), names, basket_count, border)


def update(
    known: Known,
    came: pa.Table,
    went: pa.Table,
    *,
    least: Callable[[int], int],
    max_length: int,
    threads: int,
) -> Known | None:
    """What is known after some baskets came and others went; None where all baskets have to be mined again.

    `least` says of the number of baskets how many of them have to hold a frequent set.
    """
    lattice, header = link_subsets(known.tree), known.header()
    added, removed = (encode_known(table, header, threads=threads) for table in (came, went))
    count_S = known.tree.count_S + count_sets(lattice, added) - count_sets(lattice, removed)
    basket_count = known.basket_count + added.basket_count - removed.basket_count
    # A set that is not known is frequent now only if so many of the new baskets hold it.
    needed = least(basket_count) - known.border + 1
    most = _most_unknown(known, came, min(needed, least(added.basket_count)), max_length, threads)
    if most is None or most >= needed:
        return None
    changed = replace(known, tree=known.tree._replace(count_S=count_S), basket_count=basket_count)
    return changed.at_least(known.border + most)


def _most_unknown(known: Known, came: pa.Table, least: int, max_length: int, threads: int) -> int | None:
    """The most of the new baskets that hold a set that is not known: at most one less than `least` where none is found.

    None where there are too many sets to tell.
    """
    if least < 1:
        return None
    baskets = encode_baskets(came, lambda _: least, threads=threads)
    limits = Limits(least, max_length, _MANY_TIMES * len(known.tree.count_S) + _FEW_SETS)
    tree = search_itemsets(baskets, limits, threads=threads)
    if len(tree.count_S) > limits.sets:
        return None
    return int(tree.count_S[~match_sets(tree, baskets, known)].max(initial=least - 1))


def match_sets(tree: Tree, baskets: Baskets, known: Known) -> NDArray[np.bool_]:
    """Which sets of a tree are known."""
    there = set(_list_sets(known.tree, known.item_ids))
    sought = _list_sets(tree, baskets.item_ids.cast(known.item_ids.type))
    return np.array([items in there for items in sought], bool)


def _list_sets(tree: Tree, ids: pa.Array) -> list[frozenset[object]]:
    """The items of each set."""
    names, sets = ids.to_pylist(), list[frozenset[object]]()
    for parent, item in zip(tree.parent_S.tolist(), tree.item_S.tolist(), strict=True):
        sets.append((sets[parent] if parent >= 0 else frozenset()) | {names[item]})
    return sets
