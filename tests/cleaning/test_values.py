"""Text as times and numbers, against Python's own reading of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pyspark.sql import functions as F

from kinfolk.cleaning.values import read_price, read_quantity, read_time
from kinfolk.settings import CleaningSettings

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

_ONCE = settings(max_examples=1, suppress_health_check=list(HealthCheck), deadline=None)
_NUMBERS = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**6), max_value=10**6).map(str),
    st.sampled_from(["12", "12.0", "1.2E1", "-3", "+7", "0", "2147483647", "2147483648", "99999999999999.9999"]),
    st.sampled_from(["", "abc", "1,5", "12a", "0x10", "NaN", "Infinity", "1e999", "--1", "1.2.3", "100000000000000"]),
)


def read(spark: SparkSession, texts: list[str | None], expression: Callable[[Column], Column]) -> list[Any]:
    """What the expression makes of each text, in order."""
    rows = pa.table({"place": list(range(len(texts))), "text": pa.array(texts, pa.string())})
    found = spark.createDataFrame(rows).select("place", expression(F.col("text")).alias("value")).toArrow()
    return found.sort_by("place")["value"].to_pylist()


@_ONCE
@given(st.lists(_NUMBERS, min_size=300, max_size=300))
def test_quantities_are_whole_numbers_of_32_bits(spark: SparkSession, texts: list[str]) -> None:
    def expected(text: str) -> int | None:
        number = _number(text)
        whole = number is not None and number.is_finite() and abs(number) < 10**31 and number == int(number)
        return int(number) if whole and -(2**31) <= number < 2**31 else None  # type: ignore[arg-type,operator]

    # Numbers that are whole only after six digits are beyond what quantities can say.
    assert read(spark, texts, read_quantity) == [expected(text) for text in texts]


@_ONCE
@given(st.lists(_NUMBERS, min_size=300, max_size=300))
def test_prices_are_decimals_rounded_to_four_digits(spark: SparkSession, texts: list[str]) -> None:
    def expected(text: str) -> Decimal | None:
        number = _number(text)
        if number is None or not number.is_finite() or abs(number) >= 10**15:
            return None
        rounded = number.quantize(Decimal("0.0001"), ROUND_HALF_UP)
        return rounded if abs(rounded) < 10**14 else None

    assert read(spark, texts, read_price) == [expected(text) for text in texts]


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def test_times_are_read_in_the_zone_they_name_or_else_in_the_settings(spark: SparkSession) -> None:
    london = CleaningSettings(time_formats=("M/d/yyyy H:mm", "yyyy-MM-dd'T'HH:mm:ssXXX"), time_zone="Europe/London")
    summer = datetime(2011, 7, 1, 9, 30, tzinfo=ZoneInfo("Europe/London"))
    texts = {
        "12/1/2009 7:45": datetime(2009, 12, 1, 7, 45, tzinfo=UTC),
        "7/1/2011 9:30": summer.astimezone(UTC),
        "2011-07-01T09:30:00+02:00": datetime(2011, 7, 1, 7, 30, tzinfo=UTC),
        "2011-07-01T09:30:00Z": datetime(2011, 7, 1, 9, 30, tzinfo=UTC),
        "2011-07-01 09:30:00.000000": summer.astimezone(UTC),
        "2011-07-01 09:30:00.250000Z": datetime(2011, 7, 1, 9, 30, 0, 250_000, tzinfo=UTC),
        "2009-12-01": datetime(2009, 12, 1, tzinfo=UTC),
        "13/1/2009 7:45": None,
        "2/30/2011 7:45": None,
        "12/1/2009 7:45 Europe/Paris": None,
        "12/1/2009": None,
        "yesterday": None,
    }
    found = read(spark, list(texts), lambda text: read_time(text, london))
    assert dict(zip(texts, found, strict=True)) == texts


def test_the_first_format_that_fits_wins(spark: SparkSession) -> None:
    both = ("dd/MM/yyyy", "MM/dd/yyyy")
    found = read(spark, ["03/04/2026", "12/31/2026"], lambda t: read_time(t, CleaningSettings(time_formats=both)))
    assert [value.date().isoformat() for value in found] == ["2026-04-03", "2026-12-31"]


@pytest.mark.parametrize(
    ("name", "value"), [("time_formats", ["YYYY-mm"]), ("time_formats", [""]), ("time_zone", "Europe/Londn")]
)
def test_formats_and_zones_that_cannot_be_are_refused_at_once(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match="is not a"):
        CleaningSettings.model_validate({name: value})
