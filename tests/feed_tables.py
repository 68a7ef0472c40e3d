"""Small Delta tables for tests of the feed, written without a JVM."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from deltalake import write_deltalake

from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard, Shuffle
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings


def make_rows(ids: Sequence[int], rows_per_subject: int = 1) -> pa.Table:
    """Rows whose number says what everything else in them has to be."""
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "subject_id": pa.array([f"subject {i // rows_per_subject}" for i in ids], pa.string()),
            "tokens": pa.array([None if i % 5 == 0 else list(range(i % 4)) for i in ids], pa.list_(pa.int32())),
        }
    )


def write_row_groups(path: str, sizes: Sequence[int], *, rows_per_subject: int = 1) -> FeedPlan:
    """Write a table with one file for each size, so with row groups of these sizes, and plan it."""
    first = 0
    for size in sizes:
        rows = make_rows(range(first, first + size), rows_per_subject)
        write_deltalake(path, rows, mode="append")
        first += size
    return plan_row_groups(pin_snapshot(path, len(sizes) - 1))


def read_ids(rows: pa.Table) -> list[int | None]:
    """A conversion that checks the rest of each row against its number."""
    ids: list[int | None] = rows.column("id").to_pylist()
    expected = [None if i is None or i % 5 == 0 else list(range(i % 4)) for i in ids]
    assert rows.column("tokens").to_pylist() == expected
    return ids


def make_loader(
    plan: FeedPlan, shard: Shard, shuffle: Shuffle | None = None, settings: FeedSettings | None = None
) -> FeedLoader[list[int | None]]:
    """A loader whose batches are lists of row numbers."""
    return FeedLoader(
        plan,
        shard,
        columns=["id", "tokens"],
        convert=read_ids,
        shuffle=shuffle or Shuffle(seed=0),
        settings=settings or FeedSettings(),
    )


def feed_epoch(loader: FeedLoader[list[int | None]], epoch: int) -> list[int]:
    """Numbers of all real rows of an epoch, in their order."""
    fed: list[int] = []
    batches = 0
    for batch in loader.epoch(epoch):
        batches += 1
        assert len(batch.tensors) == loader.shard.batch_size
        assert [i is not None for i in batch.tensors] == batch.is_row_B.tolist()
        fed += [i for i in batch.tensors if i is not None]
    assert batches == loader.steps_per_epoch == loader.numbers.batches
    assert len(fed) == loader.numbers.rows
    return fed


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fail when threads that were started inside are still there afterwards."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == []
