"""Who reads what: every row once, equal steps, units together, a new order each epoch."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.errors import SettingsError
from kinfolk.feed.order import Portion, Shard, Shuffle, count_steps, cut_windows, deal_portions, shuffle_rows
from kinfolk.feed.windows import PLACE, WindowMixer

ROW_COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def mix(row_counts: list[int], shard: Shard, shuffle: Shuffle, epoch: int, window: int) -> list[list[int]]:
    """The rank's batches of plan-wide row numbers, without any file."""
    firsts = np.cumsum([0, *row_counts])
    portions = deal_portions(row_counts, shard, shuffle, epoch)
    groups = (pa.table({"subject": (firsts[p.row_group] + np.arange(row_counts[p.row_group])) // 3}) for p in portions)
    windows = cut_windows(portions, row_counts, max_row_groups=window, max_bytes=60)
    batches = WindowMixer(shard, shuffle, epoch, row_counts).batches(groups, windows)
    return [batch.column(PLACE).to_pylist() for batch in batches]


@given(ROW_COUNTS, st.integers(1, 7), st.integers(1, 50), st.integers(-5, 5), st.integers(0, 3), st.integers(1, 4))
def test_every_row_comes_once_in_equal_steps(row_counts, size, batch_size, seed, epoch, window):
    shuffle = Shuffle(seed, keep_together="subject")
    shards = [Shard(rank, size, batch_size) for rank in range(size)]
    ranks = [mix(row_counts, shard, shuffle, epoch, window) for shard in shards]
    rows = sum(row_counts)
    assert sorted(row for batches in ranks for batch in batches for row in batch) == list(range(rows))
    assert {count_steps(rows, shard) for shard in shards} == {max(map(len, ranks))}
    shares = [sum(map(len, batches)) for batches in ranks]
    assert max(shares) - min(shares) <= 1
    assert all(len(batch) == batch_size for batches in ranks for batch in batches[:-1])


@given(st.lists(st.integers(-1, 6), max_size=60), st.integers(0, 1000))
def test_a_shuffle_permutes_and_keeps_units_together(units, seed):
    order = shuffle_rows(np.array(units, dtype=np.int64), np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(units)))
    came = [units[row] for row in order]
    for unit in set(units) - {-1}:
        places = [place for place, other in enumerate(came) if other == unit]
        assert places == list(range(places[0], places[0] + len(places)))


def test_rows_of_no_unit_are_spread():
    units = np.array([-1] * 500 + [7] * 4, dtype=np.int64)
    order = shuffle_rows(units, np.random.default_rng(0))
    alone = order[units[order] < 0]
    assert np.abs(np.diff(alone)).mean() > 100


def test_each_order_of_units_is_as_likely_as_any_other():
    units = np.array([0, 0, 1, 2], dtype=np.int64)
    came = [tuple(dict.fromkeys(units[shuffle_rows(units, np.random.default_rng(n))].tolist())) for n in range(3000)]
    counts = {order: came.count(order) for order in set(came)}
    assert len(counts) == 6
    assert all(400 < count < 600 for count in counts.values())


def test_epochs_and_seeds_differ_and_repeat():
    shard = Shard(0, 1, 16)
    first = mix([30, 30, 30], shard, Shuffle(1), 1, 2)
    assert first == mix([30, 30, 30], shard, Shuffle(1), 1, 2)
    assert first != mix([30, 30, 30], shard, Shuffle(1), 2, 2)
    assert first != mix([30, 30, 30], shard, Shuffle(2), 1, 2)


def test_each_epoch_has_a_new_order_of_row_groups_and_of_rows():
    shard, shuffle = Shard(0, 1, 40), Shuffle(0)
    of_groups = {tuple(p.row_group for p in deal_portions([5] * 10, shard, shuffle, epoch)) for epoch in range(4)}
    of_rows = {tuple(mix([40], shard, shuffle, epoch, 1)[0]) for epoch in range(4)}
    assert len(of_groups) == len(of_rows) == 4


def test_ranks_that_share_a_row_group_do_not_keep_their_rows():
    shard = Shard(0, 2, 10)
    halves = [frozenset(row for batch in mix([40], shard, Shuffle(0), epoch, 1) for row in batch) for epoch in range(4)]
    assert all(len(half) == 20 for half in halves)
    assert len(set(halves)) == 4


def test_one_rank_reads_few_row_groups_of_many():
    portions = [deal_portions([10] * 64, Shard(rank, 4, 8), Shuffle(3), 0) for rank in range(4)]
    assert sum(map(len, portions)) <= 64 + 3


@given(ROW_COUNTS, st.integers(1, 5), st.integers(1, 100))
def test_windows_hold_no_more_than_allowed(sizes, max_row_groups, max_bytes):
    portions = [Portion(number, 0, size) for number, size in enumerate(sizes)]
    windows = cut_windows(portions, sizes, max_row_groups=max_row_groups, max_bytes=max_bytes)
    assert [portion for window in windows for portion in window] == portions
    for window in windows:
        assert 1 <= len(window) <= max_row_groups
        assert len(window) == 1 or sum(sizes[portion.row_group] for portion in window) <= max_bytes
    for window, following in pairwise(windows):
        grown = [*window, following[0]]
        assert len(grown) > max_row_groups or sum(sizes[portion.row_group] for portion in grown) > max_bytes


@pytest.mark.parametrize(("rank", "size", "batch_size"), [(2, 2, 1), (-1, 2, 1), (0, 1, 0)])
def test_impossible_shards_are_refused(rank, size, batch_size):
    with pytest.raises(SettingsError, match="rank < size"):
        Shard(rank, size, batch_size)
