"""The lake without a JVM: where each table lies, pinned snapshots, reads, and the small writes of job_runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from kinfolk.errors import ContractError, LakeBusyError, NotFoundError, UnsupportedTableError
from kinfolk.tables.contract import Table, mismatches
from kinfolk.tables.storage import plain_uri

_COMMIT_ATTEMPTS = 5


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: which table, where, and how many rows it holds."""

    table: str
    path: str
    table_id: str
    version: int
    rows: int

    def as_entry(self) -> dict[str, Any]:
        """The entry of job_runs' inputs, and the beginning of its outputs'."""
        return {"table_name": self.table, "table_id": self.table_id, "version": self.version, "rows": self.rows}


class Lake:
    """One folder that holds a folder for each table.

    `root` is a local path or any URI that both Hadoop and Arrow understand; names starting with an underscore below it
    (`_staging`, `_reports`, …) are not tables.
    """

    def __init__(self, root: str) -> None:
        self.is_local = not re.match(r"^[a-z][a-z0-9+.-]*://", root) or root.startswith("file://")
        self.root = (
            os.path.abspath(unquote(urlsplit(root).path) if root.startswith("file://") else root)
            if self.is_local
            else root.rstrip("/")
        )

    def path(self, name: str) -> str:
        """Where a table, or a folder beside the tables, lies."""
        return f"{self.root}/{name}"

    def exists(self, table: Table) -> bool:
        """Whether the lake has the table."""
        return DeltaTable.is_deltatable(self._uri(table))

    def open(self, table: Table, version: int | None = None) -> DeltaTable:
        """Open a table at a version, by default the newest. Raises NotFoundError naming what to run."""
        try:
            return DeltaTable(self._uri(table), version=version)
        except TableNotFoundError:
            raise self.not_found(table) from None
        except DeltaError as error:
            if version is None:
                raise
            raise NotFoundError(f"table {table.name} has no version {version} any more: {error}") from None

    def not_found(self, table: Table) -> NotFoundError:
        """What to say where a table is needed that does not stand."""
        return NotFoundError(
            f"there is no table {table.name} in the lake {self.root}; run the job that writes it "
            "(`kinfolk run --settings FILE` runs all), or give the right lake with --set lake.root=PATH"
        )

    def snapshot(self, table: Table, version: int | None = None) -> Snapshot:
        """Pin a version of a table; its rows come from the log, no data is read."""
        opened = self.open(table, version)
        return Snapshot(
            table.name, self.path(table.name), str(opened.metadata().id), opened.version(), count_rows(opened)
        )

    def read(
        self,
        table: Table,
        columns: Sequence[str] | None = None,
        filters: Any = None,
        version: int | None = None,
    ) -> pa.Table:
        """Read a table into memory; `filters` are pyarrow's (column, operator, value) triples or an expression."""
        opened = self.open(table, version)
        return opened.to_pyarrow_table(columns=list(columns) if columns is not None else None, filters=filters)

    def count_rows(self, table: Table, where: dict[str, str]) -> int | None:
        """Rows whose columns have the values of `where`, from the log alone; None where the log cannot tell."""
        actions = pa.table(self.open(table).get_add_actions(flatten=True))
        for column, value in where.items():
            if column not in table.partition_by:
                return None
            actions = actions.filter(pc.equal(actions.column(f"partition.{column}"), value))
        return int(pc.sum(actions.column("num_records")).as_py() or 0)

    def replace_rows(
        self, table: Table, rows: pa.Table, predicate: str, *, writer: dict[str, str] | None = None
    ) -> None:
        """Put `rows` in the place of those that meet the predicate, as one commit; makes the table where it is not.

        `writer`, the job and the run, stands in the commit as it does in Spark's. Raises LakeBusyError when other
        writers win again and again.
        """
        rows = rows.cast(table.arrow_schema())
        for _ in range(_COMMIT_ATTEMPTS):
            try:
                self.prepare(table)
                said = _tell_writer(writer) if writer else None
                write_deltalake(self._uri(table), rows, mode="overwrite", predicate=predicate, commit_properties=said)
                return
            except CommitFailedError:
                continue
        raise LakeBusyError(f"{_COMMIT_ATTEMPTS} commits to {table.name} lost against other writers; run again later")

    def sync_rows(self, table: Table, rows: pa.Table, *, writer: dict[str, str]) -> None:
        """Make a table hold exactly these rows, as one commit: insert, update what differs, delete what is gone.

        A row whose content stays keeps its provenance. Raises LakeBusyError where another writer was faster.
        """
        opened, rows = self.open(table), rows.cast(table.arrow_schema())
        said = _tell_writer(writer)
        try:
            if not count_rows(opened):
                write_deltalake(opened, rows, mode="append", commit_properties=said)
                return
            merge = opened.merge(rows, same_key(table), source_alias="s", target_alias="t", commit_properties=said)
            merge.when_matched_update_all(differs(table))
            merge.when_not_matched_insert_all().when_not_matched_by_source_delete().execute()
        except CommitFailedError as error:
            raise LakeBusyError(f"another writer changed {table.name} meanwhile: {error}; run again") from None

    def prepare(self, table: Table) -> None:
        """Make the table as its contract says, or bring one that stands up to it where that is safe.

        New nullable columns and checks are added; anything else that differs raises ContractError with what to do.
        """
        if not self.exists(table):
            DeltaTable.create(
                self._uri(table),
                table.arrow_schema(),
                mode="ignore",
                partition_by=list(table.partition_by),
                description=table.meaning,
                configuration=dict(table.table_properties),
            )
        opened = self.open(table)
        if problems := mismatches(table, column_types(opened)):
            self._evolve(opened, table, problems)
        standing = opened.metadata().configuration
        missing = {name: check for name, check in table.checks.items() if f"delta.constraints.{name}" not in standing}
        if missing:
            opened.alter.add_constraint(missing)

    def _evolve(self, opened: DeltaTable, table: Table, problems: list[str]) -> None:
        standing = column_types(opened)
        added = [column for column in table.columns if column.name not in standing]
        if len(added) < len(problems) or not all(column.nullable for column in added):
            raise ContractError(
                f"table {table.name} at {self.path(table.name)} does not meet its contract: {'; '.join(problems)}. "
                "Move its folder away and run again: the jobs make it anew from their inputs"
            )
        schema = pa.schema([table.arrow_schema().field(column.name) for column in added])
        opened.alter.add_columns(Schema.from_arrow(schema).fields)

    def _uri(self, table: Table) -> str:
        return plain_uri(self.path(table.name))


