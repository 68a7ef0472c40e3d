"""Signs of life while a job runs: time, Spark tasks, and what is probably left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def heartbeat(
    job: str, expected_seconds: float | None, session: Callable[[], SparkSession | None], note: Callable[[str], None]
) -> Iterator[None]:
    """Report progress every quarter of a minute until the block ends.

    `expected_seconds` is what the job took the last time, None where it never ran.
    """
    done = threading.Event()
    started = time.monotonic()

    def beat() -> None:
        while not done.wait(_SECONDS_BETWEEN_LINES):
            elapsed = time.monotonic() - started
            note(
                f"  … {job}: {format_seconds(elapsed)}"
                + _describe_tasks(session())
                + _describe_rest(expected_seconds, elapsed)
            )

    thread = threading.Thread(target=beat, name=f"progress of {job}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _describe_tasks(session: SparkSession | None) -> str:
    if session is None:
        return ""
    tracker = session.sparkContext.statusTracker()
    stages = [info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage))]
    if not stages:
        return ""
    return f", {sum(s.numCompletedTasks for s in stages)} of {sum(s.numTasks for s in stages)} Spark tasks of this step"


def _describe_rest(expected: float | None, elapsed: float) -> str:
    if expected is None:
        return ""
    left = expected - elapsed
    return (
        f", about {format_seconds(left)} left"
        if left > 0
        else f", longer than the last time ({format_seconds(expected)})"
    )


def format_seconds(seconds: float) -> str:
    """A duration as people say it.

    >>> format_seconds(7.25), format_seconds(75), format_seconds(3725)
    ('7.2 s', '1 min 15 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def print_note(message: str) -> None:
    """Write a line of progress to stderr, so that stdout stays for results."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
