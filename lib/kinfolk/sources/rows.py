"""What a reader hands on: the wanted columns of some rows of a file, and rows that could not be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class IngestReason(StrEnum):
    """Why a row of a file cannot enter a raw table."""

    WRONG_COLUMN_COUNT = "wrong_column_count"
    """A CSV line has more or fewer values than the header."""
    NOT_JSON = "not_json"
    """A line is not a JSON object."""
    UNDECODABLE_TEXT = "undecodable_text"
    """A value is not text in the encoding that the settings name."""


@dataclass(frozen=True)
class Fault:
    """A row that could not be read: its number, why, and what stands there."""

    row: int
    reason: IngestReason
    detail: str


@dataclass(frozen=True)
class RowBatch:
    """Rows of one file: their numbers from 0, and the wanted columns by the names the file gives them.

    Values are strings, or bytes of pictures and sounds. `faults` are rows in between that could not be read.
    """

    rows: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    faults: list[Fault] = field(default_factory=list)

    def slices(self, size: int) -> Iterator[RowBatch]:
        """The same rows, at most `size` at a time; all faults come with the first."""
        for start in range(0, max(len(self.rows), 1), size):
            columns = {name: values.slice(start, size) for name, values in self.columns.items()}
            yield RowBatch(self.rows[start : start + size], columns, self.faults if start == 0 else [])


def decode_columns(
    rows: NDArray[np.int64], columns: Mapping[str, pa.Array], *, faults: list[Fault], content: Collection[str] = ()
) -> RowBatch:
    """Turn columns of UTF-8 bytes into strings; rows with bytes that are not UTF-8 become faults.

    Columns named in `content` hold pictures or sounds where they hold bytes, and stay as they are.
    """
    texts = [name for name, values in columns.items() if name not in content or not pa.types.is_binary(values.type)]
    bad: dict[int, bytes] = {}
    for name in texts:
        bad |= dict(_undecodable(columns[name]))
    if bad:
        kept = np.array([place not in bad for place in range(len(rows))], np.bool_)
        found = [
            Fault(int(rows[place]), IngestReason.UNDECODABLE_TEXT, value.decode("utf-8", errors="backslashreplace"))
            for place, value in sorted(bad.items())
        ]
        mask = pa.array(kept)
        rows, columns, faults = rows[kept], {n: v.filter(mask) for n, v in columns.items()}, [*faults, *found]
    decoded = {name: pc.cast(values, pa.string()) if name in texts else values for name, values in columns.items()}
    return RowBatch(rows, decoded, faults)


def _undecodable(values: pa.Array) -> Iterator[tuple[int, bytes]]:
    """Places and values that are not UTF-8; each value is looked at only where the column as a whole does not pass."""
    try:
        pc.cast(values, pa.string())
    except pa.ArrowInvalid:
        for place, value in enumerate(values.to_pylist()):
            try:
                (value or b"").decode("utf-8")
            except UnicodeDecodeError:
                yield place, value
