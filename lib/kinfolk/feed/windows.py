"""The memory of a window: worker threads put rows where their batches want them, and batches are views of it.

A row is copied once, from where it was decoded to its place in its batch. The memory of a window serves another one as
soon as nobody holds a tensor of it.

Shapes: B rows of a batch, T values of all rows together, C places of a rank in a window.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kinfolk.errors import DataError
from kinfolk.feed.batches import Batch, make_batch
from kinfolk.feed.order import Integers, Shard
from kinfolk.tensors import Column, Columns, Dense, Ragged

Array = np.ndarray[Any, Any]


def take_rows(column: Column, rows: Integers) -> Column:
    """A copy of some rows of a column, in the order asked for."""
    is_present_B = column.is_present_B[rows]
    if isinstance(column, Dense):
        taken = torch.from_numpy(_bits(column.values_B).take(rows, axis=0))
        return Dense(taken.view(column.values_B.dtype), is_present_B)
    values_T, offsets_B1 = _take_lists([column], rows)
    return Ragged(values_T, torch.from_numpy(offsets_B1), is_present_B)


def _take_lists(columns: Sequence[Ragged], rows: Integers) -> tuple[torch.Tensor, Integers]:
    """Some lists of columns, one after the other, and their offsets; the number after the last list is an empty one.

    Arrow takes them as strings of bytes: a copy a list, where indices of values would be a look-up each, and other
    threads run meanwhile.
    """
    dtype = columns[0].values_T.dtype
    starts = [column.offsets_B1.numpy()[:-1] for column in columns]
    counts = np.array([len(column.values_T) for column in columns])
    ends = np.cumsum(counts)
    offsets = np.concatenate([*map(np.add, starts, ends - counts), ends[-1:], ends[-1:]]) * dtype.itemsize
    values = np.concatenate([column.values_T.view(torch.uint8).numpy() for column in columns])
    lists = pa.Array.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    )
    _, taken_offsets, taken_values = lists.take(pa.array(rows)).buffers()
    taken_B1 = np.frombuffer(taken_offsets, np.int64, len(rows) + 1)
    bytes_T = torch.from_numpy(np.frombuffer(taken_values, np.uint8, int(taken_B1[-1])))
    return bytes_T.view(dtype), taken_B1 // dtype.itemsize


def _bits(values: torch.Tensor) -> Array:
    """A tensor as an array in the same memory; NumPy has no bfloat16."""
    bits: Array = (values.view(torch.int16) if values.dtype is torch.bfloat16 else values).numpy()
    return bits


def _words(values: torch.Tensor) -> Array:
    """The rows of a tensor in the same memory, in words of eight bytes where they allow it: fewer moves to copy one."""
    bits = _bits(values)
    row_bytes = math.prod(bits.shape[1:]) * bits.itemsize
    if bits.ndim == 1 or row_bytes % 8:
        return bits
    return bits.reshape(len(bits), row_bytes // bits.itemsize).view(np.int64)


@dataclass
class _RaggedParts:
    """The lists of a window as they came, until all of them are there."""

    parts: list[tuple[Integers, Ragged]] = field(default_factory=list)

    def put(self, slots: Integers, column: Ragged) -> None:
        """Keep the lists of rows that belong into these places."""
        if self.parts and (before := self.parts[0][1].values_T.dtype) is not column.values_T.dtype:
            raise DataError(f"lists of {column.values_T.dtype} came, where rows before them had lists of {before}")
        self.parts.append((slots, column))

    def assemble(self, places: int, batch_size: int) -> list[Ragged]:
        """Put the lists in the order of their places, an empty one where there is no row, and cut them into batches."""
        slots = np.concatenate([slots for slots, _ in self.parts])
        is_present = np.zeros(places, dtype=bool)
        is_present[slots] = np.concatenate([part.is_present_B.numpy() for _, part in self.parts])
        rows = np.full(places, len(slots))
        rows[slots] = np.arange(len(slots))
        values_T, offsets = _take_lists([part for _, part in self.parts], rows)
        self.parts.clear()
        all_present = torch.from_numpy(is_present)
        batches = []
        for start in range(0, places, batch_size):
            stop = start + batch_size
            first, last = int(offsets[start]), int(offsets[stop])
            offsets_B1 = torch.from_numpy(offsets[start : stop + 1] - first)
            batches.append(Ragged(values_T[first:last], offsets_B1, all_present[start:stop]))
        return batches


@dataclass
class _Dense:
    """A value for each place, and the places of nulls as they came."""

    values: torch.Tensor
    nulls: list[Integers] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bits = _bits(self.values)
        self._words = _words(self.values)

    def put(self, slots: Integers, column: Dense) -> None:
        if column.values_B.shape[1:] != self.values.shape[1:] or column.values_B.dtype != self.values.dtype:
            raise DataError(
                f"{list(column.values_B.shape[1:])} {column.values_B.dtype} came for each row, where rows before it "
                f"had {list(self.values.shape[1:])} {self.values.dtype}"
            )
        self._words[slots] = _words(column.values_B)
        is_present = column.is_present_B.numpy()
        if not is_present.all():
            self.nulls.append(slots[~is_present])

    def find_present(self, is_filled: Array) -> Array:
        """Which places hold a value: the same array where all rows do."""
        if not self.nulls:
            return is_filled
        is_present = is_filled.copy()
        is_present[np.concatenate(self.nulls)] = False
        return is_present


class Arena:
    """Memory for one window of one rank at a time, `capacity` rows of it; workers fill it, one thread reads it."""

    def __init__(self, capacity: int, *, is_pinned: bool) -> None:
        self.capacity = capacity
        self._is_pinned = is_pinned
        self._lock = threading.Lock()
        self._dense: dict[str, _Dense] = {}
        self._ragged: dict[str, _RaggedParts] = {}
        self._is_filled = np.zeros(0, dtype=bool)
        self._missing = 0
        self._shard = Shard(0, 1, 1)
        self._first_step = 0
        self._batches: deque[Batch] = deque()
        self._lent: deque[weakref.ref[Array]] = deque()
        self._is_wanted = False
        self.is_complete = False

    @property
    def is_free(self) -> bool:
        """Whether no batch is wanted any more, and no tensor of any is alive."""
        while self._lent and self._lent[0]() is None:
            self._lent.popleft()
        return not self._is_wanted and not self._lent

    def begin(self, steps: int, shard: Shard, *, first_step: int, rows: int) -> None:
        """Make ready for a shard's rows of so many steps, of which those before `first_step` are not wanted."""
        self._shard, self._first_step = shard, first_step
        self._is_filled = np.zeros(steps * shard.batch_size, dtype=bool)
        self._missing = rows
        self._is_wanted = True
        for parts in self._ragged.values():
            parts.parts.clear()
        for dense in self._dense.values():
            dense.nulls.clear()
        self.is_complete = False

    def put(self, slots: Integers, columns: Mapping[str, Column]) -> None:
        """Put the rows of `columns` into places; called by several threads for different places.

        Raises DataError where a row comes for a place that has one, or is of another shape than those before it.
        """
        with self._lock:
            self._allocate(columns)
            if self._is_filled[slots].any():
                raise DataError("a row came for a place that is taken")
            self._is_filled[slots] = True
            for name, column in columns.items():
                if isinstance(column, Ragged):
                    self._ragged[name].put(slots, column)
        for name, column in columns.items():
            if isinstance(column, Dense):
                self._dense[name].put(slots, column)
        with self._lock:
            self._missing -= len(slots)
            is_last = not self._missing and not self.is_complete
        if is_last:
            self._finish()

    def _allocate(self, columns: Mapping[str, Column]) -> None:
        for name, column in columns.items():
            if isinstance(column, Ragged):
                self._ragged.setdefault(name, _RaggedParts())
            elif name not in self._dense:
                shape = (self.capacity, *column.values_B.shape[1:])
                # Places that no window needs stay untouched, and take up no memory.
                values = torch.empty(shape, dtype=column.values_B.dtype, pin_memory=self._is_pinned)
                self._dense[name] = _Dense(values)

    def _finish(self) -> None:
        """Make the batches, all at once and in a worker's thread: the trainer's has only to take them."""
        size, places = self._shard.batch_size, len(self._is_filled)
        empty = np.flatnonzero(~self._is_filled)
        is_present = {}
        for name, dense in self._dense.items():
            dense.bits[empty] = 0
            is_present[name] = torch.from_numpy(dense.find_present(self._is_filled))
        is_row = torch.from_numpy(self._is_filled)
        ragged = {name: parts.assemble(places, size) for name, parts in self._ragged.items()}
        for step in range(self._first_step, places // size):
            part = slice(step * size, (step + 1) * size)
            columns: Columns = {name: lists[step] for name, lists in ragged.items()}
            for name, dense in self._dense.items():
                columns[name] = Dense(self._lend(dense, part), is_present[name][part])
            self._batches.append(make_batch(columns, is_row[part], self._shard))
        self.is_complete = True

    def _lend(self, dense: _Dense, part: slice) -> torch.Tensor:
        """A batch's part of the memory; the tensor and all that share its memory keep the array alive."""
        array = dense.bits[part]
        self._lent.append(weakref.ref(array))
        tensor = torch.from_numpy(array)
        return tensor if tensor.dtype is dense.values.dtype else tensor.view(dense.values.dtype)

    def take_batches(self) -> Iterator[Batch]:
        """The batches of a complete window, each once."""
        while self._batches:
            batch = self._batches.popleft()
            self._is_wanted = bool(self._batches)
            yield batch
            del batch

    def abandon(self) -> None:
        """Nobody wants the batches that are left."""
        self._batches.clear()
        self._is_wanted = False


class Arenas:
    """The memory of two windows, used again and again; more only while the caller keeps batches."""

    def __init__(self, *, is_pinned: bool) -> None:
        self._is_pinned = is_pinned
        self._arenas: list[Arena] = []

    def take(self, capacity: int, *, at_once: bool) -> Arena | None:
        """Memory for so many rows that nobody uses; None where two are in use, unless it is needed `at_once`."""
        for arena in self._arenas:
            if arena.is_free and arena.capacity >= capacity:
                return arena
        in_use = [arena for arena in self._arenas if not arena.is_free]
        if len(in_use) >= 2 and not at_once:
            return None
        arena = Arena(capacity, is_pinned=self._is_pinned)
        # What is too small for this epoch, and what the caller keeps, is forgotten here.
        self._arenas = [*in_use[-1:], arena]
        return arena
