"""The data files of a pinned table, on any storage, and their row groups as Arrow columns."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import Schema

from kinfolk.tables.storage import open_filesystem

_MOST_KNOWN = 64


class DataFile(NamedTuple):
    """An active file: its path below the table's root, its rows where the log counts them, its bytes on disk.

    `partition` has the values of the table's partition columns.
    """

    path: str
    rows: int | None
    size: int
    partition: dict[str, str | None]


@lru_cache(maxsize=16)
def read_schema(schema_json: str) -> pa.Schema:
    """The Arrow schema of a table, from its schema as Delta writes it."""
    return pa.schema(Schema.from_json(schema_json).to_arrow())


class TableFiles:
    """Reads row groups of a table's files; several threads may share one.

    Files of the local disk are mapped, and stay open until `close`, because to open one costs as much as to copy a row
    group; what was read is taken out of the process's memory again.
    """

    def __init__(self, root: str, schema_json: str, files: Sequence[DataFile]) -> None:
        self._filesystem, self._root = open_filesystem(root)
        self._is_local = isinstance(self._filesystem, pafs.LocalFileSystem)
        self._schema = read_schema(schema_json)
        self._files = files
        self._lock = threading.Lock()
        self._known: OrderedDict[int, _KnownFile] = OrderedDict()

    def read(self, file: int, index: int | None, columns: Sequence[str]) -> pa.Table:
        """Columns of a row group, or of a whole file where `index` is None, with the types of the table's schema.

        Partition columns come from the log; a column that the table was given after the file had been written is null.
        """
        with self._open(file) as (known, opened):
            stored = [name for name in columns if name in known.stored]
            rows = opened.read(index, stored)
        if known.is_as_planned.issuperset(columns):
            return rows
        count = rows.num_rows if stored else known.count_rows(index)
        return pa.table({name: self._complete(file, name, rows, count) for name in columns})

    def close(self) -> None:
        """Close the files that nobody reads; what is known of them stays."""
        with self._lock:
            for known in self._known.values():
                known.close()

    def _complete(self, file: int, name: str, rows: pa.Table, count: int) -> pa.ChunkedArray | pa.Array:
        """A column as the table has it, whatever the file holds of it."""
        kind = self._schema.field(name).type
        if name in rows.column_names:
            return rows.column(name).cast(kind)
        return pa.repeat(pa.scalar(self._files[file].partition.get(name)).cast(kind), count)

    @contextmanager
    def _open(self, file: int) -> Iterator[tuple[_KnownFile, _OpenFile]]:
        """Lend an open file to one thread."""
        with self._lock:
            known = self._known.get(file)
            opened = known.idle.pop() if known and known.idle else None
        opened = opened or self._open_anew(file, known.footer if known else None)
        known = known or self._remember(file, opened.parquet)
        try:
            yield known, opened
        except BaseException:
            opened.close()
            raise
        with self._lock:
            if self._known.get(file) is known:
                known.idle.append(opened)
                return
        opened.close()

    def _open_anew(self, file: int, footer: pq.FileMetaData | None) -> _OpenFile:
        path = f"{self._root}/{self._files[file].path}"
        if not self._is_local:
            # Far away, a few large requests take less time than one for each column.
            source = self._filesystem.open_input_file(path)
            return _OpenFile(source, pq.ParquetFile(source, metadata=footer, pre_buffer=True))
        with open(path, "rb") as opened:
            mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        source = pa.BufferReader(pa.py_buffer(mapping))
        return _OpenFile(source, pq.ParquetFile(source, metadata=footer), mapping)

    def _remember(self, file: int, parquet: pq.ParquetFile) -> _KnownFile:
        """Files hold many row groups: a footer is parsed once for all of them, unless too many files come between."""
        partition = self._files[file].partition
        types = {field.name: field.type for field in parquet.schema_arrow if field.name not in partition}
        is_as_planned = [field.name for field in self._schema if types.get(field.name) == field.type]
        known = _KnownFile(parquet.metadata, frozenset(types), frozenset(is_as_planned))
        with self._lock:
            known = self._known.setdefault(file, known)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)[1].close()
        return known


@dataclass(frozen=True)
class _KnownFile:
    """What is kept of a file between two of its row groups.

    `stored` are the columns that it holds, `is_as_planned` those of them that have their types of the table's schema.
    """

    footer: pq.FileMetaData
    stored: frozenset[str]
    is_as_planned: frozenset[str]
    idle: list[_OpenFile] = field(default_factory=list)

    def count_rows(self, index: int | None) -> int:
        """Rows of a row group, or of the file."""
        return int(self.footer.num_rows if index is None else self.footer.row_group(index).num_rows)

    def close(self) -> None:
        """Close what nobody reads."""
        while self.idle:
            self.idle.pop().close()


class _OpenFile:
    """A file that one thread at a time reads, with its mapping if it is mapped."""

    def __init__(self, source: pa.NativeFile, parquet: pq.ParquetFile, mapping: mmap.mmap | None = None) -> None:
        self.parquet = parquet
        self._source = source
        self._mapping = mapping
        footer = parquet.metadata
        starts = [_first_byte(footer.row_group(index).column(0)) for index in range(footer.num_row_groups)]
        self._edges = [*starts, len(mapping)] if mapping else []

    def read(self, index: int | None, columns: Sequence[str]) -> pa.Table:
        """Columns of a row group, or of the whole file."""
        groups = range(self.parquet.num_row_groups) if index is None else [index]
        rows = self.parquet.read_row_groups(groups, columns=columns, use_threads=False)
        if self._mapping is not None:
            first, last = (0, -1) if index is None else (index, index + 1)
            start = self._edges[first] // mmap.PAGESIZE * mmap.PAGESIZE
            self._mapping.madvise(mmap.MADV_DONTNEED, start, self._edges[last] - start)
        return rows

    def close(self) -> None:
        """Close the file; a mapping goes with the last buffer that lies in it."""
        self._source.close()


def _first_byte(column: pq.ColumnChunkMetaData) -> int:
    return int(column.dictionary_page_offset or column.data_page_offset)
