"""Our sides of the benchmark of association rules, and what both sides have to agree on."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kinfolk.association.baskets import Baskets, encode_baskets
from kinfolk.association.kernel import search_itemsets
from kinfolk.association.lattice import CLOSED, Lattice, link_subsets, mark_sets
from kinfolk.association.mining import mine_baskets
from kinfolk.association.rules import Rules, count_rules, derive_rules
from kinfolk.association.task import Report
from kinfolk.association.thresholds import least_count
from kinfolk.association.tree import Limits, Tree
from kinfolk.engines.spark import build_session
from kinfolk.settings import AssociationSettings, SparkSettings

from .harness import Bench, Comparison, Cost, WrongResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

THREADS = 2
CONFIDENCE = 0.5
ROUNDS = 5
UNLIMITED = 1 << 40

Sets = dict[tuple[Any, ...], int]


KEPT_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1000000000000",
    "MALLOC_TOP_PAD_": "1000000000",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""The environment of a process that keeps what memory it was given once. A machine may take freed memory back at once,
and more slowly give it anew, from some size on: what it does then is measured rather than what the process does."""


@contextmanager
def open_session(*, keeps_memory: bool = False) -> Iterator[SparkSession]:
    """Open the Spark session that all cases share, or join it."""
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 2g pyspark-shell")
    session = build_session("kinfolk-bench-rules", SparkSettings(master=f"local[{THREADS}]"))
    if keeps_memory:
        # Workers of another environment are others.
        session.sparkContext.environment.update(KEPT_MEMORY)
    try:
        yield session
    finally:
        session.stop()


def settings_of(support: float) -> AssociationSettings:
    """Ask for everything at a support."""
    return AssociationSettings(min_support=support, min_confidence=CONFIDENCE, max_length=64, max_itemsets=UNLIMITED)


def mine_tables(spark: SparkSession, folder: Path, settings: AssociationSettings, target: Path) -> Report:
    """Mine a folder of Parquet files; the files of itemsets and rules that the result reads are in another folder."""
    shutil.rmtree(target, ignore_errors=True)
    return mine_baskets(spark.read.parquet(str(folder)), settings, scratch=str(target)).report


def as_numbers(lists: pa.ChunkedArray) -> pa.Table:
    """Baskets as int32 arrays."""
    whole = pa.concat_arrays([chunk.cast(pa.list_(lists.type.value_type)) for chunk in lists.chunks])
    codes = whole.flatten().dictionary_encode().indices
    return pa.table({"items": pa.ListArray.from_arrays(whole.offsets, codes)})


def search_arrays(table: pa.Table, support: float) -> tuple[Baskets, Tree]:
    """Find every itemset on one thread, from int32 arrays to arrays: each set as its parent and one more item."""
    least = least_count(support, table.num_rows)
    baskets = encode_baskets(table, lambda _: least)
    return baskets, search_itemsets(baskets, Limits(least, 64, UNLIMITED))


def mine_arrays(table: pa.Table, support: float) -> tuple[Baskets, Lattice]:
    """The same with all items of each set, and its subsets."""
    baskets, tree = search_arrays(table, support)
    return baskets, link_subsets(tree)


def mine_closed(table: pa.Table, support: float) -> tuple[Baskets, Lattice, NDArray[np.bool_]]:
    """The same, and which of the sets are closed."""
    baskets, lattice = mine_arrays(table, support)
    return baskets, lattice, (mark_sets(lattice, baskets.basket_count) & CLOSED) != 0


def derive_arrays(table: pa.Table, support: float) -> list[Rules]:
    """Find every itemset and every rule to one item, with its counts, on one thread."""
    baskets, lattice = mine_arrays(table, support)
    found = list(derive_rules(lattice, CONFIDENCE))
    for rules in found:
        count_rules(rules, lattice, baskets.basket_count)
    return found


def sizes_of(table: pa.Table, support: float) -> dict[str, int]:
    """How many sets there are of each size."""
    lattice = mine_arrays(table, support)[1]
    return {str(size): count for size, count in Counter(lattice.lengths.tolist()).items()}


def sizes_of_closed(table: pa.Table, support: float) -> dict[str, int]:
    """How many closed sets there are of each size."""
    _, lattice, is_closed = mine_closed(table, support)
    return {str(size): count for size, count in Counter(lattice.lengths[is_closed].tolist()).items()}


def time_in_turns(
    bench: Bench, ours: Callable[[], object], peer: Callable[[], float], rounds: int = ROUNDS
) -> Comparison:
    """Compare a call of ours with a peer that takes its own time, both warm."""
    costs, others = [], []
    for number in range(1, rounds + 1):
        began = time.perf_counter()
        ours()
        seconds, theirs = time.perf_counter() - began, peer()
        costs.append(Cost(seconds, seconds))
        others.append(Cost(theirs, theirs))
        bench.note(f"round {number} of {rounds}: ours {seconds:.4f} s, peer {theirs:.4f} s")
    return Comparison(tuple(costs), tuple(others))


def read_sets(folder: Path, items: str, count: str) -> Sets:
    """The itemsets of a folder of Parquet files, with their counts."""
    table = pq.read_table(folder, columns=[items, count])
    found = {tuple(sorted(row)): number for row, number in zip(*table.to_pydict().values(), strict=True)}
    if len(found) != table.num_rows:
        raise WrongResult(f"{folder}: {table.num_rows - len(found)} itemsets come more than once")
    return found


def read_sides(folder: Path) -> dict[tuple[Any, ...], float]:
    """The rules of a folder of Parquet files, with their confidence."""
    table = pq.read_table(folder, columns=["antecedent", "consequent", "confidence"])
    rows = zip(*table.to_pydict().values(), strict=True)
    return {(tuple(sorted(before)), tuple(after)): confidence for before, after, confidence in rows}


def require_same(report: Report, theirs: Path) -> None:
    """Raise WrongResult where itemsets, counts or rules differ from those that MLlib wrote."""
    ours = read_sets(Path(report.files["itemsets"]), "items", "basket_count")
    if ours != read_sets(theirs / "itemsets", "items", "freq"):
        raise WrongResult(f"the {len(ours):,} itemsets are not those of MLlib")
    rules, expected = read_sides(Path(report.files["rules"])), read_sides(theirs / "rules")
    if set(rules) != set(expected):
        raise WrongResult(f"the {len(rules):,} rules are not the {len(expected):,} of MLlib")
    worst = max((abs(rules[sides] - expected[sides]) for sides in rules), default=0.0)
    if worst > 1e-9:
        raise WrongResult(f"a confidence differs by {worst}")


def require_sizes(ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Raise WrongResult where there are not as many sets of each size."""
    if ours != theirs:
        raise WrongResult(
            f"sets by size: {dict(sorted(ours.items()))}, those of the peer {dict(sorted(theirs.items()))}"
        )


def count_of(table: pa.Table, support: float) -> int:
    """The least number of baskets for a support."""
    return least_count(support, table.num_rows)


def total(rules: list[Rules]) -> int:
    """How many rules there are."""
    return int(np.sum([len(some.both_Q) for some in rules]))
