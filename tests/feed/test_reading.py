"""Row groups through the pool: all of them, in order, bounded, with errors that say where."""

import os
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable, WriterProperties, write_deltalake
from feed_tables import make_rows, no_thread_left, write_row_groups
from petastorm.workers_pool.ventilator import ConcurrentVentilator

from kinfolk.errors import DataError
from kinfolk.feed import reading
from kinfolk.feed.reading import PlannedVentilator, ReadRequest, read_row_groups
from kinfolk.feed.snapshot import FeedPlan, pin_snapshot, plan_row_groups


@pytest.fixture
def plan(tmp_path: Path) -> FeedPlan:
    return write_row_groups(str(tmp_path / "table"), [5] * 12)


def first_ids(tables) -> list[int]:
    return [rows.column("id").to_pylist()[0] for rows in tables]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_row_groups_come_in_the_order_asked_for(plan, workers):
    request = ReadRequest(plan, ("id",))
    alone = [first_ids(read_row_groups(request, [group], workers=1, max_bytes=0))[0] for group in range(12)]
    order = [7, 3, 3, 11, 0, 5, 9]
    with no_thread_left():
        came = first_ids(read_row_groups(request, order, workers=workers, max_bytes=1 << 20))
    assert came == [alone[group] for group in order]


def test_reading_runs_no_further_ahead_than_allowed(plan, monkeypatch):
    begun = []
    read = reading.read_row_group

    def read_and_note(request, row_group):
        begun.append(row_group)
        return read(request, row_group)

    monkeypatch.setattr(reading, "read_row_group", read_and_note)
    request = ReadRequest(plan, ("id",))
    two = 2 * max(read(request, group).nbytes for group in range(12))
    # Footers tell the size of what was written, which is smaller or larger than what is in memory.
    monkeypatch.setattr(ReadRequest, "size", lambda self, row_group: two // 2)
    for taken, _ in enumerate(read_row_groups(request, range(12), workers=2, max_bytes=two), start=1):
        time.sleep(0.02)
        assert len(begun) <= taken + 2
    assert len(begun) == 12


class HastyStock(ConcurrentVentilator):
    """Petastorm's ventilator, which gets to hand out the rest just when the pool asks whether that was all."""

    def __init__(self, hand_out, order, sizes, max_bytes):
        items = [{"turn": turn, "row_group": group} for turn, group in enumerate(order)]
        super().__init__(hand_out, items, max_ventilation_queue_size=1, ventilation_interval=0.001)

    def completed(self):
        time.sleep(0.02)
        return super().completed()

    def take(self, size):
        """What the reading of this house tells its own ventilator."""

    def correct(self, difference):
        """The same."""


class HastyPlanned(PlannedVentilator):
    def completed(self):
        time.sleep(0.02)
        return super().completed()


def test_the_stock_ventilator_loses_row_groups_and_counting_proves_it(plan, monkeypatch):
    monkeypatch.setattr(reading, "PlannedVentilator", HastyStock)
    with no_thread_left(), pytest.raises(DataError, match=r"ended after \d+ of 12 row groups"):
        list(read_row_groups(ReadRequest(plan, ("id",)), range(12), workers=1, max_bytes=1 << 20))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("max_bytes", [0, 1 << 20])
def test_the_planned_ventilator_loses_none(plan, monkeypatch, workers, max_bytes):
    monkeypatch.setattr(reading, "PlannedVentilator", HastyPlanned)
    came = list(read_row_groups(ReadRequest(plan, ("id",)), range(12), workers=workers, max_bytes=max_bytes))
    assert len(came) == 12


def test_an_error_in_a_worker_names_file_and_row_group(tmp_path, capfd):
    table = str(tmp_path / "table")
    write_deltalake(table, make_rows(range(3000)), writer_properties=WriterProperties(max_row_group_size=1000))
    plan = plan_row_groups(pin_snapshot(table, 0))
    [path] = DeltaTable(table).file_uris()
    blank_row_group(path, 1)
    with no_thread_left(), pytest.raises(DataError, match=f"row group 1 of {path} .*could not be read"):
        list(read_row_groups(ReadRequest(plan, ("id", "tokens")), [0, 1, 2], workers=2, max_bytes=1 << 20))
    assert "Traceback" not in capfd.readouterr().err


def blank_row_group(path: str, number: int) -> None:
    """Overwrite the pages of one row group; the footer stays."""
    import pyarrow.parquet as pq

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
        list(read_row_groups(ReadRequest(plan, ("id",)), range(12), workers=2, max_bytes=1 << 20))


def test_stopping_early_is_prompt_and_leaves_no_thread(plan):
    with no_thread_left():
        tables = read_row_groups(ReadRequest(plan, ("id",)), list(range(12)) * 50, workers=4, max_bytes=1 << 30)
        next(tables)
        began = time.monotonic()
        tables.close()
    assert time.monotonic() - began < 2


def test_lent_names_are_taken_back():
    import sys

    assert "pyarrow.filesystem" not in sys.modules
    assert "pyarrow.hdfs" not in sys.modules
