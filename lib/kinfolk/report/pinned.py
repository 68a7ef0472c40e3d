"""The tables of one report, each at the version that was pinned for it, read without a JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import QueryBuilder

from kinfolk.tables.contract import Table
from kinfolk.tables.lake import Lake, Snapshot

Row = dict[str, Any]


class PinnedTables:
    """The tables that are there, at their pinned versions.

    Sums and rankings are left to the query engine, which streams the files, so that only results enter this process.
    """

    def __init__(self, lake: Lake, snapshots: Mapping[str, Snapshot | None]) -> None:
        self._lake = lake
        self._snapshots = {name: snapshot for name, snapshot in snapshots.items() if snapshot is not None}

    def snapshot(self, table: Table) -> Snapshot | None:
        """The pinned version of a table; None where the lake has no such table."""
        return self._snapshots.get(table.name)

    def rows(self, table: Table) -> int:
        """Rows of a table; 0 where the lake has no such table."""
        snapshot = self.snapshot(table)
        return snapshot.rows if snapshot else 0

    def has(self, *tables: Table) -> bool:
        """Whether every one of the tables is there and holds a row."""
        return all(self.rows(table) > 0 for table in tables)

    def query(self, sql: str, *tables: Table) -> list[Row]:
        """Answer a question in SQL over the named tables, all of which have to be there."""
        builder = QueryBuilder()
        for table in tables:
            builder.register(table.name, self._lake.open(table, self._snapshots[table.name].version))
        answer = pa.table(builder.execute(sql).read_all())
        rows: list[Row] = answer.to_pylist()
        return rows

    def find(self, table: Table, column: str, values: Sequence[str], columns: Sequence[str]) -> list[Row]:
        """The rows whose `column` is one of `values`, with the named columns; none where the table is not there."""
        if not values or not self.has(table):
            return []
        wanted = pc.field(column).isin(pa.array(sorted(set(values)), pa.string()))
        version = self._snapshots[table.name].version
        rows: list[Row] = self._lake.read(table, columns, filters=wanted, version=version).to_pylist()
        return rows

    def last_change(self, table: Table) -> int:
        """When the pinned version was committed, in milliseconds since 1970, UTC."""
        opened = self._lake.open(table, self._snapshots[table.name].version)
        return int(opened.history(limit=1)[0]["timestamp"])
