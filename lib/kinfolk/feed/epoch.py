"""One epoch on its way from the files to its batches, window by window.

Worker threads read a row group, make tensors of its columns, change them where the recipe says so, and put each row
where its batch wants it. One window is handed out while the next one is filled.

Shapes: A rows that a rank wants of a row group or a window, N rows of a window.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from kinfolk.errors import DataError
from kinfolk.feed.batches import ID, Batch, EpochNumbers
from kinfolk.feed.order import (
    Integers,
    Piece,
    Places,
    Random,
    Shard,
    Stream,
    Window,
    cut_pieces,
    cut_windows,
    order_row_groups,
    place_rows,
    repeat_rows,
    sort_places,
)
from kinfolk.feed.reading import Reading, Task
from kinfolk.feed.recipe import Recipe, Transform
from kinfolk.feed.row_groups import RowGroupReader
from kinfolk.feed.sampling import Sampling, Together, read_values, sample_rows
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.feed.windows import Arena, Arenas, take_rows
from kinfolk.settings import FeedSettings
from kinfolk.tensors import Columns, hash_integers

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Feeding:
    """What all epochs of a loader share."""

    plan: FeedPlan
    shard: Shard
    recipe: Recipe
    settings: FeedSettings
    reader: RowGroupReader
    arenas: Arenas

    @cached_property
    def rows_G(self) -> Integers:  # noqa: N802 - the shape is part of the name
        """Rows of each row group of the plan."""
        return np.array([group.rows for group in self.plan.row_groups])

    @cached_property
    def first_places(self) -> Integers:
        """The number in the plan of each row group's first row."""
        return np.cumsum(self.rows_G) - self.rows_G

    def order_row_groups(self, epoch: int) -> Integers:
        """The row groups of the plan in the order of an epoch."""
        return order_row_groups(len(self.plan.row_groups), Random(self.recipe.seed), epoch, self.settings.mixing)

    def cut_windows(self, order: Integers) -> list[Window]:
        """The windows of an epoch whose row groups come in this order."""
        return cut_windows(
            self.rows_G[order].tolist(),
            self.plan.sizes(self.recipe.sources)[order].tolist(),
            self.shard.global_batch,
            max_row_groups=self.settings.window_row_groups,
            max_bytes=self.settings.window_bytes,
            remainder=self.settings.remainder,
        )


class Epoch:
    """One epoch of a loader, from one of its steps on."""

    def __init__(self, feeding: Feeding, number: int, first_step: int) -> None:
        self.feeding = feeding
        self.number = number
        self.first_step = first_step
        self.numbers = EpochNumbers()
        self.random = Random(feeding.recipe.seed)
        self.is_stopped = False
        self._lock = threading.Lock()
        self._work = ExitStack()
        self._reading: Reading | None = None
        order = feeding.order_row_groups(number)
        self.row_groups: list[int] = order.tolist()
        self.ends: list[int] = np.cumsum(feeding.rows_G[order]).tolist()
        self.runs: list[WindowRun] = []
        begun = 0
        for window in feeding.cut_windows(order):
            if begun + window.steps > first_step:
                before = self.runs[-1] if self.runs else None
                self.runs.append(WindowRun(self, window, max(0, first_step - begun), before))
            begun += window.steps
        self._closed = deque(self.runs)
        # Other epochs have windows of some steps more or less, which is no reason to ask for other memory.
        self.capacity = (max((run.window.steps for run in self.runs), default=0) + 2) * feeding.shard.batch_size

    def batches(self, following: Epoch | None = None) -> Generator[Batch]:
        """Open windows as soon as there is memory for them, those of a following epoch too, and hand out full ones."""
        with closing(self):
            reading = self._begin()
            for run in self.runs:
                if self._closed and self._closed[0] is run:
                    reading.wait_until(run.has_values)
                    self._open_next(at_once=True)
                reading.wait_until(run.is_full)
                # Not before: to place the next window's rows here would have kept the workers from the interpreter, and
                # one of them has done it halfway through this one.
                self._read_ahead(following)
                for batch in run.take_batches():
                    self.numbers.count(batch)
                    yield batch
                    del batch
                    self._read_ahead(following)
                run.close()
            reading.finish()

    def close(self) -> None:
        """Stop reading, and give back the memory."""
        self._work.close()

    def _begin(self) -> Reading:
        """Start the workers, unless they were started while the epoch before ended."""
        if self._reading is None:
            plan, workers = self.feeding.plan, self.feeding.settings.workers
            self._work.callback(self._give_back)
            reading = Reading(plan, self._stages(), workers=workers, on_stop=self._wake)
            self._reading = self._work.enter_context(reading)
            self._reading.advance()
        return self._reading

    def _give_back(self) -> None:
        for run in self.runs:
            run.close()
        self.feeding.reader.close()

    def _read_ahead(self, following: Epoch | None) -> None:
        """Open the next window if there is memory for it; after the last one, the first of the following epoch."""
        if not self._closed:
            if following:
                following._begin()
                following._read_ahead(None)
        elif self._closed[0].has_values():
            self._open_next(at_once=False)

    def _open_next(self, *, at_once: bool) -> None:
        """Open the next window, if there is memory for it, and give the workers the one after it to wait for.

        A worker without a task would look for one a thousand times a second.
        """
        if self._closed[0].open(at_once=at_once):
            self._closed.popleft()
            self._begin().advance()

    def _stages(self) -> Iterator[list[Task]]:
        """What workers have to do, window by window; the values that a sampling needs are read a window ahead."""
        for run, after in pairwise([None, *self.runs, None]):
            yield [*(after.value_tasks() if after else ()), *(run.fill_tasks() if run else ())]

    def _wake(self) -> None:
        self.is_stopped = True
        for run in self.runs:
            run.wake()

    def read(self, row_group: int, names: Sequence[str]) -> pa.Table:
        """Read columns of a row group, and count them."""
        rows = self.feeding.reader.read(row_group, names)
        with self._lock:
            self.numbers.bytes += rows.get_total_buffer_size()
        return rows

    def convert(self, row_group: int, wanted_A: Integers) -> Columns:
        """The wanted rows of a row group as tensors, by their numbers in it; memory is shared where all are wanted."""
        recipe = self.feeding.recipe
        table = self.read(row_group, recipe.sources)
        columns: Columns = {name: reader(table.column(source)) for name, source, reader in recipe.readers}
        if not np.array_equal(wanted_A, np.arange(table.num_rows)):
            columns = _take(columns, wanted_A)
        return columns if recipe.transform is None else self._change(recipe.transform, columns, row_group, wanted_A)

    def _change(self, transform: Transform, columns: Columns, row_group: int, rows_A: Integers) -> Columns:
        ids = {ID: columns.pop(ID)} if ID in columns else {}
        of_epoch = self.random.at(Stream.ROWS_OF_TRANSFORM, self.number).integers(1 << 63)
        places_A = self.feeding.first_places[row_group] + rows_A
        seeds_A = hash_integers(places_A ^ of_epoch) >> np.uint64(1)
        changed = transform(columns, seeds_A.astype(np.int64))
        for name, column in changed.items():
            if len(column.is_present_B) != len(rows_A):
                raise DataError(f"the transform made {len(column.is_present_B)} rows of {len(rows_A)} in {name}")
        return changed | ids


