"""Conditions on rows, decided by statistics where they suffice and on the rows themselves where they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from kinfolk.errors import DataError

Scalar = str | int | float | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


@dataclass(frozen=True)
class Condition:
    """Keeps rows whose value in `column` compares so with `value`; rows without a value are not kept.

    `value` is cast to the column's type, so that times may be given as text: `Condition("day", ">=", "2026-01-31")`.
    """

    column: str
    operator: Operator
    value: Scalar

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value!r}"

    def typed(self, kind: pa.DataType) -> pa.Scalar:
        """The value in the column's type. Raises DataError where it has none."""
        try:
            value = pa.scalar(self.value)
            if pa.types.is_timestamp(kind) and kind.tz and isinstance(self.value, str):
                # Delta's times are UTC; text need not say so.
                return value.cast(pa.timestamp(kind.unit)).cast(kind)
            return value.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
            raise DataError(f"{self}: the column holds {kind}, and the value is none ({error})") from None


class Verdict(Enum):
    """How many of some rows a condition keeps, by what is known of them."""

    NONE = 0
    SOME = 1
    ALL = 2


@dataclass(frozen=True)
class Bounds:
    """What statistics say of a column: no value is below `low` or above `high`; None where they do not say it."""

    low: Any
    high: Any
    nulls: int | None


def judge_bounds(condition: Condition, bounds: Bounds, kind: pa.DataType) -> Verdict:
    """Decide a condition by bounds of the values alone.

    Statistics leave NaN out, which is unequal to everything and compares with nothing else: of floats, `!=` may always
    keep some, and the others never keep all for sure.
    """
    value = condition.typed(kind).as_py()
    low, high = bounds.low, bounds.high
    if low is None or high is None or type(low) is not type(value) or type(high) is not type(value):
        return Verdict.SOME
    has_nan = pa.types.is_floating(kind)
    all_kept, none_kept = {
        "=": (low == value == high, value < low or value > high),
        "!=": (value < low or value > high, low == value == high),
        "<": (high < value, low >= value),
        "<=": (high <= value, low > value),
        ">": (low > value, high <= value),
        ">=": (low >= value, high < value),
    }[condition.operator]
    if none_kept and not (has_nan and condition.operator == "!="):
        return Verdict.NONE
    return Verdict.ALL if all_kept and bounds.nulls == 0 and not has_nan else Verdict.SOME


def select_rows(rows: pa.Table, conditions: Sequence[Condition]) -> pa.Table:
    """The rows that all conditions keep."""
    for condition in conditions:
        column = rows.column(condition.column)
        rows = rows.filter(_COMPARE[condition.operator](column, condition.typed(column.type)))
    return rows
