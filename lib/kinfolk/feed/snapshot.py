"""A pinned version of a Delta table: its active files from the log, and their row groups, planned once for all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from kinfolk.errors import DataError, NotFoundError, UnsupportedTableError

# Reader features under which active files hold exactly the rows and columns that they seem to hold.
_HARMLESS_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "appendOnly"})
_FOOTER_THREADS = 16


@dataclass(frozen=True)
class DataFile:
    """An active file: its path below the table's root, its rows where the log counts them, its partition's values."""

    path: str
    rows: int | None
    partition: dict[str, str | None]


@dataclass(frozen=True)
class PinnedFiles:
    """The active files of one version of a table; `schema_json` is the table's schema as Delta writes it."""

    root: str
    version: int
    schema_json: str
    files: tuple[DataFile, ...]


@dataclass(frozen=True)
class RowGroup:
    """A row group: the place of its file in the plan, its own place in the file, and how much it holds.

    `column_bytes` are decoded sizes by the footer, in the order of the plan's columns.
    """

    file: int
    index: int
    rows: int
    column_bytes: tuple[int, ...]


@dataclass(frozen=True)
class FeedPlan:
    """What there is to feed: made once, by `plan_row_groups`, and handed to every rank as JSON."""

    root: str
    version: int
    schema_json: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]
    row_groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        """Rows of every epoch, over all ranks."""
        return sum(group.rows for group in self.row_groups)

    def to_json(self) -> str:
        """Write the plan for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` has written."""
        values = json.loads(text)
        files = tuple(DataFile(**file) for file in values.pop("files"))
        groups = tuple(
            RowGroup(**(group | {"column_bytes": tuple(group["column_bytes"])})) for group in values.pop("row_groups")
        )
        return cls(**(values | {"columns": tuple(values["columns"])}), files=files, row_groups=groups)


def pin_snapshot(path: str, version: int, *, where: Mapping[str, str] | None = None) -> PinnedFiles:
    """Take the active files of a version of the table at `path` from its log; no folder is listed.

    `where` keeps the files whose partition columns have these values, such as `{"split": "train"}`. Raises
    NotFoundError where there is no such table or version, UnsupportedTableError where reading the files would give
    other rows than the table has, DataError where `where` names a column that the table is not partitioned by.
    """
    table = _open(path, version)
    _check_readable(table, path)
    partition_columns = list(table.metadata().partition_columns)
    unknown = sorted(set(where or {}) - set(partition_columns))
    if unknown:
        raise DataError(
            f"{path} is not partitioned by {', '.join(unknown)}; its files can be chosen by: "
            f"{', '.join(partition_columns) or 'nothing'}"
        )
    files = _list_files(table, partition_columns)
    outside = [file.path for file in files if urlsplit(file.path).scheme]
    if outside:
        raise UnsupportedTableError(
            f"{path} refers to files of another table, such as {outside[0]}, which may vanish with it; write the table "
            "anew with rows of its own"
        )
    wanted = {name: str(value) for name, value in (where or {}).items()}
    kept = [file for file in files if all(file.partition[name] == value for name, value in wanted.items())]
    return PinnedFiles(path, version, table.schema().to_json(), tuple(sorted(kept, key=lambda file: file.path)))


def _open(path: str, version: int) -> DeltaTable:
    try:
        # Hadoop says s3a:// where the rest of the world says s3://.
        return DeltaTable(re.sub(r"^s3a://", "s3://", path), version=version)
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


def _list_files(table: DeltaTable, partition_columns: list[str]) -> list[DataFile]:
    actions = pa.table(table.get_add_actions())
    count = actions.num_rows
    paths = actions.column("path").to_pylist()
    rows = actions.column("num_records").to_pylist() if "num_records" in actions.column_names else [None] * count
    partitions = actions.column("partition").to_pylist() if partition_columns else [{}] * count
    # The log writes paths as URIs; partition values may hold spaces, slashes and percent signs.
    return [
        DataFile(
            path if urlsplit(path).scheme else unquote(path),
            counted,
            {n: None if v is None else str(v) for n, v in values.items()},
        )
        for path, counted, values in zip(paths, rows, partitions, strict=True)
    ]


def plan_row_groups(snapshot: PinnedFiles) -> FeedPlan:
    """Read the footers of the pinned files and list their row groups that hold rows.

    Raises NotFoundError where a file is gone, DataError where a file cannot be read or holds other rows than the log
    says, and where there is no row at all.
    """
    schema = read_schema(snapshot.schema_json)
    filesystem, root = open_filesystem(snapshot.root)
    with ThreadPoolExecutor(_FOOTER_THREADS) as threads:
        footers = list(threads.map(lambda file: _read_footer(filesystem, root, snapshot, file), snapshot.files))
    groups = [
        _describe_row_group(place, footer, index, schema.names)
        for place, footer in enumerate(footers)
        for index in range(footer.num_row_groups)
        if footer.row_group(index).num_rows
    ]
    if not groups:
        raise DataError(
            f"version {snapshot.version} of {snapshot.root} has no row to feed in {len(snapshot.files)} files chosen"
        )
    return FeedPlan(
        snapshot.root, snapshot.version, snapshot.schema_json, tuple(schema.names), snapshot.files, tuple(groups)
    )


def _read_footer(filesystem: pafs.FileSystem, root: str, snapshot: PinnedFiles, file: DataFile) -> pq.FileMetaData:
    path = f"{root}/{file.path}"
    try:
        footer = pq.read_metadata(path, filesystem=filesystem)
    except FileNotFoundError:
        raise NotFoundError(
            f"{path}, which version {snapshot.version} of the table needs, is gone: VACUUM removes what newer versions "
            "do not use. Pin a newer version, and keep files for longer than a training takes (the table property "
            "delta.deletedFileRetentionDuration)"
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {error}; restore the file, or write the table anew"
        ) from None
    if file.rows is not None and footer.num_rows != file.rows:
        raise DataError(f"{path} holds {footer.num_rows} rows, the table's log says {file.rows}; write the table anew")
    return footer


def _describe_row_group(file: int, footer: pq.FileMetaData, index: int, columns: list[str]) -> RowGroup:
    group = footer.row_group(index)
    sizes = dict.fromkeys(columns, 0)
    for leaf in range(group.num_columns):
        column = group.column(leaf)
        name = column.path_in_schema.split(".", 1)[0]
        if name in sizes:
            sizes[name] += column.total_uncompressed_size
    return RowGroup(file, index, group.num_rows, tuple(sizes.values()))


@lru_cache(maxsize=16)
def read_schema(schema_json: str) -> pa.Schema:
    """The Arrow schema of a table, from its schema as Delta writes it."""
    return pa.schema(Schema.from_json(schema_json).to_arrow())


@lru_cache(maxsize=16)
def open_filesystem(root: str) -> tuple[pafs.FileSystem, str]:
    """The file system that holds `root`, and the path of `root` in it; credentials come from the environment."""
    if urlsplit(root).scheme in ("", "file"):
        return pafs.LocalFileSystem(), os.path.abspath(
            unquote(urlsplit(root).path) if root.startswith("file:") else root
        )
    filesystem, path = pafs.FileSystem.from_uri(re.sub(r"^s3a://", "s3://", root))
    return filesystem, path.rstrip("/")
