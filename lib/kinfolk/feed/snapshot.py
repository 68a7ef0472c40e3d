"""A pinned version of a Delta table: its active files from the log, and their row groups, planned once for all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from kinfolk.errors import DataError, NotFoundError, UnsupportedTableError
from kinfolk.feed.conditions import Bounds, Condition, Verdict, judge_bounds, select_rows
from kinfolk.feed.order import Integers
from kinfolk.feed.table_files import DataFile, TableFiles, read_schema
from kinfolk.tables.storage import open_filesystem, plain_uri

# Reader features under which active files hold exactly the rows and columns that they seem to hold.
_HARMLESS_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "appendOnly"})
_FOOTER_THREADS_AFAR = 16
_FOOTER_THREADS_HERE = 2
_SMALL_FILE_BYTES = 1 << 20
_SAMPLED_FOOTERS = 32


@dataclass(frozen=True)
class PinnedFiles:
    """The active files of one version of a table that may hold rows which all `conditions` keep.

    `schema_json` is the table's schema as Delta writes it. `conditions` are those that the files have yet to decide.
    """

    root: str
    version: int
    schema_json: str
    files: tuple[DataFile, ...]
    conditions: tuple[Condition, ...] = ()


class RowGroup(NamedTuple):
    """A row group: the place of its file in the plan, its own place in the file, and how much it holds.

    One of a small file stands for all of the file, and its `ordinal` is None. `rows` are those that the plan's
    conditions keep, all of them unless `is_partial`. `column_bytes` are decoded sizes by the footer, in the order of
    the plan's columns.
    """

    file: int
    ordinal: int | None
    rows: int
    column_bytes: tuple[int, ...]
    is_partial: bool = False


@dataclass(frozen=True)
class FeedPlan:
    """What there is to feed: made once, by `plan_row_groups`, and handed to every rank as JSON."""

    root: str
    version: int
    schema_json: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]
    row_groups: tuple[RowGroup, ...]
    conditions: tuple[Condition, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of every epoch, over all ranks."""
        return sum(group.rows for group in self.row_groups)

    def sizes(self, columns: Sequence[str]) -> Integers:
        """Decoded bytes of some columns of each row group, by the footers: [G]."""
        places = [self.columns.index(name) for name in columns]
        sizes: Integers = np.array([group.column_bytes for group in self.row_groups])[:, places].sum(axis=1)
        return sizes

    def to_json(self) -> str:
        """Write the plan for `from_json`: of files and row groups column by column, which is read in half the time."""
        values = vars(self) | {
            "files": list(zip(*self.files, strict=True)),
            "row_groups": list(zip(*self.row_groups, strict=True)),
            "conditions": [list(vars(condition).values()) for condition in self.conditions],
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` has written."""
        values = json.loads(text)
        files = tuple(map(DataFile, *values.pop("files")))
        file, ordinal, rows, sizes, is_partial = values.pop("row_groups")
        groups = tuple(map(RowGroup, file, ordinal, rows, map(tuple, sizes), is_partial))
        conditions = tuple(Condition(*condition) for condition in values.pop("conditions"))
        columns = tuple(values.pop("columns"))
        return cls(**values, columns=columns, files=files, row_groups=groups, conditions=conditions)


def pin_snapshot(path: str, version: int | datetime | None = None, *, where: Sequence[Condition] = ()) -> PinnedFiles:
    """Take the active files of a version of the table at `path` from its log; no folder is listed.

    `version` may also be a time, for the version that stood then, or None for the newest. `where` keeps the rows that
    all conditions keep; files without any such row, by the log's partition values and statistics, are left out. Raises
    NotFoundError where there is no such table or version, UnsupportedTableError where reading the files would give
    other rows than the table has, DataError where a condition names no column or holds a value of another type.
    """
    table = _open(path, version)
    _check_readable(table, path)
    schema_json = table.schema().to_json()
    schema = read_schema(schema_json)
    unknown = sorted({condition.column for condition in where} - set(schema.names))
    if unknown:
        raise DataError(f"{path} has no column {', '.join(unknown)}; it has {', '.join(schema.names)}")
    actions = _Actions(table)
    if actions.outside:
        raise UnsupportedTableError(
            f"{path} refers to files of another table, such as {actions.outside[0]}, which may vanish with it; write "
            "the table anew with rows of its own"
        )
    kept = [
        file
        for place, file in enumerate(actions.files)
        if all(actions.judge(place, condition, schema) is not Verdict.NONE for condition in where)
    ]
    undecided = tuple(condition for condition in where if condition.column not in actions.partition_columns)
    files = tuple(sorted(kept, key=lambda file: file.path))
    return PinnedFiles(path, table.version(), schema_json, files, undecided)


def _open(path: str, version: int | datetime | None) -> DeltaTable:
    address = plain_uri(path)
    try:
        if not isinstance(version, datetime):
            return DeltaTable(address, version=version)
        table = DeltaTable(address)
        table.load_as_version(version)
        return table
    except TableNotFoundError:
        raise NotFoundError(f"there is no Delta table at {path}; run the job that writes it") from None
    except DeltaError as error:
        raise NotFoundError(
            f"the table at {path} has no version {version} to read ({error}); pin a version that is there, and let the "
            "log live longer than a training (delta.logRetentionDuration)"
        ) from None


def _check_readable(table: DeltaTable, path: str) -> None:
    """Refuse tables whose data files do not say by themselves which rows and columns the table has."""
    features = set(table.protocol().reader_features or ())
    if "deletionVectors" in features:
        raise UnsupportedTableError(
            f"{path} allows deletion vectors, so that its files may hold deleted rows; in Spark run ALTER TABLE "
            f"delta.`{path}` DROP FEATURE deletionVectors, which purges them, and pin the version that it makes"
        )
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mapping != "none" or "columnMapping" in features:
        raise UnsupportedTableError(
            f"{path} maps its columns (delta.columnMapping.mode = {mapping}), so that its files name them otherwise; "
            f"in Spark run ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.columnMapping.mode' = 'none'), which "
            f"rewrites the files, then ALTER TABLE delta.`{path}` DROP FEATURE columnMapping"
        )
    unknown = sorted(features - _HARMLESS_FEATURES)
    if unknown:
        raise UnsupportedTableError(
            f"{path} uses the features {', '.join(unknown)}, which the feed does not read; drop them in Spark "
            f"(ALTER TABLE delta.`{path}` DROP FEATURE …), or write the table anew"
        )


class _Actions:
    """What the log says of a version's active files.

    `outside` are those whose paths are URIs of their own; names of partitions may hold a colon, escaped.
    """

    def __init__(self, table: DeltaTable) -> None:
        self.partition_columns = list(table.metadata().partition_columns)
        self._columns: dict[str, list[Any]] = {}
        self._actions = pa.table(table.get_add_actions(flatten=True))
        # The log writes paths as URIs; partition values may hold spaces, slashes and percent signs.
        paths: list[str] = self._column("path")
        self.outside = [path for path in paths if ":/" in path and re.match(r"[a-z][a-z0-9+.-]*:/", path)]
        rows, sizes = self._column("num_records"), self._column("size_bytes")
        self.files = list(map(DataFile, map(unquote, paths), rows, sizes, self._list_partitions()))

    def _list_partitions(self) -> list[dict[str, str | None]]:
        """The values of the partition columns of each file, as the log writes them."""
        values = [
            [None if value is None else str(value) for value in self._column(f"partition.{name}")]
            for name in self.partition_columns
        ]
        if not values:
            return [{} for _ in range(self._actions.num_rows)]
        return [dict(zip(self.partition_columns, of_file, strict=True)) for of_file in zip(*values, strict=True)]

    def judge(self, place: int, condition: Condition, schema: pa.Schema) -> Verdict:
        """How many rows of a file a condition keeps."""
        name = condition.column
        kind = schema.field(name).type
        if name in self.partition_columns:
            value = pa.table({name: pa.array([self.files[place].partition[name]], pa.string()).cast(kind)})
            return Verdict.ALL if select_rows(value, [condition]).num_rows else Verdict.NONE
        bounds = (self._column(f"{what}.{name}")[place] for what in ("min", "max", "null_count"))
        return judge_bounds(condition, Bounds(*bounds), kind)

    def _column(self, name: str) -> list[Any]:
        if name not in self._columns:
            is_there = name in self._actions.column_names
            self._columns[name] = (
                self._actions.column(name).to_pylist() if is_there else [None] * self._actions.num_rows
            )
        return self._columns[name]


def plan_row_groups(snapshot: PinnedFiles) -> FeedPlan:
    """Read the footers of the pinned files and list their row groups that hold rows.

    Of many small files, each taken whole, only some footers are read, and the others are taken to hold rows of the same
    size; how many rows each has, the log says. Raises NotFoundError where a file is gone, DataError where a file cannot
    be read or holds other rows than the log says, and where there is no row at all.
    """
    schema = read_schema(snapshot.schema_json)
    alike = _find_small_files(snapshot)
    sampled = alike[:: max(1, len(alike) // _SAMPLED_FOOTERS)]
    wanted = sorted({*range(len(snapshot.files))} - set(alike) | set(sampled))
    filesystem, root = open_filesystem(snapshot.root)
    # Far away, each footer is a round trip to wait for; here, more threads cost more than they bring.
    is_here = isinstance(filesystem, pafs.LocalFileSystem)
    with ThreadPoolExecutor(_FOOTER_THREADS_HERE if is_here else _FOOTER_THREADS_AFAR) as threads:
        checked = threads.submit(_check_files, filesystem, root, snapshot)
        read = threads.map(lambda place: _read_footer(filesystem, root, snapshot.files[place]), wanted)
        # What a missing file means is said before what its missing footer does.
        checked.result()
        footers = dict(zip(wanted, read, strict=True))
    with closing(TableFiles(snapshot.root, snapshot.schema_json, snapshot.files)) as files:
        described = [
            _describe_row_group(snapshot, files, place, footer, ordinal)
            for place, footer in footers.items()
            for ordinal in range(footer.num_row_groups)
        ]
    is_alike = set(alike)
    groups = [group for group in described if group.rows and group.file not in is_alike]
    groups += _describe_small_files(snapshot, alike, [group for group in described if group.file in is_alike])
    if not groups:
        kept = f", which {' and '.join(map(str, snapshot.conditions))} would keep" if snapshot.conditions else ""
        raise DataError(
            f"version {snapshot.version} of {snapshot.root} has no row to feed in {len(snapshot.files)} files{kept}"
        )
    return FeedPlan(
        snapshot.root,
        snapshot.version,
        snapshot.schema_json,
        tuple(schema.names),
        snapshot.files,
        tuple(groups),
        snapshot.conditions,
    )


def _check_files(filesystem: pafs.FileSystem, root: str, snapshot: PinnedFiles) -> None:
    """Raise NotFoundError where a file is gone."""
    for found in filesystem.get_file_info([f"{root}/{file.path}" for file in snapshot.files]):
        if found.type != pafs.FileType.File:
            raise NotFoundError(
                f"{found.path}, which version {snapshot.version} of the table needs, is gone: VACUUM removes what "
                "newer versions do not use. Pin a newer version, and keep files for longer than a training takes (the "
                "table property delta.deletedFileRetentionDuration)"
            )


def _find_small_files(snapshot: PinnedFiles) -> list[int]:
    """The places of files that are not worth a look each: small, counted by the log, wanted as they are, and many."""
    if snapshot.conditions:
        return []
    small = [place for place, file in enumerate(snapshot.files) if file.rows and file.size <= _SMALL_FILE_BYTES]
    return small if len(small) > _SAMPLED_FOOTERS else []


def _describe_small_files(snapshot: PinnedFiles, places: list[int], sample: list[RowGroup]) -> list[RowGroup]:
    """One row group for each small file, of rows as large as those of the sample."""
    rows = sum(group.rows for group in sample)
    sizes = [sum(of_column) for of_column in zip(*(group.column_bytes for group in sample), strict=True)]
    counts = [snapshot.files[place].rows or 0 for place in places]
    sizes_of = {count: tuple(size * count // rows for size in sizes) for count in set(counts)}
    return [RowGroup(place, None, count, sizes_of[count]) for place, count in zip(places, counts, strict=True)]


def _read_footer(filesystem: pafs.FileSystem, root: str, file: DataFile) -> pq.FileMetaData:
    path = f"{root}/{file.path}"
    try:
        footer = pq.read_metadata(path, filesystem=filesystem)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {error}; restore the file, or write the table anew"
        ) from None
    if file.rows is not None and footer.num_rows != file.rows:
        raise DataError(f"{path} holds {footer.num_rows} rows, the table's log says {file.rows}; write the table anew")
    return footer


def _describe_row_group(
    snapshot: PinnedFiles, files: TableFiles, file: int, footer: pq.FileMetaData, ordinal: int
) -> RowGroup:
    schema = read_schema(snapshot.schema_json)
    group = footer.row_group(ordinal)
    sizes = dict.fromkeys(schema.names, 0)
    bounds: dict[str, Bounds] = {}
    for leaf in range(group.num_columns):
        column = group.column(leaf)
        name = column.path_in_schema.split(".", 1)[0]
        if name in sizes:
            sizes[name] += _decoded_bytes(column)
            bounds[name] = _bounds(column)
    unknown = Bounds(None, None, None)
    verdicts = [
        judge_bounds(condition, bounds.get(condition.column, unknown), schema.field(condition.column).type)
        for condition in snapshot.conditions
    ]
    rows, is_partial = group.num_rows, False
    if Verdict.NONE in verdicts:
        rows = 0
    elif Verdict.SOME in verdicts:
        names = sorted({condition.column for condition in snapshot.conditions})
        rows = select_rows(files.read(file, ordinal, names), snapshot.conditions).num_rows
        is_partial = rows < group.num_rows
    return RowGroup(file, ordinal, rows, tuple(sizes.values()), is_partial)


def _decoded_bytes(column: pq.ColumnChunkMetaData) -> int:
    """Bytes of a column in memory: exact for numbers, at least what the footer says for strings."""
    width = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}.get(column.physical_type)
    return int(column.num_values * width if width else column.total_uncompressed_size)


def _bounds(column: pq.ColumnChunkMetaData) -> Bounds:
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return Bounds(None, None, None)
    return Bounds(statistics.min, statistics.max, statistics.null_count if statistics.has_null_count else None)
