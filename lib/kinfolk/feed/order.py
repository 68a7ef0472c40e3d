"""Who reads what, and when: pure arithmetic over row counts and row-group sizes, the same on every rank.

An epoch puts the row groups into a new order. The rows of this sequence are cut into windows of several row groups,
each with a whole number of steps, and the rows of a window are mixed over its steps.

So that ranks need not read everything, a window is cut into lanes: lane l serves a fixed range of places of every
global batch, from a stretch of the window's rows of its own. A rank owns a range of places, and so reads what its lanes
stretch over. Lanes are as many whatever the number of ranks: which row stands at which place of which global batch
follows from the plan, the seed, the epoch, the size of the global batch and the window alone. Where a rank's range ends
inside a lane, the ranks on both sides read that lane.

Shapes: G row groups, N rows of a window, A of them with a place, S steps of a window, B rows of a global batch,
L lanes, T rows of the lane that has most.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from kinfolk.errors import SettingsError
from kinfolk.settings.features import Mixing, Remainder

Integers = np.ndarray[Any, np.dtype[np.int64]]

_LANES = (48, 24, 12, 8, 4, 2, 1)
_MIN_PLACES = 4
"""Places of a lane: in a lane of one place, rows that stand together in the table would never meet in a batch."""


class Stream(IntEnum):
    """Uses of randomness, each with a sequence of its own."""

    ROW_GROUPS = 0
    ROWS_OF_ROW_GROUP = 1
    ROWS_OF_LANES = 2
    UNITS = 3
    SAMPLES = 4
    ROWS_OF_TRANSFORM = 5


@dataclass(frozen=True)
class Shard:
    """A rank's part of every step: places `first` to `last` of the `global_batch` rows of all `size` ranks."""

    rank: int
    size: int
    global_batch: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size or self.global_batch < 1:
            raise SettingsError(f"{self} is no shard: 0 <= rank < size and global_batch >= 1 are required")

    @property
    def first(self) -> int:
        """The rank's first place."""
        return self.rank * self.global_batch // self.size

    @property
    def last(self) -> int:
        """The place after the rank's last one."""
        return (self.rank + 1) * self.global_batch // self.size

    @property
    def batch_size(self) -> int:
        """Rows of a batch, the same on every rank: where the ranks do not divide the global batch, some are padded."""
        return -(-self.global_batch // self.size)


@dataclass(frozen=True)
class Random:
    """Sources of randomness for one seed: every use at every place has a sequence of its own."""

    seed: int

    def at(self, stream: Stream, *place: int) -> np.random.Generator:
        """The randomness for one use at one place, such as an epoch and a row group."""
        return np.random.default_rng([self.seed % (1 << 64), int(stream), *place])


@dataclass(frozen=True)
class Window:
    """Some rows of an epoch's sequence, from `start` to `stop`, which fill `steps` global batches.

    Of the last step so many places are filled as rows are left; of all others, all.
    """

    number: int
    start: int
    stop: int
    steps: int

    @property
    def rows(self) -> int:
        """Rows of the window, over all ranks."""
        return self.stop - self.start


class Places(NamedTuple):
    """Where rows go: `rows_A`, ascending, are numbers in the window, `slots_A` count a rank's rows over all steps."""

    rows_A: Integers
    slots_A: Integers


class Piece(NamedTuple):
    """The part of a window that lies in one row group: its place in the epoch's sequence, and its first row there."""

    turn: int
    row_group: int
    start: int
    stop: int
    first_row: int


def order_row_groups(count: int, random: Random, epoch: int, mixing: Mixing) -> Integers:
    """The row groups of a plan in the order of an epoch: [G]."""
    if mixing == "none":
        return np.arange(count)
    return random.at(Stream.ROW_GROUPS, epoch).permutation(count)


def count_steps(rows: int, global_batch: int, remainder: Remainder) -> int:
    """Steps of an epoch, on every rank."""
    return rows // global_batch if remainder == "drop" else -(-rows // global_batch)


def count_rows(rows: int, global_batch: int, remainder: Remainder) -> int:
    """Rows that all ranks together are fed in an epoch without a sampling, padding not counted."""
    return rows if remainder == "pad" else count_steps(rows, global_batch, remainder) * global_batch


def cut_windows(
    row_counts: Sequence[int],
    sizes: Sequence[int],
    global_batch: int,
    *,
    max_row_groups: int,
    max_bytes: int,
    remainder: Remainder,
) -> list[Window]:
    """Cut an epoch's sequence of row groups, with their rows and bytes, into windows.

    A window takes at most so many row groups and bytes, but at least one row group and one step. It ends with its last
    whole step; the rows left over, fewer than a global batch, begin the next window, and count by their bytes there.
    """
    ends = np.cumsum([0, *row_counts]).tolist()
    usable = min(ends[-1], count_rows(ends[-1], global_batch, remainder))
    windows: list[Window] = []
    start, groups, filled = 0, 0, 0
    for turn, size in enumerate(sizes):
        is_full = groups >= max_row_groups or filled + size > max_bytes
        end = ends[turn] - (ends[turn] - start) % global_batch
        if is_full and end > start:
            windows.append(Window(len(windows), start, end, (end - start) // global_batch))
            left_over = (ends[turn] - end) * sizes[turn - 1] // max(1, row_counts[turn - 1])
            start, groups, filled = end, 0, left_over
        groups += 1
        filled += size
    if start < usable:
        windows.append(Window(len(windows), start, usable, -(-(usable - start) // global_batch)))
    return windows


def cut_pieces(window: Window, order: Sequence[int], ends: Sequence[int]) -> Iterator[Piece]:
    """The row groups that a window's rows lie in; `ends` [G] is where each ends in the epoch's sequence."""
    turn = bisect_right(ends, window.start)
    while turn < len(order) and (first := ends[turn - 1] if turn else 0) < window.stop:
        start, stop = max(first, window.start), min(ends[turn], window.stop)
        yield Piece(turn, order[turn], start - window.start, stop - window.start, start - first)
        turn += 1


def place_rows(window: Window, shard: Shard, random: Random, epoch: int, mixing: Mixing) -> Places:
    """Give every row of the shard's lanes a place of its own.

    The stretches of every other window lie in reverse, so that a row group in which one window ends and the next begins
    belongs to the same rank in both. Without any mixing there are no lanes, and ranks read most row groups.
    """
    if mixing == "none":
        return keep_ours(np.arange(window.rows), window, shard)
    lanes = count_lanes(shard.global_batch)
    edges = np.arange(lanes + 1) * shard.global_batch // lanes
    last_places = places_of_last_step(window, shard.global_batch)
    edges_of_last = np.searchsorted(last_places, edges)
    widths = np.diff(edges)
    shares = (window.steps - 1) * widths + np.diff(edges_of_last)
    starts = _stretch_starts(shares, is_reversed=window.number % 2 == 1)
    ours = np.flatnonzero((edges[1:] > shard.first) & (edges[:-1] < shard.last))
    ours = ours[np.argsort(starts[ours], kind="stable")]
    # A lane fills its places step by step: the turn of a row in its lane says which step and which place it gets.
    turns_LT = np.broadcast_to(np.arange(shares.max()), (lanes, shares.max()))
    if mixing == "window":
        # Of all lanes, on every rank: that is cheaper than a source of randomness for each.
        turns_LT = random.at(Stream.ROWS_OF_LANES, epoch, window.number).permuted(turns_LT, axis=1)
    turns_A = turns_LT[ours][turns_LT[ours] < shares[ours, None]]
    lanes_A = np.repeat(ours, shares[ours])
    firsts = np.cumsum(shares[ours]) - shares[ours]
    rows_A = np.arange(len(lanes_A)) + np.repeat(starts[ours] - firsts, shares[ours])
    steps_A, places_A = np.divmod(turns_A, widths[lanes_A])
    # In the last step only some of its places are filled.
    is_last = steps_A == window.steps - 1
    of_last = last_places[edges_of_last[lanes_A[is_last]] + places_A[is_last]]
    places_A += edges[lanes_A]
    places_A[is_last] = of_last
    is_ours = (places_A >= shard.first) & (places_A < shard.last)
    return Places(rows_A[is_ours], (steps_A * shard.batch_size + places_A - shard.first)[is_ours])


_NOTHING = np.zeros(0, dtype=np.int64)


def count_lanes(global_batch: int) -> int:
    """Lanes of a global batch: whole ones for 1, 2, 3, 4, 6, 8, 12, 16, 24 and 48 ranks, unless the batch is small.

    >>> [count_lanes(size) for size in (1, 30, 48, 100, 192, 1000)]
    [1, 4, 12, 24, 48, 48]
    """
    return next(lanes for lanes in _LANES if lanes * _MIN_PLACES <= global_batch or lanes == 1)


def keep_ours(order: Integers, window: Window, shard: Shard) -> Places:
    """Fill the places of a window, step by step, with its rows in an order; returns those of the shard."""
    steps, places = np.divmod(np.arange(len(order)), shard.global_batch)
    places[(window.steps - 1) * shard.global_batch :] = places_of_last_step(window, shard.global_batch)
    is_ours = (places >= shard.first) & (places < shard.last)
    return sort_places(order[is_ours], (steps * shard.batch_size + places - shard.first)[is_ours])


def _stretch_starts(shares: Integers, *, is_reversed: bool) -> Integers:
    """The first row of each lane's stretch in the window."""
    turned = shares[::-1] if is_reversed else shares
    starts = np.cumsum(turned) - turned
    return starts[::-1] if is_reversed else starts


def places_of_last_step(window: Window, global_batch: int) -> Integers:
    """The places that are filled in a window's last step, spread evenly over the global batch.

    >>> places_of_last_step(Window(0, 0, 13, 2), 8).tolist()
    [1, 3, 4, 6, 7]
    """
    rows = window.rows - (window.steps - 1) * global_batch
    marks = np.arange(global_batch + 1) * rows // global_batch
    return np.flatnonzero(np.diff(marks))


def repeat_rows(window: Window, shard: Shard, random: Random, epoch: int) -> Places:
    """Rows of the last window, taken at random, for the places that its last step would leave empty."""
    is_empty = np.ones(shard.global_batch, dtype=bool)
    is_empty[places_of_last_step(window, shard.global_batch)] = False
    places = np.flatnonzero(is_empty)
    rounds = -(-len(places) // window.rows)
    generator = random.at(Stream.SAMPLES, epoch, window.number)
    rows = np.concatenate([generator.permutation(window.rows) for _ in range(rounds)] or [_NOTHING])[: len(places)]
    is_ours = (places >= shard.first) & (places < shard.last)
    slots = (window.steps - 1) * shard.batch_size + places[is_ours] - shard.first
    return sort_places(rows[is_ours], slots)


def sort_places(rows_A: Integers, slots_A: Integers) -> Places:
    """Places in the order of their rows."""
    order = np.argsort(rows_A, kind="stable")
    return Places(rows_A[order], slots_A[order])