class WindowRun:
    """One window on its way: closed, then open to the workers, then full, then handed out."""

    def __init__(self, epoch: Epoch, window: Window, first_step: int, before: WindowRun | None) -> None:
        self.window = window
        self._epoch = epoch
        self._first_step = first_step
        self._next: WindowRun | None = None
        self._arena: Arena | None = None
        self._opened = threading.Event()
        self._values: dict[int, np.ndarray[Any, Any]] = {}
        # The rows of a row group in which the window before ends come from there: it is read once.
        begins_inside = epoch.ends[bisect_left(epoch.ends, window.start)] != window.start
        self._inherits = bool(before and begins_inside and not self._sampling)
        self._inherited: queue.SimpleQueue[Columns | None] = queue.SimpleQueue()
        if before:
            before._next = self

    @property
    def _sampling(self) -> Sampling | None:
        return self._epoch.feeding.recipe.sampling

    def value_tasks(self) -> list[Task]:
        """What has to be read before it is known where rows go."""
        if not self._sampling:
            return []
        return [_Task(piece.row_group, partial(self._read_values, turn)) for turn, piece in enumerate(self._pieces)]

    def fill_tasks(self) -> list[Task]:
        """What has to be read to fill the window."""
        return [_Task(piece.row_group, partial(self._fill, turn)) for turn, piece in enumerate(self._pieces)]

    def has_values(self) -> bool:
        """Whether the window can be opened."""
        return not self._sampling or len(self._values) == len(self._pieces)

    def is_full(self) -> bool:
        """Whether all rows are where their batches want them."""
        return self._arena is not None and self._arena.is_complete

    def prepare(self) -> Integers:
        """Find out where rows go, if that can be known yet; returns those that are inherited from the window before.

        Workers do it while they fill the window before, so that the trainer's thread need not.
        """
        try:
            wanted = self._wanted if self.has_values() else []
        except DataError:
            # No row group of this window is to blame; it is said again where the next one is opened.
            return _NOTHING
        return wanted[0].rows_A if self._inherits else _NOTHING

    def open(self, *, at_once: bool) -> bool:
        """Let the workers fill the window; False where there is no memory for it yet."""
        feeding = self._epoch.feeding
        arena = feeding.arenas.take(self._epoch.capacity, at_once=at_once)
        if arena is None:
            return False
        rows = sum(len(rows) for rows, _ in self._wanted)
        arena.begin(self.window.steps, feeding.shard, first_step=self._first_step, rows=rows)
        self._arena = arena
        self._opened.set()
        return True

    @cached_property
    def _pieces(self) -> list[Piece]:
        """The row groups that the window's rows lie in."""
        return list(cut_pieces(self.window, self._epoch.row_groups, self._epoch.ends))

    @cached_property
    def _wanted(self) -> list[Places]:
        """The rows of each piece that this rank wants, by their numbers in the row group, and their slots."""
        places = self._place_rows()
        ends = np.searchsorted(places.rows_A, [piece.stop for piece in self._pieces]).tolist()
        return [
            self._pick_rows(piece, places.rows_A[start:stop], places.slots_A[start:stop])
            for piece, (start, stop) in zip(self._pieces, pairwise([0, *ends]), strict=True)
        ]

    def _place_rows(self) -> Places:
        epoch, window = self._epoch, self.window
        shard, settings = epoch.feeding.shard, epoch.feeding.settings
        if self._sampling:
            values_N = np.concatenate([self._values[turn] for turn in range(len(self._pieces))])
            places = sample_rows(window, values_N, shard, epoch.random, epoch.number, self._sampling)
        else:
            places = place_rows(window, shard, epoch.random, epoch.number, settings.mixing)
        if settings.remainder == "wrap" and isinstance(self._sampling, Together | None):
            repeated = repeat_rows(window, shard, epoch.random, epoch.number)
            places = sort_places(*map(np.concatenate, zip(places, repeated, strict=True)))
        is_wanted = places.slots_A >= self._first_step * shard.batch_size
        return Places(places.rows_A[is_wanted], places.slots_A[is_wanted])

    def _pick_rows(self, piece: Piece, places_A: Integers, slots_A: Integers) -> Places:
        """The rows of a row group that have these places in the window."""
        epoch = self._epoch
        rows_A = places_A - piece.start + piece.first_row
        if epoch.feeding.settings.mixing != "window" or self._sampling or not len(rows_A):
            return Places(rows_A, slots_A)
        rows = epoch.feeding.plan.row_groups[piece.row_group].rows
        places = epoch.random.at(Stream.ROWS_OF_ROW_GROUP, epoch.number, piece.row_group).permutation(rows)
        if np.array_equal(rows_A, np.arange(rows)):
            return Places(rows_A, slots_A[places])
        return sort_places(np.argsort(places)[rows_A], slots_A)

    def _read_values(self, turn: int) -> None:
        piece = self._pieces[turn]
        assert self._sampling, "values are read for a sampling only"
        column = self._epoch.read(piece.row_group, [self._sampling.column]).column(0)
        values = read_values(self._sampling, column)
        self._values[turn] = values[piece.first_row : piece.first_row + piece.stop - piece.start]

    def _fill(self, turn: int) -> None:
        """Put a piece's rows where they belong, and hand on those that belong to the next window."""
        self._opened.wait()
        if self._epoch.is_stopped:
            return
        rows, slots = self._wanted[turn]
        heir = self._next if turn == len(self._pieces) - 1 else None
        of_heir = heir.prepare() if heir else _NOTHING
        columns = self._inherited.get() if turn == 0 and self._inherits else None
        # A window in which this rank has no row still needs a row group that tells the shapes.
        is_wanted = len(rows) > 0 or (turn == 0 and not any(len(rows) for rows, _ in self._wanted))
        if columns is None and (is_wanted or len(of_heir)) and not self._epoch.is_stopped:
            read = np.sort(np.concatenate([rows, of_heir])) if len(of_heir) else rows
            columns = self._epoch.convert(self._pieces[turn].row_group, read)
            if heir and len(of_heir):
                heir._inherited.put(_take(columns, np.searchsorted(read, of_heir)))
                columns = _take(columns, np.searchsorted(read, rows))
        if heir and not len(of_heir):
            heir._inherited.put(None)
        # A window that is full may be handed out and closed before those of its tasks end that had no row for it.
        if columns is not None and is_wanted and self._arena:
            self._arena.put(slots, columns)
        if turn == len(self._pieces) // 2 and self._next:
            # Long before the other workers ask where the next window's rows go, and would have to wait for it.
            self._next.prepare()

    def take_batches(self) -> Iterator[Batch]:
        """The batches of a full window."""
        assert self._arena, "a full window has memory"
        return self._arena.take_batches()

    def wake(self) -> None:
        """Let waiting workers see that reading has stopped."""
        self._opened.set()
        self._inherited.put(None)

    def close(self) -> None:
        """Give back the memory, also of batches that nobody asked for."""
        if self._arena:
            self._arena.abandon()
            self._arena = None
        self.__dict__.pop("_wanted", None)


def _take(columns: Columns, rows: Integers) -> Columns:
    return {name: take_rows(column, rows) for name, column in columns.items()}


class _Task(NamedTuple):
    """Something to do with one row group."""

    row_group: int
    work: Callable[[], None]

    def run(self) -> None:
        """Do it."""
        self.work()
