"""Row groups through Petastorm's pool of threads: the only module that imports Petastorm.

Why the pool, and neither Petastorm's readers nor its ventilator: docs/decisions, "Petastorm's pool, not its readers".
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from kinfolk.errors import DataError, KinfolkError
from kinfolk.feed.snapshot import FeedPlan, open_filesystem, read_schema


@contextmanager
def _names_that_petastorm_imports() -> Iterator[None]:
    """Lend Petastorm two names while it is imported.

    Its modules import LocalFileSystem from pyarrow.filesystem and HadoopFileSystem from pyarrow.hdfs, which Arrow has
    removed. Nothing that the pool does uses them. They are taken back, because other packages look for these modules
    to find out which Arrow they have.
    """
    lent = {}
    for module_name, class_name in (("pyarrow.filesystem", "LocalFileSystem"), ("pyarrow.hdfs", "HadoopFileSystem")):
        if module_name not in sys.modules:
            lent[module_name] = types.ModuleType(module_name)
            setattr(lent[module_name], class_name, type(class_name, (), {}))
    sys.modules.update(lent)
    try:
        yield
    finally:
        for module_name in lent:
            del sys.modules[module_name]


with _names_that_petastorm_imports():
    from petastorm.workers_pool import EmptyResultError
    from petastorm.workers_pool.thread_pool import ThreadPool
    from petastorm.workers_pool.ventilator import Ventilator
    from petastorm.workers_pool.worker_base import WorkerBase


@dataclass(frozen=True)
class ReadRequest:
    """What a worker needs to know: the plan, and the columns to read of each of its row groups."""

    plan: FeedPlan
    columns: tuple[str, ...]

    def size(self, row_group: int) -> int:
        """Decoded bytes of the columns of a row group, by its footer."""
        sizes = dict(zip(self.plan.columns, self.plan.row_groups[row_group].column_bytes, strict=True))
        return sum(sizes[name] for name in self.columns)


@dataclass(frozen=True)
class _Read:
    """A row group that has been read: its turn in the order, and its rows."""

    turn: int
    rows: pa.Table


class RowGroupWorker(WorkerBase):  # type: ignore[misc]
    """Reads one row group at a time and publishes it."""

    def process(self, turn: int, row_group: int) -> None:
        """Publish the rows, or the error that names file and row group.

        An error is published like a result: an exception that leaves a worker is put into the pool's queue without
        regard to a stop, prints a traceback, and does not say what was being read.
        """
        try:
            result: _Read | KinfolkError = _Read(turn, read_row_group(self.args, row_group))
        except Exception as error:  # noqa: BLE001 - it is raised again where the batches are asked for
            result = _explain(error, self.args.plan, row_group)
        self.publish_func(result)


def read_row_group(request: ReadRequest, row_group: int) -> pa.Table:
    """Read the requested columns of a row group, with the types of the plan's schema.

    Partition columns come from the log; a column that the table was given after the file had been written is null.
    """
    group = request.plan.row_groups[row_group]
    file = request.plan.files[group.file]
    schema = read_schema(request.plan.schema_json)
    filesystem, root = open_filesystem(request.plan.root)
    with filesystem.open_input_file(f"{root}/{file.path}") as source, pq.ParquetFile(source) as parquet:
        stored = [name for name in request.columns if name in parquet.schema_arrow.names and name not in file.partition]
        rows = parquet.read_row_group(group.index, columns=stored, use_threads=False)
    if rows.num_rows != group.rows:
        raise DataError(f"{rows.num_rows} rows were read, {group.rows} are planned")
    arrays = []
    for name in request.columns:
        kind = schema.field(name).type
        if name in stored:
            arrays.append(rows.column(name).cast(kind))
        else:
            arrays.append(pa.repeat(pa.scalar(file.partition.get(name)).cast(kind), group.rows))
    return pa.table(arrays, names=list(request.columns))


def _explain(error: Exception, plan: FeedPlan, row_group: int) -> KinfolkError:
    group = plan.row_groups[row_group]
    explained = DataError(
        f"row group {group.index} of {plan.root}/{plan.files[group.file].path} (version {plan.version} of the table) "
        f"could not be read: {type(error).__name__}: {error}"
    )
    explained.__cause__ = error
    return explained


@dataclass
class PlannedVentilator(Ventilator):  # type: ignore[misc]
    """Hands out a planned order, no further ahead than so many bytes.

    The stock ventilator calls itself complete when it has handed out everything, and the pool, which has looked at its
    counters before it asks, then drops what was handed out in between. This one is complete only when everything
    planned has been processed. It needs no thread: the consumer's own calls move it on.
    """

    hand_out: Callable[..., None]
    order: Sequence[int]
    sizes: Sequence[int]
    max_bytes: int
    _handed_out: int = field(default=0, init=False)
    _processed: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _bytes_ahead: int = field(default=0, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def start(self) -> None:
        """Called by the pool, in the consumer's thread, once its own threads run."""
        self._move_on()

    def processed_item(self) -> None:
        """Called by the pool, in the consumer's thread, when it meets a worker's note that an item is done."""
        self._processed += 1

    def completed(self) -> bool:
        """Whether nothing can come any more: each item's results stand in the queue before the note that it is done."""
        return self._is_stopped or self._processed == len(self.order)

    def stop(self) -> None:
        """Called by the pool when it is stopped."""
        self._is_stopped = True

    def take(self, size: int) -> None:
        """Note that the consumer has taken a row group of so many bytes out of the queue."""
        self._bytes_ahead -= size
        self._taken += 1
        self._move_on()

    def correct(self, difference: int) -> None:
        """Note that a row group that was read takes so many bytes more than its footer says."""
        self._bytes_ahead += difference

    def _move_on(self) -> None:
        """Hand out what fits; one row group always does, however large."""
        while self._handed_out < len(self.order):
            size = self.sizes[self._handed_out]
            if self._handed_out > self._taken and self._bytes_ahead + size > self.max_bytes:
                return
            self._bytes_ahead += size
            self.hand_out(turn=self._handed_out, row_group=self.order[self._handed_out])
            self._handed_out += 1


