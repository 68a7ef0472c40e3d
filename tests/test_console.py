from __future__ import annotations

from datetime import UTC, datetime

from kinfolk.console import format_value, measure_width, render_bar, render_table


def test_columns_line_up_by_what_a_terminal_shows() -> None:
    lines = render_table([["苹果", 1.5], ["e\u0301tude", 22.25], ["x", None]], ["name", "n"], width=80).splitlines()
    assert lines == ["name       n", "-----  -----", "苹果     1.5", "e\u0301tude  22.25", "x"]


def test_the_widest_columns_give_way_and_every_line_fits() -> None:
    rows = [["a" * 50, "界" * 50, "short"]]
    text = render_table(rows, ["one", "two", "three"], width=40)
    assert max(map(measure_width, text.splitlines())) <= 40
    assert "short" in text
    assert text.count("…") == 2


def test_no_column_shrinks_below_eight() -> None:
    lines = render_table([["a" * 50] * 3], ["x", "y", "z"], width=5).splitlines()
    assert lines[-1] == "  ".join(["aaaaaaa…"] * 3)


def test_long_texts_are_broken_at_blanks_and_cut_after_four_lines() -> None:
    lines = render_table([["one two three", 7]], ["what", "n"], width=11).splitlines()
    assert lines == ["what      n", "--------  -", "one two   7", "three"]
    lines = render_table([["word " * 30]], ["what"], width=9).splitlines()
    assert lines[2:] == ["word word"] * 3 + ["word wor…"]


def test_a_cell_takes_as_many_lines_as_it_is_allowed() -> None:
    lines = render_table([["word " * 30]], ["what"], width=9, most_lines=15).splitlines()
    assert lines[2:] == ["word word"] * 15
    assert render_table([["one two three"]], ["what"], width=8, most_lines=1).splitlines()[2:] == ["one two…"]


def test_a_bar_that_is_not_zero_is_seen() -> None:
    assert [render_bar(value, 1.0, width=10) for value in (1.0, 0.24, 1e-9)] == ["█" * 10, "██", "█"]
    assert render_bar(0.0, 0.0) == ""


def test_no_rows_leave_the_headers() -> None:
    assert render_table([], ["a", "long name"], width=80).splitlines() == ["a  long name", "-  ---------"]


def test_values_take_one_line() -> None:
    assert format_value("two\n  lines") == "two lines"
    assert format_value(["a", "b"]) == "a, b"
    assert format_value(b"123") == "<3 bytes>"
    assert format_value(1 / 3) == "0.3333"
    assert format_value(1234567.25) == "1234567.2"
    assert format_value(123456) == "123456"
    assert format_value(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "2026-01-02 03:04:05"
