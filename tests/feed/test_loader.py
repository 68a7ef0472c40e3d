"""Whole epochs over real tables: every row exactly once, on any number of ranks."""

import tempfile
from pathlib import Path

import pytest
from feed_tables import feed_epoch, make_loader, no_thread_left, write_row_groups
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.feed.order import Shard, Shuffle
from kinfolk.feed.snapshot import FeedPlan
from kinfolk.settings import FeedSettings


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    size=st.integers(1, 5),
    batch_size=st.integers(1, 40),
    workers=st.integers(1, 3),
    window=st.integers(1, 3),
    keep_together=st.sampled_from([None, "subject_id"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_exactly_once_per_epoch(sizes, size, batch_size, workers, window, keep_together):
    with tempfile.TemporaryDirectory() as folder, no_thread_left():
        plan = write_row_groups(f"{folder}/table", sizes, rows_per_subject=2)
        shuffle = Shuffle(seed=5, keep_together=keep_together)
        options = FeedSettings(workers=workers, window_row_groups=window)
        loaders = [make_loader(plan, Shard(rank, size, batch_size), shuffle, options) for rank in range(size)]
        for epoch in (0, 1):
            fed = [row for loader in loaders for row in feed_epoch(loader, epoch)]
            assert sorted(fed) == list(range(sum(sizes)))
        assert len({loader.steps_per_epoch for loader in loaders}) == 1


@pytest.fixture
def plan(tmp_path: Path) -> FeedPlan:
    return write_row_groups(str(tmp_path / "table"), [20, 7, 33, 12], rows_per_subject=2)


def digest(plan: FeedPlan, epoch: int, *, seed: int = 0, workers: int = 1) -> str:
    loader = make_loader(plan, Shard(0, 2, 8), Shuffle(seed), FeedSettings(workers=workers))
    feed_epoch(loader, epoch)
    return loader.numbers.digest


def test_the_order_depends_on_seed_and_epoch_and_not_on_workers(plan):
    assert digest(plan, 3) == digest(plan, 3, workers=3) == digest(FeedPlan.from_json(plan.to_json()), 3)
    assert len({digest(plan, 3), digest(plan, 4), digest(plan, 3, seed=1)}) == 3


def test_both_rows_of_a_subject_are_in_one_batch_except_at_its_ends(plan):
    loader = make_loader(plan, Shard(0, 1, 10), Shuffle(0, keep_together="subject_id"))
    fed = feed_epoch(loader, 0)
    neighbours = sum(abs(fed.index(row) - fed.index(row + 1)) == 1 for row in range(0, 72, 2))
    assert neighbours == 36
    assert fed != sorted(fed)


def test_more_ranks_than_rows_pad_and_keep_step(tmp_path):
    plan = write_row_groups(str(tmp_path / "table"), [2])
    loaders = [make_loader(plan, Shard(rank, 5, 3)) for rank in range(5)]
    assert sorted(row for loader in loaders for row in feed_epoch(loader, 0)) == [0, 1]
    assert [loader.numbers.batches for loader in loaders] == [1] * 5


def test_numbers_tell_what_was_read(plan):
    loader = make_loader(plan, Shard(0, 1, 16))
    feed_epoch(loader, 0)
    assert loader.numbers.rows == plan.rows == 72
    assert loader.numbers.bytes > 72 * 8
    assert loader.numbers.wait_seconds > 0


def test_a_broken_off_epoch_leaves_no_thread_and_the_next_is_whole(plan):
    loader = make_loader(plan, Shard(0, 1, 4), settings=FeedSettings(workers=3))
    with no_thread_left():
        for _ in loader.epoch(0):
            break
        assert sorted(feed_epoch(loader, 1)) == list(range(72))


def test_columns_that_are_not_there_are_named(plan):
    with pytest.raises(DataError, match=r"no column subject; it has id, subject_id, tokens"):
        make_loader(plan, Shard(0, 1, 4), Shuffle(0, keep_together="subject"))
