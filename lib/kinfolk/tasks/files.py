"""Files in which tasks leave what they found, in a folder that the driver reaches as well.

Millions of rows would otherwise go through the JVM one by one, and be kept there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from kinfolk.tables.storage import open_filesystem

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_AT_A_TIME = 1 << 18
"""Rows of a row group: few enough that several tasks can share the reading of a file."""


def open_folder(path: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the folder in it, which is made where it is not."""
    files, folder = open_filesystem(path)
    files.create_dir(folder)
    return files, folder


class RowFile:
    """A file of rows that is being written, under a name of its own, so that a task that is run again disturbs nobody.

    It is whole once the block that it is opened for has ended.
    """

    def __init__(self, scratch: str, schema: pa.Schema) -> None:
        files, folder = open_folder(scratch)
        name = f"{uuid.uuid4().hex}.parquet"
        self.path, self.rows, self._schema = f"{scratch}/{name}", 0, schema
        # Types of Arrow's own would come back where a plain text is expected.
        options = {"compression": "lz4", "store_schema": False}
        self._writer = pq.ParquetWriter(f"{folder}/{name}", schema, filesystem=files, **options)

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, part: pa.Table) -> None:
        """Add some rows."""
        self._writer.write_table(part.cast(self._schema), row_group_size=ROWS_AT_A_TIME)
        self.rows += part.num_rows


def fill_file(scratch: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> RowFile:
    """Write a file of rows."""
    with RowFile(scratch, schema) as file:
        for part in parts:
            file.write(part)
    return file


def write_rows(scratch: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> str:
    """Write a file of rows; returns its path."""
    return fill_file(scratch, schema, parts).path


def read_file(spark: SparkSession, path: str) -> DataFrame:
    """What was written to a file, whose own schema spares Spark a job to look for it."""
    from pyspark.sql.pandas.types import from_arrow_schema

    files, folder = open_folder(path.rpartition("/")[0])
    schema = pq.read_schema(f"{folder}/{path.rpartition('/')[2]}", filesystem=files)
    return spark.read.schema(from_arrow_schema(schema)).parquet(path)
