"""The rows of job_runs: what ran before, and what is written down now."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from kinfolk.tables.catalog import JOB_RUNS
from kinfolk.tables.lake import Lake


@dataclass(frozen=True)
class RunRecord:
    """One row of job_runs."""

    run_id: str
    job: str
    status: str
    attempt: int
    fingerprint: str
    run_date: date
    started_at: datetime
    ended_at: datetime | None = None
    message: str | None = None
    models: list[dict[str, str]] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def ended(self, status: str, message: str, outputs: list[dict[str, Any]] | None = None) -> RunRecord:
        """The record of this run as it ends now."""
        return replace(
            self, status=status, message=message[:2000], ended_at=datetime.now(UTC), outputs=outputs or self.outputs
        )

    @property
    def seconds(self) -> float:
        """How long the last attempt took."""
        return ((self.ended_at or self.started_at) - self.started_at).total_seconds()


def write_record(lake: Lake, record: RunRecord) -> None:
    """Put a record in the place of an earlier one of the same run."""
    row = pa.Table.from_pylist([asdict(record)], schema=JOB_RUNS.arrow_schema())
    lake.replace_rows(JOB_RUNS, row, f"run_id = '{record.run_id}'")


def read_records(lake: Lake, job: str) -> list[RunRecord]:
    """Every record of a job, the newest start first."""
    if not lake.exists(JOB_RUNS):
        return []
    rows = lake.read(JOB_RUNS, filters=[("job", "=", job)]).to_pylist()
    return sorted((RunRecord(**row) for row in rows), key=lambda record: record.started_at, reverse=True)


def last_good(records: list[RunRecord]) -> RunRecord | None:
    """The newest run that came to its end, of records that stand newest first."""
    return next((record for record in records if record.status == "succeeded"), None)


def unfinished(records: list[RunRecord], fingerprint: str) -> RunRecord | None:
    """The run to take over: one with the same fingerprint that never came to its end."""
    return next((r for r in records if r.status != "succeeded" and r.fingerprint == fingerprint), None)
