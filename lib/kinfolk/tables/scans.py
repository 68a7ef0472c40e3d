"""Frames that are nothing but columns of Parquet files: a task that wants all their rows reads the files itself.

Rows that reach Python through the JVM are decoded there, made into rows, into Arrow again, and copied between two
processes, which costs more than many a join of them. What a frame reads stands in its optimized plan. The plans that
are known here have columns and constants, of rows in which some columns are not null or have one of some texts, from
Parquet files or Delta tables of the local file system; for others Spark has credentials that are not ours. All other
frames are left to Spark.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from operator import and_
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from kinfolk.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PLAIN_DELTA = 1
"""The reader version of Delta tables whose files hold their rows and nothing else: no deleted ones, no other names."""

_PLAIN_TYPE = re.compile(
    r"(array<)*(string|binary|boolean|tinyint|smallint|int|bigint|float|double|decimal\(\d+,\d+\))>*"
)
"""Types that Spark and Arrow read alike, whatever the settings of either."""
_FORMAT = ds.ParquetFileFormat()


@dataclass(frozen=True)
class Condition:
    """What holds for all rows: a column has one of some values, or where these are None, any but null."""

    column: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Constant:
    """A column that has the same value in all rows."""

    value: str | bool


@dataclass(frozen=True)
class Scan:
    """Columns of some files by their names there, or constants, of the rows for which all conditions hold."""

    files: tuple[str, ...]
    columns: tuple[str | Constant, ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Scans:
    """What a frame reads, one part after the other, and the schema of its rows."""

    parts: tuple[Scan, ...]
    schema: pa.Schema

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(os.path.getsize(file) for part in self.parts for file in part.files)

    def read(self, *, threads: int) -> pa.Table:
        """All rows. Raises DataError where a file spells a column in another case than the frame."""
        # Arrow decodes in threads of its own, of which Spark allows a worker one.
        pa.set_cpu_count(max(threads, pa.cpu_count()))
        with ThreadPoolExecutor(threads) as pool:
            files = [_File(scan, file) for scan in self.parts for file in scan.files]
            groups = [group for split in pool.map(_split, files) for group in split]
            tables = list(pool.map(partial(_read, schema=self.schema), groups))
        return pa.concat_tables([self.schema.empty_table(), *tables])


def find_scans(frame: DataFrame) -> Scans | None:
    """What a frame reads; None where Spark has to read it."""
    from pyspark.sql.pandas.types import to_arrow_schema

    plan = frame._jdf.queryExecution().optimizedPlan()
    try:
        parts = [_find_scan(part) for part in (_items(plan.children()) if _kind(plan) == "Union" else [plan])]
    except _OtherPlanError:
        return None
    return Scans(tuple(parts), to_arrow_schema(frame.schema))


def read_frame(frame: DataFrame, *, threads: int) -> pa.Table:
    """All rows of a frame, read by whoever can do it faster."""
    scans = find_scans(frame)
    table: pa.Table = frame.toArrow() if scans is None else scans.read(threads=threads)
    return table


class _OtherPlanError(Exception):
    """The plan of a frame is none that is known here."""


def _find_scan(plan: Any) -> Scan:
    """What a plan reads that has no more than a projection of a filter of a relation."""
    columns = _items(plan.output())
    conditions: tuple[Condition, ...] = ()
    if _kind(plan) == "Project":
        columns, plan = _items(plan.projectList()), plan.child()
    if _kind(plan) == "Filter":
        conditions, plan = tuple(_find_conditions(plan.condition())), plan.child()
    return Scan(_find_files(plan), tuple(_find_column(column) for column in columns), conditions)


def _find_column(expression: Any) -> str | Constant:
    """The name of a column in the files, or a constant."""
    if _kind(expression) == "Alias":
        expression = expression.child()
    if _kind(expression) != "Literal":
        return _name(expression)
    if _type(expression) == "boolean" and expression.value() is not None:
        return Constant(bool(expression.value()))
    return Constant(_text(expression))


def _find_conditions(expression: Any) -> list[Condition]:
    kind = _kind(expression)
    if kind == "And":
        return _find_conditions(expression.left()) + _find_conditions(expression.right())
    if kind == "IsNotNull":
        return [Condition(_name(expression.child()))]
    if kind == "EqualTo":
        return [Condition(_name(expression.left(), of="string"), (_text(expression.right()),))]
    if kind == "In":
        values = tuple(_text(value) for value in _items(expression.list()))
        return [Condition(_name(expression.value(), of="string"), values)]
    raise _OtherPlanError


def _find_files(plan: Any) -> tuple[str, ...]:
    """The paths of the Parquet files of a relation without partitions."""
    if _kind(plan) != "LogicalRelation" or _kind(plan.relation()) != "HadoopFsRelation":
        raise _OtherPlanError
    relation = plan.relation()
    kind = _kind(relation.fileFormat())
    is_plain = kind == "ParquetFileFormat" or (
        kind == "DeltaParquetFileFormat" and relation.fileFormat().protocol().minReaderVersion() == _PLAIN_DELTA
    )
    if not is_plain or relation.partitionSchema().size():
        raise _OtherPlanError
    nothing = relation.partitionSchema().toList()
    folders = _items(relation.location().listFiles(nothing, nothing))
    return tuple(_local_path(file) for folder in folders for file in _items(folder.files()))


def _local_path(file: Any) -> str:
    address = urlsplit(file.getPath().toUri().toString())
    if address.scheme not in ("", "file"):
        raise _OtherPlanError
    return unquote(address.path)


def _name(expression: Any, *, of: str | None = None) -> str:
    """The name of a column, of a type if one is given."""
    if _kind(expression) != "AttributeReference" or (of is not None and _type(expression) != of):
        raise _OtherPlanError
    # Files older than a column with a default are read with a value that they do not hold.
    if not _PLAIN_TYPE.fullmatch(_type(expression)) or expression.metadata().contains("EXISTS_DEFAULT"):
        raise _OtherPlanError
    return str(expression.name())


def _text(expression: Any) -> str:
    """A text that stands in a plan."""
    if _kind(expression) != "Literal" or _type(expression) != "string" or expression.value() is None:
        raise _OtherPlanError
    return str(expression.value().toString())


def _kind(thing: Any) -> str:
    return str(thing.getClass().getSimpleName())


def _type(expression: Any) -> str:
    return str(expression.dataType().simpleString())


def _items(sequence: Any) -> list[Any]:
    """The elements of a Scala sequence."""
    return [sequence.apply(place) for place in range(sequence.size())]


@dataclass(frozen=True)
class _File:
    """A file that a scan reads."""

    scan: Scan
    path: str


@dataclass(frozen=True)
class _RowGroup:
    """A row group of a file, and the scan that reads it."""

    scan: Scan
    rows: ds.ParquetFileFragment


def _split(file: _File) -> list[_RowGroup]:
    """The row groups of a file; raises DataError where it spells a column in another case."""
    fragment = _FORMAT.make_fragment(file.path, fs.LocalFileSystem())
    there = fragment.physical_schema.names
    spelled = {name.lower(): name for name in there}
    columns = [column for column in file.scan.columns if isinstance(column, str)]
    for name in (*columns, *(condition.column for condition in file.scan.conditions)):
        found = spelled.get(name.lower(), name)
        if found != name and name not in there:
            raise DataError(f"{file.path} has a column {found}, the table {name}: write it with one spelling")
    return [_RowGroup(file.scan, rows) for rows in fragment.split_by_row_group()]


def _read(group: _RowGroup, schema: pa.Schema) -> pa.Table:
    """The rows wanted of a row group under the names and types of a schema; a column that it lacks is null."""
    scan, there = group.scan, set(group.rows.physical_schema.names)
    if any(condition.column not in there for condition in scan.conditions):
        return schema.empty_table()
    named = zip(schema.names, scan.columns, strict=True)
    table = group.rows.to_table(
        columns={name: ds.field(column) for name, column in named if column in there},
        filter=reduce(and_, map(_express, scan.conditions)) if scan.conditions else None,
        use_threads=False,
    )
    arrays = []
    for field, column in zip(schema, scan.columns, strict=True):
        if column in there:
            arrays.append(table[field.name].cast(field.type))
        else:
            value = column.value if isinstance(column, Constant) else None
            arrays.append(pa.repeat(pa.scalar(value, field.type), len(table)))
    return pa.table(arrays, schema=schema)


def _express(condition: Condition) -> ds.Expression:
    column = ds.field(condition.column)
    return column.is_valid() if condition.values is None else column.isin(list(condition.values))
