"""What a table is: one literal says its columns, key, checks and properties, and all else is rendered from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}

Role = Literal["content", "provenance"]


@dataclass(frozen=True)
class Column:
    """One column: its Spark SQL type, its meaning with the unit, and whether it may be null.

    A column of provenance says which run, source or model version made the row and when; it is left out when two
    states of a table are compared, so it tells when the row last changed.
    """

    name: str
    type: str
    meaning: str
    nullable: bool = False
    role: Role = "content"


@dataclass(frozen=True)
class Table:
    """A Delta table of the lake.

    `checks` are SQL conditions that Delta enforces on every row. `slice_by` names columns whose values delimit the part
    of the table that one job replaces (the table is then shared by several jobs). `guards_rows` says whether
    `limits.max_deleted_share` protects the rows: not where another threshold or model rightly gives quite other keys.
    `row_group_bytes` is how large row groups are written, before compression, where Parquet's default of 128 MiB does
    not serve: a table that is fed is mixed over windows of many row groups.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    checks: dict[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    slice_by: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    guards_rows: bool = True
    row_group_bytes: int | None = None
    run_date_meaning: str = "none: the table follows its inputs alone"

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        unknown = sorted({*self.key, *self.partition_by, *self.sort_by, *self.slice_by} - set(names))
        if unknown or len(set(names)) != len(names):
            raise ValueError(f"table {self.name}: unknown or repeated columns {unknown or names}")

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, in order."""
        return [column.name for column in self.columns]

    @property
    def content(self) -> list[str]:
        """Names of the columns that say what is true of the row, provenance left out."""
        return [column.name for column in self.columns if column.role == "content"]

    @property
    def table_properties(self) -> dict[str, str]:
        """Delta properties: the house's own for every table, then the table's."""
        return HOUSE_PROPERTIES | self.properties

    def arrow_schema(self) -> pa.Schema:
        """The table's schema in Arrow, nullability included."""
        return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in self.columns])

    def ddl(self, *, location: str) -> str:
        """The statement that creates the table in Spark SQL, with NOT NULL, comments and properties."""
        lines = [
            f"  `{c.name}` {c.type}{'' if c.nullable else ' NOT NULL'} COMMENT {quote_sql(c.meaning)}"
            for c in self.columns
        ]
        partition = f"\nPARTITIONED BY ({', '.join(self.partition_by)})" if self.partition_by else ""
        properties = ", ".join(f"{quote_sql(k)} = {quote_sql(v)}" for k, v in sorted(self.table_properties.items()))
        return (
            f"CREATE TABLE IF NOT EXISTS delta.`{location}` (\n" + ",\n".join(lines) + f"\n) USING delta{partition}\n"
            f"COMMENT {quote_sql(self.meaning)}\nTBLPROPERTIES ({properties})"
        )


# Readers outside the JVM refuse deletion vectors and column mapping; versions pinned by a long training run or a report
# must outlive it, so files stay for 30 days.
HOUSE_PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.deletedFileRetentionDuration": "interval 30 days",
    "delta.logRetentionDuration": "interval 90 days",
}


def quote_sql(text: str) -> str:
    r"""Return `text` as a SQL string literal.

    >>> quote_sql("the item's id")
    "'the item\\'s id'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def arrow_type(spark_type: str) -> pa.DataType:
    """The Arrow type of a Spark SQL type name, for the types that the catalog uses.

    >>> arrow_type("array<float>")
    ListType(list<element: float>)
    """
    if spark_type.startswith("array<"):
        return pa.list_(pa.field("element", arrow_type(spark_type[len("array<") : -1])))
    if spark_type.startswith("struct<"):
        fields = [part.split(":", 1) for part in spark_type[len("struct<") : -1].split(",")]
        return pa.struct([pa.field(name.strip(), arrow_type(kind.strip())) for name, kind in fields])
    if spark_type.startswith("decimal("):
        precision, scale = spark_type[len("decimal(") : -1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return ARROW_TYPES[spark_type]


def mismatches(table: Table, actual: dict[str, str]) -> list[str]:
    """Every way in which columns (name → Spark SQL type) differ from the contract, as sentences; order is free."""
    expected: dict[str, Any] = {column.name: column.type for column in table.columns}
    missing = [f"column {n} ({expected[n]}) is missing" for n in expected if n not in actual]
    extra = [f"column {n} ({actual[n]}) is not in the contract" for n in actual if n not in expected]
    changed = [
        f"column {n} is {actual[n]}, the contract says {expected[n]}"
        for n in expected
        if n in actual and actual[n].lower() != expected[n].lower()
    ]
    return missing + extra + changed
