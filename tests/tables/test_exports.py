"""Files that others read: what was written is read back, and a failure leaves what was there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kinfolk.errors import EnvironmentProblem, SettingsError
from kinfolk.tables.exports import export_rows

ROWS: list[dict[str, Any]] = [
    {"items": ["a", 'b"1'], "item_names": ["Äpfel, rot", "two\nlines"], "count": 3, "lift": 1 / 3, "is_closed": True},
    {"items": ["c"], "item_names": ["=1+1"], "count": 2**60, "lift": None, "is_closed": False},
    {"items": ["d"], "item_names": ["plain"], "count": 0, "lift": -1e-9, "is_closed": None},
]


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_json_and_json_lines_give_back_every_value(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    assert export_rows(table, str(tmp_path / "rows.json")) == 3
    assert json.loads((tmp_path / "rows.json").read_text("utf-8")) == ROWS
    assert export_rows(table, str(tmp_path / "rows.JSONL")) == 3
    lines = (tmp_path / "rows.JSONL").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_csv_gives_back_every_value(tmp_path: Path) -> None:
    assert export_rows(pa.Table.from_pylist(ROWS), str(tmp_path / "rows.csv")) == 3
    read = read_csv(tmp_path / "rows.csv")
    assert [json.loads(row["items"]) for row in read] == [row["items"] for row in ROWS]
    assert [row["item_names"] for row in read] == ["Äpfel, rot + two\nlines", "'=1+1", "plain"]
    assert [int(row["count"]) for row in read] == [3, 2**60, 0]
    assert [float(row["lift"]) if row["lift"] else None for row in read] == [1 / 3, None, -1e-9]
    assert [row["is_closed"] for row in read] == ["true", "false", ""]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_is_a_formula_to_a_spreadsheet(tmp_path: Path, start: str) -> None:
    rows = pa.table({"item_id": [f"{start}cmd|' /C calc'!A0"], "item_names": [[f"{start}SUM(A1)", "jam"]]})
    export_rows(rows, str(tmp_path / "rows.csv"))
    (row,) = read_csv(tmp_path / "rows.csv")
    assert row == {"item_id": f"'{start}cmd|' /C calc'!A0", "item_names": f"'{start}SUM(A1) + jam"}


def test_no_rows_make_a_file_that_can_be_read(tmp_path: Path) -> None:
    none = pa.Table.from_pylist(ROWS).slice(0, 0)
    for name in ("rows.csv", "rows.json", "rows.jsonl"):
        assert export_rows(none, str(tmp_path / name)) == 0
    assert (tmp_path / "rows.csv").read_text() == "items,item_names,count,lift,is_closed\n"
    assert json.loads((tmp_path / "rows.json").read_text()) == []
    assert (tmp_path / "rows.jsonl").read_text() == ""


def test_many_rows_are_written_in_order(tmp_path: Path) -> None:
    export_rows(pa.table({"number": range(40_000)}), str(tmp_path / "rows.jsonl"))
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(40_000))


def test_what_stands_there_is_replaced_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("before")

    def fail(*_: Any, **__: Any) -> Any:
        assert file.read_text() == "before"
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(json, "dumps", fail)
        with pytest.raises(KeyboardInterrupt):
            export_rows(pa.Table.from_pylist(ROWS), str(file))
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    export_rows(pa.Table.from_pylist(ROWS), str(file))
    assert len(read_csv(file)) == 3


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist(ROWS)
    with pytest.raises(SettingsError, match=r"rows.xlsx has to end with one of .csv, .json, .jsonl"):
        export_rows(rows, str(tmp_path / "rows.xlsx"))
    with pytest.raises(SettingsError, match=r"to a local folder, not to s3://bucket/rows.csv"):
        export_rows(rows, "s3://bucket/rows.csv")
    with pytest.raises(EnvironmentProblem, match=r"nowhere/rows.csv cannot be written: No such file or directory"):
        export_rows(rows, str(tmp_path / "nowhere" / "rows.csv"))
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(EnvironmentProblem, match=r"taken.csv cannot be written"):
        export_rows(rows, str(tmp_path / "taken.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]
