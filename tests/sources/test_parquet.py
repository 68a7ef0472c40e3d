"""Parquet: values as text that reads back as the same value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.sources.parquet import read_parquet, read_parquet_header
from kinfolk.sources.rows import IngestReason

LOCAL = fs.LocalFileSystem()
WHEN = datetime(2026, 1, 31, 9, 30)


def read_one(path: Path, values: pa.Array, content: tuple[str, ...] = ()) -> list[Any]:
    pq.write_table(pa.table({"a": values}), path)
    batches = read_parquet(LOCAL, str(path), columns=["a"], content=content, batch_rows=2)
    return [value for batch in batches for value in batch.columns["a"].to_pylist()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None, -3]), ["1", None, "-3"]),
        (pa.array([1.5, None, 12.0]), ["1.5", None, "12"]),
        (pa.array([Decimal("6.95"), Decimal("0.10")]), ["6.95", "0.10"]),
        (pa.array([date(2026, 1, 31)]), ["2026-01-31"]),
        (pa.array([WHEN], pa.timestamp("ms")), ["2026-01-31 09:30:00.000000"]),
        (pa.array([WHEN.replace(tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")), ["2026-01-31 09:30:00.000000Z"]),
        (pa.array(["x", "", "y"]).dictionary_encode(), ["x", None, "y"]),
        (pa.array([True]), ["true"]),
        (pa.array([b"text", b"", None]), ["text", None, None]),
    ],
)
def test_values_become_text(tmp_path: Path, values: pa.Array, expected: list[str | None]) -> None:
    assert read_one(tmp_path / "a.parquet", values) == expected


def test_rows_are_numbered_through_and_bytes_that_are_no_text_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [b"x", b"\xff", b"y"], "b": ["1", "2", "3"]}), path, row_group_size=2)
    batches = list(read_parquet(LOCAL, str(path), columns=["a", "b"], content=(), batch_rows=2))
    assert [(row, value) for b in batches for row, value in zip(b.rows, b.columns["b"].to_pylist(), strict=True)] == [
        (0, "1"),
        (2, "3"),
    ]
    assert [(f.row, f.reason) for b in batches for f in b.faults] == [(1, IngestReason.UNDECODABLE_TEXT)]


def test_pictures_in_a_column_stay_bytes(tmp_path: Path) -> None:
    assert read_one(tmp_path / "a.parquet", pa.array([b"\x89PNG\xff", None]), content=("a",)) == [b"\x89PNG\xff", None]


def test_lists_and_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column a of .*a\.parquet holds list"):
        read_one(tmp_path / "a.parquet", pa.array([[1], [2]]))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read"):
        read_parquet_header(LOCAL, str(broken))


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())}), path)
    assert read_parquet_header(LOCAL, str(path)) == (["a", "b"], False)
    path.write_bytes(b"")
    assert read_parquet_header(LOCAL, str(path)) == ([], False)
