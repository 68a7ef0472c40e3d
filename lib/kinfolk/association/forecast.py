"""What mining will find and need, told by counting: the same search, none of whose sets is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.baskets import LISTS, Baskets, Integers
from kinfolk.association.kernel import count_itemsets
from kinfolk.association.lattice import link_subsets
from kinfolk.association.taxonomy import encode_extended, extend_table, require_categories
from kinfolk.association.thresholds import least_count
from kinfolk.association.tree import Limits, Tree
from kinfolk.settings import AssociationSettings

_SET_BYTES, _ITEM_BYTES = 160, 44
"""Memory of an itemset, and of each item in it: the tree and its subsets, ids, marks, and what is being written."""
_ENTRY_BYTES = 24
"""Memory of an item of a basket: as it came, encoded, and where it stands."""

_ANY = 1 << 62
"""More sets than there can be."""


@dataclass(frozen=True)
class MiningForecast:
    """What there is to find in so many baskets, where so many have to hold a frequent set.

    `itemsets_L` counts the itemsets by their numbers of items, exactly but for a search that ended at the budget
    (`is_cut`). Rules to one item are at most `rules`. `bytes` are what the mining task holds at its peak.
    """

    baskets: int
    least: int
    items: int
    itemsets_L: list[int]
    rules: int
    bytes: int
    is_cut: bool

    @property
    def itemsets(self) -> int:
        """All itemsets."""
        return sum(self.itemsets_L)


def forecast_mining(table: pa.Table, settings: AssociationSettings, *, threads: int) -> MiningForecast:
    """Count what there is to find in a table of lists or of lines, as `encode_baskets` takes it.

    Lines have the categories of their items where these count; raises DataError where no item has one.
    """
    table, taxonomy = extend_table(table, None, settings)
    entries = (
        table.num_rows if "basket_id" in table.column_names else pc.sum(pc.list_value_length(table[LISTS])).as_py() or 0
    )
    baskets = encode_extended(
        table, taxonomy, lambda count: count_least(settings, count), excluded=settings.excluded_items, threads=threads
    )
    require_categories(taxonomy, baskets.basket_count)
    least = find_least(baskets, settings, threads=threads)
    tally_L = count_itemsets(baskets, Limits(least, settings.max_length, settings.max_itemsets), threads=threads)
    length_L = np.arange(len(tally_L))
    held = int((tally_L * (_SET_BYTES + _ITEM_BYTES * length_L)).sum()) + _ENTRY_BYTES * entries
    return MiningForecast(
        baskets.basket_count,
        least,
        int(tally_L[1]),
        tally_L.tolist(),
        int((tally_L[2:] * length_L[2:]).sum()),
        held,
        bool(tally_L.sum() > settings.max_itemsets),
    )


def count_least(settings: AssociationSettings, basket_count: int) -> int:
    """The least number of baskets that hold a frequent itemset, as the settings say it."""
    return settings.min_count or least_count(settings.min_support, basket_count)


def find_least(baskets: Baskets, settings: AssociationSettings, *, threads: int) -> int:
    """The least number of baskets that hold a frequent itemset, raised where only the most frequent ones are wanted.

    With `top_itemsets` so many sets of the lengths that are written have to be left, with all that are as frequent as
    the last of them; with `raises_support` all sets have to be within the budget.
    """
    least = count_least(settings, baskets.basket_count)
    highest = int(baskets.count_R.max(initial=0)) + 1

    def tally(count: int, most: int) -> Integers:
        return count_itemsets(baskets, Limits(count, settings.max_length, most), threads=threads)

    if settings.top_itemsets is not None:
        wanted, top = settings.top_itemsets, highest
        while top > least and tally(top, _ANY)[settings.min_length :].sum() < wanted:
            # Halving keeps what is counted in vain small.
            highest, top = top, max(least, top // 2)
        while highest - top > 1:
            middle = (top + highest) // 2
            if tally(middle, _ANY)[settings.min_length :].sum() < wanted:
                highest = middle
            else:
                top = middle
        least, highest = top, int(baskets.count_R.max(initial=0)) + 1
    most = settings.max_itemsets
    if settings.raises_support and tally(least, most).sum() > most:
        while highest > least:
            middle = (least + highest) // 2
            if tally(middle, most).sum() > most:
                least = middle + 1
            else:
                highest = middle
    return least


def raise_least(least: int, tree: Tree, settings: AssociationSettings) -> int:
    """What `find_least` says of `top_itemsets`, where all sets that `least` baskets hold are at hand."""
    if settings.top_itemsets is None:
        return least
    is_listed_S = (link_subsets(tree).lengths >= settings.min_length) & (tree.count_S >= least)
    count_S = np.sort(tree.count_S[is_listed_S])[::-1]
    return int(count_S[settings.top_itemsets - 1]) if len(count_S) >= settings.top_itemsets else least
