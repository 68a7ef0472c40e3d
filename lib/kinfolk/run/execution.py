"""run_job: skip or run, take over what was left unfinished, and write down how it ended."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from kinfolk.errors import EnvironmentProblem, KinfolkError, LakeBusyError
from kinfolk.run.fingerprint import fingerprint, stands
from kinfolk.run.job import Job
from kinfolk.run.progress import format_seconds, heartbeat, print_note
from kinfolk.run.records import RunRecord, last_good, read_records, unfinished, write_record
from kinfolk.run.run import Run
from kinfolk.settings import Settings
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake, Snapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kinfolk.tracking import ModelVersion, Tracker


@dataclass(frozen=True)
class Outcome:
    """How a call of run_job ended: succeeded or skipped, under which run id, and in how many seconds."""

    job: str
    status: str
    run_id: str
    seconds: float


class Sessions:
    """The one Spark session of a process, built when a job first needs it."""

    def __init__(self, settings: Settings, session: SparkSession | None = None) -> None:
        self._settings = settings
        self._is_ours = session is None
        self.current = session

    def get(self) -> SparkSession:
        """The session, built at the first call."""
        if self.current is None:
            from kinfolk.engines.spark import build_session

            self.current = build_session("kinfolk", self._settings.spark)
        return self.current

    def stop(self) -> None:
        """End the session, unless it was somebody else's."""
        if self.current is not None and self._is_ours:
            self.current.stop()
            self.current = None


def run_job(
    job: Job,
    settings: Settings,
    *,
    run_date: date | None = None,
    spark: SparkSession | None = None,
    is_forced: bool = False,
    note: Callable[[str], None] = print_note,
) -> Outcome:
    """Run a job, or skip it when its result stands.

    `run_date` defaults to today (UTC). Raises KinfolkError, whose class gives the exit code; anything else that is
    raised is a defect. A failed or killed run is taken over by the next one with the same fingerprint.
    """
    sessions = Sessions(settings, spark)
    try:
        return run_in(sessions, job, settings, run_date=run_date, is_forced=is_forced, note=note)
    finally:
        sessions.stop()


def run_in(
    sessions: Sessions,
    job: Job,
    settings: Settings,
    *,
    run_date: date | None = None,
    is_forced: bool = False,
    note: Callable[[str], None] = print_note,
) -> Outcome:
    """Run a job as run_job does, in a session that several jobs share."""
    lake = Lake(settings.lake.root)
    run_date = run_date or datetime.now(UTC).date()
    with _only_one(job, lake):
        inputs = {t.name: lake.snapshot(t) for t in job.reads} | {
            t.name: _snapshot_or_none(lake, t) for t in job.optional_reads
        }
        models = {name: _tracker(settings).resolve(name) for name in job.models}
        files = job.files(settings) if job.files else []
        depends_on = fingerprint(job, settings, run_date, inputs, {n: m.version for n, m in models.items()}, files)
        records = read_records(lake, job.name)
        last = last_good(records)
        if last and last.fingerprint == depends_on and not is_forced and stands(job, settings, lake, last.outputs):
            note(f"{job.name}: skipped, nothing it depends on has changed since run {last.run_id}")
            return Outcome(job.name, "skipped", last.run_id, 0.0)
        record = _open_record(job, depends_on, run_date, unfinished(records, depends_on), inputs, models)
        run = Run(
            job, settings, run_date, record.run_id, record.attempt, record.started_at, lake, inputs, models,
            tracker=lambda: _tracker(settings), session=sessions.get, is_forced=is_forced,
            last_outputs={output["table_name"]: output for output in last.outputs} if last else {}, note=note,
        )  # fmt: skip
        again = f", attempt {record.attempt} of a run that did not end" if record.attempt > 1 else ""
        note(f"{job.name}: started, run {record.run_id}{again}")
        expected = last.seconds if last else None
        with heartbeat(job.name, expected, lambda: sessions.current, note), _recorded(lake, record) as ended:
            job.body(run)
            ended.append(_close_record(record, run))
        _remove_folder(lake, run)
        outcome = Outcome(job.name, "succeeded", record.run_id, ended[0].seconds)
        note(f"{job.name}: done in {format_seconds(outcome.seconds)}")
        return outcome


def _tracker(settings: Settings) -> Tracker:
    from kinfolk.tracking import Tracker

    return Tracker(settings.tracking, Lake(settings.lake.root).root)


def _snapshot_or_none(lake: Lake, table: Table) -> Snapshot | None:
    return lake.snapshot(table) if lake.exists(table) else None


