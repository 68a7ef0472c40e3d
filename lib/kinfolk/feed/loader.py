"""Batches of a pinned table for one rank: row groups in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import torch

from kinfolk.feed.order import Shard, Shuffle
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.settings import FeedSettings

Tensors = TypeVar("Tensors")


@dataclass(frozen=True)
class Batch(Generic[Tensors]):
    """One step's rows of one rank: always `Shard.batch_size` of them.

    `is_row_B` is False in padded rows, which only the last steps of an epoch have; every column is null there.
    """

    tensors: Tensors
    is_row_B: torch.Tensor


@dataclass
class EpochNumbers:
    """What one rank read in one epoch; complete when the epoch has been read to its end.

    `digest` is the SHA-256 of the places of the rows in the plan, in the order in which they came.
    """

    rows: int = 0
    batches: int = 0
    bytes: int = 0
    wait_seconds: float = 0.0
    digest: str = ""


class FeedLoader(Generic[Tensors]):
    """Feeds one rank from a plan: `for batch in loader.epoch(1): …`.

    `convert` makes tensors of a table of `columns` with `batch_size` rows, such as `kinfolk.tensors.item_tensors`.
    Every rank takes the same number of steps. Over all ranks an epoch has every row of the plan exactly once; its order
    follows from plan, shuffle, epoch and shard alone, whatever the number of workers.
    """

    def __init__(
        self,
        plan: FeedPlan,
        shard: Shard,
        *,
        columns: Sequence[str],
        convert: Callable[[pa.Table], Tensors],
        shuffle: Shuffle,
        settings: FeedSettings,
    ) -> None:
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch, on every rank."""
        raise NotImplementedError

    @property
    def numbers(self) -> EpochNumbers:
        """Numbers of the epoch that was begun last."""
        raise NotImplementedError

    def epoch(self, number: int) -> Iterator[Batch[Tensors]]:
        """Read one epoch; every number gives another order, the same number the same again.

        Raises DataError naming file and row group where one cannot be read. Closing the iterator stops reading.
        """
        raise NotImplementedError
