"""Petastorm's own readers, which run on old Arrow only: one epoch over Parquet files into tensors."""

from __future__ import annotations

from petastorm import make_batch_reader
from petastorm.pytorch import BatchedDataLoader, DataLoader
from petastorm.reader import Reader
from serving import serve


def open_reader(urls: str | list[str], workers: int, **shard: int) -> Reader:
    """Open a reader of `id` and `vector` for one epoch, row groups in random order."""
    return make_batch_reader(
        urls,
        schema_fields=["id", "vector"],
        reader_pool_type="thread",
        workers_count=workers,
        shuffle_row_groups=True,
        num_epochs=1,
        **shard,
    )


def read_batched(urls: list[str], batch_size: int, workers: int, queue: int, checked: bool) -> dict[str, float]:
    """Read `id` and `vector` through BatchedDataLoader; count the rows, sum their ids, and their checksum if asked."""
    rows = ids = 0
    checksum = 0.0
    reader = open_reader(urls, workers)
    with BatchedDataLoader(reader, batch_size=batch_size, shuffling_queue_capacity=queue) as loader:
        for batch in loader:
            rows += len(batch["id"])
            ids += int(batch["id"].sum())
            if checked:
                checksum += float((batch["id"].double() * batch["vector"].double().sum(dim=1)).sum())
    return {"rows": rows, "ids": ids, "checksum": checksum}


def read_rows(urls: list[str], batch_size: int, workers: int, queue: int) -> dict[str, int]:
    """Read `id` and `vector` through DataLoader, which goes row by row; count the rows and sum their ids."""
    rows = ids = 0
    reader = open_reader(urls, workers)
    with DataLoader(reader, batch_size=batch_size, shuffling_queue_capacity=queue) as loader:
        for batch in loader:
            rows += len(batch["id"])
            ids += int(batch["id"].sum())
    return {"rows": rows, "ids": ids}


def first_batch(url: str, batch_size: int, rank: int, ranks: int) -> int:
    """Get a rank's first batch of a folder of files; return its rows."""
    reader = open_reader(url, 2, cur_shard=rank, shard_count=ranks)
    with BatchedDataLoader(reader, batch_size=batch_size // ranks) as loader:
        return len(next(iter(loader))["id"])


serve({"read_batched": read_batched, "read_rows": read_rows, "first_batch": first_batch})
