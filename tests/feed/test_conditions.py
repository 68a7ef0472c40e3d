"""Conditions: statistics never contradict the rows, and values are read in the column's type."""

import math
from datetime import date, datetime

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinfolk.errors import DataError
from kinfolk.feed.conditions import Bounds, Condition, Verdict, judge_bounds, select_rows

OPERATORS = ["=", "!=", "<", "<=", ">", ">="]
INTEGERS = st.integers(-3, 3)
TEXTS = st.text("abé", max_size=2)
NUMBERS = st.sampled_from([-1.5, -0.0, 0.0, 0.1, 2.0, math.inf, -math.inf])
quick = settings(max_examples=100)


def bounds_of(rows: list) -> Bounds:
    """What Parquet says of rows: NaN is left out."""
    known = [row for row in rows if row is not None and row == row]
    return Bounds(min(known, default=None), max(known, default=None), rows.count(None))


def check(kind: pa.DataType, rows: list, bounds: Bounds, operator: str, value) -> Verdict:
    """Compare the verdict with the rows that are kept."""
    condition = Condition("x", operator, value)
    verdict = judge_bounds(condition, bounds, kind)
    kept = select_rows(pa.table({"x": pa.array(rows, kind)}), [condition]).num_rows
    if verdict is Verdict.NONE:
        assert kept == 0
    if verdict is Verdict.ALL:
        assert kept == len(rows)
    return verdict


def rows_and_value(values):
    return st.tuples(st.lists(st.none() | values, min_size=1, max_size=6), values)


@quick
@given(rows_and_value(INTEGERS), st.integers(0, 2), st.integers(0, 2))
def test_bounds_of_integers_never_contradict_the_rows(drawn, below, above):
    rows, value = drawn
    bounds = bounds_of(rows)
    loose = bounds if bounds.low is None else Bounds(bounds.low - below, bounds.high + above, bounds.nulls)
    for operator in OPERATORS:
        check(pa.int32(), rows, bounds, operator, value)
        check(pa.int32(), rows, loose, operator, value)


@quick
@given(rows_and_value(TEXTS))
def test_bounds_of_strings_never_contradict_the_rows(drawn):
    rows, value = drawn
    bounds = bounds_of(rows)
    # Statistics of long strings are cut: the lowest to a beginning, the highest to something above.
    loose = bounds if bounds.low is None else Bounds(bounds.low[:1], bounds.high + "~", bounds.nulls)
    for operator in OPERATORS:
        check(pa.string(), rows, bounds, operator, value)
        check(pa.string(), rows, loose, operator, value)


@quick
@given(rows_and_value(NUMBERS | st.just(math.nan)), st.sampled_from([pa.float32(), pa.float64()]))
def test_bounds_of_floats_never_contradict_the_rows(drawn, kind):
    rows, value = drawn
    stored = pa.array(rows, kind).to_pylist()
    for operator in OPERATORS:
        check(kind, rows, bounds_of(stored), operator, value)


@quick
@given(rows_and_value(st.booleans()))
def test_bounds_of_booleans_never_contradict_the_rows(drawn):
    rows, value = drawn
    for operator in OPERATORS:
        check(pa.bool_(), rows, bounds_of(rows), operator, value)


@quick
@given(rows_and_value(INTEGERS))
@example(([1, 1], 1))
def test_bounds_without_nulls_decide_what_they_can(drawn):
    rows, value = [row for row in drawn[0] if row is not None], drawn[1]
    if not rows:
        rows = [value]
    bounds = bounds_of(rows)
    for operator in ("<", "<=", ">", ">="):
        condition = Condition("x", operator, value)
        kept = select_rows(pa.table({"x": pa.array(rows, pa.int64())}), [condition]).num_rows
        expected = Verdict.NONE if not kept else Verdict.ALL if kept == len(rows) else Verdict.SOME
        assert judge_bounds(condition, bounds, pa.int64()) is expected


