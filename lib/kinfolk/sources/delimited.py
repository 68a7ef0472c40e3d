"""CSV: every value as text, rows with the wrong number of values set aside, row numbers exact."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.settings import FileSource
from kinfolk.sources.rows import Fault, IngestReason, RowBatch, set_aside_undecodable
from kinfolk.sources.streams import MARKING, UNDECODABLE, Utf8Stream, as_arrow_file, naming_file, open_stream

BLOCK_BYTES = 8 << 20
"""Bytes parsed at a time; no row may be longer."""


def read_csv_header(filesystem: fs.FileSystem, path: str, source: FileSource) -> tuple[list[str], bool]:
    """Names of the columns, and whether a row follows; no name at all for an empty file."""
    with naming_file(path), open_stream(filesystem, path) as stream:
        text = io.TextIOWrapper(stream, encoding=_with_mark(source.encoding), errors=MARKING, newline="")
        try:
            header = next((row for row in csv.reader(text, delimiter=source.delimiter) if row), [])
        except csv.Error as error:
            raise DataError(f"the header of {path} is not CSV: {error}") from None
        return header, any(line.strip() for line in text)


def read_csv(filesystem: fs.FileSystem, path: str, source: FileSource, *, columns: Sequence[str]) -> Iterator[RowBatch]:
    """Yield the wanted columns of a CSV file with a header.

    Empty values are null. Blank lines do not count as rows. Raises DataError when the file is damaged, when a row is
    longer than a block, or when a quotation mark is never closed.
    """
    header, has_rows = read_csv_header(filesystem, path, source)
    if not has_rows:
        return
    # Without the last column a quoted value that runs to the end of the file could not be told from a good one.
    wanted = list(dict.fromkeys([*columns, header[-1]]))
    with naming_file(path), open_stream(filesystem, path) as opened:
        stream = Utf8Stream(opened, source.encoding)
        numbering = _Numbering()
        reader = _open_reader(stream, source, wanted, numbering)
        last_value: str | None = None
        for batch in reader:
            if batch.num_rows:
                last_value = batch.column(wanted.index(header[-1]))[-1].as_py()
            rows, faults = numbering.number(batch.num_rows)
            yield set_aside_undecodable(rows, {name: batch.column(name) for name in columns}, faults)
        if faults := numbering.rest():
            last_value = faults[-1].detail
            yield RowBatch(np.empty(0, np.int64), {name: pa.array([], pa.string()) for name in columns}, faults)
        if stream.quotation_marks % 2 and _spans_lines(last_value):
            raise DataError(
                f"the file {path} ends inside quotation marks: one opened at row {numbering.next - 1:,} is never "
                "closed, and what follows it cannot be told apart; close it"
            )


def _open_reader(
    stream: Utf8Stream, source: FileSource, wanted: list[str], numbering: _Numbering
) -> arrow_csv.CSVStreamingReader:
    return arrow_csv.open_csv(
        as_arrow_file(stream),
        # Rows are numbered only when one thread reads them.
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(
            delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=numbering.set_aside
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: pa.string() for name in wanted},
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


class _Numbering:
    """Numbers good rows around the ones that were set aside; the parser meets both in the order of the file."""

    def __init__(self) -> None:
        self.next = 0
        self._aside: list[Fault] = []

    def set_aside(self, row: arrow_csv.InvalidRow) -> str:
        """Note a row with the wrong number of values; the parser counts from 1 and counts the header."""
        text = row.text.replace(UNDECODABLE, "\ufffd")
        detail = f"{row.actual_columns} values instead of {row.expected_columns}: {text}"
        self._aside.append(Fault(row.number - 2, IngestReason.WRONG_COLUMN_COUNT, detail))
        return "skip"

    def number(self, count: int) -> tuple[NDArray[np.int64], list[Fault]]:
        """Numbers of the next `count` good rows, and the rows set aside before the last of them."""
        aside = np.array([fault.row for fault in self._aside], np.int64)
        candidates = np.arange(self.next, self.next + count + len(aside), dtype=np.int64)
        rows = np.setdiff1d(candidates, aside, assume_unique=True)[:count]
        self.next = int(rows[-1]) + 1 if count else self.next
        before = int(np.searchsorted(aside, self.next))
        faults, self._aside = self._aside[:before], self._aside[before:]
        return rows, faults

    def rest(self) -> list[Fault]:
        """Rows set aside after the last good one."""
        faults, self._aside = self._aside, []
        self.next = faults[-1].row + 1 if faults else self.next
        return faults


def _with_mark(encoding: str) -> str:
    """The encoding, a byte order mark at the front allowed."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _spans_lines(value: str | None) -> bool:
    return value is not None and "\n" in value
