"""Small Delta tables for tests of the feed, written without a JVM."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
from deltalake import write_deltalake

from kinfolk.feed.batches import Batch
from kinfolk.feed.loader import FeedLoader
from kinfolk.feed.order import Shard
from kinfolk.feed.recipe import Recipe
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings
from kinfolk.tensors import Dense, Ragged, numbers, ragged, strings

RECIPE = Recipe({"id": numbers, "subject_id": strings, "tokens": ragged}, seed=0, id_column="id")


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


def make_loader(
    plan: FeedPlan, shard: Shard, recipe: Recipe = RECIPE, settings: FeedSettings | None = None
) -> FeedLoader:
    return FeedLoader(plan, shard, recipe, settings or FeedSettings())


def seeded(seed: int) -> Recipe:
    return replace(RECIPE, seed=seed)


def feed_epoch(loader: FeedLoader, epoch: int) -> list[int]:
    """Numbers of all rows of an epoch, in their order; the rest of each row is checked against its number."""
    fed: list[int] = []
    batches = 0
    for batch in loader.epoch(epoch):
        batches += 1
        assert len(batch.is_row_B) == loader.shard.batch_size
        fed += check_batch(batch)
    assert batches == loader.numbers.batches == len(loader.numbers.digests)
    assert len(fed) == loader.numbers.rows
    return fed


def check_batch(batch: Batch) -> list[int]:
    """Numbers of the rows of a batch; raises where another value stands in a row than its number says."""
    ids, subjects, tokens = (batch.columns[name] for name in ("id", "subject_id", "tokens"))
    assert isinstance(ids, Dense)
    assert isinstance(subjects, Ragged)
    assert isinstance(tokens, Ragged)
    is_row = batch.is_row_B.tolist()
    assert ids.is_present_B.tolist() == is_row
    assert ids.values_B[~batch.is_row_B].tolist() == [0] * is_row.count(False)
    offsets = tokens.offsets_B1.tolist()
    lists = [tokens.values_T[start:stop].tolist() for start, stop in pairwise(offsets)]
    for row, number in enumerate(ids.values_B.tolist()):
        is_null = not is_row[row] or number % 5 == 0
        assert bool(tokens.is_present_B[row]) is not is_null
        assert lists[row] == ([] if is_null else list(range(number % 4)))
        assert (subjects.to_strings()[row] is None) is not is_row[row]
    return [number for number, is_there in zip(ids.values_B.tolist(), is_row, strict=True) if is_there]


def digest_ranks(loaders: Sequence[FeedLoader], epoch: int) -> list[int]:
    """The digests of the global batches of an epoch, of which each loader feeds its rank's part."""
    parts = []
    for loader in loaders:
        feed_epoch(loader, epoch)
        parts.append(loader.numbers.digests)
    return [sum(of_step) % 2**64 for of_step in zip(*parts, strict=True)]


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fail when threads that were started inside are still there afterwards."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == []
