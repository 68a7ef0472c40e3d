"""What the benchmark of the feed reads: its tables, kinfolk's side of each comparison, and what has to come out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import WriterProperties, write_deltalake

from kinfolk.feed.batches import Batch
from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard
from kinfolk.feed.recipe import Recipe
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings
from kinfolk.tensors import Dense, Ragged, numbers, pictures, ragged, vectors

from .harness import WrongResult

FLOATS = 128
SIDE = 32
MOST_TOKENS = 32
BATCH_SIZE = 1_024
THREADS = 2
"""Threads that read, on every side."""
WINDOW_ROW_GROUPS = 32
MEMORY_BYTES = 512 << 20

ALONE = Shard(rank=0, size=1, global_batch=BATCH_SIZE)

READERS = {
    "id": numbers,
    "label": numbers,
    "vector": partial(vectors, size=FLOATS),
    "image": partial(pictures, height=SIDE, width=SIDE),
    "tokens": ragged,
}
ALL = tuple(READERS)
NARROW = ("id", "vector")
"""What Petastorm's own readers can read of the table."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought: rows, the sum of their ids, and the sum of each id times all numbers of its row.

    The checksum is 0 where it is not asked for: it would cost all sides time.
    """

    rows: int
    ids: int
    checksum: float = 0.0


def make_rows(first: int, count: int) -> pa.Table:
    """Make rows of random numbers, from a seed of their own: they do not compress, so nothing is gained by luck."""
    random = np.random.default_rng([7, first])
    lengths = random.integers(1, MOST_TOKENS + 1, count)
    picture = SIDE * SIDE * 3
    images = pa.Array.from_buffers(
        pa.binary(),
        count,
        [
            None,
            pa.py_buffer(np.arange(0, count * picture + 1, picture, dtype=np.int32)),
            pa.py_buffer(random.integers(0, 256, count * picture, dtype=np.uint8)),
        ],
    )
    columns = {
        "id": np.arange(first, first + count),
        "label": random.integers(0, 1_000, count),
        "vector": _lists(np.full(count, FLOATS), random.standard_normal(count * FLOATS, dtype=np.float32)),
        "image": images,
        "tokens": _lists(lengths, random.integers(0, 15_000, int(lengths.sum()), dtype=np.int32)),
    }
    return pa.table(columns)


def _lists(lengths: np.ndarray, values: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)


def write_rows(folder: Path, *, rows: int, row_group: int) -> None:
    """Write a Delta table of so many rows."""
    step = 50 * row_group
    parts = (make_rows(first, min(step, rows - first)) for first in range(0, rows, step))
    for part in parts:
        properties = WriterProperties(compression="ZSTD", max_row_group_size=row_group)
        write_deltalake(str(folder), part, mode="append", writer_properties=properties)


def write_small_files(folder: Path, *, files: int) -> None:
    """Write a Delta table of so many files with 100 rows each; the peers read the same files."""
    table = make_rows(0, 100 * files).select(NARROW)
    number = pa.array(np.arange(table.num_rows) // 100)
    write_deltalake(str(folder), table.append_column("part", number), partition_by=["part"])


def write_sorted(folder: Path, *, row_groups: int, labels: int, rows: int) -> None:
    """Write a Delta table whose rows stand in the order of their labels, in equal row groups."""
    count = row_groups * rows
    table = pa.table({"id": np.arange(count), "label": np.arange(count) * labels // count})
    write_deltalake(str(folder), table, writer_properties=WriterProperties(max_row_group_size=rows))


def plan_table(folder: Path) -> FeedPlan:
    """Pin the newest version of a generated table."""
    return plan_row_groups(pin_snapshot(str(folder)))


def file_of(plan: FeedPlan, file: int) -> Path:
    """Return the path of a file of the plan."""
    return Path(plan.root) / plan.files[file].path


def make_loader(plan: FeedPlan, *, columns: tuple[str, ...] = ALL, shard: Shard = ALONE, **settings: Any) -> FeedLoader:
    """Return kinfolk's side, with the settings that all cases share unless they say otherwise."""
    shared = {"workers": THREADS, "window_row_groups": WINDOW_ROW_GROUPS, "memory_bytes": MEMORY_BYTES}
    recipe = Recipe({name: READERS[name] for name in columns}, seed=1)
    return FeedLoader(plan, shard, recipe, FeedSettings(**(shared | settings)))


