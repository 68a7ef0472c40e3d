"""What a reader hands on: the wanted columns of some rows of a file, and rows that could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kinfolk.sources.streams import UNDECODABLE


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


def set_aside_undecodable(rows: NDArray[np.int64], columns: Mapping[str, pa.Array], faults: list[Fault]) -> RowBatch:
    """Rows whose texts could all be decoded; the others become faults. Columns of bytes are left as they are."""
    texts = [values for values in columns.values() if pa.types.is_string(values.type)]
    bad: dict[int, str] = {}
    for values in texts:
        marked = pc.fill_null(pc.match_substring(values, UNDECODABLE), fill_value=False)
        places = np.flatnonzero(marked.to_numpy(zero_copy_only=False))
        bad |= {int(place): values[place].as_py().replace(UNDECODABLE, "\ufffd") for place in places}
    if not bad:
        return RowBatch(rows, columns, faults)
    is_good = np.ones(len(rows), np.bool_)
    is_good[list(bad)] = False
    found = [Fault(int(rows[n]), IngestReason.UNDECODABLE_TEXT, value) for n, value in sorted(bad.items())]
    kept = {name: values.filter(pa.array(is_good)) for name, values in columns.items()}
    return RowBatch(rows[is_good], kept, [*faults, *found])
