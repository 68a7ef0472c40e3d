"""All jobs in order on one machine, in one Spark session."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kinfolk.jobs import JOB_NAMES, load_job
from kinfolk.run import Outcome, Sessions, run_in
from kinfolk.run.progress import format_seconds, print_note
from kinfolk.run.records import last_good, read_records
from kinfolk.settings import Settings
from kinfolk.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_all(
    settings: Settings,
    *,
    only: Sequence[str] = (),
    run_date: date | None = None,
    is_forced: bool = False,
    spark: SparkSession | None = None,
    note: Callable[[str], None] = print_note,
) -> list[Outcome]:
    """Run the jobs named, or all, in the order in which the data goes; stop at the first that fails.

    Started again, the jobs that came to their end are skipped and the one that failed is resumed.
    """
    jobs = [load_job(name) for name in only] if only else [load_job(name) for name in JOB_NAMES]
    jobs.sort(key=lambda job: JOB_NAMES.index(job.name))
    sessions = Sessions(settings, spark)
    started = time.monotonic()
    outcomes = []
    try:
        for place, job in enumerate(jobs, start=1):
            lack = job.lacks(settings)
            if lack:
                note(f"[{place}/{len(jobs)}] {job.name}: left out, the settings give no {lack}")
                continue
            left = _seconds_left(settings, [later.name for later in jobs[place - 1 :]])
            note(
                f"[{place}/{len(jobs)}] {job.name}" + (f" (at most {format_seconds(left)} left in all)" if left else "")
            )
            outcomes.append(run_in(sessions, job, settings, run_date=run_date, is_forced=is_forced, note=note))
    finally:
        sessions.stop()
    ran = sum(outcome.status == "succeeded" for outcome in outcomes)
    note(f"{ran} jobs run, {len(outcomes) - ran} skipped, in {format_seconds(time.monotonic() - started)}")
    return outcomes


def _seconds_left(settings: Settings, jobs: list[str]) -> float | None:
    """What these jobs took the last time, together; None where one of them never ran."""
    lake = Lake(settings.lake.root)
    last = [last_good(read_records(lake, job)) for job in jobs]
    return sum(record.seconds for record in last if record) if all(last) else None
