"""Categories counted as items: baskets hold the categories of their items as well, at every level.

No itemset holds an item, or a category, together with a category above it: in as many baskets the set without the
latter is found, so that it says nothing, and its rules are true of any baskets (Srikant and Agrawal, Mining generalized
association rules, VLDB 1995, sections 2 and 3.2).

Shape suffixes: I distinct items, M members (items and categories), C categories, J categories of all members, E entries
of baskets, X entries with those of categories, R ranks, N pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.association.baskets import LISTS, Baskets, Codes, Integers, encode_baskets, whole
from kinfolk.errors import DataError
from kinfolk.kernels.compiling import kernel
from kinfolk.settings import AssociationSettings

CATEGORY = "category"
"""The column of lines with the path of the item's category."""
DIVIDER = " > "
"""What stands between the levels of a path, the widest of which comes first."""
PREFIX = "category:"
"""What the id of a category begins with, which counts as an item; its path follows."""


@dataclass(frozen=True)
class Taxonomy:
    """Items that have a category, and all categories, each with those above it.

    `member_ids` are these items and then the categories, `ids`, which are called `names`; those above member m are
    `above_J[start_M[m]:start_M[m + 1]]`, by their places among the categories, the widest first. `disputed` items
    came with several categories.
    """

    member_ids: pa.Array
    ids: pa.Array
    names: pa.Array
    start_M: Integers
    above_J: Codes
    disputed: int

    def mark(self, baskets: Baskets) -> Baskets:
        """The same baskets of an extended table, whose categories have their names and stand beside no member."""
        names = self.names.take(pc.index_in(baskets.item_ids, self.ids))
        rank_N2, parent_R = self._rank_pairs(baskets.item_ids), np.full(len(baskets.item_ids), -1, np.int32)
        # The widest come first, and are overwritten by what is nearer.
        parent_R[rank_N2[:, 0]] = rank_N2[:, 1]
        names = pc.coalesce(names, baskets.item_names)
        return replace(baskets, item_names=names, barred_N2=np.sort(rank_N2, axis=1), parent_R=parent_R)

    def extend_table(self, table: pa.Table) -> pa.Table:
        """The same table of lists or of lines, with the categories of all items."""
        if LISTS not in table.column_names:
            return self.extend_lines(table)
        return table.set_column(table.column_names.index(LISTS), LISTS, self.extend_lists(table[LISTS]))

    def extend_lists(self, lists: pa.ChunkedArray) -> pa.ChunkedArray:
        """The same lists, in which the categories of an item follow it; ids are texts."""
        kind = pa.large_list(pa.dictionary(pa.int32(), pa.string()))
        return pa.chunked_array([self._extend_chunk(chunk) for chunk in lists.chunks], kind)

    def extend_lines(self, lines: pa.Table) -> pa.Table:
        """The same lines, in which the categories of an item follow it, without the column of categories."""
        start_E, ids = self._extend(whole(lines["item_id"]))
        extended = lines.drop_columns([CATEGORY] if CATEGORY in lines.column_names else []).combine_chunks()
        baskets = pc.dictionary_encode(extended["basket_id"])
        extended = extended.set_column(extended.column_names.index("basket_id"), "basket_id", baskets)
        extended = extended.take(pa.array(np.repeat(np.arange(len(start_E) - 1), np.diff(start_E))))
        return extended.set_column(extended.column_names.index("item_id"), "item_id", ids)

    def _extend_chunk(self, lists: Any) -> pa.LargeListArray:
        offsets = lists.offsets.to_numpy().astype(np.int64)
        values = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
        start_E, ids = self._extend(values)
        return pa.LargeListArray.from_arrays(pa.array(start_E[offsets - offsets[0]]), ids, mask=lists.is_null())

    def _extend(self, items: Any) -> tuple[Integers, pa.DictionaryArray]:
        """Items and, behind each, its categories: (where each item and the end stand, the ids).

        Raises DataError for an item that has the id of a category.
        """
        encoded = items if pa.types.is_dictionary(items.type) else items.dictionary_encode()
        ids = encoded.dictionary.cast(pa.string())
        clashes = ids.filter(pc.is_in(ids, self.ids))
        if len(clashes):
            raise DataError(
                f"the item {clashes[0].as_py()} has the id of a category; ids that begin with {PREFIX!r} are those of "
                "categories where association.categories is set: give the item another one"
            )
        item_E = encoded.indices.cast(pa.int32()).fill_null(-1).to_numpy()
        member_I = pc.index_in(ids, self.member_ids).fill_null(-1).to_numpy().astype(np.int32)
        # The last place is that of what has no category, and of null.
        depth_M = np.append(np.diff(self.start_M), 0)
        depth_I = np.append(depth_M[member_I], 0)
        start_E = np.concatenate([[0], np.cumsum(1 + depth_I[item_E])])
        code_X = np.empty(int(start_E[-1]), np.int32)
        _write_chains(item_E, member_I, self.start_M, self.above_J, code_X)
        codes = pa.array(code_X, mask=code_X < 0)
        return start_E, pa.DictionaryArray.from_arrays(codes, pa.concat_arrays([ids, self.ids]))

    def _rank_pairs(self, ids: pa.Array) -> Codes:
        """The ranks of each member and each category above it, where both are among the items."""
        rank_C = pc.index_in(self.ids, ids).fill_null(-1).to_numpy()
        rank_M = pc.index_in(self.member_ids, ids).fill_null(-1).to_numpy()
        pair_N2 = np.stack([np.repeat(rank_M, np.diff(self.start_M)), rank_C[self.above_J]], axis=1)
        return pair_N2[(pair_N2 >= 0).all(axis=1)].astype(np.int32)


