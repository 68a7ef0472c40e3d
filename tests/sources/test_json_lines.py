"""JSON lines: values as they are written, lines that are no objects set aside."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pyarrow import fs

from kinfolk.settings import EventSource
from kinfolk.sources import json_lines
from kinfolk.sources.json_lines import read_json, read_json_header
from kinfolk.sources.rows import IngestReason

LOCAL = fs.LocalFileSystem()


def make_source(encoding: str = "utf-8") -> EventSource:
    return EventSource(name="shop", path="unused", basket="a", item="b", encoding=encoding)


def read(
    path: Path, columns: list[str], encoding: str = "utf-8", batch_rows: int = 2
) -> tuple[dict[int, list[str | None]], list[tuple[int, str]]]:
    rows, faults = {}, []
    for batch in read_json(LOCAL, str(path), make_source(encoding), columns=columns, batch_rows=batch_rows):
        for place, row in enumerate(batch.rows.tolist()):
            rows[row] = [batch.columns[name][place].as_py() for name in columns]
        faults += [(fault.row, fault.reason) for fault in batch.faults]
    return rows, faults


def test_values_keep_the_digits_they_are_written_with(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"a": 1.10, "b": "x"}\n{"a": 123456789012345678901, "b": true}\n{"a": null, "b": ""}\n{"b": [1, "é"]}\n'
    )
    rows, faults = read(path, ["a", "b"])
    assert rows == {0: ["1.10", "x"], 1: ["123456789012345678901", "true"], 2: [None, None], 3: [None, '["1", "é"]']}
    assert faults == []


def test_lines_that_are_no_objects_are_set_aside_under_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2\n[3]\n{"a": 4}\n{"a": "caf\xe9"}\n{"a": "\\ud800"}\n   \n{"a": 7}')
    rows, faults = read(path, ["a"])
    assert rows == {0: ["1"], 3: ["4"], 6: ["7"]}
    assert [row for row, _ in faults] == [1, 2, 4, 5]
    assert faults[0][1] == IngestReason.NOT_JSON
    assert faults[2][1] == IngestReason.UNDECODABLE_TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings_and_compression_across_blocks(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_READ_BYTES", 50)
    lines = [json.dumps({"a": n, "b": f"Löffel {n}"}, ensure_ascii=False) for n in range(100)]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\r\n".join(lines).encode(encoding)))
    rows, faults = read(path, ["a", "b"], encoding, batch_rows=7)
    assert rows == {n: [str(n), f"Löffel {n}"] for n in range(100)}
    assert faults == []
    assert read_json_header(LOCAL, str(path), make_source(encoding)) == (["a", "b"], True)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n\n")
    assert read_json_header(LOCAL, str(path), make_source()) == ([], False)
    assert read(path, ["a"]) == ({}, [])
