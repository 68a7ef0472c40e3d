"""Mining baskets that no single task may hold: every task mines a part of them, and counts what any of them found.

A set that enough of all baskets hold is held, for its size, by enough of those of one part at least. So the parts
are mined for the sets that are frequent in them, and then each of these is counted in all parts (Savasere, Omiecinski
and Navathe, An efficient algorithm for mining association rules in large databases, VLDB 1995, section 3). Counts are
exact, and the result is that of one task.

A part is a file of rows, which a task writes once and others read. Which items are frequent in all baskets is known
before the parts are mined, so that only these are looked at, and are named by the same ranks everywhere.

Shape suffixes: S itemsets, R ranks.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from kinfolk.association.baskets import (
    LISTS,
    Baskets,
    choose_names,
    encode_baskets,
    encode_known,
    rank_items,
    tally_names,
    whole,
)
from kinfolk.association.changes import Known
from kinfolk.association.evidence import (
    STRATUM,
    Counted,
    Evidence,
    choose_strata,
    gather_evidence,
    hold_out,
    tally_strata,
)
from kinfolk.association.forecast import count_least, raise_least
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import Lattice, link_subsets
from kinfolk.association.recount import count_sets
from kinfolk.association.rows import read_categories
from kinfolk.association.task import Report, find_border, link_known, require_budget, write_found
from kinfolk.association.taxonomy import (
    Taxonomy,
    find_taxonomy,
    require_categories,
    require_column,
    tally_categories,
)
from kinfolk.association.tree import Limits, Tree, merge_trees
from kinfolk.errors import DataError, SettingsError
from kinfolk.settings import AssociationSettings
from kinfolk.tables.scans import Scans
from kinfolk.tasks.files import open_folder, write_rows
from kinfolk.tasks.machines import count_task_cores, is_one_machine
from kinfolk.tasks.memory import tell_free_memory
from kinfolk.tasks.reports import Clock, run_tasks
from kinfolk.tasks.shipping import receive, ship

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_VALUE_BYTES = 64
"""Memory of a value of a row, such as the id of an item: as it came, in its column, and as a number of a basket."""
_PACKED = 16
"""How many times as much memory rows take as they do in files, at most."""
_CANDIDATES = 4
"""How many times as many sets as may be found may be looked for."""
_IS_HELD_OUT = "is_held_out"
_TREE = pa.schema([("parent", pa.int32()), ("item", pa.int32())])
_NAMES = pa.schema([("rank", pa.int32()), ("name", pa.string()), ("lines", pa.int64())])


def count_tasks(rows: DataFrame, scans: Scans | None, settings: AssociationSettings) -> int:
    """How many tasks have to share the rows, so that none needs more memory than the settings allow it."""
    if settings.tasks is not None:
        return settings.tasks
    allowed = settings.max_memory or tell_free_memory()
    packed = scans.size if scans is not None else _estimate_size(rows)
    if _PACKED * packed <= allowed:
        return 1
    values = F.coalesce(F.sum(F.size(LISTS)), F.lit(0)) if LISTS in rows.columns else F.count("*") * len(rows.columns)
    needed = _VALUE_BYTES * int(rows.agg(values).first()[0])  # type: ignore[index]
    if needed <= allowed:
        return 1
    # Tasks that run on one machine at a time share what is free there.
    at_a_time = rows.sparkSession.sparkContext.defaultParallelism if is_one_machine(rows.sparkSession) else 1
    return math.ceil(needed * (1 if settings.max_memory else at_a_time) / allowed)


def mine_parts(
    rows: DataFrame, categories: pa.Table | None, settings: AssociationSettings, *, tasks: int, scratch: str
) -> Report:
    """Mine rows as `mine_all` does, shared by so many tasks.

    Raises DataError where there are more itemsets or rules than the budgets allow, and where no item has a category
    although they count; SettingsError for `raises_support`, which needs all baskets at a time.
    """
    if settings.raises_support:
        raise SettingsError(
            f"association.raises_support needs all baskets in one task, and here {tasks} share them: raise "
            "association.min_support instead, or set association.tasks to 1 and see to the memory"
        )
    folder = f"{scratch}/parts"
    try:
        taxonomy = _find_taxonomy(rows, categories, settings) if settings.categories else None
        report = _Miner(rows, taxonomy, settings, tasks, folder).mine(scratch)
    finally:
        files, inside = open_folder(folder)
        files.delete_dir(inside)
    return replace(report, tasks=tasks)


@dataclass(frozen=True)
class _Part:
    """The files of a part: its rows, how many baskets hold each item, how many rows each stratum has; its baskets."""

    rows: str
    items: str
    strata: str
    basket_count: int


Answer = dict[str, Any]
"""What a task says of a part."""


class _Miner:
    """Mines parts of rows, step by step; after each of them the driver brings together what the tasks say."""

    def __init__(
        self, rows: DataFrame, taxonomy: Taxonomy | None, settings: AssociationSettings, tasks: int, folder: str
    ) -> None:
        self._taxonomy = taxonomy
        self._clock, self._spark, self._settings, self._folder = Clock(), rows.sparkSession, settings, folder
        self._threads = settings.threads or count_task_cores(self._spark)
        divided = rows.repartition(tasks) if LISTS in rows.columns else rows.repartition(tasks, "basket_id")
        share, empty = settings.holdout_share, to_arrow_schema(rows.schema).empty_table()

        def write(given: list[pa.RecordBatch]) -> list[str]:
            return [_write_part(pa.Table.from_batches(given) if given else empty, taxonomy, share, folder)]

        # Spark starts no task where it knows that there are no rows.
        self._parts = [_Part(**json.loads(text)) for text in run_tasks(divided, write) or write([])]
        self._clock.stop("read")

    def mine(self, scratch: str) -> Report:
        """Find what the settings ask for, and write it."""
        settings, clock = self._settings, self._clock
        header = self._count_items()
        require_categories(self._taxonomy, header.basket_count)
        base = count_least(settings, header.basket_count)
        candidates, header = self._search(header, find_border(base, settings))
        clock.stop("search")
        known = self._count(candidates, header, find_border(base, settings))
        least = raise_least(base, known.tree, settings)
        known = known.at_least(find_border(least, settings))
        require_budget(known, settings.max_itemsets)
        found = link_known(known, least)
        found = replace(found, header=self._mark(found.header), taxonomy=self._taxonomy)
        clock.stop("count")
        evidence = self._gather_evidence(found.header, found.lattice)
        clock.stop("gather evidence")
        return write_found(found, evidence, settings, scratch=scratch, clock=clock)

    def _ask(self, work: Callable[[pa.Table, _Part], Answer]) -> list[Answer]:
        """What tasks say of the parts."""
        parts = self._parts

        def answer(given: list[pa.RecordBatch]) -> list[str]:
            numbers = [number for batch in given for number in batch["id"].to_pylist()]
            return [json.dumps(work(_read(parts[number].rows), parts[number])) for number in numbers]

        return [json.loads(text) for text in run_tasks(self._spark.range(0, len(parts), 1, len(parts)), answer)]

    def _count_items(self) -> Baskets:
        """The items that are in enough baskets of all parts, under their ids."""
        tally = _add_up([part.items for part in self._parts], "item_id", "basket_count")
        ids, count_I = whole(tally["item_id"]), tally["basket_count"].to_numpy()
        baskets = sum(part.basket_count for part in self._parts)
        border = find_border(count_least(self._settings, baskets), self._settings)
        frequent = rank_items(ids, count_I, border, self._settings.excluded_items)
        ids = ids.take(pa.array(frequent))
        return self._mark(Baskets(np.empty(0, np.int32), (), count_I[frequent], ids, ids.cast(pa.string()), baskets))

    def _mark(self, header: Baskets) -> Baskets:
        """The items with what is known of categories, if these count."""
        return header if self._taxonomy is None else self._taxonomy.mark(header)

    def _search(self, header: Baskets, border: int) -> tuple[Tree, Baskets]:
        """The sets that are frequent in any part, for its size, without their counts; and the items with names."""
        most = _CANDIDATES * self._settings.max_itemsets
        limits = Limits(border, self._settings.max_length, most)
        shipped = ship(header, self._folder)
        told = self._ask(partial(_search_part, shipped=shipped, limits=limits, threads=self._threads))
        merged = merge_trees([_read_tree(some["tree"]) for some in told], header.count_R, most=most)
        if merged is None:
            raise DataError(
                f"more than {most:,} itemsets may be in at least {border:,} of {header.basket_count:,} baskets, "
                f"{_CANDIDATES} times as many as association.max_itemsets allows: raise association.min_support, lower "
                "association.max_length, or let fewer tasks share the baskets (association.tasks, "
                "association.max_memory), so that each has more of them"
            )
        tallies = [some["names"] for some in told if some["names"]]
        if tallies:
            tally = _add_up(tallies, ["rank", "name"], "lines")
            header = replace(header, item_names=choose_names(tally, header.item_ids))
        return merged, header

    def _count(self, candidates: Tree, header: Baskets, border: int) -> Known:
        """Those of the sets that enough baskets hold."""
        lattice = link_subsets(candidates)
        shipped = ship((header, lattice), self._folder)
        counted = _sum_counts(self._ask(partial(_count_part, shipped=shipped, threads=self._threads)))
        tree = candidates._replace(count_S=counted[0].count_S)
        return Known(tree, header.item_ids, header.item_names, header.basket_count, border).at_least(border)

    def _gather_evidence(self, header: Baskets, lattice: Lattice) -> Evidence:
        """What held-out baskets and strata say of the sets."""
        has_held_out = self._settings.holdout_share > 0
        strata = choose_strata(_add_up([part.strata for part in self._parts], STRATUM, "rows"))
        if not has_held_out and not strata:
            return Evidence(None, {})
        shipped = ship((header, lattice), self._folder)
        counted = _sum_counts(self._ask(partial(_gather_part, shipped=shipped, strata=strata, threads=self._threads)))
        return Evidence(counted[0] if has_held_out else None, dict(zip(strata, counted[1:], strict=True)))


def _find_taxonomy(rows: DataFrame, categories: pa.Table | None, settings: AssociationSettings) -> Taxonomy:
    """What the categories of items are, by all rows, or by the table (item_id, category) that tells it."""
    if categories is not None:
        return find_taxonomy(tally_categories(categories), settings)
    require_column(rows.columns)
    return find_taxonomy(read_categories(rows), settings)


def _write_part(table: pa.Table, taxonomy: Taxonomy | None, holdout_share: float, folder: str) -> str:
    """Write the rows of a part, and what was counted in them; as JSON."""
    table = table if taxonomy is None else taxonomy.extend_table(table)
    kept, held_out = hold_out(table, holdout_share) if holdout_share else (table, table.slice(0, 0))
    items = encode_baskets(kept, lambda _: 1)
    tally = pa.table({"item_id": items.item_ids, "basket_count": items.count_R})
    strata = tally_strata(kept)
    marked = [
        some.append_column(_IS_HELD_OUT, pa.repeat(is_held_out, len(some)))
        for some, is_held_out in ((kept, False), (held_out, True))
    ]
    rows = pa.concat_tables(marked)
    if LISTS not in rows.column_names:
        # Numbers are read faster than ids, and tell baskets apart as well.
        numbers = whole(pc.dictionary_encode(rows["basket_id"])).indices
        rows = rows.set_column(rows.column_names.index("basket_id"), "basket_id", numbers)
    files = [write_rows(folder, some.schema, [some]) for some in (rows, tally, strata)]
    return json.dumps(asdict(_Part(files[0], files[1], files[2], items.basket_count)))


def _search_part(rows: pa.Table, part: _Part, *, shipped: str, limits: Limits, threads: int) -> Answer:
    """Find the sets that are as frequent in a part as they have to be in all baskets."""
    header, folder, kept = receive(shipped), os.path.dirname(shipped), _kept(rows)
    least = -(-limits.least * part.basket_count // max(1, header.basket_count))
    baskets = replace(encode_known(kept, header, threads=threads), barred_N2=header.barred_N2)
    tree = search_itemsets(baskets, limits._replace(least=max(1, least)), threads=threads)
    written = pa.table([tree.parent_S, tree.item_S], schema=_TREE)
    names = None
    if "item_name" in kept.column_names:
        names = write_rows(folder, _NAMES, [tally_names(kept["item_id"], kept["item_name"], header.item_ids)])
    return {"tree": write_rows(folder, _TREE, [written]), "names": names}


def _count_part(rows: pa.Table, _: _Part, *, shipped: str, threads: int) -> Answer:
    """Count sets in a part."""
    header, lattice = receive(shipped)
    baskets = encode_known(_kept(rows), header, threads=threads)
    return _write_counts([Counted(count_sets(lattice, baskets), baskets.basket_count)], os.path.dirname(shipped))


def _gather_part(rows: pa.Table, _: _Part, *, shipped: str, strata: list[str], threads: int) -> Answer:
    """Count sets in the held-out baskets of a part, and in those of each stratum."""
    header, lattice = receive(shipped)
    held_out = rows.filter(pc.field(_IS_HELD_OUT))
    told = gather_evidence(_kept(rows), held_out, strata, header, lattice, threads=threads)
    assert told.held_out is not None
    return _write_counts([told.held_out, *told.strata.values()], os.path.dirname(shipped))


def _kept(rows: pa.Table) -> pa.Table:
    """The rows that are learned from."""
    return rows.filter(~pc.field(_IS_HELD_OUT)).drop_columns([_IS_HELD_OUT])


def _write_counts(counted: list[Counted], folder: str) -> Answer:
    table = pa.table({str(place): some.count_S for place, some in enumerate(counted)})
    return {"counts": write_rows(folder, table.schema, [table]), "baskets": [some.basket_count for some in counted]}


def _sum_counts(told: list[Answer]) -> list[Counted]:
    """What all parts counted, one after the other."""
    tables = [_read(some["counts"]) for some in told]
    return [
        Counted(sum(table[str(place)].to_numpy() for table in tables), sum(some["baskets"][place] for some in told))
        for place in range(tables[0].num_columns)
    ]


def _add_up(paths: list[str], keys: str | list[str], values: str) -> pa.Table:
    """The tallies of all parts as one."""
    tally = pa.concat_tables(map(_read, paths)).group_by(keys).aggregate([(values, "sum")])
    return tally.rename_columns([name.removesuffix("_sum") for name in tally.column_names])


def _read_tree(path: str) -> Tree:
    """The sets of a part, without their counts."""
    parent_S, item_S = (column.to_numpy() for column in _read(path).columns)
    return Tree(parent_S, item_S, np.zeros(len(item_S), np.int64))


def _read(path: str) -> pa.Table:
    files, folder = open_folder(os.path.dirname(path))
    return pq.read_table(f"{folder}/{os.path.basename(path)}", filesystem=files)


def _estimate_size(rows: DataFrame) -> int:
    """Bytes that Spark believes the rows to take."""
    return int(rows._jdf.queryExecution().optimizedPlan().stats().sizeInBytes())