def build_taxonomy(tally: pa.Table) -> Taxonomy:
    """Take the commonest category of each item, ties by the path that sorts first, and all that are above it.

    `tally` says how many `lines` name an `item_id` with a `category`; null or blank is none.
    """
    told = whole(tally[CATEGORY].cast(pa.string()))
    distinct = told.unique()
    paths = pa.array([_clean_path(category) for category in distinct.to_pylist()], pa.string())
    place = pc.index_in(told, distinct)
    columns = {"item": tally["item_id"].cast(pa.string()), "path": paths.take(place), "lines": tally["lines"]}
    counted = pa.table(columns).drop_null().group_by(["item", "path"]).aggregate([("lines", "sum")])
    counted = counted.sort_by([("item", "ascending"), ("lines_sum", "descending"), ("path", "ascending")])
    items = whole(counted["item"]).unique()
    chosen = counted["path"].take(pc.index_in(items, whole(counted["item"]))).to_pylist()
    several = pc.value_counts(whole(counted["item"])).field("counts")
    categories = sorted({path for leaf in chosen for path in _list_levels(leaf)})
    number = {path: place for place, path in enumerate(categories)}
    above = [_list_levels(leaf) for leaf in chosen] + [_list_levels(path)[:-1] for path in categories]
    ids = pa.array([PREFIX + path for path in categories], pa.string())
    return Taxonomy(
        pa.concat_arrays([items, ids]),
        ids,
        pa.array([path.rpartition(DIVIDER)[2] for path in categories], pa.string()),
        np.cumsum([0, *map(len, above)], dtype=np.int64),
        np.array([number[path] for paths in above for path in paths], np.int32),
        int(pc.sum(pc.greater(several, 1)).as_py() or 0),
    )


def tally_categories(lines: pa.Table) -> pa.Table:
    """How many lines name an item with a category, as `build_taxonomy` takes it."""
    tally = lines.select(["item_id", CATEGORY]).group_by(["item_id", CATEGORY]).aggregate([([], "count_all")])
    return tally.rename_columns(["item_id", CATEGORY, "lines"])


def list_members(taxonomy: Taxonomy, categories: Sequence[str]) -> dict[str, list[str]]:
    """The items of some categories, given by their ids, at any level; and the id itself, which may be an item's too."""
    items = taxonomy.member_ids.to_pylist()[: len(taxonomy.member_ids) - len(taxonomy.ids)]
    members: dict[str, list[str]] = {category: [category] for category in categories}
    above = taxonomy.ids.take(pa.array(taxonomy.above_J)).to_pylist()
    for place, item in enumerate(items):
        for category in above[taxonomy.start_M[place] : taxonomy.start_M[place + 1]]:
            if category in members:
                members[category].append(item)
    return members


