"""Whole epochs over real tables: every row exactly once, the same batches on any number of ranks, and no trace left."""

import gc
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import DeltaTable, WriterProperties, write_deltalake
from feed_tables import (
    RECIPE,
    check_batch,
    digest_ranks,
    feed_epoch,
    make_loader,
    make_rows,
    no_thread_left,
    seeded,
    write_row_groups,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError, SettingsError
from kinfolk.feed.epoch import Epoch
from kinfolk.feed.order import Shard
from kinfolk.feed.recipe import Recipe
from kinfolk.feed.row_groups import RowGroupReader
from kinfolk.feed.sampling import PerClass, Together, Weighted
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings
from kinfolk.tensors import Dense, numbers, vectors

OPTIONS = st.builds(
    FeedSettings,
    workers=st.integers(1, 3),
    window_row_groups=st.integers(1, 4),
    mixing=st.sampled_from(["window", "row_groups", "none"]),
    remainder=st.sampled_from(["pad", "drop", "wrap"]),
)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    batch=st.integers(1, 60),
    options=OPTIONS,
    sampling=st.sampled_from([None, Together("subject_id")]),
    data=st.data(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_epochs_are_exact_and_the_same_on_any_number_of_ranks(sizes, batch, options, sampling, data):
    rows = sum(sizes)
    if options.remainder == "drop":
        batch = min(batch, rows)
    recipe = replace(RECIPE, sampling=sampling)
    with tempfile.TemporaryDirectory() as folder, no_thread_left():
        plan = write_row_groups(f"{folder}/table", sizes, rows_per_subject=2)
        digests = []
        for size in (1, 2, 3, 4):
            loaders = [make_loader(plan, Shard(rank, size, batch), recipe, options) for rank in range(size)]
            fed = [row for loader in loaders for row in feed_epoch(loader, 1)]
            check_epoch(fed, rows, batch, options)
            digests.append(digest_ranks(loaders, 1))
            assert {loader.numbers.batches for loader in loaders} == {loaders[0].steps_per_epoch}
        assert digests[1:] == digests[:1] * 3
        step = data.draw(st.integers(0, len(digests[0]) - 1))
        size = data.draw(st.integers(1, 4))
        assert resumed(plan, recipe, options, Shard(0, size, batch), step) == digests[0][step:]


def check_epoch(fed: list[int], rows: int, batch: int, options: FeedSettings) -> None:
    if options.remainder == "pad":
        assert sorted(fed) == list(range(rows))
    elif options.remainder == "drop":
        assert len(fed) == len(set(fed)) == rows // batch * batch
    else:
        assert set(fed) == set(range(rows))
        assert len(fed) == -(-rows // batch) * batch


def resumed(plan: FeedPlan, recipe: Recipe, options: FeedSettings, shard: Shard, step: int) -> list[int]:
    """The digests of an epoch that goes on at a step, on as many ranks as the shard has."""
    loaders = [make_loader(plan, replace(shard, rank=rank), recipe, options) for rank in range(shard.size)]
    for loader in loaders:
        loader.load_state({**loader.state(), "epoch": 1, "step": step})
    return digest_ranks(loaders, 1)


def test_a_thousand_epochs_feed_every_row_exactly_once(tmp_path):
    """Tables, row groups, windows, workers and ranks at random: what no hand-written case thinks of."""
    chance = random.Random(11)
    epochs = 0
    for number in range(20):
        plan = write_random_table(str(tmp_path / f"{number}"), chance)
        for _ in range(5):
            size, batch = chance.choice([1, 1, 1, 2, 3, 5]), chance.randint(1, 90)
            options = FeedSettings(workers=chance.randint(1, 4), window_row_groups=chance.randint(1, 6))
            loaders = [make_loader(plan, Shard(rank, size, batch), settings=options) for rank in range(size)]
            for epoch in range(1, 11):
                fed: list[int] = []
                for loader in loaders:
                    for one in loader.epoch(epoch):
                        ids = one.columns["id"]
                        assert isinstance(ids, Dense)
                        fed += ids.values_B[one.is_row_B].tolist()
                assert sorted(fed) == list(range(plan.rows))
                epochs += 1
    assert epochs == 1000


def write_random_table(path: str, chance: random.Random) -> FeedPlan:
    first = 0
    for _ in range(chance.randint(1, 3)):
        count = chance.randint(1, 50)
        properties = WriterProperties(max_row_group_size=chance.choice([10, 20, 60]))
        rows = make_rows(range(first, first + count))
        write_deltalake(path, rows, mode="append", writer_properties=properties)
        first += count
    return plan_row_groups(pin_snapshot(path))


@pytest.fixture
def plan(tmp_path: Path) -> FeedPlan:
    return write_row_groups(str(tmp_path / "table"), [20, 7, 33, 12], rows_per_subject=2)


def digests(plan: FeedPlan, epoch: int, *, seed: int = 0, **options) -> list[int]:
    return digest_ranks([make_loader(plan, Shard(0, 1, 8), seeded(seed), FeedSettings(**options))], epoch)


def test_the_order_depends_on_seed_epoch_and_window_and_not_on_workers(plan):
    assert digests(plan, 3) == digests(plan, 3, workers=3) == digests(FeedPlan.from_json(plan.to_json()), 3)
    others = [digests(plan, 4), digests(plan, 3, seed=1), digests(plan, 3, window_row_groups=2)]
    assert len({tuple(found) for found in [digests(plan, 3), *others]}) == 4


def test_a_digest_stands_for_ids_and_their_places(plan):
    assert len(set(digests(plan, 1))) == len(digests(plan, 1))
    loader = make_loader(plan, Shard(0, 1, 8), replace(RECIPE, id_column=None))
    feed_epoch(loader, 1)
    assert set(loader.numbers.digests) == {0}


@pytest.mark.parametrize("size", [1, 3])
def test_unmixed_rows_come_in_the_order_of_the_table(plan, size):
    reader = RowGroupReader(plan)
    table = [row for group in range(len(plan.row_groups)) for row in reader.read(group, ["id"])["id"].to_pylist()]
    options = FeedSettings(mixing="none", window_row_groups=2)
    loaders = [make_loader(plan, Shard(rank, size, 12), settings=options) for rank in range(size)]
    steps = zip(*(loader.epoch(1) for loader in loaders), strict=True)
    assert [row for step in steps for batch in step for row in check_batch(batch)] == table


def test_a_state_is_small_json_and_belongs_to_one_feed(plan):
    loader = make_loader(plan, Shard(0, 1, 8))
    batches = loader.epoch(2)
    for _ in range(3):
        next(batches)
    batches.close()
    state = json.loads(json.dumps(loader.state()))
    assert (state["epoch"], state["step"]) == (2, 3)
    assert len(json.dumps(state)) < 200
    with pytest.raises(DataError, match="global batch"):
        make_loader(plan, Shard(0, 1, 9)).load_state(state)
    make_loader(plan, Shard(1, 4, 8), settings=FeedSettings(workers=2)).load_state(state)


def test_going_on_reads_no_window_that_is_over(tmp_path):
    plan = write_row_groups(str(tmp_path / "table"), [10] * 12)
    settings = FeedSettings(window_row_groups=1)
    whole, rest = (make_loader(plan, Shard(0, 1, 8), settings=settings) for _ in range(2))
    feed_epoch(whole, 1)
    rest.load_state({**rest.state(), "epoch": 1, "step": whole.steps_per_epoch - 1})
    feed_epoch(rest, 1)
    assert rest.numbers.bytes < whole.numbers.bytes / 2
    assert len(feed_epoch(rest, 2)) == 120


def test_both_rows_of_a_subject_follow_each_other(plan):
    fed = feed_epoch(make_loader(plan, Shard(0, 1, 10), replace(RECIPE, sampling=Together("subject_id"))), 1)
    neighbours = sum(abs(fed.index(row) - fed.index(row + 1)) == 1 for row in range(0, 72, 2))
    assert neighbours == 36
    assert fed != sorted(fed)


def test_batches_of_classes_hold_as_many_rows_of_each(tmp_path):
    labels = np.repeat(np.arange(12), 10)
    write_deltalake(str(tmp_path / "t"), pa.table({"id": np.arange(120), "label": labels}))
    plan = plan_row_groups(pin_snapshot(str(tmp_path / "t")))
    for size in (1, 3):
        parts = []
        for rank in range(size):
            recipe = Recipe({"label": numbers}, seed=1, sampling=PerClass("label", 4))
            loader = make_loader(plan, Shard(rank, size, 24), recipe)
            parts.append([batch.columns["label"].values_B.tolist() for batch in loader.epoch(1)])
        for step in zip(*parts, strict=True):
            _, counts = np.unique(np.concatenate(step), return_counts=True)
            assert counts.tolist() == [4] * 6


def test_weights_say_how_often_a_row_comes(tmp_path):
    rows = pa.table({"id": np.arange(100), "weight": np.where(np.arange(100) < 50, 3.0, 1.0)})
    write_deltalake(str(tmp_path / "t"), rows)
    plan = plan_row_groups(pin_snapshot(str(tmp_path / "t")))
    recipe = Recipe({"id": numbers}, seed=1, sampling=Weighted("weight"))
    loader = make_loader(plan, Shard(0, 1, 20), recipe)
    fed = np.concatenate([batch.columns["id"].values_B.numpy() for batch in loader.epoch(1)])
    assert (fed < 50).mean() == 0.75


def test_a_transform_sees_each_row_with_a_seed_of_its_own(plan):
    def add_noise(columns, seeds_B):
        return {"noise": Dense(torch.from_numpy(seeds_B), torch.ones(len(seeds_B), dtype=torch.bool)), **columns}

    def noise(epoch: int, **shape) -> dict[int, int]:
        found: dict[int, int] = {}
        for rank in range(shape["size"]):
            shard = Shard(rank, shape["size"], shape["batch"])
            loader = make_loader(plan, shard, replace(RECIPE, transform=add_noise))
            for batch in loader.epoch(epoch):
                ids, seeds = (batch.columns[name].values_B[batch.is_row_B].tolist() for name in ("id", "noise"))
                found |= dict(zip(ids, seeds, strict=True))
        return found

    first = noise(1, size=1, batch=8)
    assert len(set(first.values())) == 72
    assert first == noise(1, size=3, batch=7)
    assert not set(first.values()) & set(noise(2, size=1, batch=8).values())


def test_a_transform_that_loses_rows_is_refused(plan):
    recipe = replace(RECIPE, transform=lambda columns, seeds: {"id": Dense(torch.zeros(1), torch.ones(1) > 0)})
    with no_thread_left(), pytest.raises(DataError, match=r"row group \d+ of .*made 1 rows of"):
        feed_epoch(make_loader(plan, Shard(0, 1, 8), recipe), 1)


def test_vectors_of_other_lengths_name_the_row_group(tmp_path):
    for values in ([[1.0, 2.0]] * 3, [[1.0, 2.0, 3.0]] * 3):
        write_deltalake(str(tmp_path / "t"), pa.table({"vector": values}), mode="append")
    plan = plan_row_groups(pin_snapshot(str(tmp_path / "t")))
    loader = make_loader(plan, Shard(0, 1, 6), Recipe({"vector": vectors}, seed=0))
    with no_thread_left(), pytest.raises(DataError, match=r"row group 0 of .*came for each row"):
        list(loader.epoch(1))


def test_a_window_without_a_row_to_draw_is_not_laid_to_the_row_group_read_before(tmp_path):
    rows = pa.table({"id": np.arange(20), "weight": np.repeat([0.0, 1.0, 0.0], [10, 5, 5])})
    write_deltalake(str(tmp_path / "t"), rows, writer_properties=WriterProperties(max_row_group_size=10))
    plan = plan_row_groups(pin_snapshot(str(tmp_path / "t")))
    recipe = Recipe({"id": numbers}, seed=1, sampling=Weighted("weight"))
    loader = make_loader(plan, Shard(0, 1, 5), recipe, settings=FeedSettings(window_row_groups=1))
    with no_thread_left():
        for epoch in range(1, 5):
            with pytest.raises(DataError, match=r"^column weight allows no row"):
                list(loader.epoch(epoch))


def test_kept_batches_keep_their_rows(plan):
    loader = make_loader(plan, Shard(0, 1, 4), settings=FeedSettings(window_row_groups=1))
    kept = list(loader.epoch(1))
    assert sorted(row for batch in kept for row in batch.columns["id"].values_B[batch.is_row_B].tolist()) == [
        *range(72)
    ]


def test_more_ranks_than_rows_pad_and_keep_step(tmp_path):
    plan = write_row_groups(str(tmp_path / "table"), [2])
    loaders = [make_loader(plan, Shard(rank, 5, 15)) for rank in range(5)]
    assert sorted(row for loader in loaders for row in feed_epoch(loader, 1)) == [0, 1]
    assert [loader.numbers.batches for loader in loaders] == [1] * 5


def test_ranks_that_share_a_row_group_do_not_keep_their_rows(tmp_path):
    plan = write_row_groups(str(tmp_path / "table"), [40])
    loader = make_loader(plan, Shard(0, 2, 20))
    halves = {frozenset(feed_epoch(loader, epoch)) for epoch in range(1, 5)}
    assert len(halves) == 4
    assert {len(half) for half in halves} == {20}


def test_four_ranks_read_little_more_than_one(tmp_path):
    plan = write_row_groups(str(tmp_path / "table"), [50] * 64)
    options = FeedSettings(window_row_groups=32)

    def read(size: int) -> int:
        loaders = [make_loader(plan, Shard(rank, size, 48), settings=options) for rank in range(size)]
        for loader in loaders:
            feed_epoch(loader, 1)
        return sum(loader.numbers.bytes for loader in loaders)

    assert read(4) <= 1.2 * read(1)


def test_numbers_tell_what_was_read(plan):
    loader = make_loader(plan, Shard(0, 1, 16))
    feed_epoch(loader, 1)
    assert loader.numbers.rows == plan.rows == 72
    assert loader.numbers.bytes > 72 * 8
    assert loader.numbers.wait_seconds > 0


def test_a_broken_off_epoch_leaves_no_thread_and_the_next_is_whole(plan):
    loader = make_loader(plan, Shard(0, 1, 4), settings=FeedSettings(workers=3, window_row_groups=1))
    with no_thread_left():
        for _ in loader.epoch(1):
            break
        assert sorted(feed_epoch(loader, 2)) == list(range(72))


def test_the_first_window_of_the_following_epoch_is_there_when_its_turn_comes(plan, monkeypatch):
    begun: list[int] = []
    convert = Epoch.convert
    monkeypatch.setattr(Epoch, "convert", lambda self, *group: begun.append(self.number) or convert(self, *group))
    loader, alone = (make_loader(plan, Shard(0, 1, 4), settings=FeedSettings(window_row_groups=1)) for _ in range(2))
    with no_thread_left():
        for epoch in (1, 2, 3):
            following = epoch + 1 if epoch < 3 else None
            fed = [batch.columns["id"].values_B.tolist() for batch in loader.epoch(epoch, following=following)]
            assert fed == [batch.columns["id"].values_B.tolist() for batch in alone.epoch(epoch)]
            assert loader.numbers.digests == alone.numbers.digests
            assert loader.numbers.bytes == alone.numbers.bytes
            wait_until(lambda following=following: following is None or following in begun)


def test_what_was_read_ahead_is_given_up_when_something_else_is_wanted(plan):
    loader = make_loader(plan, Shard(0, 1, 4), settings=FeedSettings(window_row_groups=1))
    with no_thread_left():
        list(loader.epoch(1, following=2))
        assert sorted(feed_epoch(loader, 5)) == list(range(72))
        list(loader.epoch(1, following=2))
        loader.load_state({**loader.state(), "epoch": 2, "step": 7})
        assert len(list(loader.epoch(2, following=3))) == loader.steps_per_epoch - 7
        loader.close()
        for _ in loader.epoch(1, following=2):
            break
        list(loader.epoch(1, following=2))
        loader.close()


def wait_until(is_reached: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_reached():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


def test_twenty_epochs_leave_no_thread_file_or_memory(plan):
    loader = make_loader(plan, Shard(0, 1, 8), settings=FeedSettings(workers=2, window_row_groups=1))
    feed_epoch(loader, 1)
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    gc.collect()
    held = pa.total_allocated_bytes()
    for epoch in range(2, 21):
        feed_epoch(loader, epoch)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= files
    assert threading.active_count() == threads
    assert pa.total_allocated_bytes() <= held + 1024


def test_the_pinned_rows_are_fed_whatever_happens_between_pin_and_read(tmp_path):
    table = str(tmp_path / "table")
    write_row_groups(table, [30, 30])
    loader = make_loader(plan_row_groups(pin_snapshot(table, 1)), Shard(0, 1, 7))
    DeltaTable(table).delete("id < 10")
    DeltaTable(table).update({"id": "id + 1000"}, predicate="id < 40")
    DeltaTable(table).optimize.compact()
    write_deltalake(table, make_rows(range(5)), mode="overwrite")
    assert sorted(feed_epoch(loader, 1)) == list(range(60))


def test_columns_that_are_not_there_are_named(plan):
    with pytest.raises(DataError, match=r"no column subject; it has id, subject_id, tokens"):
        make_loader(plan, Shard(0, 1, 4), replace(RECIPE, sampling=Together("subject")))


def test_dropping_everything_is_refused(plan):
    with pytest.raises(SettingsError, match="72 rows do not fill one global batch of 100"):
        make_loader(plan, Shard(0, 1, 100), settings=FeedSettings(remainder="drop"))


def test_the_plan_says_how_well_it_mixes(tmp_path):
    values = np.random.default_rng(0).standard_normal((4, 20_000, 8)).astype(np.float32)
    for part in values:
        table = pa.table({"vector": pa.FixedSizeListArray.from_arrays(part.ravel(), 8)})
        write_deltalake(str(tmp_path / "t"), table, mode="append")
    plan = plan_row_groups(pin_snapshot(str(tmp_path / "t")))
    recipe = Recipe({"vector": partial(vectors, size=8)}, seed=0)
    fine = make_loader(plan, Shard(0, 1, 100), recipe, FeedSettings(memory_bytes=16 << 20)).describe()
    assert fine.startswith("80,000 rows in 4 row groups of up to 0.6 MiB; 800 steps an epoch")
    assert fine.endswith("whose rows are mixed over 100% of the table at a time")
    coarse = make_loader(plan, Shard(0, 1, 100), recipe, FeedSettings(memory_bytes=2 << 20)).describe()
    assert "mixed over 25% of the table" in coarse
    assert "smaller row groups" in coarse
