"""Who reads what, and when: pure arithmetic over row counts, the same on every rank.

An epoch's row groups come in a new order, and this sequence of rows is cut into one stretch a rank, whose lengths
differ by one row at most. A row group that a cut runs through is read by the ranks on both sides: they put its rows
into one random order, the same for both, and each takes its part of that. So every row comes exactly once, also where
there are fewer row groups than ranks, and no rank keeps the same rows for ever.

Each rank then walks through its stretch in windows of several row groups, and mixes the rows of each window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from kinfolk.errors import SettingsError

Integers = np.ndarray[Any, np.dtype[np.int64]]


class Stream(IntEnum):
    """Uses of randomness, each with a sequence of its own."""

    ROW_GROUPS = 0
    ROWS_OF_ROW_GROUP = 1
    ROWS_OF_WINDOW = 2


@dataclass(frozen=True)
class Shard:
    """A rank's part of every step: rank `rank` of `size`, `batch_size` rows a step on each rank."""

    rank: int
    size: int
    batch_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size or self.batch_size < 1:
            raise SettingsError(f"{self} is no shard: 0 <= rank < size and batch_size >= 1 are required")


@dataclass(frozen=True)
class Shuffle:
    """How rows are mixed: another `seed` gives another order.

    Rows of one window with the same value in the column `keep_together` come one after the other, so that a batch holds
    all of them but where it ends in between.
    """

    seed: int
    keep_together: str | None = None

    def random(self, stream: Stream, *place: int) -> np.random.Generator:
        """The randomness for one use at one place, such as an epoch and a row group."""
        return np.random.default_rng([self.seed % (1 << 64), int(stream), *place])


@dataclass(frozen=True)
class Portion:
    """Rows of one row group that one rank takes in an epoch: from `start` to `stop` of its random order."""

    row_group: int
    start: int
    stop: int


def count_steps(rows: int, shard: Shard) -> int:
    """Steps of an epoch: as many on every rank as the rank with the most rows needs."""
    most = -(-rows // shard.size)
    return -(-most // shard.batch_size)


def deal_portions(row_counts: Sequence[int], shard: Shard, shuffle: Shuffle, epoch: int) -> list[Portion]:
    """What the shard's rank reads in an epoch, in this order; `row_counts` are the rows of each row group."""
    order = shuffle.random(Stream.ROW_GROUPS, epoch).permutation(len(row_counts))
    ends = np.cumsum(np.asarray(row_counts, dtype=np.int64)[order])
    rows = int(ends[-1]) if len(ends) else 0
    first, last = (rows * rank // shard.size for rank in (shard.rank, shard.rank + 1))
    portions = []
    for group, end in zip(order.tolist(), ends.tolist(), strict=True):
        begin = end - row_counts[group]
        start, stop = max(first, begin) - begin, min(last, end) - begin
        if start < stop:
            portions.append(Portion(group, start, stop))
    return portions


def cut_windows(
    portions: Sequence[Portion], sizes: Sequence[int], *, max_row_groups: int, max_bytes: int
) -> list[list[Portion]]:
    """Cut a rank's portions into windows of at most so many row groups and bytes, but at least one row group.

    `sizes` are the bytes of each row group of the plan.
    """
    windows: list[list[Portion]] = []
    filled = 0
    for portion in portions:
        size = sizes[portion.row_group]
        if not windows or len(windows[-1]) >= max_row_groups or filled + size > max_bytes:
            windows.append([])
            filled = 0
        windows[-1].append(portion)
        filled += size
    return windows


def shuffle_rows(units: Integers, random: np.random.Generator) -> Integers:
    """A random order of rows in which rows of one unit come one after the other, themselves in random order.

    `units` says which unit each row belongs to; a negative number stands for a row that belongs to none.
    """
    alone = units < 0
    separate = np.where(alone, -1 - np.arange(len(units)), units)
    _, members = np.unique(separate, return_inverse=True)
    turns = random.permutation(int(members.max()) + 1 if len(members) else 0)
    return np.lexsort((random.random(len(units)), turns[members]))
