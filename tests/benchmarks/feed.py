"""The feed beside a raw scan of the same row groups, and beside Petastorm's own reader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from deltalake import WriterProperties, write_deltalake

from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard, Shuffle
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings
from kinfolk.tensors import matrix, numbers

from .harness import Bench, Case, Reading, WrongResult, speed_goals

ROWS = 200_000
FLOATS = 64
ROW_GROUP_ROWS = 31_250
"""Row groups of 8 MB: floats at random do not compress."""
BATCH_SIZE = 1_024
THREADS = 2
"""Threads that read, on every side."""
WINDOW_ROW_GROUPS = 32
QUEUE_BYTES = 512 << 20
PETASTORM_QUEUE_ROWS = 20_000

VS_SCAN = "feed.vs_scan.row_group_shuffle"
VS_BATCHED = "feed.vs_petastorm_batched"


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought: rows, the sum of their ids, and the sum of id times the sum of the row's vector.

    The checksum is 0 where it is not asked for: it would cost all sides time.
    """

    rows: int
    ids: int
    checksum: float = 0.0


@dataclass(frozen=True)
class Rows:
    """A batch as tensors; padded rows have id 0 and a vector of zeros."""

    ids_B: torch.Tensor
    vectors_BD: torch.Tensor


def write_table(folder: Path) -> None:
    """Write a Delta table of ids from 0 and vectors from a fixed seed."""
    values = np.random.default_rng(7).standard_normal(ROWS * FLOATS, dtype=np.float32)
    offsets = np.arange(0, ROWS * FLOATS + 1, FLOATS, dtype=np.int32)
    table = pa.table({"id": np.arange(ROWS), "vector": pa.ListArray.from_arrays(offsets, values)})
    properties = WriterProperties(compression="ZSTD", max_row_group_size=ROW_GROUP_ROWS)
    write_deltalake(str(folder), table, writer_properties=properties)


def plan_table(bench: Bench) -> FeedPlan:
    """Pin the generated table."""
    folder = bench.data(f"rows-{ROWS}-floats-{FLOATS}-groups-{ROW_GROUP_ROWS}", write_table)
    return plan_row_groups(pin_snapshot(str(folder), 0))


def file_of(plan: FeedPlan, file: int) -> Path:
    """Return the path of a file of the plan."""
    return Path(plan.root) / plan.files[file].path


def expected_epoch(plan: FeedPlan) -> Epoch:
    """Compute what an epoch has to bring, from the files themselves."""
    rows = pa.concat_tables(pq.read_table(file_of(plan, file)) for file in range(len(plan.files)))
    ids = rows.column("id").to_numpy()
    vectors_BD = np.concatenate([chunk.flatten() for chunk in rows.column("vector").chunks]).reshape(-1, FLOATS)
    return Epoch(len(ids), int(ids.sum()), float(ids @ vectors_BD.sum(axis=1, dtype=np.float64)))


def to_rows(table: pa.Table) -> Rows:
    """Convert a batch without a copy, but for the last one, which is padded."""
    ids = table.column("id")
    return Rows(numbers(pc.fill_null(ids, 0) if ids.null_count else ids), matrix(table.column("vector")).values_BD)


def read_feed(plan: FeedPlan, *, window_row_groups: int, checked: bool = False) -> Epoch:
    """Read an epoch through kinfolk's feed, as a single rank."""
    loader = FeedLoader(
        plan,
        Shard(rank=0, size=1, batch_size=BATCH_SIZE),
        columns=("id", "vector"),
        convert=to_rows,
        shuffle=Shuffle(seed=1),
        settings=FeedSettings(workers=THREADS, window_row_groups=window_row_groups, queue_bytes=QUEUE_BYTES),
    )
    rows = ids = 0
    checksum = 0.0
    for batch in loader.epoch(1):
        rows += int(batch.is_row_B.sum())
        ids += int(batch.tensors.ids_B.sum())
        if checked:
            checksum += float((batch.tensors.ids_B.double() * batch.tensors.vectors_BD.double().sum(dim=1)).sum())
    return Epoch(rows, ids, checksum)


def scan(plan: FeedPlan) -> Epoch:
    """Read the plan's row groups in random order into Arrow, and nothing more."""
    footers = [pq.read_metadata(file_of(plan, file)) for file in range(len(plan.files))]

    def read(place: int) -> Epoch:
        group = plan.row_groups[place]
        with pq.ParquetFile(file_of(plan, group.file), metadata=footers[group.file]) as parquet:
            rows = parquet.read_row_group(group.index, columns=["id", "vector"], use_threads=False)
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


def against_scan(bench: Bench) -> Mapping[str, Reading]:
    """Measure the feed, mixing the rows of one row group at a time, beside a raw scan."""
    plan = plan_table(bench)
    expected = expected_epoch(plan)
    require_equal("the feed", read_feed(plan, window_row_groups=1, checked=True), expected)

    def verify(ours: Epoch, peer: Epoch | None) -> None:
        require_equal("the feed", ours, Epoch(expected.rows, expected.ids))
        if peer is not None:
            require_equal("the scan", peer, Epoch(expected.rows, expected.ids))

    comparison = bench.compare(lambda: read_feed(plan, window_row_groups=1), lambda: scan(plan), verify=verify)
    return comparison.speedups(VS_SCAN)


def against_batched(bench: Bench) -> Mapping[str, Reading]:
    """Measure the feed, mixing the rows of many row groups, beside BatchedDataLoader with a shuffling queue."""
    plan = plan_table(bench)
    expected = expected_epoch(plan)
    petastorm = bench.peer("petastorm_readers", environment="petastorm")
    arguments = {
        "urls": [file_of(plan, file).as_uri() for file in range(len(plan.files))],
        "batch_size": BATCH_SIZE,
        "workers": THREADS,
        "queue": PETASTORM_QUEUE_ROWS,
    }

    def read_peer(*, checked: bool = False) -> Epoch:
        return Epoch(**petastorm.call("read_batched", arguments | {"checked": checked}))

    require_equal("the feed", read_feed(plan, window_row_groups=WINDOW_ROW_GROUPS, checked=True), expected)
    require_equal("Petastorm", read_peer(checked=True), expected)

    def verify(ours: Epoch, peer: Epoch | None) -> None:
        for side, found in (("the feed", ours), ("Petastorm", peer)):
            if found is not None:
                require_equal(side, found, Epoch(expected.rows, expected.ids))

    comparison = bench.compare(lambda: read_feed(plan, window_row_groups=WINDOW_ROW_GROUPS), read_peer, verify=verify)
    return comparison.speedups(VS_BATCHED)


CASES = [
    Case(speed_goals(VS_SCAN, 0.80), "raw pyarrow scan", against_scan, seconds=8),
    Case(speed_goals(VS_BATCHED, 4.0), "Petastorm's BatchedDataLoader", against_batched, seconds=30),
]
