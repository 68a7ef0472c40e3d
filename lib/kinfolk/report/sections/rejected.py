"""What was turned away, and why."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.numbers import Rejection, read_rejections
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import REJECTED_ROWS


@dataclass(frozen=True)
class Bar:
    """A rejection with the length of its bar, 0 to 100, measured against the commonest reason of its table."""

    rejection: Rejection
    length: float


@dataclass(frozen=True)
class Turned:
    """Rejections of one table, the commonest first."""

    job: str
    table: str
    rows: int
    rows_read: int
    bars: tuple[Bar, ...]

    @property
    def share(self) -> float:
        """Share of the rows read that were turned away, 0 to 1."""
        return self.rows / self.rows_read


def read_rejected(tables: PinnedTables, settings: Settings) -> list[Turned] | None:
    """Rejections by job and table; an empty list where none stand any more, None where there never was one."""
    del settings
    if tables.snapshot(REJECTED_ROWS) is None:
        return None
    by_table: dict[tuple[str, str], list[Rejection]] = {}
    for rejection in read_rejections(tables):
        by_table.setdefault((rejection.job, rejection.target_table), []).append(rejection)
    return [_group(job, table, rejections) for (job, table), rejections in by_table.items()]


def _group(job: str, table: str, rejections: list[Rejection]) -> Turned:
    most = rejections[0].rows
    bars = tuple(Bar(rejection, 100 * rejection.rows / most) for rejection in rejections)
    return Turned(job, table, sum(r.rows for r in rejections), rejections[0].rows_read, bars)
