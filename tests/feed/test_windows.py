"""The memory of windows: rows in their places, used again only when nobody holds them."""

import gc

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.feed.order import Shard
from kinfolk.feed.windows import Arena, Arenas, take_rows
from kinfolk.tensors import Dense, Ragged, numbers, ragged

LISTS = st.lists(st.none() | st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=10)


def columns_of(lists: list[list[int] | None]) -> dict[str, Dense | Ragged]:
    """A column of list lengths, -1 for null, and the lists."""
    lengths = pa.array([None if values is None else len(values) for values in lists], pa.int64())
    return {"length": numbers(lengths), "list": ragged(pa.array(lists, pa.list_(pa.int64())))}


def rows_of(columns: dict[str, Dense | Ragged]) -> list[list[int] | None]:
    """The lists, each of which has to agree with its length."""
    length, lists = columns["length"], columns["list"]
    assert isinstance(length, Dense)
    assert isinstance(lists, Ragged)
    assert lists.offsets_B1.dtype is torch.int64
    ends = lists.offsets_B1.tolist()
    found = [
        lists.values_T[start:stop].tolist() if is_present else None
        for start, stop, is_present in zip(ends[:-1], ends[1:], lists.is_present_B.tolist(), strict=True)
    ]
    assert length.is_present_B.tolist() == lists.is_present_B.tolist()
    assert length.values_B.tolist() == [0 if values is None else len(values) for values in found]
    return found


def fill(arena: Arena, placed: dict[int, list[int] | None], *, steps: int, size: int) -> list[list[int] | None]:
    """Fill a window and read it to its end."""
    arena.begin(steps, Shard(0, 1, size), first_step=0, rows=len(placed))
    slots = list(placed)
    for part in (slots[::2], slots[1::2]):
        if part or not slots:
            arena.put(np.array(part, dtype=np.int64), columns_of([placed[slot] for slot in part] or [[1]][:0]))
    assert arena.is_complete
    return [row for batch in arena.take_batches() for row in rows_of(batch.columns)]


@given(LISTS, LISTS, st.randoms(use_true_random=False))
def test_rows_stand_where_they_are_put_and_empty_places_are_empty(first, second, chance):
    arena = Arena(24, is_pinned=False)
    for lists in (first, second):
        slots = chance.sample(range(12), len(lists))
        placed = dict(zip(slots, lists, strict=True))
        assert fill(arena, placed, steps=3, size=4) == [placed.get(slot) for slot in range(12)]


def test_places_without_a_row_take_up_no_memory():
    arena = Arena(1 << 24, is_pinned=False)
    process = psutil.Process()
    before = process.memory_info().rss
    assert fill(arena, {1: [7]}, steps=2, size=2) == [None, [7], None, None]
    assert process.memory_info().rss - before < 32 << 20


def test_what_a_broken_off_window_left_is_forgotten():
    arena = Arena(4, is_pinned=False)
    arena.begin(2, Shard(0, 1, 2), first_step=0, rows=4)
    arena.put(np.array([0, 3]), columns_of([[1, 2], [3]]))
    arena.abandon()
    assert fill(arena, {1: [7]}, steps=2, size=2) == [None, [7], None, None]


def test_two_rows_for_one_place_are_refused():
    arena = Arena(4, is_pinned=False)
    arena.begin(2, Shard(0, 1, 2), first_step=0, rows=4)
    arena.put(np.array([0, 3]), columns_of([[1, 2], [3]]))
    with pytest.raises(DataError, match="taken"):
        arena.put(np.array([3]), columns_of([[3]]))


def test_memory_is_used_again_when_the_last_tensor_is_gone():
    arenas = Arenas(is_pinned=False)
    arena = arenas.take(4, at_once=False)
    assert arena is not None
    arena.begin(1, Shard(0, 1, 4), first_step=0, rows=1)
    arena.put(np.array([2]), columns_of([[5, 6]]))
    kept = [batch.columns["length"].values_B[1:] for batch in arena.take_batches()]
    gc.collect()
    assert not arena.is_free
    other = arenas.take(4, at_once=False)
    assert other is not None
    assert other is not arena
    other.begin(1, Shard(0, 1, 4), first_step=0, rows=1)
    assert arenas.take(4, at_once=False) is None
    assert kept[0].tolist() == [0, 2, 0]
    kept.clear()
    assert arenas.take(4, at_once=False) is arena


def test_what_the_caller_keeps_is_not_waited_for():
    arenas = Arenas(is_pinned=False)
    for _ in range(3):
        arena = arenas.take(4, at_once=True)
        assert arena is not None
        arena.begin(1, Shard(0, 1, 4), first_step=0, rows=4)
        assert arenas.take(4, at_once=True) is not arena


@given(LISTS, st.data())
def test_taken_rows_are_those_asked_for(lists, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=12)), dtype=np.int64)
    taken = {name: take_rows(column, rows) for name, column in columns_of(lists).items()}
    assert rows_of(taken) == [lists[row] for row in rows]


def test_bfloat16_is_carried():
    column = Dense(torch.arange(6).view(3, 2).to(torch.bfloat16), torch.ones(3, dtype=torch.bool))
    taken = take_rows(column, np.array([2, 0]))
    assert isinstance(taken, Dense)
    assert taken.values_B.dtype is torch.bfloat16
    assert taken.values_B.tolist() == [[4, 5], [0, 1]]
    arena = Arena(2, is_pinned=False)
    arena.begin(1, Shard(0, 1, 2), first_step=0, rows=2)
    arena.put(np.array([1, 0]), {"x": taken})
    (batch,) = arena.take_batches()
    assert batch.columns["x"].values_B.tolist() == [[0, 1], [4, 5]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.bfloat16, torch.float64])
def test_lists_of_any_kind_of_number_are_taken(dtype):
    column = Ragged(torch.tensor([1, 0, 3], dtype=dtype), torch.tensor([0, 1, 1, 3]), torch.ones(3, dtype=torch.bool))
    taken = take_rows(column, np.array([2, 1, 0, 2]))
    assert isinstance(taken, Ragged)
    assert taken.offsets_B1.tolist() == [0, 2, 2, 3, 5]
    assert torch.equal(taken.values_T, torch.tensor([0, 3, 1, 0, 3], dtype=dtype))


def test_lists_of_other_numbers_than_before_are_refused():
    arena = Arena(2, is_pinned=False)
    arena.begin(1, Shard(0, 1, 2), first_step=0, rows=2)
    arena.put(np.array([0]), {"x": ragged(pa.array([[1, 2]], pa.list_(pa.int32())))})
    with pytest.raises(DataError, match=r"lists of torch\.int64 came, .* had lists of torch\.int32"):
        arena.put(np.array([1]), {"x": ragged(pa.array([[3]], pa.list_(pa.int64())))})