def read_row_groups(request: ReadRequest, order: Sequence[int], *, workers: int, max_bytes: int) -> Generator[pa.Table]:
    """Read row groups with so many threads and yield them in the order given, whichever is read first.

    At most `max_bytes` of decoded rows are read ahead, but always one row group. Closing the iterator stops the
    threads and waits for them. Raises DataError naming file and row group where one cannot be read, and where the pool
    ended with row groups missing.
    """
    pool = ThreadPool(workers, results_queue_size=0)  # bounded in bytes, by the ventilator
    sizes = [request.size(row_group) for row_group in order]
    ventilator = PlannedVentilator(pool.ventilate, order, sizes, max_bytes)
    early: dict[int, pa.Table] = {}
    pool.start(RowGroupWorker, request, ventilator)
    try:
        for turn in range(len(order)):
            while turn not in early:
                read = _next_read(pool, request.plan, turn, len(order))
                early[read.turn] = read.rows
                ventilator.correct(read.rows.nbytes - sizes[read.turn])
            rows = early.pop(turn)
            ventilator.take(rows.nbytes)
            yield rows
        _check_nothing_left(pool, request.plan, early)
    finally:
        pool.stop()
        pool.join()


def _next_read(pool: ThreadPool, plan: FeedPlan, turn: int, planned: int) -> _Read:
    try:
        read: _Read = pool.get_results()
    except EmptyResultError:
        raise DataError(f"{plan.root}: the pool ended after {turn} of {planned} row groups; run again") from None
    return read


def _check_nothing_left(pool: ThreadPool, plan: FeedPlan, early: dict[int, pa.Table]) -> None:
    try:
        surplus = pool.get_results()
    except EmptyResultError:
        surplus = None
    if surplus is not None or early:
        raise DataError(f"{plan.root}: the pool gave a row group twice; run again")
