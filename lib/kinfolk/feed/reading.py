"""Row groups through Petastorm's pool of threads: the only module that imports Petastorm.

Why the pool, and neither Petastorm's readers nor its ventilator: docs/decisions, "Petastorm's pool, not its readers".
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol, Self

from kinfolk.errors import DataError, KinfolkError
from kinfolk.feed.snapshot import FeedPlan


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


class Task(Protocol):
    """Work for one row group."""

    @property
    def row_group(self) -> int:
        """The row group's number in the plan."""

    def run(self) -> None:
        """Do the work; several threads run different tasks at once."""


class RowGroupWorker(WorkerBase):  # type: ignore[misc]
    """Runs one task at a time, and publishes that it is done."""

    def process(self, task: Task) -> None:
        """Publish None, or the error that names file and row group.

        An error is published like a result: an exception that leaves a worker is put into the pool's queue without
        regard to a stop, prints a traceback, and does not say what was being read.
        """
        result = None
        try:
            task.run()
        except Exception as error:  # noqa: BLE001 - it is raised again where the batches are asked for
            result = _explain(error, self.args, task.row_group)
        self.publish_func(_Done(result))


@dataclass(frozen=True)
class _Done:
    error: KinfolkError | None


def _explain(error: Exception, plan: FeedPlan, row_group: int) -> KinfolkError:
    group = plan.row_groups[row_group]
    part = "" if group.ordinal is None else f"row group {group.ordinal} of "
    explained = DataError(
        f"{part}{plan.root}/{plan.files[group.file].path} (version {plan.version} of the table) "
        f"could not be read: {type(error).__name__}: {error}"
    )
    explained.__cause__ = error
    return explained


@dataclass
class PlannedVentilator(Ventilator):  # type: ignore[misc]
    """Hands out a planned order stage by stage, each when it is told to, in the consumer's thread.

    The stock ventilator hands out in a thread of its own and calls itself complete when it has handed out everything;
    the pool, which has looked at its counters before it asks, then drops what was handed out in between. This one is
    complete only when everything handed out has been processed, and hands out nothing while the pool looks.
    """

    hand_out: Callable[..., None]
    stages: Iterator[Sequence[Task]]
    _handed_out: int = field(default=0, init=False)
    _processed: int = field(default=0, init=False)
    _is_stopped: bool = field(default=False, init=False)

    def start(self) -> None:
        """Called by the pool, in the consumer's thread, once its own threads run."""
        self.advance()

    def advance(self) -> None:
        """Hand out the next stage, if one is left."""
        for task in next(self.stages, ()):
            self.hand_out(task=task)
            self._handed_out += 1

    def processed_item(self) -> None:
        """Called by the pool, in the consumer's thread, when it meets a worker's note that an item is done."""
        self._processed += 1

    def completed(self) -> bool:
        """Whether nothing is on its way: each item's results stand in the queue before the note that it is done."""
        return self._is_stopped or self._processed == self._handed_out

    def stop(self) -> None:
        """Called by the pool when it is stopped."""
        self._is_stopped = True


class Reading:
    """Tasks on their way through the pool, in the order given, so many at once as there are workers.

    Use it as a context: entering it hands out the first stage of tasks, leaving it stops the threads and waits for
    them. Tasks that wait for something have to be woken by `on_stop`.
    """

    def __init__(
        self, plan: FeedPlan, stages: Iterable[Sequence[Task]], *, workers: int, on_stop: Callable[[], None]
    ) -> None:
        self._plan = plan
        self._pool = ThreadPool(workers, results_queue_size=0)
        self._on_stop = on_stop
        self._planned = 0
        self._done = 0
        self._ventilator = PlannedVentilator(self._pool.ventilate, self._count(stages))

    def _count(self, stages: Iterable[Sequence[Task]]) -> Iterator[Sequence[Task]]:
        for stage in stages:
            self._planned += len(stage)
            yield stage

    def __enter__(self) -> Self:
        self._pool.start(RowGroupWorker, self._plan, self._ventilator)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._on_stop()
        self._pool.join()

    def advance(self) -> None:
        """Hand out the next stage, if one is left."""
        self._ventilator.advance()

    def wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Wait until the tasks that are done so far have brought something about.

        Raises DataError naming file and row group where a task has failed, and where all that were handed out are done
        and it has not come.
        """
        while not is_reached():
            try:
                self._take(self._pool.get_results())
            except EmptyResultError:
                if is_reached():
                    return
                raise DataError(
                    f"{self._plan.root}: the pool ended after {self._done} of {self._planned} row groups; run again"
                ) from None

    def finish(self) -> None:
        """See all tasks through that were handed out.

        Raises DataError where one has failed, or where more came back than went out.
        """
        self.wait_until(lambda: self._done >= self._planned)
        with suppress(EmptyResultError):
            self._take(self._pool.get_results())
            raise DataError(f"{self._plan.root}: the pool gave a row group twice; run again")

    def _take(self, done: _Done) -> None:
        self._done += 1
        if done.error:
            raise done.error
