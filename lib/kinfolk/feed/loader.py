"""Batches of a pinned table for one rank: row groups in, tensors out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import torch

from kinfolk.errors import DataError
from kinfolk.feed.order import Shard, Shuffle, count_steps, cut_windows, deal_portions
from kinfolk.feed.reading import ReadRequest, read_row_groups
from kinfolk.feed.snapshot import FeedPlan, read_schema
from kinfolk.feed.windows import PLACE, WindowMixer
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

    `bytes` are those of the decoded row groups, `wait_seconds` the time the caller waited for them. `digest` is the
    SHA-256 of the numbers of the rows in the plan, in the order in which they came.
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
    follows from plan, shuffle, epoch, shard and the window of the settings alone, whatever the number of workers.
    `numbers` are those of the epoch that was begun last.
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
        """Raises DataError where the plan lacks a column."""
        read = tuple(dict.fromkeys([*columns, *([shuffle.keep_together] if shuffle.keep_together else [])]))
        unknown = sorted(set(read) - set(plan.columns))
        if unknown:
            raise DataError(f"{plan.root} has no column {', '.join(unknown)}; it has {', '.join(plan.columns)}")
        self.plan = plan
        self.shard = shard
        self.numbers = EpochNumbers()
        self._columns = list(columns)
        self._convert = convert
        self._shuffle = shuffle
        self._settings = settings
        self._request = ReadRequest(plan, read)
        self._row_counts = [group.rows for group in plan.row_groups]

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch, on every rank."""
        return count_steps(self.plan.rows, self.shard)

    def epoch(self, number: int) -> Generator[Batch[Tensors]]:
        """Read one epoch; every number gives another order, the same number the same again.

        Raises DataError naming file and row group where one cannot be read, and where other rows came than are planned.
        Closing the iterator stops reading.
        """
        self.numbers = numbers = EpochNumbers()
        digest = hashlib.sha256()
        with closing(self._read(number, numbers)) as batches:
            for rows in batches:
                digest.update(rows.column(PLACE).to_numpy().astype("<i8").tobytes())
                numbers.rows += rows.num_rows
                numbers.batches += 1
                yield self._batch(rows.select(self._columns))
        numbers.digest = digest.hexdigest()
        schema = read_schema(self.plan.schema_json)
        for _ in range(numbers.batches, self.steps_per_epoch):
            numbers.batches += 1
            yield self._batch(schema.empty_table().select(self._columns))

    def _read(self, epoch: int, numbers: EpochNumbers) -> Generator[pa.Table]:
        """The rank's rows of an epoch in batches, of which only the last may be short."""
        portions = deal_portions(self._row_counts, self.shard, self._shuffle, epoch)
        windows = cut_windows(
            portions,
            [self._request.size(row_group) for row_group in range(len(self._row_counts))],
            max_row_groups=self._settings.window_row_groups,
            max_bytes=self._settings.window_bytes,
        )
        mixer = WindowMixer(self.shard, self._shuffle, epoch, self._row_counts)
        reading = read_row_groups(
            self._request,
            [portion.row_group for portion in portions],
            workers=self._settings.workers,
            max_bytes=self._settings.read_ahead_bytes,
        )
        with closing(reading):
            yield from mixer.batches(_measure(reading, numbers), windows)
            # Lets the pool check that it gave neither less nor more than what was planned.
            if next(reading, None) is not None:
                raise DataError(f"{self.plan.root}: more row groups came than are planned; run again")
        planned = sum(portion.stop - portion.start for portion in portions)
        if numbers.rows != planned:
            raise DataError(f"{self.plan.root}: {numbers.rows} rows were fed in epoch {epoch}, {planned} are planned")

    def _batch(self, rows: pa.Table) -> Batch[Tensors]:
        """Fill up with rows of nulls and convert."""
        is_row_B = np.arange(self.shard.batch_size) < rows.num_rows
        if not is_row_B.all():
            rows = rows.take(pa.array(np.where(is_row_B, np.arange(self.shard.batch_size), 0), mask=~is_row_B))
        return Batch(self._convert(rows), torch.from_numpy(is_row_B))


def _measure(row_groups: Iterator[pa.Table], numbers: EpochNumbers) -> Iterator[pa.Table]:
    """Count what passes, and the time until it comes."""
    while True:
        asked = time.perf_counter()
        rows = next(row_groups, None)
        numbers.wait_seconds += time.perf_counter() - asked
        if rows is None:
            return
        numbers.bytes += rows.nbytes
        yield rows
