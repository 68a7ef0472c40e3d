"""What the tables say in numbers: counts, rejections, curves, durations and versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kinfolk.report.pinned import PinnedTables, Row
from kinfolk.tables.catalog import (
    CATALOG,
    CLEAN_EVENTS,
    ITEM_EMBEDDINGS,
    ITEM_GROUPS,
    JOB_RUNS,
    REJECTED_ROWS,
    TRAINING_METRICS,
)
from kinfolk.tables.contract import Table


@dataclass(frozen=True)
class EventCounts:
    """Baskets and items of the clean events, and the time they span; times are null where the source has none."""

    baskets: int
    items: int
    first: datetime | None
    last: datetime | None


def read_event_counts(tables: PinnedTables) -> EventCounts | None:
    """Count what the clean events hold; None where there are none."""
    if not tables.has(CLEAN_EVENTS):
        return None
    sql = """
        SELECT COUNT(DISTINCT basket_id) AS baskets, COUNT(DISTINCT item_id) AS items,
               MIN(event_time) AS first, MAX(event_time) AS last
        FROM clean_events"""
    return EventCounts(**tables.query(sql, CLEAN_EVENTS)[0])


def count_groups(tables: PinnedTables) -> int:
    """Groups of similar items."""
    if not tables.has(ITEM_GROUPS):
        return 0
    return int(tables.query("SELECT COUNT(DISTINCT group_id) AS groups FROM item_groups", ITEM_GROUPS)[0]["groups"])


def count_files(tables: PinnedTables, table: Table) -> int:
    """Files that a raw table was read from."""
    if not tables.has(table):
        return 0
    sql = f"SELECT COUNT(*) AS files FROM (SELECT DISTINCT source, file FROM {table.name})"
    return int(tables.query(sql, table)[0]["files"])


@dataclass(frozen=True)
class Rejection:
    """Rows turned away by one job for one reason, with one of the offending values."""

    job: str
    target_table: str
    reason: str
    rows: int
    rows_read: int
    example: str | None

    @property
    def share(self) -> float:
        """Share of the rows read, 0 to 1."""
        return self.rows / self.rows_read


def read_rejections(tables: PinnedTables) -> list[Rejection]:
    """Rejections by table and reason, most rows first; rows read are those that entered and those turned away."""
    if not tables.has(REJECTED_ROWS):
        return []
    sql = """
        SELECT job, target_table, reason, COUNT(*) AS rows, MIN(detail) AS example
        FROM rejected_rows GROUP BY job, target_table, reason
        ORDER BY target_table, rows DESC, reason"""
    found = tables.query(sql, REJECTED_ROWS)
    rejected = count_rejected(found)
    entered = {name: tables.rows(CATALOG[name]) if name in CATALOG else 0 for name in rejected}
    return [Rejection(rows_read=entered[row["target_table"]] + rejected[row["target_table"]], **row) for row in found]


def count_rejected(rows: Sequence[Row]) -> dict[str, int]:
    """Rows turned away, by target table."""
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["target_table"]] = totals.get(row["target_table"], 0) + row["rows"]
    return totals


@dataclass(frozen=True)
class Curves:
    """What the last training run measured: for each (encoder, metric) its values by epoch, in order of the epochs."""

    run_id: str
    values: dict[tuple[str, str], tuple[tuple[int, float], ...]]

    def final(self, encoder: str, metric: str) -> float | None:
        """The value at the last epoch; None where it was not measured."""
        points = self.values.get((encoder, metric))
        return points[-1][1] if points else None

    def encoders(self, metric: str) -> list[str]:
        """The encoders for which a metric was measured."""
        return [encoder for encoder, name in self.values if name == metric]


def read_curves(tables: PinnedTables) -> Curves | None:
    """The measurements of the training run that was written last; None where nothing was trained."""
    if not tables.has(TRAINING_METRICS):
        return None
    sql = """
        WITH last AS (SELECT training_run_id FROM training_metrics
                      GROUP BY training_run_id ORDER BY MAX(updated_at) DESC, training_run_id DESC LIMIT 1)
        SELECT training_run_id, encoder, metric, epoch, value FROM training_metrics JOIN last USING (training_run_id)
        WHERE value IS NOT NULL ORDER BY encoder, metric, epoch"""
    rows = tables.query(sql, TRAINING_METRICS)
    values: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in rows:
        values.setdefault((row["encoder"], row["metric"]), []).append((row["epoch"], row["value"]))
    return Curves(rows[0]["training_run_id"], {name: tuple(points) for name, points in values.items()})


def read_durations(tables: PinnedTables) -> dict[str, float]:
    """Seconds of the last successful run of each job."""
    if not tables.has(JOB_RUNS):
        return {}
    sql = """
        SELECT job, started_at, ended_at FROM job_runs
        WHERE status = 'succeeded' AND ended_at IS NOT NULL ORDER BY ended_at, run_id"""
    return {row["job"]: (row["ended_at"] - row["started_at"]).total_seconds() for row in tables.query(sql, JOB_RUNS)}


@dataclass(frozen=True)
class Model:
    """A model version that made embeddings, and the version of item_features they were made from."""

    name: str
    version: str
    source_version: int
    embeddings: int


def read_models(tables: PinnedTables) -> list[Model]:
    """The model versions that made the embeddings of the lake."""
    if not tables.has(ITEM_EMBEDDINGS):
        return []
    sql = """
        SELECT model_name AS name, model_version AS version, source_version, COUNT(*) AS embeddings
        FROM item_embeddings GROUP BY model_name, model_version, source_version
        ORDER BY model_name, model_version, source_version"""
    return [Model(**row) for row in tables.query(sql, ITEM_EMBEDDINGS)]
