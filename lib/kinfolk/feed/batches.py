"""What a step is given, and its way to the device that computes.

Shapes: B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import torch

from kinfolk.feed.order import Shard
from kinfolk.tensors import Column, Columns, Dense, Ragged, hash_integers

ID = "(id)"
"""The column with the codes of ids; Delta allows no parentheses in names, so no table has one."""


@dataclass(frozen=True)
class Batch:
    """One step's rows of one rank: always `Shard.batch_size` of them.

    `is_row_B` is False in padded rows: those of an epoch's last step, and one a step on some ranks where the number of
    ranks does not divide the global batch; every column has zeros there, and is not present. `rows` counts those that
    are not padded. `digest` is a number of 64 bits that stands for the ids of the rows and their places in the global
    batch: those of all ranks, added up modulo 2^64, are the same on any number of ranks. It is 0 where no column with
    ids was named.
    """

    columns: Columns
    is_row_B: torch.Tensor
    rows: int
    digest: int = 0


def make_batch(columns: Columns, is_row_B: torch.Tensor, shard: Shard) -> Batch:
    """A shard's batch of these columns without the codes of ids, which its digest stands for."""
    ids = columns.pop(ID, None)
    digest = digest_rows(ids.values_B, is_row_B, shard.first) if isinstance(ids, Dense) else 0
    return Batch(columns, is_row_B, int(np.count_nonzero(is_row_B.numpy())), digest)


@dataclass
class EpochNumbers:
    """What one rank has read so far in an epoch.

    `bytes` are those of the decoded row groups, `wait_seconds` the time that the caller waited for batches. `digests`
    are those of the batches.
    """

    rows: int = 0
    batches: int = 0
    bytes: int = 0
    wait_seconds: float = 0.0
    digests: list[int] = field(default_factory=list)

    def count(self, batch: Batch) -> None:
        """Add a batch that is handed out."""
        self.rows += batch.rows
        self.batches += 1
        self.digests.append(batch.digest)


def digest_rows(codes_B: torch.Tensor, is_row_B: torch.Tensor, first_place: int) -> int:
    """The digest of rows with these codes of their ids, which stand from `first_place` on in the global batch."""
    is_row = is_row_B.numpy()
    places = hash_integers(first_place + np.arange(len(codes_B)))
    return int(hash_integers(codes_B.numpy().view(np.uint64) ^ places)[is_row].sum(dtype=np.uint64))


def send_batches(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    """Bring batches to a device; to a GPU in the background, while the step before is computed."""
    return batches if device.type != "cuda" else _send_ahead(batches, device)


def _send_ahead(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: list[tuple[Batch, Batch, torch.Event]] = []
    for batch in batches:
        with torch.cuda.stream(stream):
            sent = _map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))
            ahead.append((batch, sent, stream.record_event()))
        del batch, sent
        if len(ahead) > 1:
            yield _receive(ahead.pop(0), device)
    while ahead:
        yield _receive(ahead.pop(0), device)


def _receive(on_its_way: tuple[Batch, Batch, torch.Event], device: torch.device) -> Batch:
    """Wait for a batch, whose memory on the host may be used again from then on."""
    _, sent, event = on_its_way
    event.synchronize()
    current = torch.cuda.current_stream(device)

    def lend(tensor: torch.Tensor) -> torch.Tensor:
        # The allocator must not give the memory away while the stream that computes may still read it.
        tensor.record_stream(current)
        return tensor

    return _map_tensors(sent, lend)


def _map_tensors(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    columns = {name: _map_column(column, change) for name, column in batch.columns.items()}
    return Batch(columns, change(batch.is_row_B), batch.rows, batch.digest)


def _map_column(column: Column, change: Callable[[torch.Tensor], torch.Tensor]) -> Column:
    if isinstance(column, Dense):
        return Dense(change(column.values_B), change(column.is_present_B))
    return Ragged(change(column.values_T), change(column.offsets_B1), change(column.is_present_B))
