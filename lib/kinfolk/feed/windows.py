"""The rows of one rank, window by window, in a random order and cut into batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from kinfolk.feed.order import Integers, Portion, Shard, Shuffle, Stream, shuffle_rows

PLACE = "(place)"
"""Column with the number of each row in the plan; Delta allows no parentheses in names, so no table has one."""


@dataclass(frozen=True)
class WindowMixer:
    """Mixes a rank's rows in one epoch; `row_counts` are the rows of each row group of the plan."""

    shard: Shard
    shuffle: Shuffle
    epoch: int
    row_counts: Sequence[int]

    @cached_property
    def _first_places(self) -> list[int]:
        """The number in the plan of each row group's first row."""
        return [int(place) for place in np.cumsum([0, *self.row_counts])]

    def batches(self, row_groups: Iterator[pa.Table], windows: Sequence[Sequence[Portion]]) -> Generator[pa.Table]:
        """Cut the mixed rows of all windows into batches, of which only the last may be short.

        `row_groups` are those of the windows' portions, in their order. What a window leaves over of a batch is mixed
        into the next one.
        """
        size = self.shard.batch_size
        left_over: list[pa.Table] = []
        for number, window in enumerate(windows):
            parts = [self._take_portion(portion, next(row_groups)) for portion in window]
            rows = pa.concat_tables(left_over + parts).combine_chunks()
            random = self.shuffle.random(Stream.ROWS_OF_WINDOW, self.epoch, self.shard.rank, number)
            order = shuffle_rows(self._units(rows), random)
            is_last = number == len(windows) - 1
            end = len(order) if is_last else len(order) - len(order) % size
            for start in range(0, end, size):
                yield rows.take(order[start : min(start + size, end)])
            left_over = [rows.take(order[end:])]

    def _take_portion(self, portion: Portion, rows: pa.Table) -> pa.Table:
        places = self._first_places[portion.row_group] + np.arange(rows.num_rows)
        rows = rows.append_column(PLACE, pa.array(places))
        if portion.stop - portion.start == self.row_counts[portion.row_group]:
            return rows
        random = self.shuffle.random(Stream.ROWS_OF_ROW_GROUP, self.epoch, portion.row_group)
        return rows.take(shuffle_rows(self._units(rows), random)[portion.start : portion.stop])

    def _units(self, rows: pa.Table) -> Integers:
        """Which rows belong together, as numbers; -1 for rows that belong to nothing."""
        if self.shuffle.keep_together is None:
            return np.full(rows.num_rows, -1, dtype=np.int64)
        encoded = rows.column(self.shuffle.keep_together).combine_chunks().dictionary_encode()
        units: Integers = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        return units
