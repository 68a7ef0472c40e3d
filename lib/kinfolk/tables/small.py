"""Small results are measured and committed as Arrow tables, without Spark.

Their rows become a scratch table in the staging folder, of which DataFusion, as deltalake has it, answers what the
contract asks; the commits are deltalake's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from kinfolk.tables.catalog import REJECTED_ROWS
from kinfolk.tables.contract import Table, quote_sql
from kinfolk.tables.lake import Lake, differs, same_key
from kinfolk.tables.staging import (
    DETAIL,
    DETAIL_CHARACTERS,
    REASON,
    Stamp,
    Where,
    name_faults,
    refuse_faults,
)
from kinfolk.tables.storage import open_filesystem, plain_uri

MOST_ROWS, MOST_BYTES = 500_000, 32 << 20
"""Rows of a result, and of the table as it stands, and bytes of a result's files, up to which Spark is left out."""


def read_small(folder: str, table: Table, lake: Lake) -> pa.Table | None:
    """The rows that Spark wrote to a folder for a table; None where they, or the table's own, are too many."""
    # Row groups of a size of their own are for tables that are fed, and those are no small ones.
    if table.row_group_bytes or lake.snapshot(table).rows > MOST_ROWS:
        return None
    # Imported here: it loads pandas, for a second that look-ups would wait for.
    import pyarrow.dataset as pads

    files, inside = open_filesystem(folder)
    # A session that was configured by others may write times in an old form, which pyarrow would take for nanoseconds.
    options = pads.ParquetReadOptions(coerce_int96_timestamp_unit="us")
    found = pads.dataset(inside, filesystem=files, format=pads.ParquetFileFormat(read_options=options))
    sizes = files.get_file_info(found.files)
    if not found.files or sum(info.size for info in sizes) > MOST_BYTES or found.count_rows() > MOST_ROWS:
        return None
    return found.to_table()


@dataclass(frozen=True)
class SmallStaged:
    """A staged result (see `staging.Staged`): its rows, rejected ones included, and the scratch table of them."""

    table: Table
    rows: pa.Table
    scratch: DeltaTable
    good: int
    rejected: int
    reasons: dict[str, int]

    def is_current(self, lake: Lake, where: Where | None = None) -> bool:
        """Whether the table, or its slice `where`, holds the good rows already, provenance aside."""
        where = where or {}
        standing = lake.count_rows(self.table, dict(where))
        if standing is not None and standing != self.good:
            return False
        columns = ", ".join(map(_name, self.table.content))
        found = _ask(
            f"""
            SELECT COUNT(*) AS differing
            FROM (SELECT {columns} FROM staged WHERE {REASON} IS NULL) AS s
            FULL OUTER JOIN (SELECT {columns} FROM standing WHERE {_condition(where)}) AS t ON {same_key(self.table)}
            WHERE s.{_name(self.table.key[0])} IS NULL OR t.{_name(self.table.key[0])} IS NULL OR {differs(self.table)}
            """,
            staged=self.scratch,
            standing=lake.open(self.table),
        )
        return bool(found[0]["differing"] == 0)

    def count_deleted(self, lake: Lake) -> int:
        """Rows of the table as it stands whose key the good rows no longer have."""
        found = _ask(
            f"""
            SELECT COUNT(*) AS deleted FROM standing AS t
            LEFT ANTI JOIN (SELECT * FROM staged WHERE {REASON} IS NULL) AS s ON {same_key(self.table)}
            """,
            staged=self.scratch,
            standing=lake.open(self.table),
        )
        return int(found[0]["deleted"])

    def commit_sync(self, lake: Lake, stamp: Stamp) -> None:
        """Make the table hold exactly the good rows. Raises LakeBusyError where another writer was faster."""
        lake.sync_rows(self.table, self._committable(stamp), writer=stamp.writer)

    def commit_replace(self, lake: Lake, stamp: Stamp, where: Where) -> None:
        """Put the good rows in the place of the table's slice `where`. Raises as `commit_sync` does."""
        lake.replace_rows(self.table, self._committable(stamp), _condition(where), writer=stamp.writer)

    def stage_rejected(self, key: tuple[str, ...], job: str, lake: Lake, folder: str) -> SmallStaged:
        """The rows turned away, staged for rejected_rows."""
        del lake
        bad = self.rows.filter(pc.is_valid(self.rows[REASON]))
        keys = [
            json.dumps({k: v for k, v in row.items() if v is not None}, ensure_ascii=False, separators=(",", ":"))
            for row in bad.select(key).to_pylist()
        ]
        columns = {
            "job": pa.repeat(job, bad.num_rows),
            "target_table": pa.repeat(self.table.name, bad.num_rows),
            "row_key": pa.array(keys, pa.string()),
            "reason": bad[REASON],
            "detail": pc.utf8_slice_codeunits(bad[DETAIL], 0, DETAIL_CHARACTERS),
        }
        return stage_rows(pa.table(columns), REJECTED_ROWS, folder)

    def _committable(self, stamp: Stamp) -> pa.Table:
        """The good rows in the order of the contract, stamped."""
        rows, schema = self.rows.filter(pc.is_null(self.rows[REASON])), self.table.arrow_schema()
        for name, value in stamp.columns(self.table).items():
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.repeat(pa.scalar(value, schema.field(name).type), rows.num_rows))
        order = [(name, "ascending") for name in (*self.table.partition_by, *self.table.sort_by)]
        rows = rows.select(self.table.column_names)
        return rows.sort_by(order) if order else rows


