"""How a task answers: with a report, or with why it refuses to work, which Spark would make an error of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from kinfolk import errors
from kinfolk.errors import KinfolkError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DDL = "report string"
_SCHEMA = pa.schema([("report", pa.string())])
_REFUSAL = "refusal"


class Clock:
    """Seconds of the steps of a task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def stop(self, step: str) -> None:
        """Say that a step has ended now."""
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now


def run_tasks(frame: DataFrame, work: Callable[[list[pa.RecordBatch]], Iterable[str]]) -> list[str]:
    """Give each partition of a frame to a task; returns the reports, texts, of all of them.

    Raises the error of a task that refused to work.
    """

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # In any case what Spark sends is read to its end: a worker that leaves some is not used again.
        given = list(batches)
        try:
            for report in work(given):
                yield pa.record_batch([[report]], schema=_SCHEMA)
        except KinfolkError as error:
            refusal = json.dumps({_REFUSAL: type(error).__name__, "message": str(error)})
            yield pa.record_batch([[refusal]], schema=_SCHEMA)

    reports = [row["report"] for row in frame.mapInArrow(answer, _DDL).collect()]
    for report in reports:
        _raise_refusal(report)
    return reports


def _raise_refusal(report: str) -> None:
    values = json.loads(report)
    if _REFUSAL in values:
        raise getattr(errors, values[_REFUSAL])(values["message"])