@pytest.mark.parametrize(
    ("operator", "value", "low", "high", "verdict"),
    [
        ("=", 5, 5, 5, Verdict.ALL),
        ("=", 5, 4, 5, Verdict.SOME),
        ("=", 6, 4, 5, Verdict.NONE),
        ("=", 3, 4, 5, Verdict.NONE),
        ("!=", 5, 5, 5, Verdict.NONE),
        ("!=", 5, 4, 5, Verdict.SOME),
        ("!=", 6, 4, 5, Verdict.ALL),
        ("<", 5, 4, 5, Verdict.SOME),
        ("<=", 5, 4, 5, Verdict.ALL),
        (">", 5, 4, 5, Verdict.NONE),
        (">=", 4, 4, 5, Verdict.ALL),
    ],
)
def test_bounds_decide(operator, value, low, high, verdict):
    assert judge_bounds(Condition("x", operator, value), Bounds(low, high, 0), pa.int64()) is verdict


def test_rows_are_not_all_kept_where_some_may_be_null_or_nan():
    condition = Condition("x", "<", 9)
    for nulls in (1, None):
        assert judge_bounds(condition, Bounds(1, 5, nulls), pa.int64()) is Verdict.SOME
    assert judge_bounds(condition, Bounds(1.0, 5.0, 0), pa.float64()) is Verdict.SOME
    assert judge_bounds(condition, Bounds(9.0, 10.0, 0), pa.float64()) is Verdict.NONE


def test_nothing_is_decided_where_nothing_comparable_is_known():
    for bounds in (Bounds(None, None, None), Bounds(None, 1, 0), Bounds(1, None, 0), Bounds("1", "2", 0)):
        assert judge_bounds(Condition("x", ">", 5), bounds, pa.int64()) is Verdict.SOME


def test_dates_and_times_may_be_given_as_text():
    day = Condition("x", ">=", "2026-01-31")
    assert day.typed(pa.date32()).as_py() == date(2026, 1, 31)
    assert day.typed(pa.timestamp("us")).as_py() == datetime(2026, 1, 31)
    days = [date(2026, 1, 30), date(2026, 1, 31), None, date(2026, 2, 1)]
    assert select_rows(pa.table({"x": days}), [day]).column("x").to_pylist() == [days[1], days[3]]
    assert judge_bounds(day, Bounds(days[0], days[3], 0), pa.date32()) is Verdict.SOME
    assert judge_bounds(day, Bounds(days[1], days[3], 0), pa.date32()) is Verdict.ALL
    assert judge_bounds(day, Bounds(days[0], days[0], 0), pa.date32()) is Verdict.NONE


def test_values_are_cast_to_the_type_of_the_column():
    assert Condition("x", "=", 5).typed(pa.int8()) == pa.scalar(5, pa.int8())
    assert Condition("x", "=", 5).typed(pa.float32()) == pa.scalar(5.0, pa.float32())
    assert Condition("x", "=", "5").typed(pa.int64()) == pa.scalar(5, pa.int64())
    rounded = pa.table({"x": pa.array([0.1], pa.float32())})
    assert select_rows(rounded, [Condition("x", "=", 0.1)]).num_rows == 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("many", pa.int64()),
        ("yesterday", pa.date32()),
        (500, pa.int8()),
        (1.5, pa.int64()),
        (5, pa.list_(pa.int64())),
    ],
)
def test_values_that_the_type_does_not_have_are_refused(value, kind):
    condition = Condition("x", "<", value)
    with pytest.raises(DataError, match=f"x < {value!r}: the column holds .*, and the value is none"):
        condition.typed(kind)
    with pytest.raises(DataError, match="the value is none"):
        judge_bounds(condition, Bounds(None, None, None), kind)
    with pytest.raises(DataError, match="the value is none"):
        select_rows(pa.table({"x": pa.array([], kind)}), [condition])


@quick
@given(
    st.lists(st.tuples(st.none() | INTEGERS, st.none() | TEXTS), max_size=8),
    st.sampled_from(OPERATORS),
    INTEGERS,
    TEXTS,
)
def test_rows_that_all_conditions_keep_are_selected(rows, operator, value, text):
    compare = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }[operator]
    numbers, texts = [row[0] for row in rows], [row[1] for row in rows]
    table = pa.table({"n": pa.array(numbers, pa.int64()), "t": pa.array(texts, pa.string())})
    kept = select_rows(table, [Condition("n", operator, value), Condition("t", "!=", text)])
    expected = [(n, t) for n, t in rows if n is not None and t is not None and compare(n, value) and t != text]
    assert list(zip(kept["n"].to_pylist(), kept["t"].to_pylist(), strict=True)) == expected
    assert select_rows(table, []) == table
