"""Tasks through the pool: all of them, whatever the timing, with errors that say where, and a prompt stop."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, WriterProperties, write_deltalake
from feed_tables import RECIPE, feed_epoch, make_loader, make_rows, no_thread_left, write_row_groups
from petastorm.workers_pool.ventilator import ConcurrentVentilator

from kinfolk.errors import DataError
from kinfolk.feed import reading
from kinfolk.feed.order import Shard
from kinfolk.feed.reading import PlannedVentilator, Reading
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups
from kinfolk.settings import FeedSettings


@pytest.fixture
def plan(tmp_path: Path) -> FeedPlan:
    return write_row_groups(str(tmp_path / "table"), [5] * 12)


@dataclass
class Call:
    """A task that calls a function."""

    row_group: int
    function: Callable[[], object]

    def run(self) -> None:
        self.function()


def run_all(plan: FeedPlan, count: int, workers: int) -> list[int]:
    """Run so many tasks that note that they ran."""
    ran: list[int] = []
    tasks = [Call(number % 12, lambda number=number: ran.append(number)) for number in range(count)]
    with Reading(plan, [tasks[:5], tasks[5:]], workers=workers, on_stop=lambda: None) as running:
        running.advance()
        running.finish()
    return ran


def test_one_worker_runs_tasks_in_their_order(plan):
    with no_thread_left():
        assert run_all(plan, 50, workers=1) == list(range(50))


class HastyStock(ConcurrentVentilator):
    """Petastorm's ventilator, which gets to hand out the rest just when the pool asks whether that was all."""

    def __init__(self, hand_out, stages):
        items = [{"task": task} for stage in stages for task in stage]
        super().__init__(hand_out, items, max_ventilation_queue_size=1, ventilation_interval=0.001)

    def advance(self):
        pass

    def completed(self):
        time.sleep(0.02)
        return super().completed()


class HastyPlanned(PlannedVentilator):
    def completed(self):
        time.sleep(0.02)
        return super().completed()


def test_the_stock_ventilator_loses_row_groups_and_counting_proves_it(plan, monkeypatch):
    monkeypatch.setattr(reading, "PlannedVentilator", HastyStock)
    with no_thread_left(), pytest.raises(DataError, match=r"ended after \d+ of 12 row groups"):
        run_all(plan, 12, workers=1)


def test_even_with_the_stock_ventilator_no_epoch_ends_with_fewer_rows(plan, monkeypatch):
    monkeypatch.setattr(reading, "PlannedVentilator", HastyStock)
    loader = make_loader(plan, Shard(0, 1, 60), settings=FeedSettings(window_row_groups=12))
    for epoch in range(1, 6):
        with no_thread_left(), suppress(DataError):
            assert sorted(feed_epoch(loader, epoch)) == list(range(60))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_planned_ventilator_loses_none(plan, monkeypatch, workers):
    monkeypatch.setattr(reading, "PlannedVentilator", HastyPlanned)
    for _ in range(10):
        assert sorted(run_all(plan, 24, workers=workers)) == list(range(24))


def test_no_more_than_two_windows_are_read_ahead(plan, monkeypatch):
    begun: list[int] = []
    read = reading.RowGroupWorker.process

    def note_and_read(self, task):
        read(self, task)
        begun.append(task.row_group)

    monkeypatch.setattr(reading.RowGroupWorker, "process", note_and_read)
    loader = make_loader(plan, Shard(0, 1, 5), settings=FeedSettings(workers=2, window_row_groups=1))
    for taken, _ in enumerate(loader.epoch(1), start=1):
        time.sleep(0.02)
        assert len(begun) <= taken + 2
    assert len(begun) == 12


def test_an_error_in_a_worker_names_file_and_row_group(tmp_path, capfd):
    table = str(tmp_path / "table")
    write_deltalake(table, make_rows(range(3000)), writer_properties=WriterProperties(max_row_group_size=1000))
    plan = plan_row_groups(pin_snapshot(table, 0))
    [path] = DeltaTable(table).file_uris()
    blank_row_group(path, 1)
    with no_thread_left(), pytest.raises(DataError, match=f"row group 1 of {path} .*could not be read"):
        feed_epoch(make_loader(plan, Shard(0, 1, 100), settings=FeedSettings(workers=2)), 1)
    assert "Traceback" not in capfd.readouterr().err


def blank_row_group(path: str, number: int) -> None:
    """Overwrite the pages of one row group; the footer stays."""
    group = pq.read_metadata(path).row_group(number)
    columns = [group.column(leaf) for leaf in range(group.num_columns)]
    start = min(column.dictionary_page_offset or column.data_page_offset for column in columns)
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\xff" * group.total_byte_size)


def test_a_file_that_vanishes_after_planning_is_named(plan):
    path = f"{plan.root}/{plan.files[0].path}"
    os.remove(path)
    with pytest.raises(DataError, match=path):
        feed_epoch(make_loader(plan, Shard(0, 1, 7)), 1)


def test_stopping_early_is_prompt_and_leaves_no_thread(plan):
    woken = threading.Event()
    tasks = [Call(0, woken.wait)] * 100
    with no_thread_left():
        began = time.monotonic()
        with Reading(plan, [tasks], workers=4, on_stop=woken.set):
            pass
    assert time.monotonic() - began < 2


def test_an_error_wakes_those_that_wait_for_another_task(plan):
    def fail(columns, seeds):
        raise ValueError("no such picture")

    loader = make_loader(plan, Shard(0, 1, 7), replace(RECIPE, transform=fail), FeedSettings(workers=4))
    with no_thread_left(), pytest.raises(DataError, match="no such picture"):
        feed_epoch(loader, 1)


def test_lent_names_are_taken_back():
    import sys

    assert "pyarrow.filesystem" not in sys.modules
    assert "pyarrow.hdfs" not in sys.modules