def _tell_writer(writer: dict[str, str]) -> CommitProperties:
    """What a commit says of who made it, where Spark's say it."""
    return CommitProperties(custom_metadata={"userMetadata": json.dumps(writer)})


def same_key(table: Table) -> str:
    """In DataFusion's SQL, that rows t and s have one key."""
    return " AND ".join(f't."{name}" = s."{name}"' for name in table.key)


def differs(table: Table) -> str:
    """In DataFusion's SQL, that rows t and s of one key have other content, provenance aside."""
    # In brackets: DataFusion takes an OR that follows for a part of what is compared.
    parts = [f'(t."{name}" IS DISTINCT FROM s."{name}")' for name in table.content if name not in table.key]
    return " OR ".join(parts) or "false"


def count_rows(table: DeltaTable) -> int:
    """Rows of an open table, from the statistics in its log. Raises UnsupportedTableError where there are none."""
    # `pa.table` would load pandas, for a second, to see whether it was given a pandas frame.
    counts = pa.chunked_array(table.get_add_actions(flatten=True).column("num_records"))
    if counts.null_count:
        raise UnsupportedTableError(
            f"{table.table_uri}: {counts.null_count} files carry no row count; rewrite the table with a writer that "
            "keeps statistics (delta.dataSkippingNumIndexedCols above 0)"
        )
    return int(pc.sum(counts).as_py() or 0)


_SPARK_NAMES = {"integer": "int", "long": "bigint"}


def column_types(table: DeltaTable) -> dict[str, str]:
    """Columns of an open table with their Spark SQL types."""
    fields = json.loads(table.schema().to_json())["fields"]
    return {field["name"]: _spark_type(field["type"]) for field in fields}


def _spark_type(delta_type: Any) -> str:
    if isinstance(delta_type, str):
        return _SPARK_NAMES.get(delta_type, delta_type)
    if delta_type["type"] == "array":
        return f"array<{_spark_type(delta_type['elementType'])}>"
    return "struct<" + ",".join(f"{f['name']}:{_spark_type(f['type'])}" for f in delta_type["fields"]) + ">"
