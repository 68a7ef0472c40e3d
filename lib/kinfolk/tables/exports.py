"""Rows as a file for others: CSV for spreadsheets, JSON, JSON lines."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from kinfolk.errors import EnvironmentProblem, SettingsError

_ROWS_AT_A_TIME = 1 << 14
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_NAMES = "_names"
"""How columns end whose lists are for people to read."""


def export_rows(rows: pa.Table, file: str) -> int:
    """Write all rows to a local file, in the form that its name ends with; returns how many.

    `.csv` has a line of column names, `.json` is one array of objects, `.jsonl` has an object in each line; all are
    UTF-8. In CSV nothing stands for null, a list of names is joined by ` + `, any other list is written as JSON, and a
    text that a spreadsheet would take for a formula, since it begins with = + - @, a tab or the end of a line, has a '
    before it. The file is put in its place when it is complete, also where one stands there.

    Raises SettingsError as `check_file` does, and EnvironmentProblem where the file cannot be written.
    """
    check_file(file)
    target = Path(file)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            with unfinished.open("w", encoding="utf-8", newline="") as opened:
                _WRITERS[target.suffix.lower()](rows, opened)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"{file} cannot be written: {error.strerror}") from None
    return int(rows.num_rows)


def check_file(file: str) -> None:
    """Raise SettingsError for a name that says no form of writing, or for a place that is not a local one."""
    if "://" in file:
        raise SettingsError(f"files are written to a local folder, not to {file}")
    if Path(file).suffix.lower() not in _WRITERS:
        raise SettingsError(f"{file} has to end with one of {', '.join(_WRITERS)}, which says how it is written")


def _write_csv(rows: pa.Table, opened: TextIO) -> None:
    # Lines end as RFC 4180 says; either half of such an end in a text is then put into quotes.
    writer = csv.writer(opened, lineterminator="\r\n")
    writer.writerow(rows.column_names)
    writer.writerows([_write_cell(name, value) for name, value in row.items()] for row in _iterate(rows))


def _write_cell(column: str, value: Any) -> Any:
    """A value as CSV has it.

    >>> _write_cell("item_names", ["=1+1", "jam"]), _write_cell("items", ["a", "b"]), _write_cell("lift", -1.5)
    ("'=1+1 + jam", '["a","b"]', -1.5)
    """
    if isinstance(value, list):
        is_named = column.endswith(_NAMES)
        value = " + ".join(value) if is_named else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _write_json(rows: pa.Table, opened: TextIO) -> None:
    before = "[\n"
    for row in _iterate(rows):
        opened.write(before + json.dumps(row, ensure_ascii=False))
        before = ",\n"
    opened.write("\n]\n" if rows.num_rows else "[]\n")


def _write_json_lines(rows: pa.Table, opened: TextIO) -> None:
    opened.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _iterate(rows))


_WRITERS: dict[str, Callable[[pa.Table, TextIO], None]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_json_lines,
}


def _iterate(rows: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield from batch.to_pylist()
