"""A pinned version of a Delta table: its active files from the log, and their row groups, planned once for all ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Self
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
    """An active file: its path below the table's root, its rows where the log counts them, its partition values."""

    path: str
    rows: int | None
    partition: dict[str, Any]


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
        return sum(group.rows for group in self.row_groups)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values = json.loads(text)
        files = tuple(DataFile(**file) for file in values.pop("files"))
        groups = tuple(
            RowGroup(**(group | {"column_bytes": tuple(group["column_bytes"])})) for group in values.pop("row_groups")
        )
        return cls(**(values | {"columns": tuple(values["columns"])}), files=files, row_groups=groups)


def pin_snapshot(path: str, version: int, *, where: Mapping[str, str] | None = None) -> PinnedFiles:
    """Take the active files of a version of the table at `path` from its log; no folder is listed.

    `where` keeps the files whose partition columns have these values, such as `{"split": "train"}`. Raises NotFoundError
    where there is no such table or version, UnsupportedTableError where reading the files would give other rows than the
    table has.
    """
    raise NotImplementedError


def plan_row_groups(snapshot: PinnedFiles) -> FeedPlan:
    """Read the footers of the pinned files and list their row groups.

    Raises NotFoundError where a file is gone, DataError where a file holds other rows than the log says or there is no
    row at all.
    """
    raise NotImplementedError