def stage_rows(rows: pa.Table, table: Table, folder: str) -> SmallStaged:
    """Check rows against the contract of their table, and measure them; `folder` is for the scratch table.

    Raises ContractError as `delta.stage` does.
    """
    for name in (REASON, DETAIL):
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    write_deltalake(plain_uri(folder), rows, mode="overwrite", schema_mode="overwrite")
    scratch = DeltaTable(plain_uri(folder))
    faults = name_faults(table, rows.column_names, '"')
    counts = ", ".join(
        f"COUNT(*) FILTER (WHERE {REASON} IS NULL AND ({condition})) AS fault_{i}"
        for i, condition in enumerate(faults.values())
    )
    (counted,) = _ask(
        f"SELECT COUNT(*) FILTER (WHERE {REASON} IS NULL) AS good, COUNT({REASON}) AS rejected, {counts} FROM staged",
        staged=scratch,
    )
    key = ", ".join(map(_name, table.key))
    by_key = f"SELECT {key}, COUNT(*) AS times FROM staged WHERE {REASON} IS NULL GROUP BY {key}"
    repeated = _ask(f"{by_key} HAVING COUNT(*) > 1 LIMIT 3", staged=scratch)
    refuse_faults(
        table,
        {words: int(counted[f"fault_{i}"]) for i, words in enumerate(faults)},
        [(tuple(row[name] for name in table.key), int(row["times"])) for row in repeated],
    )
    reasons = {}
    if counted["rejected"]:
        by_reason = f"SELECT {REASON}, COUNT(*) AS times FROM staged WHERE {REASON} IS NOT NULL GROUP BY {REASON}"
        ordered = f"{by_reason} ORDER BY times DESC, {REASON}"
        reasons = {row[REASON]: int(row["times"]) for row in _ask(ordered, staged=scratch)}
    return SmallStaged(table, rows, scratch, int(counted["good"]), int(counted["rejected"]), reasons)


def _ask(query: str, **tables: DeltaTable) -> list[dict[str, Any]]:
    """The answer to a query over tables."""
    builder = QueryBuilder()
    for name, table in tables.items():
        builder.register(name, table)
    rows: list[dict[str, Any]] = pa.RecordBatchReader.from_stream(builder.execute(query)).read_all().to_pylist()
    return rows


def _name(column: str) -> str:
    """A column as DataFusion takes it, some of whose words are names of ours."""
    return f'"{column}"'


def _condition(where: Where) -> str:
    return " AND ".join(f"{_name(column)} = {quote_sql(value)}" for column, value in where.items()) or "true"
