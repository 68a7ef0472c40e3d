"""One row group of a plan, from its file to Arrow columns."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from kinfolk.errors import DataError
from kinfolk.feed.conditions import select_rows
from kinfolk.feed.snapshot import FeedPlan, RowGroup, open_filesystem, read_schema

_KEPT_FILES = 64


def prefer_jemalloc() -> None:
    """Have Arrow allocate with jemalloc in this process, where it can and nobody has chosen otherwise.

    For processes that live for the feed, such as ranks: row groups come and go there, and Arrow's default keeps several
    times the memory that they need at once.
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


@dataclass(frozen=True)
class _KnownFile:
    """What is kept of a file between two of its row groups: its footer, and its columns' types."""

    footer: pq.FileMetaData
    types: dict[str, pa.DataType]


class RowGroupReader:
    """Reads row groups of a plan; several threads may share one."""

    def __init__(self, plan: FeedPlan) -> None:
        self.plan = plan
        self._lock = threading.Lock()
        self._known: OrderedDict[int, _KnownFile] = OrderedDict()

    def read(self, row_group: int, columns: Sequence[str]) -> pa.Table:
        """The requested columns, with the types of the plan's schema.

        Partition columns come from the log; a column that the table was given after the file had been written is null.
        Raises DataError where other rows come than are planned.
        """
        group = self.plan.row_groups[row_group]
        conditions = self.plan.conditions if group.is_partial else ()
        wanted = list(dict.fromkeys([*columns, *(condition.column for condition in conditions)]))
        rows = self._complete(group.file, self._read_stored(group, wanted), wanted)
        if conditions:
            rows = select_rows(rows, conditions).select(list(columns))
        if rows.num_rows != group.rows:
            raise DataError(f"{rows.num_rows} rows were read, {group.rows} are planned")
        return rows

    def _read_stored(self, group: RowGroup, wanted: list[str]) -> pa.Table:
        """Those of the columns that the file holds."""
        file = self.plan.files[group.file]
        filesystem, root = open_filesystem(self.plan.root)
        known = self._recall(group.file)
        with (
            filesystem.open_input_file(f"{root}/{file.path}") as source,
            pq.ParquetFile(source, metadata=known.footer if known else None) as parquet,
        ):
            known = known or self._remember(group.file, parquet)
            stored = [name for name in wanted if name in known.types and name not in file.partition]
            indices = range(parquet.num_row_groups) if group.index is None else [group.index]
            rows = parquet.read_row_groups(indices, columns=stored, use_threads=False)
            # Without any column a table has no rows to count.
            counts = [known.footer.row_group(index).num_rows for index in indices]
            return rows if stored else pa.table({"": pa.nulls(sum(counts))})

    def _complete(self, file: int, rows: pa.Table, wanted: list[str]) -> pa.Table:
        """Add what the file does not hold, and give every column the type that it has in the table."""
        schema = read_schema(self.plan.schema_json)
        stored = set(rows.column_names)
        known = self._recall(file)
        if known and all(name in stored and known.types[name] == schema.field(name).type for name in wanted):
            return rows
        partition = self.plan.files[file].partition
        columns = {
            name: rows.column(name).cast(schema.field(name).type)
            if name in stored
            else pa.repeat(pa.scalar(partition.get(name)).cast(schema.field(name).type), rows.num_rows)
            for name in wanted
        }
        return pa.table(columns)

    def _recall(self, file: int) -> _KnownFile | None:
        with self._lock:
            return self._known.get(file)

    def _remember(self, file: int, parquet: pq.ParquetFile) -> _KnownFile:
        """Files hold many row groups: a footer is parsed once for all of them, unless too many files come between."""
        schema = parquet.schema_arrow
        known = _KnownFile(parquet.metadata, dict(zip(schema.names, schema.types, strict=True)))
        with self._lock:
            self._known[file] = known
            if len(self._known) > _KEPT_FILES:
                self._known.popitem(last=False)
        return known
