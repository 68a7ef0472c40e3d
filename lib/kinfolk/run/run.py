"""Run: what a job's function is given — settings, session, pinned inputs, and writes that check themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kinfolk.errors import NotFoundError
from kinfolk.run.job import Job
from kinfolk.run.progress import print_note
from kinfolk.settings import Settings
from kinfolk.tables import delta
from kinfolk.tables.catalog import REJECTED_ROWS
from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake, Snapshot
from kinfolk.tables.staging import Staged, Stamp, check_conserved, check_limits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kinfolk.tracking import ModelVersion, Tracker


@dataclass(frozen=True)
class Written:
    """What became of a write: the table as it stands now, rows turned away, and whether a commit was needed."""

    snapshot: Snapshot
    rejected: int
    is_changed: bool

    def as_output(self) -> dict[str, Any]:
        """The entry of job_runs.outputs."""
        return {**self.snapshot.as_entry(), "rejected": self.rejected}


@dataclass(frozen=True)
class Pending:
    """A result that was computed and checked, and waits to be committed."""

    table: Table
    staged: Staged
    origin: Table
    is_equal: bool


@dataclass
class Run:
    """One run of one job.

    Every input is pinned to one version for the whole run. Writes are staged once, measured, checked against the
    contract, the limits on loss and rows in = rows out + rows rejected, and only then committed. `last_outputs` are, by
    table, the outputs of the job's last good run.
    """

    job: Job
    settings: Settings
    run_date: date
    run_id: str
    attempt: int
    started_at: datetime
    lake: Lake
    inputs: Mapping[str, Snapshot | None]
    models: Mapping[str, ModelVersion]
    tracker: Callable[[], Tracker]
    session: Callable[[], SparkSession]
    is_forced: bool = False
    last_outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    note: Callable[[str], None] = print_note
    written: dict[str, Written] = field(default_factory=dict)

    @property
    def spark(self) -> SparkSession:
        """The Spark session, built when first asked for."""
        return self.session()

    def has(self, table: Table) -> bool:
        """Whether an optional input is there."""
        return self.inputs.get(table.name) is not None

    def snapshot(self, table: Table) -> Snapshot:
        """The pinned version of an input. Raises NotFoundError where it was not there."""
        pinned = self.inputs[table.name]
        if pinned is None:
            raise self.lake.not_found(table)
        return pinned

    def rows(self, table: Table) -> int:
        """Rows of the pinned version of an input."""
        return self.snapshot(table).rows

    def read(self, table: Table) -> DataFrame:
        """The pinned version of an input as a DataFrame."""
        return self._load(self.snapshot(table))

    def previous(self, table: Table) -> DataFrame | None:
        """What the job's last good run left in one of its tables; None where there is no such run, or no more of it.

        A run that was killed does not count, whether it is taken over now or not: all tables that are asked for are of
        one and the same run.
        """
        left = self.last_outputs.get(table.name)
        if left is None:
            return None
        try:
            found = self.lake.snapshot(table, left["version"])
        except NotFoundError:
            return None
        if found.table_id != left["table_id"]:
            return None
        return self._load(found)

    def frame(self, rows: pa.Table) -> DataFrame:
        """A small Arrow table as a DataFrame."""
        return self.spark.createDataFrame(rows)

    def model(self, name: str) -> ModelVersion:
        """The version of a model that was resolved for this run."""
        return self.models[name]

    def folder(self, name: str) -> str:
        """A folder for this run's own files, such as checkpoints; it stays until the run has succeeded."""
        return self.lake.path(f"_{name}/{self.run_id}")

    def sync(
        self,
        table: Table,
        frame: DataFrame,
        *,
        origin: Table | None = None,
        rows_in: int | None = None,
        rows_seen: int | None = None,
    ) -> Written:
        """Stage a result and commit it; a job with several tables stages all of them before it commits the first."""
        return self.commit(self.stage(table, frame, origin=origin, rows_in=rows_in, rows_seen=rows_seen))[0]

    def stage(
        self,
        table: Table,
        frame: DataFrame,
        *,
        origin: Table | None = None,
        rows_in: int | None = None,
        rows_seen: int | None = None,
    ) -> Pending:
        """Compute and check the full result for a table, and commit nothing yet.

        `frame` has the table's content columns, and where rows may be turned away `reject_reason` (null for a good
        row), `reject_detail` and the key columns of `origin`, the table the rows come from. Its rows have to be as
        many as `rows_in`, by default the rows of `origin`. The limit on rejects is a share of `rows_seen`, the rows
        looked at, where some of them rightly give no row; by default of the rows of `frame`.
        """
        staged = self._stage(table, frame)
        expected = rows_in if rows_in is not None else self.rows(origin) if origin else None
        if expected is not None:
            check_conserved(staged, table, expected)
        is_equal = staged.is_current(self.lake)
        self._check_limits(staged, table, rows_seen, is_equal=is_equal)
        return Pending(table, staged, origin or table, is_equal)

    def stage_together(self, *steps: Callable[[], Pending]) -> list[Pending]:
        """Stage several results at the same time: each takes several Spark jobs, and small ones leave cores idle."""
        with ThreadPoolExecutor(len(steps)) as pool:
            return list(pool.map(lambda step: step(), steps))

    def commit(self, *results: Pending) -> list[Written]:
        """Make each table hold exactly its good rows, and rejected_rows the others; equal content makes no commit.

        Of each result the rejects are committed first, the rows second: after a kill between two commits the first is
        ahead of the second until the run is started again.
        """
        written = []
        for result in results:
            self._reject(result.staged, result.table, result.origin)
            if not result.is_equal:
                result.staged.commit_sync(self.lake, self._stamp())
            written.append(self._remember(result.table, result.staged.rejected, is_changed=not result.is_equal))
        return written

    def replace(self, table: Table, frame: DataFrame, *, where: dict[str, str]) -> Written:
        """Put `frame` in the place of the rows whose columns have the values of `where`; the others stay."""
        staged = self._stage(table, frame)
        is_equal = staged.is_current(self.lake, where)
        if not is_equal:
            staged.commit_replace(self.lake, self._stamp(), where)
        return self._remember(table, staged.rejected, is_changed=not is_equal)

    def record(self, table: Table, rows: pa.Table) -> Written:
        """Write down what this run has to say of itself, in the place of what an earlier attempt wrote.

        The rows lack the columns that tell the run. They are few, so that Spark is not asked.
        """
        (column,) = table.slice_by
        stamp = {column: self.run_id, "run_id": self.run_id, "updated_at": self.started_at}
        for name, value in stamp.items():
            field = table.arrow_schema().field(name)
            rows = rows.append_column(field, pa.repeat(pa.scalar(value, field.type), rows.num_rows))
        before = self.lake.read(table, [column], [(column, "=", self.run_id)]) if self.lake.exists(table) else rows
        is_changed = bool(rows.num_rows or before.num_rows)
        if is_changed:
            writer = {"job": self.job.name, "run_id": self.run_id}
            self.lake.replace_rows(table, rows.select(table.column_names), f"{column} = '{self.run_id}'", writer=writer)
        else:
            self.lake.prepare(table)
        return self._remember(table, 0, is_changed=is_changed)

    def _load(self, pinned: Snapshot) -> DataFrame:
        return self.spark.read.format("delta").option("versionAsOf", pinned.version).load(pinned.path)

    def _stage(self, table: Table, frame: DataFrame) -> Staged:
        self.lake.prepare(table)
        return delta.stage(frame, table, self.lake, self._staging(table.name))

    def _staging(self, name: str) -> str:
        return f"{self.folder('staging')}/{name}"

    def _check_limits(self, staged: Staged, table: Table, rows_seen: int | None, *, is_equal: bool) -> None:
        standing = self.lake.snapshot(table).rows if table.guards_rows and not is_equal else 0
        deleted = staged.count_deleted(self.lake) if standing else 0
        limits = self.settings.limits
        check_limits(staged, table, limits, rows_seen=rows_seen, deleted=deleted, standing=standing)

    def _reject(self, staged: Staged, table: Table, origin: Table) -> None:
        """Replace this job's slice of rejected_rows for one table."""
        self.lake.prepare(REJECTED_ROWS)
        where = {"job": self.job.name, "target_table": table.name}
        if not staged.rejected and not self.lake.count_rows(REJECTED_ROWS, where):
            self._remember(REJECTED_ROWS, 0, is_changed=False)
            return
        rejects = staged.stage_rejected(origin.key, self.job.name, self.lake, self._staging(f"{table.name}.rejected"))
        if not rejects.is_current(self.lake, where):
            rejects.commit_replace(self.lake, self._stamp(), where)
        self._remember(REJECTED_ROWS, 0, is_changed=True)

    def _remember(self, table: Table, rejected: int, *, is_changed: bool) -> Written:
        written = Written(self.lake.snapshot(table), rejected, is_changed)
        self.written[table.name] = written
        if table is not REJECTED_ROWS:
            state = "written" if is_changed else "unchanged"
            turned_away = f", {rejected:,} rejected" if rejected else ""
            self.note(
                f"  {table.name}: {written.snapshot.rows:,} rows {state} "
                f"(version {written.snapshot.version}){turned_away}"
            )
        return written

    def _stamp(self) -> Stamp:
        return Stamp(self.job.name, self.run_id, self.started_at)
