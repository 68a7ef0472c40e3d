"""Files in which tasks leave what they found, in a folder that the driver reaches as well.

Millions of rows would otherwise go through the JVM one by one, and be kept there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from kinfolk.tables.storage import open_filesystem

ROWS_AT_A_TIME = 1 << 18
"""Rows of a row group: few enough that several tasks can share the reading of a file."""


def open_folder(path: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the folder in it, which is made where it is not."""
    files, folder = open_filesystem(path)
    files.create_dir(folder)
    return files, folder


def write_rows(scratch: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> str:
    """Write a file of rows under a name of its own, so that a task that is run again disturbs nobody."""
    files, folder = open_folder(scratch)
    name = f"{uuid.uuid4().hex}.parquet"
    # Types of Arrow's own would come back where a plain text is expected.
    options = {"compression": "lz4", "store_schema": False}
    with pq.ParquetWriter(f"{folder}/{name}", schema, filesystem=files, **options) as writer:
        for part in parts:
            writer.write_table(part.cast(schema), row_group_size=ROWS_AT_A_TIME)
    return f"{scratch}/{name}"