def read_epoch(loader: FeedLoader, *, checked: bool = False) -> Epoch:
    """Read an epoch of kinfolk's side."""
    rows = ids = 0
    checksum = 0.0
    for batch in loader.epoch(1):
        rows += int(batch.is_row_B.sum())
        ids += int(batch.columns["id"].values_B.sum())
        checksum += check_batch(batch) if checked else 0.0
    return Epoch(rows, ids, checksum)


def check_batch(batch: Batch) -> float:
    """Sum each id times all numbers of its row."""
    total = np.zeros(len(batch.is_row_B))
    for name, column in batch.columns.items():
        if isinstance(column, Ragged):
            sums = np.concatenate([[0], np.cumsum(column.values_T.numpy(), dtype=np.int64)])
            total += np.diff(sums[column.offsets_B1.numpy()])
        elif name not in ("id", "label"):
            total += column.values_B.flatten(1).double().sum(dim=1).numpy()
    ids = batch.columns["id"]
    assert isinstance(ids, Dense)
    return float(ids.values_B.numpy() @ total)


def expected_epoch(plan: FeedPlan, columns: tuple[str, ...] = ALL) -> Epoch:
    """Compute what an epoch has to bring, from the files themselves."""
    rows = ids = 0
    checksum = 0.0
    for table in _read_files(plan, columns):
        of_part = table.column("id").to_numpy()
        total = np.zeros(table.num_rows)
        for name in set(columns) - {"id", "label"}:
            column = table.column(name).combine_chunks()
            sizes = pc.binary_length(column) if name == "image" else pc.list_value_length(column)
            ends = np.concatenate([[0], np.cumsum(sizes.to_numpy())])
            values = np.frombuffer(column.buffers()[2], np.uint8) if name == "image" else column.flatten().to_numpy()
            total += np.add.reduceat(values[: ends[-1]], ends[:-1], dtype=np.float64)
        rows, ids = rows + table.num_rows, ids + int(of_part.sum())
        checksum += float(of_part @ total)
    return Epoch(rows, ids, checksum)


def _read_files(plan: FeedPlan, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    for file in range(len(plan.files)):
        with pq.ParquetFile(file_of(plan, file)) as parquet:
            for index in range(parquet.num_row_groups):
                yield parquet.read_row_group(index, columns=list(columns))


def scan(plan: FeedPlan, *, is_mapped: bool) -> Epoch:
    """Read all columns of the plan's row groups in random order into Arrow, and nothing more."""
    footers = [pq.read_metadata(file_of(plan, file)) for file in range(len(plan.files))]

    def read(place: int) -> Epoch:
        group = plan.row_groups[place]
        path, footer = file_of(plan, group.file), footers[group.file]
        with pq.ParquetFile(path, metadata=footer, memory_map=is_mapped) as parquet:
            rows = parquet.read_row_group(group.ordinal, columns=list(ALL), use_threads=False)
        return Epoch(rows.num_rows, pc.sum(rows.column("id")).as_py())

    order = np.random.default_rng(1).permutation(len(plan.row_groups)).tolist()
    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(read, order))
    return Epoch(sum(part.rows for part in parts), sum(part.ids for part in parts))


def require_equal(side: str, found: Epoch, expected: Epoch) -> None:
    """Raise WrongResult unless the same rows came; a checksum in which floats were summed otherwise may differ."""
    is_same = (found.rows, found.ids) == (expected.rows, expected.ids)
    # An absolute tolerance too: ids times sums of both signs cancel out to little.
    if not is_same or not math.isclose(found.checksum, expected.checksum, rel_tol=1e-9, abs_tol=1e-3):
        raise WrongResult(f"{side} brought {found}, the table holds {expected}")