def _open_record(
    job: Job,
    depends_on: str,
    run_date: date,
    left: RunRecord | None,
    inputs: dict[str, Snapshot | None],
    models: dict[str, ModelVersion],
) -> RunRecord:
    """The record of a run that starts now; one that never ended under the same fingerprint is taken over."""
    return RunRecord(
        run_id=left.run_id if left else f"{job.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}",
        job=job.name,
        status="running",
        attempt=left.attempt + 1 if left else 1,
        fingerprint=depends_on,
        run_date=run_date,
        started_at=datetime.now(UTC),
        models=[{"name": m.name, "version": m.version} for m in models.values()],
        inputs=[snapshot.as_entry() for snapshot in inputs.values() if snapshot],
    )


def _close_record(record: RunRecord, run: Run) -> RunRecord:
    missing = [table.name for table in run.job.writes if table.name not in run.written]
    if missing:
        raise AssertionError(f"job {run.job.name} declares that it writes {', '.join(missing)}, and did not")
    outputs = [written.as_output() for written in run.written.values()]
    wrote = ", ".join(f"{o['table_name']} {o['rows']:,} rows" for o in outputs)
    return record.ended("succeeded", f"wrote {wrote}" if wrote else "done", outputs=outputs)


@contextmanager
def _recorded(lake: Lake, record: RunRecord) -> Iterator[list[RunRecord]]:
    """Write the record before the block, and after it how the block ended."""
    write_record(lake, record)
    ended: list[RunRecord] = []
    try:
        yield ended
    except BaseException as error:
        explained = explain(error)
        # What is wrong, a full disk say, may keep the record from being written as well; the first error counts.
        with suppress(DeltaError, KinfolkError, OSError):
            write_record(lake, record.ended("failed", f"{type(explained).__name__}: {explained}"))
            _keep_traceback(lake, record, error)
        if explained is error:
            raise
        raise explained from error
    write_record(lake, ended[0])


def explain(error: BaseException) -> BaseException:
    """Name the failures that come from the machine rather than from a defect; others stay as they are."""
    if isinstance(error, KinfolkError):
        return error
    text = _tell_whole(error)
    if "No space left on device" in text:
        return EnvironmentProblem(
            "the disk is full; make room (`kinfolk doctor` says how much is needed) and run again"
        )
    if "java.lang.OutOfMemoryError" in text:
        return EnvironmentProblem("Spark ran out of memory; give it more with --driver-memory or spark-defaults.conf")
    return error


def _tell_whole(error: BaseException | None) -> str:
    """The words of an error and of what led to it."""
    return f"{error} {_tell_whole(error.__cause__ or error.__context__)}" if error else ""


def _keep_traceback(lake: Lake, record: RunRecord, error: BaseException) -> None:
    """Keep the whole trace beside the tables of a local lake, so that the terminal shows one line."""
    if not lake.is_local or isinstance(error, KinfolkError):
        return
    os.makedirs(lake.path("_logs"), exist_ok=True)
    with open(lake.path(f"_logs/{record.run_id}.txt"), "w", encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))


@contextmanager
def _only_one(job: Job, lake: Lake) -> Iterator[None]:
    """Hold the job's lock of a local lake; the system lets go of it when the process dies.

    On other file systems two runs of one job are kept apart by Delta: the later commit fails and is run again.
    """
    if not lake.is_local:
        yield
        return
    try:
        os.makedirs(lake.path("_locks"), exist_ok=True)
        descriptor = os.open(lake.path(f"_locks/{job.name}"), os.O_CREAT | os.O_WRONLY, 0o644)
    except OSError as error:
        raise EnvironmentProblem(
            f"the lake {lake.root} cannot be written ({error.strerror}); give another with --set lake.root=PATH"
        ) from None
    try:
        _take(descriptor, f"another run of {job.name} holds the lake {lake.root}; wait for it to end")
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, message: str) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LakeBusyError(message) from None


def _remove_folder(lake: Lake, run: Run) -> None:
    """Remove what a finished run kept for its own resumption."""
    for name in ("staging", "checkpoints"):
        remove_path(run.session, run.folder(name), is_local=lake.is_local)


def remove_path(session: Callable[[], SparkSession], path: str, *, is_local: bool) -> None:
    """Remove a folder of the lake, wherever the lake lies."""
    if is_local:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
        return
    context = session().sparkContext
    jvm = context._jvm
    assert jvm is not None, "a running session has its JVM"
    target = jvm.org.apache.hadoop.fs.Path(path)
    is_recursive = True
    target.getFileSystem(context._jsc.hadoopConfiguration()).delete(target, is_recursive)
