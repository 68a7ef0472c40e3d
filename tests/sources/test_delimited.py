"""CSV: every row is there once, under its own number, or set aside with its reason."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from kinfolk.errors import DataError
from kinfolk.settings import EventSource
from kinfolk.sources import delimited
from kinfolk.sources.delimited import read_csv, read_csv_header
from kinfolk.sources.rows import Fault, IngestReason

LOCAL = fs.LocalFileSystem()
Rows = dict[int, tuple[str | None, ...]]


def make_source(**options: str) -> EventSource:
    return EventSource(name="shop", path="unused", basket="a", item="b", **options)  # type: ignore[arg-type]


def read(path: Path, columns: list[str], **options: str) -> tuple[Rows, list[Fault]]:
    """All rows by number, and all faults."""
    rows: Rows = {}
    faults: list[Fault] = []
    for batch in read_csv(LOCAL, str(path), make_source(**options), columns=columns):
        values = zip(*(batch.columns[name].to_pylist() for name in columns), strict=True)
        found = dict(zip(batch.rows.tolist(), values, strict=True))
        assert not rows.keys() & found.keys(), "a row came twice"
        rows |= found
        faults += batch.faults
    return rows, faults


def test_values_stay_text_and_empty_ones_are_null(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b,c\n007,"x, y",1.50\n,"say ""hi""",\n', encoding="utf-8")
    rows, faults = read(path, ["a", "b", "c"])
    assert rows == {0: ("007", "x, y", "1.50"), 1: (None, 'say "hi"', None)}
    assert faults == []


def test_rows_with_too_many_or_too_few_values_are_set_aside_under_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n\n3\n4,5\n6,7,8\n9,10\n11\n", encoding="utf-8")
    rows, faults = read(path, ["b"])
    assert rows == {0: ("2",), 2: ("5",), 4: ("10",)}
    assert [(fault.row, fault.reason) for fault in faults] == [(n, IngestReason.WRONG_COLUMN_COUNT) for n in (1, 3, 5)]
    assert faults[1].detail == "3 values instead of 2: 6,7,8"


_VALUES = st.text(st.sampled_from('ab ,"\n;é'), max_size=6)


@given(st.lists(st.lists(_VALUES, min_size=1, max_size=4), max_size=60), st.sampled_from([64, 200, 4096]))
def test_equals_a_slow_reader_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], block: int
) -> None:
    """Rows of one to four values where three are due, with quoted line ends, against Python's own reader."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["a", "b", "c"])
    writer.writerows(table)
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block)
        rows, faults = read(path, ["c", "a"])
    assert rows == {n: (row[2] or None, row[0] or None) for n, row in enumerate(table) if len(row) == 3}
    assert [fault.row for fault in faults] == [n for n, row in enumerate(table) if len(row) != 3]


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files_are_read_as_they_are(tmp_path: Path, ending: str) -> None:
    content = ("a,b\n" + "".join(f"{n},item {n}\n" for n in range(5000))).encode()
    path = tmp_path / f"a.csv{ending}"
    pack = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda c: pa.compress(c, "zstd", asbytes=True),
    }
    path.write_bytes(pack[ending](content))
    rows, faults = read(path, ["a", "b"])
    assert rows == {n: (str(n), f"item {n}") for n in range(5000)}
    assert faults == []


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path: Path, ending: str) -> None:
    content = ("a,b\n" + "".join(f"{n},item {n * 7919 % 10007}\n" for n in range(50_000))).encode()
    path = tmp_path / f"a.csv{ending}"
    packed = gzip.compress(content) if ending == ".gz" else lzma.compress(content)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=rf"a\.csv{ending} cannot be read"):
        read(path, ["a"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("ä;b\n1;Löffel\n2;Gäbel\n".encode(encoding))
    rows, _ = read(path, ["ä", "b"], encoding=encoding, delimiter=";")
    assert rows == {0: ("1", "Löffel"), 1: ("2", "Gäbel")}


def test_text_in_another_encoding_than_the_named_one_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b,c\n1,good,x\n2,caf\xe9,x\n3,also good,x\n4,good,\xff\n5\xff,short\n")
    rows, faults = read(path, ["a", "b"])
    assert rows == {0: ("1", "good"), 2: ("3", "also good"), 3: ("4", "good")}
    assert {(f.row, f.reason) for f in faults} == {
        (1, IngestReason.UNDECODABLE_TEXT),
        (4, IngestReason.WRONG_COLUMN_COUNT),
    }
    assert [f.detail for f in sorted(faults, key=lambda f: f.row)] == [
        "caf\ufffd",
        "2 values instead of 3: 5\ufffd,short",
    ]


@pytest.mark.parametrize("last", ['3,"never closed\n4,5\n', '3,"never closed\n4,5\n6,7'])
def test_a_quotation_mark_that_is_never_closed_is_refused(tmp_path: Path, last: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"fine\nso far"\n' + last, encoding="utf-8")
    with pytest.raises(DataError, match="opened at row 1 is never closed"):
        read(path, ["a"])


def test_a_single_quotation_mark_inside_a_value_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,7" plate\n2,spoon\n', encoding="utf-8")
    assert read(path, ["b"]) == ({0: ('7" plate',), 1: ("spoon",)}, [])


@pytest.mark.parametrize("content", ["", "a,b", "a,b\n", "a,b\n\n\n"])
def test_files_without_rows_give_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    assert read_csv_header(LOCAL, str(path), make_source()) == (["a", "b"] if content else [], False)
    assert read(path, ["a"]) == ({}, [])