def holds_category(lists: pa.ChunkedArray) -> pa.Array:
    """Which lists of ids hold that of a category."""
    lists = whole(lists)
    is_category_J = pc.starts_with(lists.flatten(), PREFIX).to_numpy(zero_copy_only=False)
    list_J = pc.list_parent_indices(lists).to_numpy()
    return pa.array(np.bincount(list_J[is_category_J], minlength=len(lists)) > 0)


def extend_table(
    table: pa.Table, categories: pa.Table | None, settings: AssociationSettings
) -> tuple[pa.Table, Taxonomy | None]:
    """A table as `encode_baskets` takes it, with categories where they count as items, and which these are.

    `categories` (item_id, category) say what each item is; without them the column `category` of lines does. Raises
    DataError where nothing could say it.
    """
    if not settings.categories:
        return table, None
    told = table if categories is None else categories
    require_column(told.column_names)
    taxonomy = find_taxonomy(tally_categories(told), settings)
    return taxonomy.extend_table(table), taxonomy


def find_taxonomy(tally: pa.Table, settings: AssociationSettings) -> Taxonomy:
    """The same as `build_taxonomy` without excluded items, which bring no category."""
    is_excluded = pc.is_in(tally["item_id"].cast(pa.string()), pa.array(settings.excluded_items, pa.string()))
    return build_taxonomy(tally.filter(pc.invert(is_excluded)))


def require_column(columns: Sequence[str]) -> None:
    """Raise DataError where no column says what an item is."""
    if not {"item_id", CATEGORY} <= set(columns):
        raise DataError(
            f"association.categories is set, and the columns are {', '.join(columns)}; it needs {CATEGORY} beside "
            "item_id: name the column of categories of the source under sources.events, and run ingest and clean"
        )


def require_categories(taxonomy: Taxonomy | None, basket_count: int) -> None:
    """Raise DataError where categories count and there are baskets, but no item has a category."""
    if taxonomy is not None and basket_count and not len(taxonomy.ids):
        raise DataError(
            "association.categories is set, but no item has a category; name the column of categories of the source "
            "under sources.events, or leave association.categories out"
        )


def encode_extended(
    table: pa.Table,
    taxonomy: Taxonomy | None,
    least: Callable[[int], int],
    *,
    excluded: Sequence[str],
    threads: int,
) -> Baskets:
    """Encode a table that `extend_table` gave."""
    baskets = encode_baskets(table, least, excluded=excluded, threads=threads)
    return baskets if taxonomy is None else taxonomy.mark(baskets)


def _clean_path(category: str | None) -> str | None:
    """A path without blank levels, or blanks around a level; None where nothing is left.

    >>> _clean_path("Food >  Dairy >  > Milk")
    'Food > Dairy > Milk'
    """
    levels = (level.strip() for level in (category or "").split(DIVIDER))
    return DIVIDER.join(level for level in levels if level) or None


def _list_levels(path: str) -> list[str]:
    """A path and all above it, the widest first.

    >>> _list_levels("Food > Dairy > Milk")
    ['Food', 'Food > Dairy', 'Food > Dairy > Milk']
    """
    levels = path.split(DIVIDER)
    return [DIVIDER.join(levels[: depth + 1]) for depth in range(len(levels))]


@kernel
def _write_chains(item_E: Codes, member_I: Codes, start_M: Integers, above_J: Codes, code_X: Codes) -> None:
    """Write each entry, -1 for null, and the categories of its item, which are numbered behind all items."""
    x = 0
    for e in range(len(item_E)):
        item = item_E[e]
        code_X[x] = item
        x += 1
        if item >= 0 and member_I[item] >= 0:
            for j in range(start_M[member_I[item]], start_M[member_I[item] + 1]):
                code_X[x] = len(member_I) + above_J[j]
                x += 1
