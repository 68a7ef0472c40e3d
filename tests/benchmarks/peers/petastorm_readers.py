"""Petastorm's own readers, which run on old Arrow only: one epoch over Parquet files into tensors."""

from __future__ import annotations

from petastorm import make_batch_reader
from petastorm.pytorch import BatchedDataLoader
from serving import serve


def read_batched(urls: list[str], batch_size: int, workers: int, queue: int, checked: bool) -> dict[str, float]:
    """Read `id` and `vector` through BatchedDataLoader; count the rows, sum their ids, and their checksum if asked."""
    rows = ids = 0
    checksum = 0.0
    reader = make_batch_reader(
        urls,
        schema_fields=["id", "vector"],
        reader_pool_type="thread",
        workers_count=workers,
        shuffle_row_groups=True,
        num_epochs=1,
    )
    with BatchedDataLoader(reader, batch_size=batch_size, shuffling_queue_capacity=queue) as loader:
        for batch in loader:
            rows += len(batch["id"])
            ids += int(batch["id"].sum())
            if checked:
                checksum += float((batch["id"].double() * batch["vector"].double().sum(dim=1)).sum())
    return {"rows": rows, "ids": ids, "checksum": checksum}


serve({"read_batched": read_batched})
